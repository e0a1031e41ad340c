"""Settings are attributes: checked, written to the pipeline's config, and read back from it."""

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.lang.en import English
from thinc.api import Config

from spacy_zeroshot.component import DEFAULTS, ZeroShotTextCategorizer
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.settings import Setting, check_settings, restore, undo_joints, upgrade

from .util import LABELS, TEXTS, make_nlp

# One possible value of each setting, other than the default
OTHERS = {
    "labels": ["sport", "art"],
    "label_groups": [{"name": "mood", "labels": ["glad", "sad"], "multi_label": True, "key_prefix": "m:"}],
    "none_label": "other",
    "hypothesis_template": ["It is {}.", "{}"],
    "hypotheses": [{"label": "sport", "text": 'They play, "hard"; a=b #1 [x].'}],
    "multi_label": True,
    "threshold": 0.7,
    "label_thresholds": [{"label": "sport", "threshold": 0.3}],
    "top_k": 2,
    "calibration": [{"label": "sport", "bias": -0.5}],
    "temperature": 2.0,
    "examples": [{"label": "sport", "text": "a goal"}],
    "n_neighbors": 3,
    "examples_weight": 0.25,
    "key_prefix": "k:",
    "long_text": "truncate",
    "window_overlap": 8,
    "pooling": "mean",
    "spans_key": "parts",
    "trainable": True,
    "train_encoder": True,
    "max_negatives": 2,
}
WRONG = [
    ("labels", "sport"),
    ("labels", ["a", "a"]),
    ("label_groups", [{"name": "a"}]),
    ("label_groups", {"a": 1}),
    ("none_label", " "),
    ("none_label", 5),
    ("hypothesis_template", "no slot"),
    ("hypothesis_template", 5),
    ("hypotheses", [{"label": "unknown", "text": "a"}]),
    ("hypotheses", "sport"),
    ("hypotheses", ["sport"]),
    ("multi_label", "yes"),
    ("multi_label", 1),
    ("threshold", 1.5),
    ("threshold", "high"),
    ("threshold", True),
    ("label_thresholds", {"unknown": 0.5}),
    ("label_thresholds", {"sport": 2.0}),
    ("label_thresholds", [{"label": "sport"}]),
    ("label_thresholds", None),
    ("top_k", 0),
    ("top_k", 1.5),
    ("calibration", {"unknown": 0.5}),
    ("calibration", {"sport": float("nan")}),
    ("calibration", 5),
    ("temperature", 0.0),
    ("temperature", float("inf")),
    ("examples", [{"label": "sport"}]),
    ("examples", 5),
    ("n_neighbors", 0),
    ("examples_weight", 1.5),
    ("key_prefix", None),
    ("long_text", "cut"),
    ("window_overlap", -1),
    ("window_overlap", 1.5),
    ("pooling", "median"),
    ("spans_key", ""),
    ("trainable", None),
    ("train_encoder", "no"),
    ("max_negatives", 0),
]


def component(nlp):
    return nlp.get_pipe("zero_shot_textcat")


def value_of(pipe, name):
    """A setting as a config has it."""
    return pipe.setting(name)


def checked(**settings):
    return check_settings({**DEFAULTS, **settings})


def test_every_setting_is_checked():
    declared = {name for name, value in vars(ZeroShotTextCategorizer).items() if isinstance(value, Setting)}
    assert {*declared, "labels", "examples"} == set(DEFAULTS) == set(OTHERS)
    assert {name for name, _ in WRONG} == set(DEFAULTS)
    assert checked().values == DEFAULTS


@pytest.mark.parametrize("name", OTHERS)
def test_an_assigned_setting_is_kept_and_written_to_the_config(name):
    nlp = make_nlp(labels=[] if name == "label_groups" else LABELS)
    pipe = component(nlp)
    setattr(pipe, name, OTHERS[name])
    assert value_of(pipe, name) == OTHERS[name]
    assert nlp.config["components"]["zero_shot_textcat"][name] == OTHERS[name]


