"""Figures against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spacy_zeroshot.metrics import figures, with_none


def one_hot(columns: list, n: int) -> np.ndarray:
    return np.asarray([[i == column for i in range(n)] for column in columns])


def test_single_label_by_hand() -> None:
    # gold:   a a a b b c     chosen: a a b b c a
    gold, chosen = one_hot([0, 0, 0, 1, 1, 2], 3), one_hot([0, 0, 1, 1, 2, 0], 3)
    found = figures(gold, chosen)
    # a: P 2/3, R 2/3 -> 2/3; b: P 1/2, R 1/2 -> 1/2; c: 0
    assert found.f1.tolist() == pytest.approx([2 / 3, 1 / 2, 0.0])
    assert found.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert found.micro_f1 == pytest.approx(3 / 6)
    assert found.accuracy == pytest.approx(3 / 6)


def test_multi_label_by_hand() -> None:
    gold = np.asarray([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]], dtype=bool)
    chosen = np.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 0]], dtype=bool)
    found = figures(gold, chosen)
    # a: TP 2 -> 1; b: TP 1, FP 1, FN 1 -> 1/2; the third never occurs and is not averaged
    assert found.f1.tolist() == pytest.approx([1.0, 0.5, 0.0])
    assert found.macro_f1 == pytest.approx(0.75)
    # TP 3, FP 1, FN 1
    assert found.micro_f1 == pytest.approx(6 / 8)
    # rows 2 and 3 are exactly right
    assert found.accuracy == pytest.approx(2 / 4)


def test_nothing_to_score() -> None:
    nothing = np.zeros((0, 2), dtype=bool)
    assert figures(nothing, nothing)[:3] == (0.0, 0.0, 0.0)
    empty = np.zeros((3, 2), dtype=bool)
    assert figures(empty, empty)[:3] == (0.0, 0.0, 1.0)


def test_with_none() -> None:
    rows = np.asarray([[True, False], [False, False]])
    assert with_none(rows).tolist() == [[True, False, False], [False, False, True]]


@given(st.integers(1, 6), st.data())
def test_micro_f1_is_accuracy_where_every_row_has_one_label(n: int, data: st.DataObject) -> None:
    columns = arrays(int, st.integers(1, 20), elements=st.integers(0, n - 1))
    gold = data.draw(columns)
    chosen = data.draw(arrays(int, len(gold), elements=st.integers(0, n - 1)))
    found = figures(one_hot(list(gold), n), one_hot(list(chosen), n))
    assert found.micro_f1 == pytest.approx(found.accuracy)
    assert found.accuracy == pytest.approx(float((gold == chosen).mean()))
