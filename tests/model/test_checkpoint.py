"""Checkpoints that cannot be loaded: a coded error in one line, fast, and no code of theirs is run. Hub names."""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.model.architectures import MaskedLMClassifier, NLIClassifier, SimilarityClassifier
from spacy_zeroshot.model.checkpoint import load_checkpoint
from spacy_zeroshot.model.types import ModelSpec

from ..util import edit_json
from .scoring import TEXTS, ask, error_of, score

MALICIOUS = "from pathlib import Path\nPath(__file__).with_name('was_run').touch()\n"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def folder(nli_folder, own_copy):
    return own_copy(nli_folder)


def with_pickle(folder):
    """Turn a checkpoint into an old one, with pickled weights only."""
    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()


def test_unknown_name_without_network_Z020():
    start = time.monotonic()
    error = error_of("nobody/no-such-model", local_files_only=True)
    assert error.code == "Z020" and "Check the name, or the network" in str(error)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("name", ["no/such/folder", "./missing", "not a name!"])
def test_impossible_name_Z020(name):
    assert error_of(name, local_files_only=True).code == "Z020"


@pytest.mark.parametrize("architecture", [NLIClassifier, SimilarityClassifier, MaskedLMClassifier])
@pytest.mark.parametrize("local_files_only", [True, False])
def test_an_address_asks_no_network_Z020(architecture, local_files_only, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **kwargs: asked.append(host))
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: asked.append(address))
    address = "https://huggingface.co/cross-encoder/nli-MiniLM2-L6-H768"
    error = error_of(address, architecture=architecture, local_files_only=local_files_only)
    assert error.code == "Z020" and "namespace/repo_name" in str(error)
    assert asked == []


def test_empty_folder_Z021(tmp_path):
    error = error_of(tmp_path)
    assert error.code == "Z021" and "config.json" in str(error)


@pytest.mark.parametrize("content", ["{not json", "[]", "{}"])
def test_config_that_is_none_Z021(folder, content):
    (folder / "config.json").write_text(content, encoding="utf8")
    assert error_of(folder).code == "Z021"


def test_no_weights_Z021(folder):
    (folder / "model.safetensors").unlink()
    (folder / "training_args.bin").write_bytes(b"")
    error = error_of(folder)
    assert error.code == "Z021" and "model.safetensors" in str(error)


def test_unknown_architecture_Z020(folder):
    edit_json(folder / "config.json", model_type="no_such_type")
    error = error_of(folder)
    assert error.code == "Z020" and "no_such_type" in str(error)


def test_not_a_text_classifier_Z020(folder):
    edit_json(folder / "config.json", model_type="vit", id2label={"0": "contradiction", "1": "entailment"})
    assert error_of(folder).code == "Z020"


def test_transformers_refuses_our_layout(decomposed_folder):
    """Read as a plain encoder with a head it would give other scores without a word."""
    from transformers import AutoModelForSequenceClassification, pipeline

    for load in (AutoModelForSequenceClassification.from_pretrained, lambda f: pipeline("zero-shot-classification", f)):
        with pytest.raises(ValueError, match="zero_shot_decomposed"):
            load(str(decomposed_folder))


@pytest.mark.parametrize("name", ["nli_folder", "decomposed_folder"])
def test_no_tokenizer_Z022(name, own_copy, request):
    folder = own_copy(request.getfixturevalue(name))
    for file_name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file_name).unlink()
    assert error_of(folder).code == "Z022"


@pytest.mark.parametrize("name", ["nli_folder", "decomposed_folder"])
@pytest.mark.parametrize("content", ["", "{}", '{"version": "1.0", "model": {"type": "Nothing"}}'])
def test_damaged_tokenizer_Z022(name, own_copy, request, content):
    folder = own_copy(request.getfixturevalue(name))
    (folder / "tokenizer.json").write_text(content, encoding="utf8")
    assert error_of(folder).code == "Z022"


def test_pickle_is_refused_Z023(folder):
    with_pickle(folder)
    error = error_of(folder)
    assert error.code == "Z023"
    assert "pytorch_model.bin" in str(error) and "use_safetensors = false" in str(error)


def test_pickle_is_read_when_asked_for(folder, nli_folder):
    with_pickle(folder)
    ours = score(folder, use_safetensors=False)
    assert ours == [pytest.approx(cats) for cats in score(nli_folder)]


