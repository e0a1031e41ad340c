import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.scores import adjust, blank_scores, check_calibration, check_temperature, pool, scores, strengths

HUGE = st.floats(-(2.0**100), 2.0**100, width=32)
SMALL = st.floats(-20, 20, width=32)


def logits_of(numbers, most=4):
    shapes = st.tuples(st.integers(1, most), st.integers(1, most), st.integers(2, 3))
    return shapes.flatmap(lambda shape: npst.arrays("float32", shape, elements=numbers))


def plain(logits, compete):
    """The same by the textbook, one hypothesis a label, one window."""
    if compete:
        e = np.exp(logits[0, :, 0].astype("float64"))
        return e / e.sum()
    e = np.exp(logits[0, :, :2].astype("float64"))
    return e[:, 0] / e.sum(axis=1)


def judged(logits, counts, compete, pooling="max"):
    return scores(pool(strengths(logits, counts, compete), pooling), compete)


def test_written_out():
    # two windows, three hypotheses for two labels, classes: for, against, neutral
    logits = np.array([[[2, 0, 9], [4, 1, 9], [0, 0, 9]], [[0, 0, 9], [0, 0, 9], [1, 3, 9]]], dtype="float32")
    assert strengths(logits, (2, 1), True).tolist() == [[3.0, 0.0], [0.0, 1.0]]
    assert strengths(logits, (2, 1), False).tolist() == [[2.5, 0.0], [0.0, -2.0]]
    values = strengths(logits, (2, 1), True)
    assert pool(values, "max").tolist() == [3.0, 1.0]
    assert pool(values, "mean").tolist() == [1.5, 0.5]
    assert pool(values, "first").tolist() == [3.0, 0.0]
    assert scores(np.array([3.0, 1.0]), True) == pytest.approx([0.880797, 0.119203], abs=1e-6)
    assert scores(np.array([2.5, -2.0]), False) == pytest.approx([0.924142, 0.119203], abs=1e-6)


@given(logits_of(HUGE), st.booleans(), st.sampled_from(["max", "mean", "first"]))
def test_scores_are_bounded_and_finite(logits, compete, pooling):
    with np.errstate(all="raise", under="ignore"):
        values = judged(logits, [1] * logits.shape[1], compete, pooling)
    assert np.isfinite(values).all()
    assert (values >= 0).all() and (values <= 1).all()
    if compete:
        assert values.sum() == pytest.approx(1.0)


@given(logits_of(SMALL), st.booleans())
def test_scores_equal_the_textbook(logits, compete):
    first = logits[:1]
    assert judged(first, [1] * first.shape[1], compete) == pytest.approx(plain(first, compete), abs=1e-9)


@given(logits_of(SMALL), st.booleans(), st.randoms())
def test_order_of_labels_and_windows_does_not_matter(logits, compete, random):
    labels, windows = list(range(logits.shape[1])), list(range(logits.shape[0]))
    random.shuffle(labels)
    random.shuffle(windows)
    counts = [1] * len(labels)
    for pooling in ("max", "mean"):
        there = judged(logits, counts, compete, pooling)
        mixed = judged(logits[windows][:, labels], counts, compete, pooling)
        assert mixed == pytest.approx(there[labels], abs=1e-9)


@given(logits_of(SMALL))
def test_neutral_is_never_looked_at(logits):
    other = np.concatenate([logits[..., :2], np.full_like(logits[..., :1], 100.0)], axis=-1)
    counts = [1] * logits.shape[1]
    for compete in (True, False):
        assert (judged(other, counts, compete) == judged(logits, counts, compete)).all()


@given(logits_of(SMALL), st.integers(1, 3))
def test_repeating_a_hypothesis_changes_nothing(logits, times):
    repeated = np.repeat(logits, times, axis=1)
    n = logits.shape[1]
    for compete in (True, False):
        assert judged(repeated, [times] * n, compete) == pytest.approx(judged(logits, [1] * n, compete), abs=1e-9)


@given(npst.arrays("float64", 3, elements=SMALL), st.floats(0.1, 10))
def test_adjusting_keeps_the_order_without_biases(values, temperature):
    adjusted = adjust(values, np.zeros(3), temperature)
    assert (np.argsort(adjusted, kind="stable") == np.argsort(values, kind="stable")).all()


def test_blank():
    assert blank_scores(4, True).tolist() == [0.25] * 4
    assert blank_scores(2, False).tolist() == [0.0, 0.0]


def test_unknown_pooling_z007():
    with pytest.raises(ZeroShotError, match=r"Z007.*max, mean, first"):
        pool(np.zeros((1, 1)), "median")


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_temperature_z007(temperature):
    with pytest.raises(ZeroShotError, match="Z007"):
        check_temperature(temperature, "zsc")


def test_calibration_entries():
    assert check_calibration([{"label": "a", "bias": 1}], "zsc") == {"a": 1.0}
    for bad in ({"label": "a"}, {"label": "a", "bias": "b"}, {"label": "a", "bias": True}):
        with pytest.raises(ZeroShotError, match="Z006"):
            check_calibration([bad], "zsc")
    with pytest.raises(ZeroShotError, match="Z007"):
        check_calibration([{"label": "a", "bias": float("inf")}], "zsc")
