"""VectorCache: every hypothesis is computed once while it is known, and as many are known as it may keep."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.model.tokens import Pieces
from spacy_zeroshot.model.vector_cache import AT_ONCE, VectorCache


def pieces(numbers):
    return [Pieces(np.asarray([number]), np.zeros((1, 2), dtype="int64")) for number in numbers]


class Computer:
    """Doubles token ids, and keeps what it was asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, missing):
        self.asked.append([int(piece.ids[0]) for piece in missing])
        return [torch.tensor(2 * number) for number in self.asked[-1]]


@given(st.lists(st.lists(st.integers(0, 30), min_size=1), min_size=1), st.integers(1, 40))
def test_right_whatever_is_forgotten(requests, size):
    cache, compute = VectorCache(size), Computer()
    for request in requests:
        before = len(compute.asked)
        assert [int(tensor) for tensor in cache.of(pieces(request), compute)] == [2 * number for number in request]
        # the same again is known, even if it is more than the cache may keep
        count = len(compute.asked)
        cache.of(pieces(request), compute)
        assert len(compute.asked) == count <= before + 1
    assert all(len(set(asked)) == len(asked) for asked in compute.asked)


def test_known_ones_are_not_computed_again():
    cache, compute = VectorCache(10), Computer()
    cache.of(pieces([1, 2, 2]), compute)
    cache.of(pieces([2, 3]), compute)
    assert compute.asked == [[1, 2], [3]]
    cache.forget()
    cache.of(pieces([3]), compute)
    assert compute.asked == [[1, 2], [3], [3]]


@pytest.mark.parametrize("count", [AT_ONCE, 2 * AT_ONCE + 1])
def test_some_hundreds_at_a_time(count):
    cache, compute = VectorCache(5), Computer()
    assert len(cache.of(pieces(range(count)), compute)) == count
    assert [number for asked in compute.asked for number in asked] == list(range(count))
    assert max(map(len, compute.asked)) == AT_ONCE