def test_malicious_pickle_is_not_run_Z024(folder, tmp_path):
    """Even where pickles are allowed, only tensors are read from them."""

    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    (folder / "model.safetensors").unlink()
    torch.save({"classifier.weight": Malicious()}, folder / "pytorch_model.bin")
    assert error_of(folder, use_safetensors=False).code in ("Z020", "Z024")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("name", ["nli_folder", "decomposed_folder"])
@pytest.mark.parametrize("size", [0, 4, 200, 20_000])
def test_truncated_safetensors_Z024(name, own_copy, request, size):
    folder = own_copy(request.getfixturevalue(name))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    assert error_of(folder).code == "Z024"


def test_weights_of_another_head_Z024(folder, make_checkpoint):
    other = make_checkpoint(classes=("not_entailment", "entailment"))
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    error = error_of(folder)
    assert error.code == "Z024" and "there is a classifier.bias of another size" in str(error)


def test_weights_without_head_Z024(folder):
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("classifier")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    error = error_of(folder)
    assert error.code == "Z024" and "there is no classifier.bias, no classifier.weight" in str(error)


@pytest.mark.parametrize("part", ["AutoConfig", "AutoModelForSequenceClassification", "AutoTokenizer"])
def test_remote_code_is_never_run_Z027(folder, part):
    (folder / "custom.py").write_text(MALICIOUS, encoding="utf8")
    model_type = {"AutoConfig": "their_own"}.get(part, "vit")
    reference = ["custom.Theirs", None] if part == "AutoTokenizer" else "custom.Theirs"
    edit_json(folder / "config.json", auto_map={part: reference}, model_type=model_type)
    if part == "AutoTokenizer":
        edit_json(folder / "tokenizer_config.json", auto_map={part: reference}, tokenizer_class="TheirTokenizer")
    assert error_of(folder).code == "Z027"
    assert not (folder / "was_run").exists()


def test_code_beside_a_known_architecture_is_not_run(folder, nli_folder):
    (folder / "custom.py").write_text(MALICIOUS, encoding="utf8")
    auto_map = {"AutoConfig": "custom.C", "AutoModelForSequenceClassification": "custom.M"}
    edit_json(folder / "config.json", auto_map=auto_map)
    assert score(folder) == score(nli_folder)
    assert not (folder / "was_run").exists()


def test_slow_tokenizer_Z028(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps({"<unk>": 0, "a</w>": 1}), encoding="utf8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CTRLTokenizer"}), encoding="utf8")
    assert error_of(folder).code == "Z028"


