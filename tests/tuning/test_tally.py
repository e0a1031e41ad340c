"""Counting decisions at every threshold, against counting them one threshold at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.decisions import Rule, by_rank, decide_rows
from spacy_zeroshot.metrics import figures
from spacy_zeroshot.tuning.families import make_grid, ranks, top_k_tally
from spacy_zeroshot.tuning.tally import OBJECTIVES, objective, steps_of, tally, tally_mixed

LABELS = ["a", "b", "c", "d"]


def sample(seed: int, texts: int = 40):
    state = np.random.default_rng(seed)
    # few distinct values, so that scores tie with each other and with thresholds
    return np.round(state.random((texts, 4)), 1), state.random((texts, 4)) < 0.3


@given(st.integers(0, 10_000))
def test_thresholds(seed: int) -> None:
    values, gold = sample(seed)
    grid = make_grid(values)
    counts = tally(steps_of(values, grid), gold, len(grid))
    assert grid[0] == 0.0 and (np.diff(grid) > 0).all()
    for step, threshold in enumerate(grid):
        expected = figures(gold, decide_rows(values, LABELS, Rule(float(threshold))))
        assert objective(counts, "micro_f1")[step] == pytest.approx(expected.micro_f1)
        assert objective(counts, "macro_f1")[step] == pytest.approx(expected.macro_f1)
        assert objective(counts, "accuracy")[step] == pytest.approx(expected.accuracy)


@given(st.integers(0, 10_000))
def test_top_k(seed: int) -> None:
    values, gold = sample(seed)
    counts = top_k_tally(ranks(values), gold)
    for k in range(1, 5):
        expected = figures(gold, decide_rows(values, LABELS, by_rank(k)))
        for goal in OBJECTIVES:
            assert objective(counts, goal)[k - 1] == pytest.approx(getattr(expected, goal))


def test_a_step_for_each_label() -> None:
    values, gold = sample(3)
    grid = make_grid(values)
    steps = np.array([1, 20, 5, 40])
    counts = tally_mixed(steps_of(values, grid), gold, steps)
    rule = Rule(0.5, {label: float(grid[step]) for label, step in zip(LABELS, steps)})
    expected = figures(gold, decide_rows(values, LABELS, rule))
    for goal in OBJECTIVES:
        assert objective(counts, goal)[0] == pytest.approx(getattr(expected, goal))


def test_counts_add_up() -> None:
    values, gold = sample(5)
    grid = make_grid(values)
    reached = steps_of(values, grid)
    whole = tally(reached, gold, len(grid))
    parts = tally(reached[:15], gold[:15], len(grid)).plus(tally(reached[15:], gold[15:], len(grid)))
    for one, other in zip(whole, parts):
        assert np.array_equal(one, other)
    assert whole.at(7).hits.shape == (4, 1)
