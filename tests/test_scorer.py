"""The scorer against spaCy's own, and where spaCy's own stops."""

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example

from spacy_zeroshot.component import register_extensions
from spacy_zeroshot.decisions import Rule
from spacy_zeroshot.labels import own_gold
from spacy_zeroshot.scorer import score_zero_shot

from .util import make_nlp

NLP = spacy.blank("en")
LABELS = ["a", "b", "c"]


def example(predicted, gold, own=None, text="text", nlp=NLP):
    doc, reference = nlp.make_doc(text), nlp.make_doc(text)
    doc.cats, reference.cats = dict(predicted), dict(gold)
    doc._.zero_shot_labels = own
    return Example(doc, reference)


def counts(scores):
    return scores["cats_micro_p"], scores["cats_micro_r"], scores["cats_micro_f"]


def check_equal(ours, theirs):
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        if key == "cats_f_per_type":
            assert {label: pytest.approx(prf) for label, prf in value.items()} == ours[key]
        else:
            assert ours[key] == (value if isinstance(value, str) else pytest.approx(value))


# no ties, which either scorer breaks by the order of keys
distinct = st.lists(st.floats(0, 1), min_size=len(LABELS), max_size=len(LABELS), unique=True)
scores_of_all = distinct.map(lambda values: dict(zip(LABELS, values)))
one_right = st.sampled_from(LABELS).map(lambda right: {label: float(label == right) for label in LABELS})
any_right = st.fixed_dictionaries({label: st.sampled_from([0.0, 1.0]) for label in LABELS})


@settings(max_examples=60)
@given(st.lists(st.tuples(scores_of_all, one_right), min_size=1, max_size=6))
def test_one_label_of_several_is_scored_as_by_spacy(pairs):
    examples = [example(*pair) for pair in pairs]
    theirs = Scorer.score_cats(examples, "cats", labels=LABELS, multi_label=False)
    check_equal(score_zero_shot(examples, labels=LABELS), theirs)


@settings(max_examples=60)
@given(st.lists(st.tuples(scores_of_all, any_right), min_size=1, max_size=6), st.one_of(st.none(), st.floats(0.1, 0.9)))
def test_independent_labels_are_scored_as_by_spacy(pairs, threshold):
    examples = [example(*pair) for pair in pairs]
    theirs = Scorer.score_cats(examples, "cats", labels=LABELS, multi_label=True, threshold=threshold)
    check_equal(score_zero_shot(examples, labels=LABELS, independent=True, threshold=threshold), theirs)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1).filter(lambda x: x != 0.5), st.booleans()), min_size=1, max_size=6))
def test_a_positive_label_of_two_is_scored_as_by_spacy(pairs):
    examples = [
        example({"a": score, "b": 1 - score}, {"a": float(right), "b": float(not right)}) for score, right in pairs
    ]
    theirs = Scorer.score_cats(examples, "cats", labels=["a", "b"], multi_label=False, positive_label="b")
    check_equal(score_zero_shot(examples, labels=["a", "b"], positive_label="b"), theirs)


def test_every_key_is_one_of_spacys():
    examples = [example({"a": 0.9}, {"a": 1.0})]
    theirs = Scorer.score_cats(examples, "cats", labels=["a"], multi_label=False)
    assert list(score_zero_shot(examples, labels=["a"])) == list(theirs)


def test_without_gold_for_these_labels_there_are_no_scores():
    assert score_zero_shot([], labels=LABELS) == {}
    others = [example({"a": 0.9, "spam": 0.3}, {"spam": 1.0, "ham": 0.0}), example({"a": 0.9}, {})]
    assert score_zero_shot(others, labels=LABELS) == {}
    assert score_zero_shot(others, labels=["x:a", "x:b"], key_prefix="x:") == {}


def test_a_document_without_a_prediction_counts_as_missed():
    # spaCy's own scorer fails here
    scores = score_zero_shot([example({}, {"a": 0.0, "b": 1.0})], labels=["a", "b"], independent=True)
    assert counts(scores) == (0.0, 0.0, 0.0)
    assert score_zero_shot([example({}, {"a": 0.0, "b": 1.0})], labels=["a", "b"])["cats_micro_r"] == 0.0


def test_a_document_without_a_right_label_is_no_hit():
    scores = score_zero_shot([example({"a": 0.9, "b": 0.1}, {"a": 0.0, "b": 0.0})], labels=["a", "b"])
    assert counts(scores) == (0.0, 0.0, 0.0)


