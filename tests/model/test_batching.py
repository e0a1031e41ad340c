"""Cutting things of unequal length into batches."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.model.batching import SMALL_BATCH, pad, ranges, sorted_slices

LENGTHS = st.lists(st.integers(1, 300), max_size=60)


def slices_by_hand(lengths, budget, evenness):
    """The rule, said plainly."""
    current, longest = [], 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        full = longest * (len(current) + 1) > budget
        uneven = lengths[i] < evenness * longest and longest * len(current) > SMALL_BATCH
        if current and (full or uneven):
            yield current
            current = []
        if not current:
            longest = lengths[i]
        current.append(i)
    if current:
        yield current


@given(LENGTHS, st.integers(1, 2000), st.sampled_from([0.0, 0.7, 0.85]))
def test_slices_keep_to_the_budget_and_to_evenness(lengths, budget, evenness):
    found = [chosen.tolist() for chosen in sorted_slices(lengths, budget, evenness)]
    assert found == list(slices_by_hand(lengths, budget, evenness))
    assert sorted(i for chosen in found for i in chosen) == list(range(len(lengths)))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=20))
def test_ranges(pairs):
    starts, counts = np.array(pairs, dtype="int64").reshape(-1, 2).T
    expected = [i for start, count in pairs for i in range(start, start + count)]
    assert ranges(starts, counts).tolist() == expected


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=12), min_size=1, max_size=6), st.integers(1, 8))
def test_rows_are_padded_to_a_multiple(rows, multiple):
    ids, mask = pad([np.array(row) for row in rows], 0, multiple, 12)
    longest = max(map(len, rows))
    assert ids.shape == mask.shape and longest <= ids.shape[1] <= max(12, longest)
    assert ids.shape[1] % multiple == 0 or ids.shape[1] == 12
    for row, laid, seen in zip(rows, ids, mask, strict=True):
        assert laid[: len(row)].tolist() == row and not laid[len(row) :].any()
        assert seen.sum() == len(row)