@pytest.mark.parametrize("name", OTHERS)
def test_an_assigned_setting_is_saved(name, nli_folder, tmp_path):
    nlp = make_nlp(nli_folder, labels=[] if name == "label_groups" else LABELS)
    pipe = component(nlp)
    setattr(pipe, name, OTHERS[name])
    nlp.to_disk(tmp_path)
    loaded = component(spacy.load(tmp_path))
    assert {each: value_of(loaded, each) for each in DEFAULTS} == {each: value_of(pipe, each) for each in DEFAULTS}
    assert loaded.label_set() == pipe.label_set() and loaded.rules(pipe.label_set()) == pipe.rules(pipe.label_set())
    # and from bytes, into a component that knows nothing of it
    fresh = component(make_nlp(nli_folder, labels=[])).from_bytes(pipe.to_bytes())
    assert value_of(fresh, name) == OTHERS[name]


@pytest.mark.parametrize(("name", "key"), [("label_thresholds", "threshold"), ("calibration", "bias")])
def test_numbers_by_label_of_another_form_z006(name, key):
    for entry in ("sport", {"label": "sport"}, {key: 0.5}, {"label": "sport", key: True}, {"label": "sport", key: "x"}):
        with pytest.raises(ZeroShotError, match="Z006"):
            setattr(component(make_nlp()), name, [entry])
    for value in (float("inf"), float("nan")):
        with pytest.raises(ZeroShotError, match="Z007"):
            setattr(component(make_nlp()), name, {"sport": value})


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_an_impossible_value_changes_nothing(name, value):
    nlp = make_nlp()
    pipe = component(nlp)
    before = {each: value_of(pipe, each) for each in DEFAULTS}
    with pytest.raises(ZeroShotError, match=r"^\[Z\d+\] zero_shot_textcat: "):
        setattr(pipe, name, value)
    assert {each: value_of(pipe, each) for each in DEFAULTS} == before
    assert nlp.config["components"]["zero_shot_textcat"][name] == before[name]


def test_an_architecture_that_only_scores_stays_so_z241(masked_folder):
    pipe = component(make_nlp(masked_folder, model={"@architectures": "spacy_zeroshot.MaskedLMClassifier.v1"}))
    with pytest.raises(ZeroShotError, match="Z241"):
        pipe.trainable = True
    assert not pipe.trainable and not pipe.is_trainable


def test_settings_count_from_the_next_document_on(nli_folder):
    nlp = make_nlp(nli_folder)
    pipe = component(nlp)
    nlp(TEXTS[0])
    pipe.multi_label, pipe.hypothesis_template, pipe.key_prefix = True, ["It is {}!"], "k:"
    expected = make_nlp(nli_folder, multi_label=True, hypothesis_template="It is {}!", key_prefix="k:")(TEXTS[0]).cats
    assert nlp(TEXTS[0]).cats == pytest.approx(expected, abs=1e-6)
    pipe.calibration = {"sport": 50.0}
    assert nlp(TEXTS[0]).cats["k:sport"] < 1e-6
    pipe.calibration, pipe.temperature = [], 1e6
    assert list(nlp(TEXTS[0]).cats.values()) == pytest.approx([0.5] * 3, abs=1e-3)


def test_numbers_by_label_are_read_as_dicts():
    pipe = component(make_nlp())
    pipe.label_thresholds = {"sport": 0.3, "music": 1}
    pipe.calibration = [{"label": "sport", "bias": 2}]
    assert pipe.label_thresholds == {"sport": 0.3, "music": 1.0} and pipe.calibration == {"sport": 2.0}
    # a copy: only assigning checks and saves
    pipe.label_thresholds["sport"] = 5.0
    assert pipe.label_thresholds["sport"] == 0.3


def test_set_labels_takes_thresholds_and_wordings_of_lost_labels_along():
    pipe = component(make_nlp(hypotheses=[{"label": "sport", "text": "They play."}]))
    pipe.label_thresholds, pipe.calibration = {"sport": 0.3, "music": 0.4}, {"music": 1.0}
    pipe.set_labels(["sport", "art"])
    assert pipe.label_thresholds == {"sport": 0.3} and pipe.calibration == {}
    assert pipe.setting("hypotheses") == [{"label": "sport", "text": "They play."}]