def test_a_document_without_gold_cats_is_left_out():
    examples = [example({"a": 0.9, "b": 0.1}, {}), example({"a": 0.9, "b": 0.1}, {"a": 1.0, "b": 0.0})]
    assert counts(score_zero_shot(examples, labels=["a", "b"])) == (1.0, 1.0, 1.0)


def test_nothing_is_decided_for_a_blank_text():
    blank = example({"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 0.0}, text="  \n")
    prf = score_zero_shot([blank], labels=["a", "b"])["cats_f_per_type"]["a"]
    assert (prf["p"], prf["r"]) == (0.0, 0.0)


def test_one_label_needs_its_threshold():
    examples = [example({"a": 0.6}, {"a": 1.0}), example({"a": 0.4}, {"a": 0.0})]
    assert counts(score_zero_shot(examples, labels=["a"])) == (1.0, 1.0, 1.0)
    assert score_zero_shot(examples, labels=["a"], threshold=0.3)["cats_micro_p"] == 0.5


def test_competing_labels_abstain_below_a_threshold():
    examples = [example({"a": 0.6, "b": 0.4}, {"a": 1.0, "b": 0.0}), example({"a": 0.55, "b": 0.45}, {"a": 0, "b": 1})]
    assert counts(score_zero_shot(examples, labels=["a", "b"])) == (0.5, 0.5, 0.5)
    assert counts(score_zero_shot(examples, labels=["a", "b"], threshold=0.6)) == (1.0, 0.5, pytest.approx(2 / 3))


def test_thresholds_of_single_labels():
    examples = [example({"a": 0.6, "b": 0.6}, {"a": 1.0, "b": 0.0})]
    given_ = {"labels": ["a", "b"], "independent": True, "threshold": 0.5}
    assert counts(score_zero_shot(examples, **given_)) == (0.5, 1.0, pytest.approx(2 / 3))
    assert counts(score_zero_shot(examples, **given_, label_thresholds={"b": 0.7})) == (1.0, 1.0, 1.0)
    assert counts(score_zero_shot(examples, **given_, label_thresholds={"a": 0.7})) == (0.0, 0.0, 0.0)


def test_top_k_does_not_make_labels_compete():
    examples = [example({"a": 0.9, "b": 0.8, "c": 0.7}, {"b": 1.0})]
    assert counts(score_zero_shot(examples, labels=LABELS, independent=True, top_k=2)) == (1.0, 1.0, 1.0)
    # "a" is not annotated, so it is not wrong
    found = score_zero_shot(examples, labels=LABELS, independent=True, top_k=1)["cats_f_per_type"]["a"]
    assert (found["p"], found["r"]) == (0.0, 0.0)
    assert counts(score_zero_shot(examples, labels=LABELS, independent=True, top_k=1))[0] == 0.0


def test_other_components_cats_are_not_touched():
    predicted = {"x:a": 0.4, "x:b": 0.6, "y:a": 0.9, "plain": 0.99}
    gold = {"x:a": 0.0, "x:b": 1.0, "y:a": 0.0, "plain": 0.0}
    scores = score_zero_shot([example(predicted, gold)], labels=["x:a", "x:b"], key_prefix="x:")
    assert counts(scores) == (1.0, 1.0, 1.0)
    assert set(scores["cats_f_per_type"]) == {"x:a", "x:b"}


def test_gold_without_the_prefix_is_understood_unless_another_component_writes_it():
    examples = [example({"x:a": 0.4, "x:b": 0.6}, {"a": 0.0, "b": 1.0})]
    scores = score_zero_shot(examples, labels=["x:a", "x:b"], key_prefix="x:")
    assert counts(scores) == (1.0, 1.0, 1.0) and set(scores["cats_f_per_type"]) == {"x:a", "x:b"}
    assert score_zero_shot(examples, labels=["x:a", "x:b"], key_prefix="x:", foreign=["a", "b"]) == {}


CATS = st.dictionaries(st.sampled_from(["a", "b", "x:a", "x:b", "x:z", "spam"]), st.sampled_from([0.0, 1.0]))


@given(CATS, st.sampled_from(["", "x:"]))
def test_gold_is_the_components_own(cats, prefix):
    found = own_gold(cats, ("a", "b"), prefix, ("spam",))
    assert "spam" not in found and found.items() <= {(key.removeprefix(prefix), value) for key, value in cats.items()}
    if prefix and any(key.startswith(prefix) for key in cats):
        assert all(prefix + label in cats for label in found)
    # labels of another one go where there are any of its own
    if {"a", "b"} & set(found):
        assert set(found) <= {"a", "b"}


def test_labels_of_each_document():
    examples = [
        example({"x:p": 0.8, "x:q": 0.2}, {"x:p": 1.0, "x:q": 0.0}, ["p", "q"]),
        example({"x:r": 0.3}, {"x:r": 1.0}, ["r"]),
        example({"x:a": 0.1, "x:b": 0.9}, {"x:a": 0.0, "x:b": 1.0}),
    ]
    scores = score_zero_shot(examples, labels=["x:a", "x:b"], key_prefix="x:")
    assert counts(scores) == (1.0, pytest.approx(2 / 3), pytest.approx(0.8))
    assert scores["cats_score"] == scores["cats_micro_f"]
    assert set(scores["cats_f_per_type"]) == {"x:p", "x:q", "x:r", "x:a", "x:b"}


def test_groups_are_scored_each_by_its_own_rule():
    groups = [(["a", "b"], True, Rule(0.0, top_k=1)), (["m:x", "m:y"], False, Rule(0.3))]
    predicted = {"a": 0.45, "b": 0.55, "m:x": 0.4, "m:y": 0.35}
    gold = {"a": 0.0, "b": 1.0, "m:x": 1.0, "m:y": 0.0}
    scores = score_zero_shot([example(predicted, gold)], labels=["a", "b", "m:x", "m:y"], groups=groups)
    assert {key: (prf["p"], prf["r"]) for key, prf in scores["cats_f_per_type"].items()} == {
        "a": (0.0, 0.0),
        "b": (1.0, 1.0),
        "m:x": (1.0, 1.0),
        "m:y": (0.0, 0.0),
    }
    # one group has no gold here: it is not counted, though "a" is not annotated either
    part = score_zero_shot([example(predicted, {"b": 1.0})], labels=["a", "b", "m:x", "m:y"], groups=groups)
    assert counts(part) == (1.0, 1.0, 1.0) and set(part["cats_f_per_type"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("gold", "expected"),
    [
        # right where no label is, chosen where no label is
        ([{"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 0.0}], {"a": (1.0, 1.0), "b": (0.0, 0.0), "x:other": (1.0, 1.0)}),
        ([{"a": 1.0}, {"other": 1.0}], {"a": (1.0, 1.0), "b": (0.0, 0.0), "x:other": (1.0, 1.0)}),
        ([{"a": 1.0}, {"b": 1.0}], {"a": (1.0, 1.0), "b": (0.0, 0.0)}),
    ],
)
def test_none_label_is_one_more(gold, expected):
    predicted = [{"x:a": 0.9, "x:b": 0.1}, {"x:a": 0.55, "x:b": 0.45}]
    examples = [example(*pair) for pair in zip(predicted, gold)]
    scores = score_zero_shot(examples, labels=["x:a", "x:b"], key_prefix="x:", threshold=0.8, none_label="other")
    found = {key.removeprefix("x:"): (prf["p"], prf["r"]) for key, prf in scores["cats_f_per_type"].items()}
    assert found == {key.removeprefix("x:"): value for key, value in expected.items()}


def test_thousands_of_hypotheses_make_no_table():
    examples = [example({str(i): 0.9}, {str(i): 1.0}, [str(i)]) for i in range(1001)]
    scores = score_zero_shot(examples, labels=["a"])
    assert scores["cats_micro_f"] == scores["cats_score"] == 1.0
    assert scores["cats_f_per_type"] == scores["cats_auc_per_type"] == {}


def test_scores_do_not_need_the_extension():
    Doc.remove_extension("zero_shot_labels")
    try:
        doc, reference = NLP.make_doc("text"), NLP.make_doc("text")
        doc.cats, reference.cats = {"a": 0.9}, {"a": 1.0}
        assert score_zero_shot([Example(doc, reference)], labels=["a"])["cats_micro_f"] == 1.0
    finally:
        register_extensions()


# In a pipeline


def pipe_of(**settings):
    return make_nlp(**settings).get_pipe("zero_shot_textcat")


def test_the_component_hands_its_settings_over():
    pipe = pipe_of(
        labels=["a", "b"],
        multi_label=True,
        threshold=0.5,
        label_thresholds=[{"label": "b", "threshold": 0.7}],
        key_prefix="x:",
    )
    examples = [example({"x:a": 0.6, "x:b": 0.6}, {"x:a": 1.0, "x:b": 0.0})]
    assert counts(pipe.score(examples)) == (1.0, 1.0, 1.0)
    assert pipe.score(examples, label_thresholds={})["cats_micro_p"] == 0.5
    pipe.threshold = 0.65
    assert pipe.score(examples)["cats_micro_r"] == 0.0


def test_the_component_hands_its_groups_over():
    groups = [
        {"name": "topic", "labels": ["a", "b"]},
        {"name": "mood", "labels": ["x", "y"], "multi_label": True, "threshold": 0.3, "key_prefix": "m:"},
    ]
    pipe = pipe_of(labels=[], label_groups=groups, key_prefix="k:", none_label="none")
    pipe.label_thresholds = {"m:y": 0.9}
    predicted = {"k:a": 0.45, "k:b": 0.55, "k:m:x": 0.4, "k:m:y": 0.35}
    gold = {"k:a": 0.0, "k:b": 1.0, "k:m:x": 1.0, "k:m:y": 0.0}
    assert counts(pipe.score([example(predicted, gold)])) == (1.0, 1.0, 1.0)


def test_evaluate_takes_spacys_arguments(nli_folder):
    nlp = make_nlp(nli_folder, labels=["sport", "music"])
    gold = [Example.from_dict(nlp.make_doc(text), {"cats": {"sport": 1.0, "music": 0.0}}) for text in ("One.", "Two.")]
    found = nlp.evaluate(gold, scorer_cfg={"positive_label": "music", "threshold": None})
    assert found["cats_score_desc"] == "F (music)"


def textcat_beside(folder, **settings):
    """A trained textcat of spam and ham, and our component behind it."""
    nlp = spacy.blank("en")
    architecture = {
        "@architectures": "spacy.TextCatBOW.v3",
        "exclusive_classes": True,
        "ngram_size": 1,
        "length": 4096,
        "no_output_layer": False,
    }
    textcat = nlp.add_pipe("textcat", config={"model": architecture})
    for label in ("spam", "ham"):
        textcat.add_label(label)
    gold = [("Music! Cheap pills now.", "spam"), ("A man plays football.", "ham")]
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": {label: float(label == right) for label in ("spam", "ham")}})
        for text, right in gold
    ]
    sgd = nlp.initialize(lambda: examples)
    for _ in range(30):
        nlp.update(examples, sgd=sgd)
    alone = nlp.evaluate(examples)
    nlp.add_pipe("zero_shot_textcat", config={"model": {"name": str(folder), "precision": "float32"}, **settings})
    return nlp, examples, alone


@pytest.mark.parametrize(
    "settings", [{"labels": ["sport", "music"]}, {"labels": ["sport", "spam"], "key_prefix": "zs:"}]
)
def test_scores_of_a_trained_textcat_stay_where_there_is_no_gold_for_ours(nli_folder, settings):
    nlp, examples, alone = textcat_beside(nli_folder, **settings)
    both = nlp.evaluate(examples)
    assert alone["cats_score"] == 1.0
    assert {key: value for key, value in both.items() if key.startswith("cats")} == {
        key: value for key, value in alone.items() if key.startswith("cats")
    }


def test_gold_beside_a_trained_textcat_is_told_apart(nli_folder):
    nlp, examples, _ = textcat_beside(nli_folder, labels=["sport", "music"], key_prefix="zs:", trainable=True)
    pipe = nlp.get_pipe("zero_shot_textcat")
    assert [pipe.gold_cats(one.reference.cats) for one in examples] == [{}, {}]
    mixed = {"spam": 1.0, "ham": 0.0, "sport": 1.0, "music": 0.0}
    assert pipe.gold_cats(mixed) == {"sport": 1.0, "music": 0.0}
    assert pipe.gold_cats({"spam": 1.0, "zs:music": 1.0}) == {"music": 1.0}
    # nothing is learnt from what is not its own
    with nlp.select_pipes(enable="zero_shot_textcat"):
        nlp.initialize()
        assert nlp.update(examples)["zero_shot_textcat"] == 0.0


@pytest.mark.parametrize("name", ["spacy.textcat_scorer.v2", "spacy.textcat_multilabel_scorer.v2"])
def test_spacys_scorers_may_stand_in(name):
    pipe = pipe_of(labels=LABELS, scorer={"@scorers": name})
    scores = pipe.score([example({"a": 0.9, "b": 0.1, "c": 0.0}, {"a": 1.0, "b": 0.0, "c": 0.0})])
    assert scores["cats_micro_f"] == 1.0


def test_no_scorer_no_scores():
    assert pipe_of(labels=LABELS, scorer=None).score([example({"a": 1.0}, {"a": 1.0})]) == {}
