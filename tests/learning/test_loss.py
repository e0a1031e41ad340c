"""The losses against numbers worked out by hand and against finite differences."""

from typing import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_zeroshot.evidence import AGAINST, FOR
from spacy_zeroshot.learning.loss import cross_entropy, listwise, window_shares

POOLINGS = ("max", "mean", "first")


def test_cross_entropy_by_hand():
    logits = np.log(np.asarray([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]]))
    loss, gradient = cross_entropy(logits, np.asarray([FOR, AGAINST]), "max")
    assert loss == pytest.approx((-np.log(0.5) - np.log(0.2)) / 2)
    expected = [[[-0.25, 0.125, 0.125], [0.1, -0.4, 0.3]]]
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_cross_entropy_of_one_logit_is_that_of_a_sigmoid():
    logits = np.asarray([[[2.0, 0.0], [-1.0, 0.0]]])
    loss, _ = cross_entropy(logits, np.asarray([FOR, AGAINST]), "max")
    assert loss == pytest.approx((np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0))) / 2)


def test_listwise_by_hand():
    logits = np.asarray([[[np.log(3.0), 9.0], [np.log(1.0), -9.0]]])
    loss, gradient = listwise(logits, np.asarray([FOR, AGAINST]), "max")
    assert loss == pytest.approx(-np.log(0.75))
    np.testing.assert_allclose(gradient, [[[-0.25, 0.0], [0.25, 0.0]]], atol=1e-6)


def test_listwise_shares_the_mass_between_wordings_of_the_right_label():
    logits = np.zeros((1, 4, 2))
    loss, gradient = listwise(logits, np.asarray([FOR, FOR, AGAINST, AGAINST]), "max")
    assert loss == pytest.approx(np.log(4.0))
    np.testing.assert_allclose(gradient[0, :, FOR], [-0.25, -0.25, 0.25, 0.25], atol=1e-6)


def test_shares_by_hand():
    # the first hypothesis is supported by window 1, the second by window 0
    logits = np.asarray([[[0.0, 1.0], [5.0, 0.0]], [[2.0, 1.0], [6.0, 9.0]]])
    np.testing.assert_array_equal(window_shares(logits, "max"), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(window_shares(logits, "first"), [[1, 1], [0, 0]])
    np.testing.assert_array_equal(window_shares(logits, "mean"), [[0.5, 0.5], [0.5, 0.5]])


def test_confident_and_wrong_is_finite():
    logits = np.asarray([[[1e4, -1e4]]])
    loss, gradient = cross_entropy(logits, np.asarray([AGAINST]), "max")
    assert np.isfinite(loss) and loss > 20
    assert np.isfinite(gradient).all()


@settings(max_examples=40, deadline=None)
@given(
    loss=st.sampled_from([cross_entropy, listwise]),
    pooling=st.sampled_from(POOLINGS),
    windows=st.integers(1, 3),
    hypotheses=st.integers(1, 4),
    classes=st.integers(2, 3),
    seed=st.integers(0, 1000),
)
def test_gradient_is_that_of_finite_differences(
    loss: Callable, pooling: str, windows: int, hypotheses: int, classes: int, seed: int
):
    state = np.random.default_rng(seed)
    logits = state.normal(size=(windows, hypotheses, classes))
    targets = state.integers(0, 2, size=hypotheses)
    targets[0] = FOR
    _, gradient = loss(logits, targets, pooling)
    step = 1e-5
    for place in np.ndindex(*logits.shape):
        above, below = logits.copy(), logits.copy()
        above[place] += step
        below[place] -= step
        slope = (loss(above, targets, pooling)[0] - loss(below, targets, pooling)[0]) / (2 * step)
        assert gradient[place] == pytest.approx(slope, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(pooling=st.sampled_from(POOLINGS), seed=st.integers(0, 1000), shift=st.floats(-50, 50))
def test_losses_do_not_change_when_all_logits_shift(pooling: str, seed: int, shift: float):
    logits = np.random.default_rng(seed).normal(size=(2, 3, 3))
    targets = np.asarray([FOR, AGAINST, AGAINST])
    for loss in (cross_entropy, listwise):
        value, gradient = loss(logits, targets, pooling)
        moved, moved_gradient = loss(logits + shift, targets, pooling)
        assert moved == pytest.approx(value, abs=1e-6)
        np.testing.assert_allclose(moved_gradient, gradient, atol=1e-5)
        assert value >= 0
