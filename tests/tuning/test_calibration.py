"""Biases, temperature and the calibration error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.labels import LabelGroup, LabelSet
from spacy_zeroshot.scores import to_scores
from spacy_zeroshot.tuning.calibration import calibration_error, fit_temperature, marginal_biases


def negative_log_likelihood(scores: np.ndarray, gold: np.ndarray, exclusive: bool) -> float:
    """The mean loss: per text where labels compete, else per text and label; in nats."""
    safe = np.clip(scores, 1e-12, 1.0 - 1e-12)
    if not exclusive:
        return float(-np.where(gold, np.log(safe), np.log1p(-safe)).mean())
    known = gold.any(axis=1)
    shares = gold[known] / gold[known].sum(axis=1, keepdims=True)
    return float(-(shares * np.log(safe[known])).sum(axis=1).mean()) if known.any() else 0.0


LEAN = np.array([3.0, 0.0, -1.0])


def labels_of(exclusive: bool, n: int = 3) -> LabelSet:
    names = tuple("abcdef"[:n])
    return LabelSet(names, names, (1,) * n, (LabelGroup("", 0, n, exclusive),))


def scores(logits: np.ndarray, exclusive: bool) -> np.ndarray:
    return to_scores(logits, labels_of(exclusive, logits.shape[1]))


def sample(seed: int, texts: int = 300):
    return np.random.default_rng(seed).normal(size=(texts, 3)) * 2 + LEAN


@given(st.integers(0, 1000))
def test_marginals_become_uniform_where_labels_exclusive(seed: int) -> None:
    logits = sample(seed)
    biases = marginal_biases(logits, labels_of(True))
    assert scores(logits - biases, True).mean(axis=0) == pytest.approx([1 / 3] * 3, abs=1e-4)
    assert biases.sum() == pytest.approx(0, abs=1e-9)


def test_marginals_meet_a_prior() -> None:
    logits, prior = sample(1), np.array([0.6, 0.3, 0.1])
    assert scores(logits - marginal_biases(logits, labels_of(True), prior), True).mean(axis=0) == pytest.approx(
        prior, abs=1e-4
    )
    rates = np.array([0.9, 0.2, 0.05])
    assert scores(logits - marginal_biases(logits, labels_of(False), rates), False).mean(axis=0) == pytest.approx(rates)


def test_labels_on_their_own_get_like_rates_and_keep_the_level() -> None:
    logits = sample(2)
    biases = marginal_biases(logits, labels_of(False))
    rates = scores(logits - biases, False).mean(axis=0)
    assert np.ptp(rates) < 0.05 < np.ptp(scores(logits, False).mean(axis=0))
    assert biases.sum() == pytest.approx(0, abs=1e-9)
    assert biases - biases.mean() == pytest.approx(LEAN - LEAN.mean(), abs=0.6)


@pytest.mark.parametrize("exclusive", [True, False])
def test_marginals_of_scores_that_are_almost_certain(exclusive: bool) -> None:
    logits = np.where(np.random.default_rng(0).random((200, 3)) < 0.5, 40.0, -40.0) + LEAN
    wanted = np.array([0.2, 0.5, 0.3])
    biases = marginal_biases(logits, labels_of(exclusive), wanted)
    assert scores(logits - biases, exclusive).mean(axis=0) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("wanted", [0.25, 1.0, 4.0])
def test_temperature_is_found(exclusive: bool, wanted: float) -> None:
    state = np.random.default_rng(0)
    logits = state.normal(size=(20_000, 3)) * 2
    true = scores(logits, exclusive)
    if exclusive:
        drawn = (state.random((20_000, 1)) > true.cumsum(axis=1)).sum(axis=1)
        gold = np.eye(3, dtype=bool)[np.minimum(drawn, 2)]
    else:
        gold = state.random(true.shape) < true
    assert fit_temperature(logits * wanted, gold, labels_of(exclusive)) == pytest.approx(wanted, rel=0.05)


@given(st.integers(0, 1000), st.booleans())
def test_no_other_temperature_is_better(seed: int, exclusive: bool) -> None:
    logits = sample(seed, 50)
    gold = np.random.default_rng(seed + 1).random((50, 3)) < 0.4
    found = fit_temperature(logits, gold, labels_of(exclusive))
    best = negative_log_likelihood(scores(logits / found, exclusive), gold, exclusive)
    # temperatures lie between 1 / 1000 and 1000
    for other in (0.01, 0.5 * found, 0.95 * found, 1.05 * found, 2 * found, 100.0):
        other = min(other, 1000.0)
        assert best <= negative_log_likelihood(scores(logits / other, exclusive), gold, exclusive) + 1e-9


def test_nothing_to_fit_is_a_temperature_of_one() -> None:
    assert fit_temperature(np.zeros((4, 3)), np.eye(4, 3, dtype=bool), labels_of(True)) == 1.0
    assert fit_temperature(sample(0, 3), np.zeros((3, 3), dtype=bool), labels_of(True)) == 1.0


def test_calibration_error_by_hand() -> None:
    values = np.array([[0.9, 0.1], [0.8, 0.2], [0.35, 0.65], [0.5, 0.5]])
    gold = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], dtype=bool)
    # the best labels score .9 (right), .8 (wrong), .65 (right), .5 (right), each in a bin of its own
    assert calibration_error(values, gold, labels_of(True, 2)) == pytest.approx((0.1 + 0.8 + 0.35 + 0.5) / 4)
    assert calibration_error(np.array([[1.0, 0.0]]), np.array([[True, False]]), labels_of(False, 2)) == 0.0
    # within a bin too much and too little cancel out
    assert calibration_error(np.array([[0.5], [0.5]]), np.array([[True], [False]]), labels_of(False, 1)) == 0.0


def test_groups_are_calibrated_each_on_its_own() -> None:
    logits = np.concatenate([sample(1), sample(2)], axis=1)
    both = LabelSet(
        tuple("abcdef"), tuple("abcdef"), (1,) * 6, (LabelGroup("x", 0, 3, True), LabelGroup("y", 3, 6, False))
    )
    biases = marginal_biases(logits, both)
    assert biases[:3] == pytest.approx(marginal_biases(logits[:, :3], labels_of(True)))
    assert biases[3:] == pytest.approx(marginal_biases(logits[:, 3:], labels_of(False)))
    gold = np.random.default_rng(3).random(logits.shape) < 0.4
    one, other = (
        fit_temperature(logits[:, :3], gold[:, :3], labels_of(True)),
        fit_temperature(logits[:, 3:], gold[:, 3:], labels_of(False)),
    )
    assert min(one, other) <= fit_temperature(logits, gold, both) <= max(one, other)
    scored = to_scores(logits, both)
    errors = [
        calibration_error(scored[:, :3], gold[:, :3], labels_of(True)),
        calibration_error(scored[:, 3:], gold[:, 3:], labels_of(False)),
    ]
    # a text counts once where labels compete, and three times where they do not
    assert calibration_error(scored, gold, both) <= (errors[0] + 3 * errors[1]) / 4 + 1e-9
