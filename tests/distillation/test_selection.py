import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spacy_zeroshot.distillation.selection import heat, select_exclusive, select_independent, split


def test_only_confident_texts_are_kept():
    scores = np.array([[0.9, 0.1], [0.55, 0.45], [0.2, 0.8], [0.6, 0.4]])
    chosen = select_exclusive(scores, 0.6, 0)
    assert chosen.rows.tolist() == [0, 2, 3]
    assert chosen.targets.tolist() == [[1, 0], [0, 1], [1, 0]]


def test_no_label_outweighs_the_rarest():
    sure = np.linspace(0.7, 0.99, 300)
    scores = np.concatenate([np.stack([sure, 1 - sure], axis=1), np.tile([0.1, 0.9], (30, 1))])
    chosen = select_exclusive(scores, 0.6, 2.0)
    assert chosen.targets.sum(axis=0).tolist() == [60, 30]
    # of the frequent label the most confident texts
    assert chosen.rows[:60].tolist() == list(range(240, 300))
    assert len(select_exclusive(scores, 0.6, 0).rows) == 330


def test_labels_in_doubt_are_left_open():
    scores = np.array([[0.9, 0.5], [0.5, 0.5], [0.1, 0.05], [0.5, 0.1]])
    chosen = select_independent(scores, 0.8, 0)
    assert chosen.rows.tolist() == [0, 2]
    assert np.array_equal(chosen.targets, [[1, np.nan], [0, 0]], equal_nan=True)


def test_texts_without_labels_are_balanced_too():
    scores = np.concatenate([np.tile([0.9, 0.1], (50, 1)), np.tile([0.1, 0.1], (400, 1))])
    assert len(select_independent(scores, 0.8, 3.0).rows) == 200


@pytest.mark.parametrize("exclusive", [True, False])
def test_temperature(exclusive):
    scores = np.array([[0.8, 0.2], [0.5, 0.5], [1.0, 0.0]])
    assert heat(scores, 1.0, exclusive) == pytest.approx(scores, abs=1e-9)
    cool, warm = heat(scores, 0.5, exclusive), heat(scores, 2.0, exclusive)
    assert cool[0, 0] == pytest.approx(16 / 17) and warm[0, 0] == pytest.approx(2 / 3)
    assert np.isfinite(warm).all() and cool[1].tolist() == [0.5, 0.5]


@given(arrays("float64", st.tuples(st.integers(0, 60), st.just(3)), elements=st.floats(0.01, 1)), st.floats(0, 1))
def test_split_keeps_every_text_once(raw, threshold):
    chosen = select_exclusive(raw / raw.sum(axis=1, keepdims=True), threshold, 1.5)
    train, dev = split(chosen)
    assert sorted([*train.rows, *dev.rows]) == chosen.rows.tolist()
    for label in range(3):
        count = int((chosen.targets[:, label] == 1).sum())
        assert int((dev.targets[:, label] == 1).sum()) == count // 10
