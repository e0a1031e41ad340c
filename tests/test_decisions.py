import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.decisions import (
    Rule,
    by_rank,
    by_threshold,
    check_abstain,
    check_thresholds,
    check_top_k,
    choose,
    decide,
    decide_rows,
    default_rule,
)
from spacy_zeroshot.errors import ZeroShotError

UNIT = st.floats(0, 1)
CATS = st.dictionaries(st.text(min_size=1, max_size=3), UNIT, min_size=1, max_size=6)


@given(CATS)
def test_zero_is_a_threshold(cats):
    assert sorted(choose(cats, threshold=0.0)) == sorted(cats)
    assert choose(cats, threshold=0.5, label_thresholds=dict.fromkeys(cats, 0.0)) == choose(cats, threshold=0.0)


@given(CATS, UNIT)
def test_chosen_are_those_that_reach_it_best_first(cats, threshold):
    chosen = choose(cats, threshold=threshold)
    assert set(chosen) == {label for label, score in cats.items() if score >= threshold}
    assert [cats[label] for label in chosen] == sorted((cats[label] for label in chosen), reverse=True)


@given(CATS, UNIT, UNIT)
def test_a_higher_threshold_never_chooses_more(cats, one, other):
    low, high = sorted((one, other))
    assert set(choose(cats, threshold=high)) <= set(choose(cats, threshold=low))


@given(CATS, UNIT, st.one_of(st.none(), st.integers(1, 7)), st.one_of(st.none(), UNIT))
def test_arrays_decide_as_single_texts_do(cats, threshold, top_k, abstain):
    rule = Rule(threshold, {next(iter(cats)): 0.5}, top_k, abstain)
    row = decide_rows(np.array([list(cats.values())]), list(cats), rule)[0]
    assert {label for label, taken in zip(cats, row) if taken} == set(decide(cats, rule).labels)


def test_a_labels_own_threshold_comes_first():
    cats = {"a": 0.6, "b": 0.6}
    assert choose(cats, label_thresholds={"a": 0.7}) == ["b"]
    assert decide(cats, by_threshold(0.9, {"b": 0.1})).labels == ["b"]


def test_top_k_and_abstention():
    cats = {"a": 0.2, "b": 0.5, "c": 0.3}
    assert decide(cats, by_rank(2)).labels == ["b", "c"]
    assert decide(cats, by_rank(1, abstain=0.5)).abstains
    assert decide(cats, by_rank(1, abstain=0.6)).labels == ["b"]


def test_competing_labels_take_the_best_whatever_its_score():
    assert decide({"a": 0.3, "b": 0.2}, default_rule(True, 0.5)).labels == ["a"]
    assert decide({"a": 0.3, "b": 0.2}, default_rule(False, 0.5)).labels == []


@pytest.mark.parametrize("check,value", [(check_top_k, 0), (check_abstain, 1.5), (check_abstain, -1.0)])
def test_impossible_numbers_z007(check, value):
    with pytest.raises(ZeroShotError, match="Z007"):
        check(value, "zsc")
    with pytest.raises(ZeroShotError, match="Z007"):
        Rule(threshold=float("nan"))


@pytest.mark.parametrize("entry", ["a", {"label": "a"}, {"label": "a", "threshold": True}, {"threshold": 0.5}])
def test_entries_z006(entry):
    assert check_thresholds(0.5, [{"label": "a", "threshold": 0}], "zsc") == {"a": 0.0}
    with pytest.raises(ZeroShotError, match="Z006"):
        check_thresholds(0.5, [entry], "zsc")
