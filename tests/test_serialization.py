"""Saved and loaded is the same: folders, bytes, pickles, overrides, and what 0.1.0 saved."""

import copy
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.training import Example
from thinc.api import Config

from spacy_zeroshot.component import DEFAULTS
from spacy_zeroshot.errors import ZeroShotError

from .util import LABELS, TEXTS, make_nlp, settings_for, table

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
GROUPS = [
    {"name": "topic", "labels": ["sport", "politics"]},
    {"name": "mood", "labels": ["glad", "sad"], "multi_label": True, "threshold": 0.2, "key_prefix": "mood:"},
]


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


def run(module, *arguments):
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def component(nlp, name="zero_shot_textcat"):
    return nlp.get_pipe(name)


def scores(nlp):
    return table(list(nlp.pipe(TEXTS)))


def same(a, b):
    return a.shape == b.shape and np.abs(a - b).max() <= 1e-6


def files(folder):
    """RETURNS (dict[str, bytes]): All files under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["nli_folder", "decomposed_folder"])
def nlp(request):
    return make_nlp(request.getfixturevalue(request.param))


# Disk


@pytest.mark.slow
def test_load_in_a_new_process_without_network(nlp, tmp_path):
    expected = scores(nlp)
    nlp.to_disk(tmp_path / "pipeline")
    assert same(score_elsewhere(tmp_path / "pipeline"), expected)


@pytest.mark.slow
def test_load_the_bundled_model_in_a_new_process(tmp_path):
    nlp = make_nlp()
    nlp.to_disk(tmp_path / "pipeline")
    assert same(score_elsewhere(tmp_path / "pipeline"), scores(nlp))


def test_the_saved_model_is_a_hugging_face_folder(nli_folder, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    make_nlp(nli_folder).to_disk(tmp_path)
    folder = tmp_path / "zero_shot_textcat" / "model"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.model_type == "bert"
    assert AutoTokenizer.from_pretrained(folder)("a")["input_ids"]


def test_saved_files_have_ordinary_permissions(nlp, tmp_path):
    (tmp_path / "plain").touch()
    nlp.to_disk(tmp_path / "pipeline")
    expected = (tmp_path / "plain").stat().st_mode
    assert {path.stat().st_mode for path in (tmp_path / "pipeline").rglob("*") if path.is_file()} == {expected}


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


@pytest.mark.parametrize("used", [False, True])
def test_saved_again_untouched_the_files_are_the_same(nlp, used, tmp_path):
    pipe = component(nlp)
    pipe.set_labels(["sport", "$x", "$y", "é"])
    pipe.label_thresholds, pipe.threshold, pipe.examples = {"$x": 0.3}, 0.7, [{"label": "é", "text": "Un texte."}]
    pipe.cfg["note"] = {"a": [1, 0.1]}
    nlp.to_disk(tmp_path / "1")
    loaded = spacy.load(tmp_path / "1")
    if used:
        pipe = component(loaded)
        pipe.examples_weight = 0.0
        scores(loaded)
        pipe.examples_weight = 0.5
    loaded.to_disk(tmp_path / "2")
    # scoring adds strings to the vocabulary
    again, before = (files(tmp_path / name) for name in "21")
    assert {name: again[name] for name in again if not used or "vocab" not in name} == {
        name: before[name] for name in before if not used or "vocab" not in name
    }
    data = component(nlp).to_bytes()
    assert component(make_nlp(labels=[])).from_bytes(data).to_bytes() == data
    assert component(nlp).from_bytes(data).to_bytes() == data


def test_entries_of_cfg_come_back(nlp, tmp_path):
    pipe = component(nlp)
    pipe.cfg["note"] = "kept"
    pipe.to_disk(tmp_path / "component")
    fresh = [component(make_nlp()) for _ in range(3)]
    assert fresh[0].from_bytes(pipe.to_bytes()).cfg == fresh[1].from_disk(tmp_path / "component").cfg == pipe.cfg
    assert fresh[2].from_bytes(pipe.to_bytes(), exclude=["cfg"]).cfg == {}


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


def test_failing_to_save_leaves_the_old_model(nlp, tmp_path):
    expected = scores(nlp)
    nlp.to_disk(tmp_path)
    broken = make_nlp(Path("/nowhere/at/all"))
    with pytest.raises(ZeroShotError):
        component(broken).to_disk(tmp_path / "zero_shot_textcat")
    assert sorted(path.name for path in (tmp_path / "zero_shot_textcat").iterdir()) == ["cfg", "model"]
    assert same(scores(spacy.load(tmp_path)), expected)


def test_failing_to_save_leaves_no_half_written_model(tmp_path):
    with pytest.raises(ZeroShotError):
        make_nlp(Path("/nowhere/at/all")).to_disk(tmp_path)
    assert not list((tmp_path / "zero_shot_textcat").iterdir())


def test_a_folder_that_was_not_saved_whole_z051(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    folder = tmp_path / "zero_shot_textcat"
    (folder / "model").rename(tmp_path / "away")
    with pytest.raises(ZeroShotError, match=r"Z051.*model"):
        spacy.load(tmp_path)
    (tmp_path / "away").rename(folder / "model")
    for damage in (lambda path: path.write_text("{"), lambda path: path.unlink()):
        damage(folder / "cfg")
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


def test_no_reference_is_left_beside_saved_weights(nlp, tmp_path):
    folder = tmp_path / "zero_shot_textcat" / "model"
    folder.mkdir(parents=True)
    (folder / "bundled.json").write_text("{}")
    nlp.to_disk(tmp_path)
    assert same(scores(spacy.load(tmp_path)), scores(nlp))


def test_two_components_are_saved_apart(nli_folder, make_checkpoint, tmp_path):
    nlp = make_nlp(nli_folder)
    other = make_checkpoint(seed=3)
    nlp.add_pipe("zero_shot_textcat", name="mood", config=settings_for(other, labels=["glad", "sad"]))
    nlp.to_disk(tmp_path)
    assert same(scores(spacy.load(tmp_path)), scores(nlp))


def test_exclude(nlp, tmp_path):
    component(nlp).to_disk(tmp_path, exclude=["model"])
    assert [path.name for path in tmp_path.iterdir()] == ["cfg"]
    component(nlp).from_disk(tmp_path, exclude=["model"])


# Bytes, pickles, copies


def test_bytes(nlp):
    expected = scores(nlp)
    data = nlp.to_bytes()
    config = nlp.config.copy()
    assert same(scores(spacy.util.load_model_from_config(config).from_bytes(data)), expected)
    # and into a component that was given nothing
    fresh = make_nlp(labels=[])
    fresh.from_bytes(data)
    assert component(fresh).labels == tuple(LABELS)
    assert same(scores(fresh), expected)
    assert same(scores(spacy.util.load_model_from_config(config).from_bytes(fresh.to_bytes())), expected)


@pytest.mark.parametrize("used", [False, True])
def test_pickle_and_copies(nlp, used):
    component(nlp).threshold = 0.7
    expected = scores(nlp) if used else None
    pickled = pickle.loads(pickle.dumps(nlp))
    copied = copy.deepcopy(nlp)
    pipe = pickle.loads(pickle.dumps(component(nlp)))
    expected = scores(nlp) if expected is None else expected
    assert same(scores(pickled), expected)
    assert same(scores(copied), expected)
    assert same(table([pipe(nlp.make_doc(text)) for text in TEXTS]), expected)
    assert pipe.threshold == component(copied).threshold == 0.7
    # a copy is its own
    component(copied).threshold = 0.2
    assert component(nlp).threshold == 0.7 and nlp.config["components"]["zero_shot_textcat"]["threshold"] == 0.7


@pytest.mark.parametrize("used", [False, True])
def test_bytes_and_pickles_need_no_folder_that_has_gone(nlp, used, tmp_path):
    expected = scores(nlp)
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    if used:
        scores(loaded)
        shutil.rmtree(tmp_path / "pipeline")
    pickled, data = pickle.dumps(loaded), loaded.to_bytes()
    shutil.rmtree(tmp_path / "pipeline", ignore_errors=True)
    again = pickle.loads(pickled)
    assert same(scores(again), expected)
    assert same(scores(make_nlp(labels=[]).from_bytes(data)), expected)
    again.to_disk(tmp_path / "again")
    assert same(scores(spacy.load(tmp_path / "again")), expected)


def test_a_pickle_needs_the_checkpoint_no_longer(nli_folder, own_copy, tmp_path):
    folder = own_copy(nli_folder)
    nlp = make_nlp(folder)
    data = pickle.dumps(nlp)
    expected = scores(nlp)
    folder.rename(tmp_path / "gone")
    assert same(scores(pickle.loads(data)), expected)
    # nor what was used before
    assert same(scores(pickle.loads(pickle.dumps(nlp))), expected)
    nlp.to_disk(tmp_path / "pipeline")
    assert same(scores(spacy.load(tmp_path / "pipeline")), expected)


# The bundled model


def test_the_bundled_model_is_referred_to(tmp_path):
    nlp = make_nlp()
    nlp.to_disk(tmp_path)
    folder = tmp_path / "zero_shot_textcat" / "model"
    assert [path.name for path in folder.iterdir()] == ["bundled.json"]
    assert len(component(nlp).to_bytes()) < 10_000
    assert len(pickle.dumps(component(nlp).model.shims[0])) < 10_000


def test_another_bundled_model_is_refused_with_the_remedy_z052(tmp_path):
    nlp = make_nlp()
    nlp.to_disk(tmp_path)
    reference = tmp_path / "zero_shot_textcat" / "model" / "bundled.json"
    reference.write_text(json.dumps({"name": "bundled", "sha256": "0" * 64}))
    with pytest.raises(ZeroShotError, match=r"^\[Z052\] zero_shot_textcat: .*0000"):
        spacy.load(tmp_path)


# Into a component that was made otherwise


def into(path, way, **settings):
    """A component, made with these settings and filled from a saved pipeline. way: by whom."""
    nlp = make_nlp(**{"labels": [], **settings})
    if way == "pipeline":
        nlp.from_disk(path)
    elif way == "component":
        component(nlp).from_disk(path / "zero_shot_textcat")
    else:
        nlp.from_bytes(spacy.load(path).to_bytes())
    return nlp


@pytest.mark.parametrize("way", ["pipeline", "component", "bytes"])
@pytest.mark.parametrize("made_with", [{}, {"labels": LABELS}, {"labels": ["x"], "multi_label": False, "top_k": 3}])
def test_a_component_that_is_filled_scores_as_the_saved_one(nli_folder, way, made_with, tmp_path):
    saved = {"multi_label": True, "hypothesis_template": "It is {}!", "temperature": 2.0, "threshold": 0.6, "top_k": 1}
    nlp = make_nlp(nli_folder, **saved)
    component(nlp).set_labels(["art", *LABELS])
    nlp.to_disk(tmp_path)
    filled = into(tmp_path, way, **made_with)
    assert same(scores(filled), scores(nlp))
    pipe = component(filled)
    assert {name: pipe.setting(name) for name in DEFAULTS} == {name: component(nlp).setting(name) for name in DEFAULTS}
    assert pipe.rules(pipe.label_set()) == component(nlp).rules(pipe.label_set())
    # its pipeline says so, too, and is saved with all of it
    assert filled.config["components"]["zero_shot_textcat"]["multi_label"] is True
    filled.to_disk(tmp_path / "again")
    assert same(scores(spacy.load(tmp_path / "again")), scores(nlp))


@pytest.mark.parametrize("way", ["pipeline", "component", "bytes"])
def test_how_logits_are_read_is_saved_with_them(nli_folder, way, tmp_path):
    block = {"@architectures": "spacy_zeroshot.SimilarityClassifier.v1", "temperature": 0.5, "midpoint": 0.1}
    nlp = make_nlp(nli_folder, model=block, multi_label=True)
    nlp.to_disk(tmp_path)
    filled = into(tmp_path, way, model={"@architectures": "spacy_zeroshot.SimilarityClassifier.v1"})
    assert same(scores(filled), scores(nlp))
    with pytest.raises(ZeroShotError, match=r"Z053.*SimilarityClassifier.*NLIClassifier"):
        into(tmp_path, way)


def test_groups_come_back(nli_folder, tmp_path):
    nlp = make_nlp(
        nli_folder, labels=[], label_groups=GROUPS, label_thresholds=[{"label": "mood:sad", "threshold": 0.9}]
    )
    nlp.to_disk(tmp_path)
    for loaded in (spacy.load(tmp_path), into(tmp_path, "pipeline"), into(tmp_path, "bytes")):
        assert same(scores(loaded), scores(nlp))
        doc = loaded(TEXTS[0])
        assert component(loaded).decide_groups(doc) == component(nlp).decide_groups(doc)


# Run-time labels and overrides


def test_run_time_labels_are_saved(nlp, tmp_path):
    component(nlp).set_labels(["art", "sport"], [{"label": "art", "text": "Paint."}])
    for number in range(2):
        nlp.to_disk(tmp_path / str(number))
        nlp = spacy.load(tmp_path / str(number))
        assert component(nlp).labels == ("art", "sport")
        assert component(nlp).label_set().hypotheses == ("Paint.", "This text is about sport.")


def test_run_time_labels_with_thresholds_for_them_load(nlp, tmp_path):
    component(nlp).set_labels(["art", "sport"])
    component(nlp).label_thresholds = {"art": 0.3}
    nlp.to_disk(tmp_path)
    pipe = component(spacy.load(tmp_path))
    assert (pipe.labels, pipe.rules(pipe.label_set())[0].label_thresholds) == (("art", "sport"), {"art": 0.3})


def test_overrides_win_over_what_was_saved(nlp, tmp_path):
    component(nlp).set_labels(["art", "sport"])
    nlp.to_disk(tmp_path)
    config = {
        "components.zero_shot_textcat.labels": ["x", "y"],
        "components.zero_shot_textcat.multi_label": True,
        "components.zero_shot_textcat.threshold": 0.0,
        "components.zero_shot_textcat.hypothesis_template": "{}",
        "components.zero_shot_textcat.spans_key": "w",
    }
    pipe = component(spacy.load(tmp_path, config=config))
    assert pipe.labels == ("x", "y")
    assert (pipe.multi_label, pipe.threshold, pipe.spans_key) == (True, 0.0, "w")
    assert pipe.label_set().hypotheses == ("x", "y")


@pytest.mark.parametrize(
    ("name", "saved", "given"),
    [
        ("labels", ["health care", "sport"], ["healthcare", "sport"]),
        ("labels", ["arts", "music"], ["arts, music"]),
        ("labels", ["ab", "c"], ["a", "bc"]),
        ("labels", ["cost", "x"], ["$cost", "x"]),
        ("labels", ["$cost", "$x"], ["cost", "x"]),
        ("labels", ["$cost", "x"], ["a$", "$b"]),
        ("labels", ['"quoted"', "x"], ["quoted", "x"]),
        ("labels", ["a", "b"], ["b", "a"]),
        ("examples", [{"label": "sport", "text": "a long match"}], [{"label": "sport", "text": "along, match"}]),
        ("hypothesis_template", "It is {}.", "Itis {}."),
        # values that are the defaults
        ("multi_label", True, False),
        ("threshold", 0.7, None),
        ("hypothesis_template", "It is {}.", "This text is about {}."),
        ("key_prefix", "k:", ""),
    ],
)
def test_overrides_that_hardly_differ_win_too(nlp, name, saved, given, tmp_path):
    setattr(component(nlp), name, saved)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, config={"components": {"zero_shot_textcat": {name: given}}})
    assert component(loaded).setting(name) == given
    loaded.to_disk(tmp_path / "again")
    assert component(spacy.load(tmp_path / "again")).setting(name) == given


def test_an_override_with_the_labels_the_config_had_at_first_wins(nlp, tmp_path):
    component(nlp).set_labels(["art"])
    nlp.to_disk(tmp_path)
    assert component(spacy.load(tmp_path)).labels == ("art",)
    loaded = spacy.load(tmp_path, config={"components.zero_shot_textcat.labels": LABELS})
    assert component(loaded).labels == tuple(LABELS)
    assert list(loaded(TEXTS[0]).cats) == LABELS


def test_an_override_of_one_component_leaves_the_other_alone(nli_folder, tmp_path):
    nlp = make_nlp(nli_folder)
    nlp.add_pipe("zero_shot_textcat", name="mood", config=settings_for(nli_folder, labels=["glad", "sad"]))
    component(nlp, "mood").threshold = 0.7
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, config={"components.zero_shot_textcat.threshold": 0.3})
    assert component(loaded).threshold == 0.3 and component(loaded, "mood").threshold == 0.7


def test_another_checkpoint_in_the_overrides_wins(nlp, tmp_path, make_checkpoint):
    nlp.to_disk(tmp_path)
    other = make_checkpoint(seed=7)
    loaded = spacy.load(tmp_path, config={"components.zero_shot_textcat.model.name": str(other)})
    assert same(scores(loaded), scores(make_nlp(other)))
    assert not same(scores(loaded), scores(nlp))
    loaded.to_disk(tmp_path / "other")
    assert same(scores(spacy.load(tmp_path / "other")), scores(loaded))


def test_other_settings_of_the_model_keep_the_saved_weights(nli_folder, own_copy, tmp_path):
    folder = own_copy(nli_folder)
    nlp = make_nlp(folder)
    expected = scores(nlp)
    nlp.to_disk(tmp_path / "pipeline")
    shutil.rmtree(folder)
    config = {"components.zero_shot_textcat.model.max_batch_tokens": 64}
    loaded = spacy.load(tmp_path / "pipeline", config=config)
    assert same(scores(loaded), expected)
    assert component(loaded).model.shims[0].runtime.budget == 64
    swapped = {"entailment": "contradiction", "contradiction": "entailment"}
    loaded = spacy.load(tmp_path / "pipeline", config={"components": {"zero_shot_textcat": {"model": swapped}}})
    assert not same(scores(loaded), expected)


def test_labels_with_dollars_come_back(nlp, tmp_path):
    labels = ["$AAPL", "cost in $", "$$", "a$b", "plain"]
    nlp.remove_pipe("zero_shot_textcat")
    nlp.add_pipe("zero_shot_textcat", config={"labels": labels, "model": {"name": "bundled"}})
    for number in range(3):
        nlp.to_disk(tmp_path / str(number))
        nlp = spacy.load(tmp_path / str(number))
        assert component(nlp).labels == tuple(labels)


def test_trained_weights_are_saved(nlp, tmp_path):
    component(nlp).trainable = True
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
    assert same(scores(spacy.load(tmp_path)), trained)
    assert same(scores(pickle.loads(pickle.dumps(nlp))), trained)
    assert same(scores(spacy.util.load_model_from_config(nlp.config).from_bytes(nlp.to_bytes())), trained)
    # a setting that makes the model load anew does not lose them
    component(nlp).trainable = False
    assert same(scores(nlp), trained)


# 0.1.0


def save_as_0_1_0(nlp, folder, labels, multi_label=False):
    """What 0.1.0 wrote for a pipeline with these labels set at run time."""
    nlp.to_disk(folder)
    config = Config().from_disk(folder / "config.cfg", interpolate=False)
    block = config["components"]["zero_shot_textcat"]
    for unknown in ("label_groups", "none_label", "train_encoder"):
        del block[unknown]
    block.update(labels=["sport", "politics"], hypotheses=[], multi_label=multi_label, threshold=0.5)
    block.update(abstain=None, calibrated=True, calibration=[{"label": "politics", "bias": 0.5}])
    block["model"].update(name="/a/folder/that/is/gone", max_batch_tokens=8192)
    config.to_disk(folder / "config.cfg")
    saved = {
        "format": 1,
        "checkpoint": {"name": "/a/folder/that/is/gone", "revision": None, "architecture": "NLIClassifier"},
        "configured": {"labels": ["sport", "politics"], "own": {}},
        "labels": labels,
        "own": {label: ["Paint."] for label in labels if label == "art"},
    }
    (folder / "zero_shot_textcat" / "cfg").write_text(json.dumps(saved))


def test_pipelines_saved_by_0_1_0_load(nli_folder, tmp_path):
    own = [{"label": "art", "text": "Paint."}]
    nlp = make_nlp(nli_folder, labels=["art", "$x", "sport"], hypotheses=own, multi_label=True)
    save_as_0_1_0(nlp, tmp_path / "old", ["art", "$x", "sport"], multi_label=True)
    loaded = spacy.load(tmp_path / "old")
    assert same(scores(loaded), scores(nlp))
    assert component(loaded).threshold == 0.5
    loaded.to_disk(tmp_path / "new")
    assert same(scores(spacy.load(tmp_path / "new")), scores(nlp))
    with_other = spacy.load(tmp_path / "old", config={"components.zero_shot_textcat.labels": ["a", "politics"]})
    assert component(with_other).labels == ("a", "politics")


def test_competing_labels_of_0_1_0_are_decided_as_there(nli_folder, tmp_path):
    nlp = make_nlp(nli_folder, labels=["sport", "politics"])
    save_as_0_1_0(nlp, tmp_path / "old", ["sport", "politics"])
    loaded = spacy.load(tmp_path / "old")
    expected = make_nlp(nli_folder, labels=["sport", "politics"], calibration=[{"label": "politics", "bias": 0.5}])
    assert same(scores(loaded), scores(expected))
    # the best label, whatever its score
    assert component(loaded).threshold is None


# Packages


@pytest.mark.slow
def test_package_install_and_load(nlp, tmp_path):
    expected = scores(nlp)
    nlp.to_disk(tmp_path / "pipeline")
    run("spacy", "package", tmp_path / "pipeline", tmp_path, "--name", "topics", "--build", "none")
    target = tmp_path / "site"
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", target]
    run("pip", "install", *flags, tmp_path / "en_topics-0.0.0")
    assert same(score_elsewhere("en_topics", target), expected)


@pytest.mark.slow
def test_assemble(nli_folder, tmp_path):
    nlp = make_nlp(nli_folder)
    config = tmp_path / "config.cfg"
    nlp.config.to_disk(config)
    run("spacy", "assemble", config, tmp_path / "out")
    assert same(scores(spacy.load(tmp_path / "out")), scores(nlp))


def edit(path, before, after):
    text = path.read_text(encoding="utf8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf8")


def test_a_config_edited_by_hand_wins_over_what_was_saved(nli_folder, make_checkpoint, tmp_path):
    config = make_nlp(nli_folder).config.copy()
    config["vars"] = {"threshold": 0.3}
    config["components"]["zero_shot_textcat"]["threshold"] = "${vars.threshold}"
    nlp = spacy.util.load_model_from_config(config)
    component(nlp).temperature = 2.0
    nlp.to_disk(tmp_path)
    other = make_checkpoint(seed=7)
    assert component(spacy.load(tmp_path)).threshold == 0.3
    for before, after in [
        ("threshold = 0.3", "threshold = 0.7"),
        ("temperature = 2.0", "temperature = 1.0"),
        (f'name = "{nli_folder}"', f'name = "{other}"'),
    ]:
        edit(tmp_path / "config.cfg", before, after)
    loaded = spacy.load(tmp_path)
    assert (component(loaded).threshold, component(loaded).temperature) == (0.7, 1.0)
    assert same(scores(loaded), scores(make_nlp(other)))
    # saved again, it is as it was edited
    loaded.to_disk(tmp_path / "again")
    assert component(spacy.load(tmp_path / "again")).threshold == 0.7


def test_settings_of_a_component_taken_over_under_the_same_name_are_saved(nli_folder, tmp_path):
    source = make_nlp(nli_folder, threshold=0.3)
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", source=source)
    nlp.get_pipe("zero_shot_textcat").threshold = 0.6
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe("zero_shot_textcat").threshold == 0.6