def test_labels_in_groups_and_alone_exclude_each_other_z007():
    with pytest.raises(ZeroShotError, match=r"Z007.*not both"):
        make_nlp(labels=["a"], label_groups=OTHERS["label_groups"])
    pipe = component(make_nlp(labels=[], label_groups=OTHERS["label_groups"]))
    with pytest.raises(ZeroShotError, match=r"Z007.*label_groups"):
        pipe.add_label("a")
    # labels set at run time take the groups' place
    pipe.set_labels(["a", "b"])
    assert pipe.labels == ("a", "b") and pipe.label_groups == []


def test_thresholds_may_wait_for_labels():
    pipe = component(make_nlp(labels=[], hypotheses=OTHERS["hypotheses"], label_thresholds=OTHERS["label_thresholds"]))
    pipe.set_labels(["sport", "art"])
    assert pipe.label_thresholds == {"sport": 0.3}
    assert pipe.label_set().hypotheses[0].startswith("They play")


# The config


def test_the_config_builds_the_same_component(nli_folder):
    settings = {name: value for name, value in OTHERS.items() if name != "label_groups"}
    nlp = make_nlp(nli_folder, **settings, get_spans={"@span_getters": "spacy-transformers.sent_spans.v1"})
    for config in (nlp.config, Config().from_str(nlp.config.to_str(), interpolate=False)):
        pipe = component(spacy.util.load_model_from_config(config))
        assert {name: value_of(pipe, name) for name in settings} == settings
        assert pipe.label_set() == component(nlp).label_set()
        assert pipe.get_spans is not None


TEXT = st.text(st.sampled_from("ab $,\"'\\{}[]#;=:%\n"), min_size=1, max_size=6).filter(
    lambda text: text and text.strip() and "${" not in text and "$, $" not in text
)


@pytest.mark.slow
@given(st.lists(TEXT, min_size=1, max_size=5, unique=True))
def test_any_labels_survive_the_config(labels):
    # confection strips what it joins at a "$"
    if any("$" in label and label.strip() != label for label in labels):
        with pytest.raises(ZeroShotError, match="Z008"):
            make_nlp(labels=labels)
        return
    nlp = make_nlp(labels=labels)
    assert component(nlp).labels == tuple(labels)
    assert component(English.from_config(nlp.config)).labels == tuple(labels)
    component(nlp).set_labels([label + "!" for label in labels])
    assert component(English.from_config(nlp.config)).labels == tuple(label + "!" for label in labels)


@pytest.mark.parametrize("labels", [["$AAPL"], ["$AAPL", "$MSFT"], ["cost in $", "$$", "a$b", "plain"], ["$", "$,"]])
def test_labels_with_dollars_survive_the_config(labels):
    nlp = make_nlp(labels=labels)
    for again in (English.from_config(nlp.config), spacy.util.load_model_from_config(nlp.config)):
        assert component(again).labels == tuple(labels)
        assert component(English.from_config(again.config)).labels == tuple(labels)


def test_labels_joined_at_their_dollars_are_taken_apart():
    assert undo_joints(["a$, $b", "c", "d$, e"]) == ["a$", "$b", "c", "d$, e"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", ["${x}", "sport"]),
        ("labels", ["cost in $ ", "$x"]),
        ("hypothesis_template", "It costs $ {}."),
        ("none_label", "$"),
        ("key_prefix", "$"),
        ("label_thresholds", {"$x": 0.3}),
    ],
)
def test_what_a_config_cannot_hold_is_saved_beside_it(name, value, nli_folder, tmp_path):
    nlp = make_nlp(nli_folder, labels=["sport", "$x"])
    pipe = component(nlp)
    pipe.label_thresholds = {"sport": 0.4}
    setattr(pipe, name, value)
    expected = {each: value_of(pipe, each) for each in DEFAULTS}
    for number in range(2):
        nlp.to_disk(tmp_path / str(number))
        nlp = spacy.load(tmp_path / str(number))
        assert {each: value_of(component(nlp), each) for each in DEFAULTS} == expected


