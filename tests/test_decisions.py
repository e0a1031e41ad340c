import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.decisions import (
    Rule,
    check_threshold,
    decide,
    decide_rows,
    default_rule,
)
from spacy_zeroshot.errors import ZeroShotError

UNIT = st.floats(0, 1)
CATS = st.dictionaries(st.text(min_size=1, max_size=3), UNIT, min_size=1, max_size=6)


def chosen(cats, *rule, **settings):
    return decide(cats, Rule(*rule, **settings)).labels


@given(CATS)
def test_zero_is_a_threshold(cats):
    assert sorted(chosen(cats, 0.0)) == sorted(cats)
    assert chosen(cats, 0.5, dict.fromkeys(cats, 0.0)) == chosen(cats, 0.0)


@given(CATS, UNIT)
def test_chosen_are_those_that_reach_it_best_first(cats, threshold):
    found = chosen(cats, threshold)
    assert set(found) == {label for label, score in cats.items() if score >= threshold}
    assert [cats[label] for label in found] == sorted((cats[label] for label in found), reverse=True)


@given(CATS, UNIT, UNIT)
def test_a_higher_threshold_never_chooses_more(cats, one, other):
    low, high = sorted((one, other))
    assert set(chosen(cats, high)) <= set(chosen(cats, low))


@given(CATS, UNIT, st.one_of(st.none(), st.integers(1, 7)))
def test_arrays_decide_as_single_texts_do(cats, threshold, top_k):
    rule = Rule(threshold, {next(iter(cats)): 0.5}, top_k)
    row = decide_rows(np.array([list(cats.values())]), list(cats), rule)[0]
    assert {label for label, taken in zip(cats, row) if taken} == set(decide(cats, rule).labels)


def test_a_labels_own_threshold_comes_first():
    cats = {"a": 0.6, "b": 0.6}
    assert chosen(cats, 0.5, {"a": 0.7}) == ["b"]
    assert chosen(cats, 0.9, {"b": 0.1}) == ["b"]


def test_rank_and_threshold_together():
    cats = {"a": 0.2, "b": 0.5, "c": 0.3}
    assert chosen(cats, 0.0, top_k=2) == ["b", "c"]
    assert chosen(cats, 0.4, top_k=2) == ["b"]
    assert chosen(cats, 0.6, top_k=2) == []


def test_equal_scores_are_chosen_in_the_order_of_the_labels():
    cats = {"b": 0.5, "a": 0.5, "c": 0.5}
    assert chosen(cats, top_k=2) == ["b", "a"]
    assert decide_rows(np.array([[0.5, 0.5, 0.5]]), list(cats), Rule(top_k=2)).tolist() == [[True, True, False]]


def test_what_is_said_where_nothing_fits():
    none = decide({"a": 0.3, "b": 0.2}, Rule(0.5, none_label="other"))
    assert (none.labels, none.label, none.none, none.abstains) == ([], "other", pytest.approx(0.7), True)
    some = decide({"a": 0.3, "b": 0.9}, Rule(0.5, none_label="other"))
    assert (some.label, some.none, some.abstains) == ("b", pytest.approx(0.1), False)
    assert decide({"a": 0.3}, Rule()).label is None
    assert decide({}, Rule(0.0)) == ([], 1.0, None)


def test_competing_labels_take_the_best_whatever_its_score_without_a_threshold():
    cats = {"a": 0.3, "b": 0.2}
    assert decide(cats, default_rule(True)).labels == ["a"]
    assert decide(cats, default_rule(False)).labels == []


def test_competing_labels_abstain_below_a_threshold():
    cats = {"a": 0.3, "b": 0.2}
    assert decide(cats, default_rule(True, 0.5)).abstains
    assert decide(cats, default_rule(True, 0.3)).labels == ["a"]
    assert decide(cats, default_rule(True, label_thresholds={"a": 0.4})).labels == ["b"]
    assert decide(cats, default_rule(True, 0.0, top_k=2)).labels == ["a", "b"]
    assert decide(cats, default_rule(True, 0.9, none_label="other")).label == "other"


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan"), "high", True])
def test_impossible_thresholds_z007(value):
    for make in (check_threshold, Rule, lambda value: Rule(0.5, {"a": value})):
        with pytest.raises(ZeroShotError, match="Z007"):
            make(value)


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_impossible_top_k_z007(value):
    with pytest.raises(ZeroShotError, match="Z007"):
        Rule(top_k=value)
