"""Biases, temperature and reliability."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.scores import scores
from spacy_zeroshot.tuning.calibration import marginal_biases, prior_biases
from spacy_zeroshot.tuning.reliability import reliability
from spacy_zeroshot.tuning.temperature import fit_temperature, negative_log_likelihood

LEAN = np.array([3.0, 0.0, -1.0])


def sample(seed: int, texts: int = 300):
    return np.random.default_rng(seed).normal(size=(texts, 3)) * 2 + LEAN


@given(st.integers(0, 1000))
def test_marginals_become_uniform_where_labels_compete(seed: int) -> None:
    strengths = sample(seed)
    biases = marginal_biases(strengths, True)
    assert scores(strengths - biases, True).mean(axis=0) == pytest.approx([1 / 3] * 3, abs=1e-4)
    assert biases.sum() == pytest.approx(0, abs=1e-9)


def test_marginals_meet_a_prior() -> None:
    strengths, prior = sample(1), np.array([0.6, 0.3, 0.1])
    assert scores(strengths - marginal_biases(strengths, True, prior), True).mean(axis=0) == pytest.approx(
        prior, abs=1e-4
    )
    rates = np.array([0.9, 0.2, 0.05])
    assert scores(strengths - marginal_biases(strengths, False, rates), False).mean(axis=0) == pytest.approx(rates)


def test_labels_on_their_own_get_like_rates_and_keep_the_level() -> None:
    strengths = sample(2)
    biases = marginal_biases(strengths, False)
    rates = scores(strengths - biases, False).mean(axis=0)
    assert np.ptp(rates) < 0.05 < np.ptp(scores(strengths, False).mean(axis=0))
    assert biases.sum() == pytest.approx(0, abs=1e-9)
    assert biases - biases.mean() == pytest.approx(LEAN - LEAN.mean(), abs=0.6)


def test_the_prior_of_texts_without_content() -> None:
    # one text: its own distribution is the prior
    without = np.array([[2.0, 1.0, -3.0]])
    assert scores(without - prior_biases(without, True), True)[0] == pytest.approx([1 / 3] * 3)
    margins = np.array([[2.0, 1.0, -3.0], [0.0, 1.0, -1.0]])
    assert prior_biases(margins, False) == pytest.approx([1.0, 1.0, -2.0])


@pytest.mark.parametrize("compete", [True, False])
@pytest.mark.parametrize("wanted", [0.25, 1.0, 4.0])
def test_temperature_is_found(compete: bool, wanted: float) -> None:
    state = np.random.default_rng(0)
    strengths = state.normal(size=(20_000, 3)) * 2
    true = scores(strengths, compete)
    if compete:
        drawn = (state.random((20_000, 1)) > true.cumsum(axis=1)).sum(axis=1)
        gold = np.eye(3, dtype=bool)[np.minimum(drawn, 2)]
    else:
        gold = state.random(true.shape) < true
    assert fit_temperature(strengths * wanted, gold, compete) == pytest.approx(wanted, rel=0.05)


@given(st.integers(0, 1000), st.booleans())
def test_no_other_temperature_is_better(seed: int, compete: bool) -> None:
    strengths = sample(seed, 50)
    gold = np.random.default_rng(seed + 1).random((50, 3)) < 0.4
    found = fit_temperature(strengths, gold, compete)
    best = negative_log_likelihood(scores(strengths / found, compete), gold, compete)
    # temperatures lie between 1 / 1000 and 1000
    for other in (0.01, 0.5 * found, 0.95 * found, 1.05 * found, 2 * found, 100.0):
        other = min(other, 1000.0)
        assert best <= negative_log_likelihood(scores(strengths / other, compete), gold, compete) + 1e-9


def test_nothing_to_fit_is_a_temperature_of_one() -> None:
    assert fit_temperature(np.zeros((4, 3)), np.eye(4, 3, dtype=bool), True) == 1.0
    assert fit_temperature(sample(0, 3), np.zeros((3, 3), dtype=bool), True) == 1.0


def test_reliability_by_hand() -> None:
    values = np.array([[0.9, 0.1], [0.8, 0.2], [0.35, 0.65], [0.5, 0.5]])
    gold = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], dtype=bool)
    # the best labels score .9 (right), .8 (wrong), .65 (right), .5 (right), each in a bin of its own
    found = reliability(values, gold, True)
    assert found.ece == pytest.approx((0.1 + 0.8 + 0.35 + 0.5) / 4)
    assert found.counts.sum() == 4 and len(found.counts) == 15
    both = reliability(np.array([[1.0, 0.0]]), np.array([[True, False]]), False)
    assert both.ece == 0.0 and both.counts[-1] == 1 and both.counts[0] == 1