def test_variables_of_a_config_stay(nli_folder, tmp_path):
    nlp = make_nlp(nli_folder)
    config = nlp.config.copy()
    config["vars"] = {"labels": ["art", "music"], "threshold": 0.25}
    config["components"]["zero_shot_textcat"].update(labels="${vars.labels}", threshold="${vars.threshold}")
    nlp = English.from_config(config)
    assert component(nlp).labels == ("art", "music") and component(nlp).threshold == 0.25
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert loaded.config["components"]["zero_shot_textcat"]["labels"] == "${vars.labels}"
    assert component(loaded).labels == ("art", "music")
    # and may be overridden
    other = component(spacy.load(tmp_path, config={"vars.labels": ["x", "y"]}))
    assert other.labels == ("x", "y") and other.threshold == 0.25
    component(loaded).threshold = 0.5
    assert loaded.config["components"]["zero_shot_textcat"]["threshold"] == 0.5


def test_settings_are_written_to_the_config_of_the_present_name(nli_folder):
    nlp = make_nlp(nli_folder)
    pipe = component(nlp)
    nlp.rename_pipe("zero_shot_textcat", "topic")
    pipe.threshold = 0.7
    pipe.set_labels(["art"])
    block = nlp.config["components"]["topic"]
    assert (block["threshold"], block["labels"]) == (0.7, ["art"])
    assert English.from_config(nlp.config).get_pipe("topic").labels == ("art",)


# What was saved and what overrides


def test_saved_settings_are_taken_unless_they_are_overridden():
    current = {**DEFAULTS, "labels": ["x"], "threshold": 0.1}
    saved = {**DEFAULTS, "labels": ["a"], "threshold": 0.9, "hypotheses": [{"label": "a", "text": "A"}], "other": 1}
    assert restore(saved, current, ()) == {name: saved[name] for name in DEFAULTS}
    found = restore(saved, current, {"labels", "model.name"})
    assert (found["labels"], found["threshold"], found["hypotheses"]) == (["x"], 0.9, [])


def test_what_0_1_0_saved_is_understood():
    saved = {
        "format": 1,
        "checkpoint": {"name": "x", "revision": None, "architecture": "NLIClassifier"},
        "configured": {"labels": ["sport"], "own": {}},
        "labels": ["art", "$x"],
        "own": {"art": ["Paint.", "Draw."]},
        "examples": {"configured": "shots.jsonl", "rows": [["a", ["art"]]]},
    }
    assert upgrade(saved) == {
        "settings": {
            "labels": ["art", "$x"],
            "hypotheses": [{"label": "art", "text": "Paint."}, {"label": "art", "text": "Draw."}],
            "examples": "shots.jsonl",
        },
        "examples": [["a", ["art"]]],
    }
    assert upgrade({}) == {"settings": {}}


@pytest.mark.parametrize(
    ("config", "threshold"),
    [
        ({"threshold": 0.5}, None),
        ({"threshold": 0.5, "abstain": 0.6}, 0.4),
        ({"threshold": 0.5, "multi_label": True}, 0.5),
        ({"threshold": 0.5, "top_k": 2}, 0.5),
    ],
)
def test_thresholds_of_0_1_0_decide_as_they_did(config, threshold):
    pipe = component(make_nlp(**{"abstain": None, "calibrated": True, **config}))
    assert pipe.threshold == (threshold if threshold is None else pytest.approx(threshold))


def test_calibration_that_0_1_0_had_switched_off_stays_off():
    pipe = component(make_nlp(calibration=OTHERS["calibration"], temperature=2.0, calibrated=False))
    assert (pipe.calibration, pipe.temperature) == ({}, 1.0)
    assert component(make_nlp(calibration=OTHERS["calibration"], calibrated=True)).calibration == {"sport": -0.5}