@pytest.mark.parametrize("name", ["nli_folder", "decomposed_folder"])
def test_loading_is_silent(name, own_copy, request, capfd, caplog):
    """Neither weights left over nor a progress bar is reported; the user's own settings stay."""
    from transformers.utils import logging as verbosity

    folder = own_copy(request.getfixturevalue(name))
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "left.over": torch.zeros(2)}, folder / "model.safetensors", metadata={"format": "pt"})
    before = verbosity.get_verbosity(), verbosity.is_progress_bar_enabled()
    with caplog.at_level(logging.WARNING):
        load_checkpoint(ModelSpec(str(folder)))
    assert (verbosity.get_verbosity(), verbosity.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert logging.getLogger("transformers.modeling_utils").filters == []


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_half_precision_is_scored_in_float32(nli_folder, own_copy, stored):
    from transformers import AutoModelForSequenceClassification

    folder = own_copy(nli_folder)
    AutoModelForSequenceClassification.from_pretrained(folder).to(stored).save_pretrained(folder)
    for half, full in zip(score(folder), score(nli_folder), strict=True):
        assert half == pytest.approx(full, abs=0.05)


def test_the_default_dtype_of_the_caller_stays(nli_folder):
    torch.set_default_dtype(torch.float64)
    try:
        checkpoint = load_checkpoint(ModelSpec(str(nli_folder)))
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert {tensor.dtype for tensor in checkpoint.module.state_dict().values()} == {torch.float32}


# Names of the Hub: on a cache as the Hub's client lays it out, in processes that are offline

NAME = "someone/tiny-nli"
OLD, NEW = "a" * 40, "b" * 40
PROGRAM = """
import json, sys
from tests.model.scoring import score
print(json.dumps(score(sys.argv[1], multi_label=True, **json.loads(sys.argv[2]))))
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
    vocabulary.update(zip(words, [vocabulary[word] for word in reversed(words)], strict=True))
    (new / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf8")
    return {OLD: old, NEW: new}


@pytest.fixture(scope="module")
def hub_cache(revisions, decomposed_folder, tmp_path_factory):
    home = tmp_path_factory.mktemp("hf_home")
    for name, folders in ((NAME, revisions), ("someone/ours", {NEW: decomposed_folder})):
        repository = home / "hub" / f"models--{name.replace('/', '--')}"
        for commit, folder in folders.items():
            shutil.copytree(folder, repository / "snapshots" / commit)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(NEW, encoding="utf8")
        (repository / "refs" / "v1").write_text(OLD, encoding="utf8")
    return home


def run(home, name, **model):
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    # nothing else may say where the cache is
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE"):
        environment.pop(variable, None)
    command = [sys.executable, "-c", PROGRAM, name, json.dumps(model)]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.slow
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
    done = run(hub_cache, NAME, **model)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    found = json.loads(done.stdout)
    for other, folder in revisions.items():
        expected = score(folder, multi_label=True)
        same = [cats == pytest.approx(theirs, abs=1e-6) for cats, theirs in zip(found, expected, strict=True)]
        assert all(same) if other == commit else not any(same)


def test_each_part_of_a_revision_tells(revisions, tmp_path):
    """Were one of the three taken from the other revision, the scores would be others."""
    expected = score(revisions[OLD], TEXTS[:1], multi_label=True)
    for part in ("config.json", "tokenizer.json", "model.safetensors"):
        mixed = tmp_path / part
        shutil.copytree(revisions[OLD], mixed)
        shutil.copy(revisions[NEW] / part, mixed / part)
        assert score(mixed, TEXTS[:1], multi_label=True) != [pytest.approx(cats, abs=1e-4) for cats in expected]


@pytest.mark.slow
def test_a_checkpoint_of_our_layout_on_the_hub(hub_cache, decomposed_folder):
    done = run(hub_cache, "someone/ours")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    expected = score(decomposed_folder, multi_label=True)
    assert json.loads(done.stdout) == [pytest.approx(cats, abs=1e-6) for cats in expected]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, model",
    [(NAME, {"revision": "v2"}), ("someone/else", {}), ("someone/else", {"local_files_only": True})],
)
def test_not_in_the_cache_Z020(hub_cache, name, model):
    done = run(hub_cache, name, **model)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"{ZeroShotError.__module__}.ZeroShotError: [Z020] ")


@pytest.mark.slow
def test_pickle_in_the_cache_Z023(hub_cache, revisions, tmp_path):
    shutil.copytree(hub_cache, tmp_path / "home")
    snapshot = next((tmp_path / "home").glob(f"hub/*nli/snapshots/{NEW}"))
    with_pickle(snapshot)
    assert "[Z023] " in run(tmp_path / "home", NAME).stderr.splitlines()[-1]
    done = run(tmp_path / "home", NAME, use_safetensors=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [pytest.approx(cats) for cats in score(revisions[NEW], multi_label=True)]


@pytest.mark.slow
def test_weights_not_in_the_cache_Z020(hub_cache, tmp_path):
    shutil.copytree(hub_cache, tmp_path / "home")
    next((tmp_path / "home").glob(f"hub/*nli/snapshots/{NEW}/model.safetensors")).unlink()
    assert "[Z020] " in run(tmp_path / "home", NAME).stderr.splitlines()[-1]


def test_the_layout_of_0_1_0_is_scored_as_pairs_no_more(nli_folder, own_copy):
    """Its config.json declares a layout that only 0.1.0 runs: as pairs, it would get other scores without a word."""
    folder = own_copy(nli_folder)
    edit_json(folder / "config.json", zero_shot={"layout": "shared_premise", "similarity": [8.0, -2.0]})
    error = error_of(folder)
    assert error.code == "Z030" and "shared_premise" in str(error)
    edit_json(folder / "config.json", zero_shot={"layout": "pair"})
    assert len(ask(folder, TEXTS, ["sport"]).logits) == 4
