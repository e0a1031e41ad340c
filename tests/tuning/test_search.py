"""The search over templates and rules, and the figures of every threshold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.decisions import Rule, decide_rows, default_rule
from spacy_zeroshot.evaluation import figures, with_none
from spacy_zeroshot.labels import LabelGroup, LabelSet
from spacy_zeroshot.tuning.search import (
    BEST,
    FOLDS,
    LABELS,
    OWN,
    THRESHOLD,
    TOP_K,
    Candidate,
    among_best,
    make_grid,
    ranks,
    search,
    split_folds,
    sweep,
)
from spacy_zeroshot.tuning.tune import variants

NAMES = ("a", "b", "c", "d")
GOALS = ("micro_f1", "macro_f1", "accuracy")


def label_set(exclusive, labels=NAMES):
    return LabelSet(tuple(labels), tuple(labels), (1,) * len(labels), (LabelGroup("", 0, len(labels), exclusive),))


def candidates(gold, signals, seed=0, lean=0.0):
    state = np.random.default_rng(seed)
    lean = np.linspace(0.0, lean, gold.shape[1])
    return [
        Candidate(f"t{i}", state.normal(size=gold.shape) + gold * signal + lean, np.zeros(gold.shape[1]))
        for i, signal in enumerate(signals)
    ]


def single(texts, labels=4, seed=1):
    gold = np.zeros((texts, labels), dtype=bool)
    gold[np.arange(texts), np.random.default_rng(seed).integers(0, labels, texts)] = True
    return gold


def several(texts, labels=4, seed=1):
    return np.random.default_rng(seed).random((texts, labels)) < 0.3


@pytest.mark.parametrize("none", [True, False])
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("goal", GOALS)
def test_the_rule_gives_the_figure_that_is_reported(exclusive, goal, none):
    gold = single(200) if exclusive else several(200)
    gold[::7] = False
    tried, labels = candidates(gold, [1.0, 3.0, 2.0]), label_set(exclusive)
    found = search(tried, gold, labels, goal, none)
    assert found.best.candidate == 1
    extend = with_none if none else np.asarray
    chosen = decide_rows(tried[1].scores(found.best.temperature, labels), NAMES, found.best.rule)
    assert getattr(figures(extend(gold), extend(chosen)), goal) == pytest.approx(found.best.fitted)
    kinds = {BEST, THRESHOLD} if exclusive else {THRESHOLD, TOP_K, LABELS}
    assert {trial.kind for trial in found.trials} == kinds
    # every rule that was tried gives the figure that stands beside it
    for trial in found.trials:
        chosen = decide_rows(tried[trial.candidate].scores(trial.temperature, labels), NAMES, trial.rule)
        assert getattr(figures(extend(gold), extend(chosen)), goal) == pytest.approx(trial.fitted)


def test_where_labels_compete_at_most_one_is_chosen():
    gold = several(300)
    for trial in search(candidates(gold, [1.0, 2.0]), gold, label_set(True)).trials:
        assert trial.rule.top_k == 1 and not trial.rule.label_thresholds


def test_one_right_label_each_is_found_by_rank():
    gold = single(300)
    assert search(candidates(gold, [2.5]), gold, label_set(True), "accuracy").best.kind == BEST
    assert search(candidates(gold, [2.5]), gold, label_set(False), "accuracy").best.rule.top_k == 1


def test_labels_that_lean_get_thresholds_of_their_own():
    gold = several(600)
    best = search(candidates(gold, [3.0], lean=4.0), gold, label_set(False), "macro_f1").best
    assert best.kind == LABELS
    own = best.rule.label_thresholds
    assert own["a"] < own["b"] < own["c"] < own["d"]


def test_texts_without_a_label_are_abstained_from():
    gold = single(400)
    gold[::2] = False
    tried = candidates(gold, [4.0])
    found = search(tried, gold, label_set(True), "accuracy")
    chosen = decide_rows(tried[0].scores(found.best.temperature, label_set(True)), NAMES, found.best.rule)
    assert (~chosen[::2].any(axis=1)).mean() > 0.6 and chosen[1::2].any(axis=1).mean() > 0.7
    # macro-F1 only sees the point of it if "none" counts
    counted = search(tried, gold, label_set(True), "macro_f1", none=True)
    assert counted.best.kind == THRESHOLD and counted.best.rule.threshold > 0.3


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("goal", GOALS)
def test_nothing_is_chosen_that_does_worse_than_what_was_there(exclusive, goal):
    """Few texts, many templates of noise: whatever the folds say, the pipeline as it is stays unless it is beaten."""
    for seed in range(8):
        gold = single(12, seed=seed)
        own = candidates(gold, [4.0], seed)[0]._replace(temperature=1.0, rule=default_rule(exclusive))
        found = search([own, *candidates(gold, [0.0] * 8, seed)], gold, label_set(exclusive), goal, seed=seed)
        assert found.trials[0].kind == OWN
        if found.best.candidate:
            assert found.best.fitted > found.trials[0].fitted
        else:
            assert found.best.rule == own.rule and found.best.temperature == 1.0


def test_noise_is_not_mistaken_for_skill():
    """With 40 texts and 12 templates of pure noise, the fitted figure fools itself and the held-out one does not."""
    gaps = []
    for seed in range(5):
        gold = single(40, seed=seed)
        found = search(candidates(gold, [0.0] * 12, seed), gold, label_set(True), "accuracy", seed=seed)
        gaps.append((found.best.fitted, found.held_out))
    fitted, held_out = np.mean(gaps, axis=0)
    assert fitted > 0.33
    assert held_out < 0.30


def test_folds_are_even_and_share_the_labels():
    gold = single(103)
    fold = split_folds(gold, 5, 0)
    assert np.ptp(np.bincount(fold)) <= 1
    for label in range(4):
        assert np.ptp(np.bincount(fold[gold[:, label]], minlength=5)) <= 1
    assert split_folds(gold[:3], 5, 0).max() == 2


def test_two_texts_and_one_label():
    gold = np.array([[True], [False]])
    found = search([Candidate("t", np.array([[2.0], [-1.0]]), np.zeros(1))], gold, label_set(False, "a"))
    assert found.best.fitted == 1.0
    assert found.best.kind == THRESHOLD


def test_a_top_k_that_groups_share_stays():
    """A component-wide top_k counts in each group: every rule that is tried has it, and is judged with it."""
    gold = single(200)
    for exclusive in (True, False):
        tried, labels = candidates(gold, [1.0, 2.0]), label_set(exclusive)
        own = tried[0]._replace(temperature=1.0, rule=default_rule(exclusive, top_k=2))
        found = search([own, *tried], gold, labels, keep_top_k=True)
        assert {trial.rule.top_k for trial in found.trials} == {2}
        assert TOP_K not in {trial.kind for trial in found.trials}
        for trial in found.trials[1:]:
            chosen = decide_rows(tried[trial.candidate - 1].scores(trial.temperature, labels), NAMES, trial.rule)
            assert chosen.sum(axis=1).max() <= 2
            assert trial.fitted == pytest.approx(figures(gold, chosen).macro_f1)


def test_decisions_are_made_once_a_fold_and_not_for_every_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps it fast: `python -m benchmarks.tuning` prints its seconds for 3,000 texts."""
    decided: list[int] = []

    def counted(scores, labels, rule):
        decided.append(len(scores))
        return decide_rows(scores, labels, rule)

    monkeypatch.setattr("spacy_zeroshot.tuning.search.decide_rows", counted)
    gold, labels = single(300, 12), label_set(True, [f"l{i}" for i in range(12)])
    tried = [one for c in candidates(gold, [1.0] * 8) for one in variants(c, labels)]
    assert len(tried) == 16
    found = search(tried, gold, labels, "macro_f1")
    # every candidate with every kind of rule: each fold by what the others say, and all texts once
    assert len(found.trials) == 2 * len(tried)
    assert sum(decided) == 2 * len(gold) * len(found.trials) and len(decided) == (FOLDS + 1) * len(found.trials)


