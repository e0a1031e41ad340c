"""The search over templates and rules."""

import time

import numpy as np
import pytest

from spacy_zeroshot.decisions import decide_rows
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.metrics import figures
from spacy_zeroshot.scores import adjust, scores
from spacy_zeroshot.tuning.families import ABSTAIN, LABELS, THRESHOLD, TOP_K, as_settings
from spacy_zeroshot.tuning.search import Candidate, search, split_folds
from spacy_zeroshot.tuning.tally import OBJECTIVES
from spacy_zeroshot.tuning.tune import variants

NAMES = ["a", "b", "c", "d"]


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


@pytest.mark.parametrize("compete", [True, False])
@pytest.mark.parametrize("goal", OBJECTIVES)
def test_the_rule_gives_the_figure_that_is_reported(compete, goal):
    gold = single(200) if compete else several(200)
    tried = candidates(gold, [1.0, 3.0, 2.0])
    found = search(tried, gold, NAMES, compete, goal)
    assert found.best.candidate == 1
    values = scores(adjust(tried[1].strengths, np.zeros(4), found.best.temperature), compete)
    chosen = figures(gold, decide_rows(values, NAMES, found.best.final.rule))
    assert getattr(chosen, goal) == pytest.approx(found.fitted)
    assert {trial.final.kind for trial in found.trials} == {THRESHOLD, TOP_K, ABSTAIN, LABELS}
    # every rule that was tried gives what was counted for it
    for trial in found.trials:
        values = scores(adjust(tried[trial.candidate].strengths, np.zeros(4), trial.temperature), compete)
        mask = decide_rows(values, NAMES, trial.final.rule)
        assert (mask & gold).sum(axis=0).tolist() == trial.final.fitted.hits[:, 0].tolist()
        assert mask.sum(axis=0).tolist() == trial.final.fitted.chosen[:, 0].tolist()


def test_one_right_label_each_is_found_by_rank():
    gold = single(300)
    assert search(candidates(gold, [2.5]), gold, NAMES, True, "accuracy").best.final.rule.top_k == 1


def test_labels_that_lean_get_thresholds_of_their_own():
    gold = several(600)
    best = search(candidates(gold, [3.0], lean=4.0), gold, NAMES, False, "macro_f1").best
    assert best.final.kind == LABELS
    own = best.final.rule.label_thresholds
    assert own["a"] < own["b"] < own["c"] < own["d"]


def test_texts_without_a_label_are_abstained_from():
    gold = single(400)
    gold[::2] = False
    tried = candidates(gold, [4.0])
    found = search(tried, gold, NAMES, True, "accuracy")
    values = scores(adjust(tried[0].strengths, np.zeros(4), found.best.temperature), True)
    chosen = decide_rows(values, NAMES, found.best.final.rule)
    assert (~chosen[::2].any(axis=1)).mean() > 0.6 and chosen[1::2].any(axis=1).mean() > 0.7


def test_noise_is_not_mistaken_for_skill():
    """With 40 texts and 12 templates of pure noise, the fitted figure fools itself and the held-out one does not."""
    gaps = []
    for seed in range(5):
        gold = single(40, seed=seed)
        found = search(candidates(gold, [0.0] * 12, seed), gold, NAMES, True, "accuracy", seed=seed)
        gaps.append((found.fitted, found.held_out))
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
    found = search([Candidate("t", np.array([[2.0], [-1.0]]), np.zeros(1))], gold, ["a"], False)
    assert found.fitted == 1.0
    assert found.best.final.kind == THRESHOLD


def test_z203_scores_that_are_no_numbers():
    gold = single(10)
    tried = candidates(gold, [1.0])
    tried[0].strengths[3, 2] = np.nan
    with pytest.raises(ZeroShotError, match=r"Z203.*1 of 10"):
        search(tried, gold, NAMES, True)


def test_a_rule_becomes_settings_that_make_it():
    from spacy_zeroshot.decisions import Rule, by_rank, by_threshold, check_thresholds, default_rule

    for rule in (by_threshold(0.25), by_rank(2), by_rank(1, 0.6), Rule(0.3, {"a": 0.5})):
        for compete in (True, False):
            settings = as_settings(rule, compete, 4)
            own = check_thresholds(0.5, settings.pop("label_thresholds"), "tune")
            made = default_rule(compete, label_thresholds=own, **settings)
            values = np.random.default_rng(0).random((50, 4))
            assert np.array_equal(decide_rows(values, NAMES, made), decide_rows(values, NAMES, rule))


def test_the_sweep_is_fast():
    """3,000 texts, 12 labels, 8 templates, each as it is and calibrated: under 2 s of work, whatever else runs."""
    gold = single(3000, 12)
    start = time.process_time()
    tried = [one for c in candidates(gold, [1.0] * 8) for one in variants(c.name, c.strengths, c.biases, True)]
    assert len(tried) == 16
    search(tried, gold, [f"l{i}" for i in range(12)], True, "macro_f1")
    assert time.process_time() - start < 2.0
