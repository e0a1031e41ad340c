"""Hub names and revisions, on a cache as the Hub's client lays it out, in processes that are offline."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from spacy_zeroshot.errors import ZeroShotError

from .scoring import TEXTS, score

NAME = "someone/tiny-nli"
OLD, NEW = "a" * 40, "b" * 40
PROGRAM = """
import json, sys
from tests.model.scoring import score, TEXTS
name, model = sys.argv[1], json.loads(sys.argv[2])
print(json.dumps(score(name, TEXTS, multi_label=True, model=model)))
"""


@pytest.fixture(scope="module")
def revisions(make_checkpoint, tmp_path_factory):
    """Two revisions that differ in config (order of classes), tokenizer (numbers of words) and weights."""
    old = make_checkpoint(classes=("entailment", "neutral", "contradiction"), seed=1)
    new = tmp_path_factory.mktemp("revisions") / "new"
    shutil.copytree(make_checkpoint(classes=("neutral", "contradiction", "entailment"), seed=2), new)
    tokenizer = json.loads((new / "tokenizer.json").read_text(encoding="utf8"))
    vocabulary = tokenizer["model"]["vocab"]
    words = [piece for piece, number in vocabulary.items() if number > 4]
    vocabulary.update(zip(words, [vocabulary[word] for word in reversed(words)]))
    (new / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf8")
    return {OLD: old, NEW: new}


@pytest.fixture(scope="module")
def hub_cache(revisions, tmp_path_factory):
    home = tmp_path_factory.mktemp("hf_home")
    repository = home / "hub" / f"models--{NAME.replace('/', '--')}"
    for commit, folder in revisions.items():
        shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(NEW, encoding="utf8")
    (repository / "refs" / "v1").write_text(OLD, encoding="utf8")
    return home


def run(home, *arguments, offline=True):
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(offline)), "OMP_NUM_THREADS": "1"}
    # nothing else may say where the cache is
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    "model, commit",
    [
        ({}, NEW),
        ({"revision": "v1"}, OLD),
        ({"revision": OLD}, OLD),
        ({"revision": NEW, "local_files_only": True}, NEW),
    ],
    ids=["main", "tag", "commit", "local_files_only"],
)
def test_revision_pins_config_tokenizer_and_weights(hub_cache, revisions, model, commit):
    done = run(hub_cache, NAME, json.dumps(model))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    for commit_, folder in revisions.items():
        expected = score(folder, TEXTS, multi_label=True)
        same = [cats == pytest.approx(theirs, abs=1e-6) for cats, theirs in zip(found, expected)]
        assert all(same) if commit_ == commit else not any(same)


def test_each_part_of_a_revision_tells(revisions, tmp_path):
    """Were one of the three taken from the other revision, the scores would be others."""
    expected = score(revisions[OLD], TEXTS[:1], multi_label=True)
    for part in ("config.json", "tokenizer.json", "model.safetensors"):
        mixed = tmp_path / part
        shutil.copytree(revisions[OLD], mixed)
        shutil.copy(revisions[NEW] / part, mixed / part)
        assert score(mixed, TEXTS[:1], multi_label=True) != [pytest.approx(cats, abs=1e-4) for cats in expected]


@pytest.mark.parametrize(
    "name, model",
    [(NAME, {"revision": "v2"}), ("someone/else", {}), ("someone/else", {"local_files_only": True})],
)
def test_not_in_the_cache_Z020(hub_cache, name, model):
    done = run(hub_cache, name, json.dumps(model))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"{ZeroShotError.__module__}.ZeroShotError: [Z020] NLIClassifier")


def test_pickle_in_the_cache_Z023(hub_cache, revisions, tmp_path):
    import torch
    from safetensors.torch import load_file

    shutil.copytree(hub_cache, tmp_path / "home")
    snapshot = next((tmp_path / "home").glob(f"hub/*/snapshots/{NEW}"))
    torch.save(load_file(snapshot / "model.safetensors"), snapshot / "pytorch_model.bin")
    (snapshot / "model.safetensors").unlink()
    done = run(tmp_path / "home", NAME, "{}")
    assert "[Z023] NLIClassifier" in done.stderr.splitlines()[-1]
    done = run(tmp_path / "home", NAME, json.dumps({"use_safetensors": False}))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [pytest.approx(cats) for cats in score(revisions[NEW], TEXTS, multi_label=True)]


def test_weights_not_in_the_cache_Z020(hub_cache, tmp_path):
    shutil.copytree(hub_cache, tmp_path / "home")
    next((tmp_path / "home").glob(f"hub/*/snapshots/{NEW}/model.safetensors")).unlink()
    done = run(tmp_path / "home", NAME, "{}")
    assert "[Z020] NLIClassifier" in done.stderr.splitlines()[-1]