def sample(seed: int, texts: int = 40):
    state = np.random.default_rng(seed)
    # few distinct values, so that scores tie with each other and with thresholds
    return np.round(state.random((texts, 4)), 1), state.random((texts, 4)) < 0.3


@given(st.integers(0, 10_000), st.booleans())
def test_thresholds(seed: int, none: bool) -> None:
    scores, gold = sample(seed)
    grid = make_grid(scores)
    found = sweep(scores, gold, grid, none)
    extend = with_none if none else np.asarray
    assert grid[0] == 0.0 and (np.diff(grid) > 0).all()
    for step, threshold in enumerate(grid):
        chosen = decide_rows(scores, NAMES, Rule(float(threshold)))
        expected = figures(extend(gold), extend(chosen))
        for goal in GOALS:
            assert found[goal][step] == pytest.approx(getattr(expected, goal))


@given(st.integers(0, 10_000))
def test_ranks_and_steps_are_what_decisions_are_made_of(seed: int) -> None:
    scores, gold = sample(seed)
    by_rank = sweep(-ranks(scores), gold, -np.arange(4))
    for k in range(1, 5):
        chosen = decide_rows(scores, NAMES, Rule(0.0, top_k=k))
        assert np.array_equal(ranks(scores) < k, chosen)
        for goal in GOALS:
            assert by_rank[goal][k - 1] == pytest.approx(getattr(figures(gold, chosen), goal))
    grid = make_grid(scores)
    found = sweep(among_best(scores, 1), gold, grid)
    for step in (0, 7, len(grid) - 1):
        expected = figures(gold, decide_rows(scores, NAMES, Rule(float(grid[step]), top_k=1)))
        assert found["accuracy"][step] == pytest.approx(expected.accuracy)
        assert found["f1"][:, step] == pytest.approx(expected.f1)
