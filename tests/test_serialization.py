import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.model.source import BUNDLED_FOLDER, bundled_hash

from .build import LABELS, TEXTS, make_nlp, settings_for, table

LAYOUTS = ["nli_folder", "shared_folder"]
needs_bundled = pytest.mark.skipif(
    not (BUNDLED_FOLDER / "model.safetensors").exists(), reason="the bundled model is not installed"
)
# Loads a pipeline with every socket refused, and prints its scores.
ELSEWHERE = """
import json, socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("the network was asked")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
import spacy
nlp = spacy.load(sys.argv[1])
print(json.dumps([doc.cats for doc in nlp.pipe(json.loads(sys.argv[2]))]))
"""


def score_elsewhere(folder, path=None):
    """RETURNS (np.ndarray): The scores of a new process without network."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(Path(folder).parent / "empty"), "OMP_NUM_THREADS": "1"}
    if path is not None:
        env["PYTHONPATH"] = str(path)
    command = [sys.executable, "-c", ELSEWHERE, str(folder), json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    return np.array([[row[key] for key in sorted(row)] for row in rows])


def scores(nlp):
    return table(list(nlp.pipe(TEXTS)))


def same(a, b):
    return a.shape == b.shape and np.abs(a - b).max() <= 1e-6


@pytest.fixture(params=LAYOUTS)
def nlp(request):
    return make_nlp(request.getfixturevalue(request.param))


def test_load_in_a_new_process_without_network(nlp, tmp_path):
    expected = scores(nlp)
    nlp.to_disk(tmp_path / "pipeline")
    assert same(score_elsewhere(tmp_path / "pipeline"), expected)


@needs_bundled
def test_load_the_bundled_model_in_a_new_process(tmp_path):
    nlp = make_nlp()
    nlp.to_disk(tmp_path / "pipeline")
    assert same(score_elsewhere(tmp_path / "pipeline"), scores(nlp))


def test_the_saved_model_is_a_hugging_face_folder(nlp, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    nlp.to_disk(tmp_path)
    folder = tmp_path / "zero_shot_textcat" / "model"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.model_type == "bert"
    assert AutoTokenizer.from_pretrained(folder)("a")["input_ids"]


def test_saving_before_the_first_use(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    assert same(scores(spacy.load(tmp_path)), scores(nlp))


def test_saving_over_the_folder_it_was_loaded_from(nlp, tmp_path):
    expected = scores(nlp)
    nlp.to_disk(tmp_path)
    for used in (False, True):
        loaded = spacy.load(tmp_path)
        if used:
            assert same(scores(loaded), expected)
        loaded.to_disk(tmp_path)
        assert same(scores(loaded), expected)
        assert same(scores(spacy.load(tmp_path)), expected)
    assert sorted(path.name for path in (tmp_path / "zero_shot_textcat").iterdir()) == ["cfg", "model"]


def test_precision_of_the_weights_is_kept(nli_folder, own_copy, tmp_path):
    from safetensors import safe_open
    from transformers import AutoModelForSequenceClassification

    folder = own_copy(nli_folder)
    AutoModelForSequenceClassification.from_pretrained(folder).bfloat16().save_pretrained(folder)
    nlp = make_nlp(folder)
    scores(nlp)
    nlp.to_disk(tmp_path / "pipeline")
    with safe_open(tmp_path / "pipeline/zero_shot_textcat/model/model.safetensors", "pt") as weights:
        assert {str(weights.get_tensor(key).dtype) for key in weights.keys()} == {"torch.bfloat16"}  # noqa: SIM118


def test_a_relative_path_is_found_after_a_change_of_directory(nlp, tmp_path, monkeypatch):
    expected = scores(nlp)
    nlp.to_disk(tmp_path / "pipeline")
    monkeypatch.chdir(tmp_path)
    loaded = spacy.load("pipeline")
    monkeypatch.chdir("/")
    assert same(scores(loaded), expected)


def test_failing_to_save_leaves_the_old_model(nlp, tmp_path, own_copy):
    expected = scores(nlp)
    nlp.to_disk(tmp_path)
    broken = make_nlp(Path("/nowhere/at/all"))
    with pytest.raises(ZeroShotError):
        broken.get_pipe("zero_shot_textcat").to_disk(tmp_path / "zero_shot_textcat")
    assert sorted(path.name for path in (tmp_path / "zero_shot_textcat").iterdir()) == ["cfg", "model"]
    assert same(scores(spacy.load(tmp_path)), expected)


def test_failing_to_save_leaves_no_half_written_model(tmp_path):
    broken = make_nlp(Path("/nowhere/at/all"))
    with pytest.raises(ZeroShotError):
        broken.to_disk(tmp_path)
    assert not list((tmp_path / "zero_shot_textcat").iterdir())


def test_a_folder_that_was_not_saved_whole_z051(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    (tmp_path / "zero_shot_textcat" / "model").rename(tmp_path / "away")
    with pytest.raises(ZeroShotError, match=r"Z051.*model"):
        spacy.load(tmp_path)
    (tmp_path / "away").rename(tmp_path / "zero_shot_textcat" / "model")
    (tmp_path / "zero_shot_textcat" / "cfg").unlink()
    with pytest.raises(ZeroShotError, match="Z051"):
        spacy.load(tmp_path)


def test_settings_of_a_newer_version_z050(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    cfg = tmp_path / "zero_shot_textcat" / "cfg"
    cfg.write_text(json.dumps({**json.loads(cfg.read_text()), "format": 99}))
    with pytest.raises(ZeroShotError, match=r"Z050.*99"):
        spacy.load(tmp_path)


def test_the_folder_goes_before_the_first_use_z031(nlp, tmp_path):
    nlp.to_disk(tmp_path / "pipeline")
    used, unused = spacy.load(tmp_path / "pipeline"), spacy.load(tmp_path / "pipeline")
    expected = scores(used)
    (tmp_path / "pipeline").rename(tmp_path / "gone")
    with pytest.raises(ZeroShotError, match="Z031"):
        unused(TEXTS[0])
    assert same(scores(used), expected)


def test_bytes(nlp):
    expected = scores(nlp)
    data = nlp.to_bytes()
    config = nlp.config.copy()
    loaded = spacy.util.load_model_from_config(config).from_bytes(data)
    assert same(scores(loaded), expected)
    # and into a component that was given nothing
    fresh = spacy.blank("en")
    fresh.add_pipe("zero_shot_textcat", config={"model": {"precision": "float32"}})
    fresh.from_bytes(data)
    assert fresh.get_pipe("zero_shot_textcat").labels == tuple(LABELS)
    assert same(scores(fresh), expected)
    assert same(scores(spacy.util.load_model_from_config(config).from_bytes(fresh.to_bytes())), expected)


def test_exclude(nlp, tmp_path):
    nlp.get_pipe("zero_shot_textcat").to_disk(tmp_path, exclude=["model"])
    assert [path.name for path in tmp_path.iterdir()] == ["cfg"]
    nlp.get_pipe("zero_shot_textcat").from_disk(tmp_path, exclude=["model"])


@pytest.mark.parametrize("used", [False, True])
def test_pickle_and_copies(nlp, used):
    expected = scores(nlp) if used else None
    pickled = pickle.loads(pickle.dumps(nlp))
    copied = copy.deepcopy(nlp)
    pipe = pickle.loads(pickle.dumps(nlp.get_pipe("zero_shot_textcat")))
    expected = scores(nlp) if expected is None else expected
    assert same(scores(pickled), expected)
    assert same(scores(copied), expected)
    docs = [pipe(nlp.make_doc(text)) for text in TEXTS]
    assert same(table(docs), expected)
    assert copied.get_pipe("zero_shot_textcat").model.shims[0] is not nlp.get_pipe("zero_shot_textcat").model.shims[0]


def test_a_pickle_needs_the_folder_no_longer(nli_folder, own_copy, tmp_path):
    folder = own_copy(nli_folder)
    nlp = make_nlp(folder)
    data = pickle.dumps(nlp)
    expected = scores(nlp)
    folder.rename(tmp_path / "gone")
    loaded = pickle.loads(data)
    assert same(scores(loaded), expected)
    loaded.to_disk(tmp_path / "pipeline")
    assert same(scores(spacy.load(tmp_path / "pipeline")), expected)


@needs_bundled
def test_the_bundled_model_is_referred_to(tmp_path):
    nlp = make_nlp()
    nlp.to_disk(tmp_path)
    folder = tmp_path / "zero_shot_textcat" / "model"
    assert [path.name for path in folder.iterdir()] == ["bundled.json"]
    assert json.loads((folder / "bundled.json").read_text()) == {"name": "bundled", "sha256": bundled_hash()}
    assert len(nlp.get_pipe("zero_shot_textcat").to_bytes()) < 10_000
    assert len(pickle.dumps(nlp.get_pipe("zero_shot_textcat").model.shims[0])) < 10_000


@needs_bundled
def test_another_bundled_model_is_told_z102(tmp_path):
    make_nlp().to_disk(tmp_path)
    reference = tmp_path / "zero_shot_textcat" / "model" / "bundled.json"
    reference.write_text(json.dumps({"name": "bundled", "sha256": "0" * 64}))
    with pytest.warns(ZeroShotWarning, match="Z102"):
        nlp = spacy.load(tmp_path)
    assert nlp(TEXTS[0]).cats


def test_no_reference_is_left_beside_saved_weights(nlp, tmp_path):
    folder = tmp_path / "zero_shot_textcat" / "model"
    folder.mkdir(parents=True)
    (folder / "bundled.json").write_text("{}")
    nlp.to_disk(tmp_path)
    assert same(scores(spacy.load(tmp_path)), scores(nlp))


def test_run_time_labels_are_saved(nlp, tmp_path):
    nlp.get_pipe("zero_shot_textcat").set_labels(["art", "sport"], [{"label": "art", "text": "Paint."}])
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path).get_pipe("zero_shot_textcat")
    assert loaded.labels == ("art", "sport")
    assert loaded.wording().hypotheses == ("Paint.", "This text is about sport.")
    # and once more
    again = spacy.load(tmp_path)
    again.to_disk(tmp_path / "again")
    assert spacy.load(tmp_path / "again").get_pipe("zero_shot_textcat").labels == ("art", "sport")


def test_overrides_win_over_what_was_saved(nlp, tmp_path, make_checkpoint):
    nlp.get_pipe("zero_shot_textcat").set_labels(["art", "sport"])
    nlp.to_disk(tmp_path)
    config = {
        "components.zero_shot_textcat.labels": ["x", "y"],
        "components.zero_shot_textcat.multi_label": True,
        "components.zero_shot_textcat.threshold": 0.0,
        "components.zero_shot_textcat.hypothesis_template": "{}",
        "components.zero_shot_textcat.spans_key": "w",
    }
    pipe = spacy.load(tmp_path, config=config).get_pipe("zero_shot_textcat")
    assert pipe.labels == ("x", "y")
    assert (pipe.multi_label, pipe.threshold, pipe.spans_key) == (True, 0.0, "w")
    assert pipe.wording().hypotheses == ("x", "y")


def test_another_checkpoint_in_the_overrides_wins(nlp, tmp_path, make_checkpoint):
    nlp.to_disk(tmp_path)
    other = make_checkpoint(seed=7)
    loaded = spacy.load(tmp_path, config={"components.zero_shot_textcat.model.name": str(other)})
    assert same(scores(loaded), scores(make_nlp(other)))
    assert not same(scores(loaded), scores(nlp))
    loaded.to_disk(tmp_path / "other")
    assert same(scores(spacy.load(tmp_path / "other")), scores(loaded))


def test_labels_with_dollars_come_back(nlp, tmp_path):
    # spaCy's config doubles a "$" each time, and joins strings at "$$"
    labels = ["$AAPL", "cost in $", "$$", "a$b", "plain"]
    nlp.remove_pipe("zero_shot_textcat")
    nlp.add_pipe("zero_shot_textcat", config={"labels": labels, "model": {"name": "bundled"}})
    for i in range(3):
        nlp.to_disk(tmp_path / str(i))
        nlp = spacy.load(tmp_path / str(i))
        assert nlp.get_pipe("zero_shot_textcat").labels == tuple(labels)


def test_two_components_are_saved_apart(nli_folder, make_checkpoint, tmp_path):
    nlp = make_nlp(nli_folder)
    other = make_checkpoint(seed=3)
    nlp.add_pipe("zero_shot_textcat", name="mood", config=settings_for(other, labels=["glad", "sad"]))
    nlp.to_disk(tmp_path)
    assert same(scores(spacy.load(tmp_path)), scores(nlp))


def test_trained_weights_are_saved(nlp, tmp_path):
    from spacy.training import Example

    nlp.get_pipe("zero_shot_textcat").trainable = True
    pipe = nlp.get_pipe("zero_shot_textcat")
    pipe.model.shims[0].set_trainable(True)
    gold = {"cats": {"sport": 0.0, "politics": 1.0, "music": 0.0}}
    examples = [Example.from_dict(nlp.make_doc(TEXTS[0]), gold)]
    before = scores(nlp)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.01
    for _ in range(3):
        nlp.update(examples, sgd=optimizer)
    trained = scores(nlp)
    assert not same(trained, before)
    nlp.to_disk(tmp_path)
    assert same(score_elsewhere(tmp_path), trained)
    assert same(scores(pickle.loads(pickle.dumps(nlp))), trained)
    assert same(scores(spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())), trained)


def test_package_install_and_load(nlp, tmp_path):
    expected = scores(nlp)
    nlp.to_disk(tmp_path / "pipeline")
    run("spacy", "package", tmp_path / "pipeline", tmp_path, "--name", "topics", "--build", "none")
    target = tmp_path / "site"
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", target]
    run("pip", "install", *flags, tmp_path / "en_topics-0.0.0")
    assert same(score_elsewhere("en_topics", target), expected)


def test_assemble(nlp, tmp_path):
    config = tmp_path / "config.cfg"
    nlp.config.to_disk(config)
    run("spacy", "assemble", config, tmp_path / "out")
    assert same(scores(spacy.load(tmp_path / "out")), scores(nlp))


def test_config_round_trip_builds_the_same_component(nli_folder):
    settings = {
        "hypothesis_template": ["It is {}.", "{}"],
        "hypotheses": [{"label": "sport", "text": 'They play, "hard"; a=b #1 [x].'}],
        "multi_label": True,
        "threshold": 0.25,
        "label_thresholds": [{"label": "sport", "threshold": 0.75}],
        "key_prefix": "k:",
        "long_text": "truncate",
        "window_overlap": 8,
        "pooling": "mean",
        "get_spans": {"@span_getters": "spacy-transformers.sent_spans.v1"},
        "spans_key": "s",
        "max_negatives": 2,
    }
    nlp = make_nlp(nli_folder, **settings)
    again = spacy.util.load_model_from_config(nlp.config.from_str(nlp.config.to_str()))
    one, two = (p.get_pipe("zero_shot_textcat") for p in (nlp, again))
    for name in ("labels", "templates", "multi_label", "threshold", "label_thresholds", "key_prefix", "reading"):
        assert getattr(one, name) == getattr(two, name)
    assert one.wording() == two.wording()
    assert (two.pooling, two.spans_key, two.max_negatives) == ("mean", "s", 2)


def run(module, *arguments):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
