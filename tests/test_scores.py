import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from spacy_zeroshot.labels import LabelGroup, LabelSet
from spacy_zeroshot.scores import blank_doc, calibrate, label_logits, pool_windows, to_scores

HUGE = st.floats(-(2.0**100), 2.0**100, width=32)
SMALL = st.floats(-20, 20, width=32)
POOLINGS = ("max", "mean", "first")


def label_set(counts, *sizes):
    """A label set with this many hypotheses for each label. sizes: labels of each group; negative ones compete."""
    sizes = sizes or (-len(counts),)
    ends = np.cumsum(np.abs(sizes)).tolist()
    groups = tuple(
        LabelGroup(str(i), start, stop, size < 0 and stop - start > 1)
        for i, (start, stop, size) in enumerate(zip([0, *ends], ends, sizes))
    )
    labels = tuple(f"label {i}" for i in range(len(counts)))
    return LabelSet(labels, tuple(f"text {i}" for i in range(sum(counts))), tuple(counts), groups)


def logits_of(numbers, most=4):
    shapes = st.tuples(st.integers(1, most), st.integers(2, most), st.integers(2, 3))
    return shapes.flatmap(lambda shape: npst.arrays("float32", shape, elements=numbers))


def textbook(logits, exclusive):
    """One window, one hypothesis a label."""
    if exclusive:
        e = np.exp(logits[0, :, 0].astype("float64"))
        return e / e.sum()
    e = np.exp(logits[0, :, :2].astype("float64"))
    return e[:, 0] / e.sum(axis=1)


def scored(logits, counts, exclusive, pooling="max"):
    labels = label_set(counts, -len(counts) if exclusive else len(counts))
    return to_scores(pool_windows(label_logits(logits, labels), np.array([0]), pooling), labels)[0]


def test_written_out():
    # two windows, three hypotheses for two labels, classes: for, against, neutral
    logits = np.array([[[2, 0, 9], [4, 1, 9], [0, 0, 9]], [[0, 0, 9], [0, 0, 9], [1, 3, 9]]], dtype="float32")
    compete, alone = label_set((2, 1)), label_set((2, 1), 2)
    assert label_logits(logits, compete).tolist() == [[3.0, 0.0], [0.0, 1.0]]
    assert label_logits(logits, alone).tolist() == [[2.5, 0.0], [0.0, -2.0]]
    values = label_logits(logits, compete)
    one, two = np.array([0]), np.array([0, 1])
    assert pool_windows(values, one, "max").tolist() == [[3.0, 1.0]]
    assert pool_windows(values, one, "mean").tolist() == [[1.5, 0.5]]
    assert pool_windows(values, one, "first").tolist() == [[3.0, 0.0]]
    assert all(pool_windows(values, two, pooling).tolist() == values.tolist() for pooling in POOLINGS)
    assert to_scores(np.array([3.0, 1.0]), compete) == pytest.approx([0.880797, 0.119203], abs=1e-6)
    assert to_scores(np.array([2.5, -2.0]), alone) == pytest.approx([0.924142, 0.119203], abs=1e-6)


def test_groups_are_scored_each_in_its_own_way():
    labels = label_set((1, 1, 1, 1, 1), -2, 2, -1)
    logits = np.array([[[1, 5], [3, 7], [2, 1], [4, 9], [1, 0]]], dtype="float32")
    assert label_logits(logits, labels).tolist() == [[1.0, 3.0, 1.0, -5.0, 1.0]]
    scores = to_scores(np.array([1.0, 3.0, 1.0, -5.0, 1.0]), labels)
    assert scores == pytest.approx([0.119203, 0.880797, 0.731059, 0.006693, 0.731059], abs=1e-6)
    assert blank_doc(labels).scores.tolist() == [0.5, 0.5, 0.0, 0.0, 0.0]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.sampled_from(POOLINGS), st.data())
def test_pooling_many_texts_is_pooling_each(sizes, pooling, data):
    values = data.draw(npst.arrays("float64", (sum(sizes), 3), elements=SMALL))
    firsts = np.cumsum([0, *sizes[:-1]])
    reduce = {"max": lambda rows: rows.max(0), "mean": lambda rows: rows.mean(0), "first": lambda rows: rows[0]}
    expected = [reduce[pooling](rows) for rows in np.split(values, firsts[1:])]
    np.testing.assert_allclose(pool_windows(values, firsts, pooling), expected)


@given(logits_of(HUGE), st.booleans(), st.sampled_from(POOLINGS))
def test_scores_are_bounded_and_finite(logits, exclusive, pooling):
    with np.errstate(all="raise", under="ignore"):
        values = scored(logits, [1] * logits.shape[1], exclusive, pooling)
    assert np.isfinite(values).all()
    assert (values >= 0).all() and (values <= 1).all()
    if exclusive:
        assert values.sum() == pytest.approx(1.0)


@given(logits_of(SMALL), st.booleans())
def test_scores_equal_the_textbook(logits, exclusive):
    first = logits[:1]
    assert scored(first, [1] * first.shape[1], exclusive) == pytest.approx(textbook(first, exclusive), abs=1e-9)


@given(logits_of(SMALL), st.booleans(), st.randoms())
def test_order_of_labels_and_windows_does_not_matter(logits, exclusive, random):
    labels, windows = list(range(logits.shape[1])), list(range(logits.shape[0]))
    random.shuffle(labels)
    random.shuffle(windows)
    counts = [1] * len(labels)
    for pooling in ("max", "mean"):
        there = scored(logits, counts, exclusive, pooling)
        mixed = scored(logits[windows][:, labels], counts, exclusive, pooling)
        assert mixed == pytest.approx(there[labels], abs=1e-9)


@given(logits_of(SMALL))
def test_neutral_is_never_looked_at(logits):
    other = np.concatenate([logits[..., :2], np.full_like(logits[..., :1], 100.0)], axis=-1)
    counts = [1] * logits.shape[1]
    for exclusive in (True, False):
        assert (scored(other, counts, exclusive) == scored(logits, counts, exclusive)).all()


@given(logits_of(SMALL), st.integers(1, 3))
def test_repeating_a_hypothesis_changes_nothing(logits, times):
    repeated = np.repeat(logits, times, axis=1)
    n = logits.shape[1]
    for exclusive in (True, False):
        assert scored(repeated, [times] * n, exclusive) == pytest.approx(scored(logits, [1] * n, exclusive), abs=1e-9)


@given(npst.arrays("float64", (2, 3), elements=SMALL), st.floats(0.1, 10))
def test_a_temperature_keeps_the_order(values, temperature):
    found = calibrate(values, np.zeros(3), temperature)
    assert (np.argsort(found, kind="stable") == np.argsort(values, kind="stable")).all()


@given(npst.arrays("float64", (4, 3), elements=SMALL), st.sampled_from(POOLINGS))
def test_windows_may_be_pooled_before_calibration_or_after(values, pooling):
    firsts, biases = np.array([0, 3]), np.array([1.0, -2.0, 0.5])
    before = calibrate(pool_windows(values, firsts, pooling), biases, 1.5)
    np.testing.assert_allclose(pool_windows(calibrate(values, biases, 1.5), firsts, pooling), before, atol=1e-9)


def test_what_a_blank_document_scored():
    assert blank_doc(label_set((1, 1, 1, 1))).scores.tolist() == [0.25] * 4
    assert blank_doc(label_set((1, 1), 2)).scores.tolist() == [0.0, 0.0]
    assert blank_doc(label_set((1,))).scores.tolist() == [0.0]
