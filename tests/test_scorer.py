"""The scorer against spaCy's own, and where spaCy's own stops."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.scorer import Scorer
from spacy.tokens import Doc
from spacy.training import Example

from spacy_zeroshot.component import OWN_LABELS
from spacy_zeroshot.scorer import score_zero_shot

NLP = spacy.blank("en")
NLP.add_pipe("zero_shot_textcat", config={"labels": ["a"]})
LABELS = ["a", "b", "c"]
Cats = Dict[str, float]


def example(predicted: Cats, gold: Cats, own: Optional[Sequence[str]] = None) -> Example:
    doc, reference = NLP.make_doc("text"), NLP.make_doc("text")
    doc.cats, reference.cats = dict(predicted), dict(gold)
    doc._.set(OWN_LABELS, own)
    return Example(doc, reference)


def counts(scores: Dict[str, Any]) -> Tuple[float, float, float]:
    return scores["cats_micro_p"], scores["cats_micro_r"], scores["cats_micro_f"]


def check_equal(ours: Dict[str, Any], theirs: Dict[str, Any]) -> None:
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


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(scores_of_all, one_right), min_size=1, max_size=6))
def test_one_label_of_several_is_scored_as_by_spacy(pairs: List[Tuple[Cats, Cats]]):
    examples = [example(*pair) for pair in pairs]
    theirs = Scorer.score_cats(examples, "cats", labels=LABELS, multi_label=False)
    check_equal(score_zero_shot(examples, labels=LABELS), theirs)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(scores_of_all, any_right), min_size=1, max_size=6), st.floats(0.1, 0.9))
def test_independent_labels_are_scored_as_by_spacy(pairs: List[Tuple[Cats, Cats]], threshold: float):
    examples = [example(*pair) for pair in pairs]
    theirs = Scorer.score_cats(examples, "cats", labels=LABELS, multi_label=True, threshold=threshold)
    check_equal(score_zero_shot(examples, labels=LABELS, independent=True, threshold=threshold), theirs)


def test_every_key_is_one_of_spacys():
    examples = [example({"a": 0.9}, {"a": 1.0})]
    theirs = Scorer.score_cats(examples, "cats", labels=["a"], multi_label=False)
    assert list(score_zero_shot(examples, labels=["a"])) == list(theirs)


def test_no_examples_score_nothing():
    scores = score_zero_shot([], labels=LABELS)
    assert scores["cats_score"] == scores["cats_micro_f"] == 0.0
    assert score_zero_shot([], labels=[])["cats_f_per_type"] == {}


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


def test_one_label_needs_its_threshold():
    examples = [example({"a": 0.6}, {"a": 1.0}), example({"a": 0.4}, {"a": 0.0})]
    assert counts(score_zero_shot(examples, labels=["a"])) == (1.0, 1.0, 1.0)
    assert score_zero_shot(examples, labels=["a"], threshold=0.3)["cats_micro_p"] == 0.5


def test_thresholds_of_single_labels():
    examples = [example({"a": 0.6, "b": 0.6}, {"a": 1.0, "b": 0.0})]
    settings_ = {"labels": ["a", "b"], "independent": True, "threshold": 0.5}
    assert counts(score_zero_shot(examples, **settings_)) == (0.5, 1.0, pytest.approx(2 / 3))
    assert counts(score_zero_shot(examples, **settings_, label_thresholds={"b": 0.7})) == (1.0, 1.0, 1.0)
    assert counts(score_zero_shot(examples, **settings_, label_thresholds={"a": 0.7})) == (0.0, 0.0, 0.0)


def test_other_components_cats_are_not_touched():
    predicted = {"x:a": 0.4, "x:b": 0.6, "y:a": 0.9, "plain": 0.99}
    gold = {"x:a": 0.0, "x:b": 1.0, "y:a": 0.0, "plain": 0.0}
    scores = score_zero_shot([example(predicted, gold)], labels=["x:a", "x:b"], key_prefix="x:")
    assert counts(scores) == (1.0, 1.0, 1.0)
    assert set(scores["cats_f_per_type"]) == {"x:a", "x:b"}


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


def test_thousands_of_hypotheses_make_no_table():
    examples = [example({str(i): 0.9}, {str(i): 1.0}, [str(i)]) for i in range(1001)]
    scores = score_zero_shot(examples, labels=["a"])
    assert scores["cats_micro_f"] == scores["cats_score"] == 1.0
    assert scores["cats_f_per_type"] == scores["cats_auc_per_type"] == {}


def test_the_component_hands_its_settings_over():
    nlp = spacy.blank("en")
    thresholds = [{"label": "b", "threshold": 0.7}]
    config = {"labels": ["a", "b"], "multi_label": True, "label_thresholds": thresholds, "key_prefix": "x:"}
    pipe = nlp.add_pipe("zero_shot_textcat", config=config)
    examples = [example({"x:a": 0.6, "x:b": 0.6}, {"x:a": 1.0, "x:b": 0.0})]
    assert counts(pipe.score(examples)) == (1.0, 1.0, 1.0)
    assert pipe.score(examples, label_thresholds={})["cats_micro_p"] == 0.5


@pytest.mark.parametrize("name", ["spacy.textcat_scorer.v2", "spacy.textcat_multilabel_scorer.v2"])
def test_spacys_scorers_may_stand_in(name: str):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("zero_shot_textcat", config={"labels": LABELS, "scorer": {"@scorers": name}})
    scores = pipe.score([example({"a": 0.9, "b": 0.1, "c": 0.0}, {"a": 1.0, "b": 0.0, "c": 0.0})])
    assert scores["cats_micro_f"] == 1.0


def test_no_scorer_no_scores():
    pipe = spacy.blank("en").add_pipe("zero_shot_textcat", config={"labels": LABELS, "scorer": None})
    assert pipe.score([example({"a": 1.0}, {"a": 1.0})]) == {}


def test_scores_do_not_need_the_extension():
    had = Doc.remove_extension(OWN_LABELS)
    try:
        doc, reference = NLP.make_doc("text"), NLP.make_doc("text")
        doc.cats, reference.cats = {"a": 0.9}, {"a": 1.0}
        assert score_zero_shot([Example(doc, reference)], labels=["a"])["cats_micro_f"] == 1.0
    finally:
        Doc.set_extension(OWN_LABELS, default=had[0])
