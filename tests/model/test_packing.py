"""Packed sequences: every token has one place in the rectangle and comes back from it."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.model.packing import few_sizes, pack, ragged, segment_mean

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@given(LENGTHS, st.sampled_from([1, 16]))
def test_pads_and_unpads(lengths, multiple):
    sequences = [np.arange(n) + 100 * i for i, n in enumerate(lengths)]
    packed = pack(sequences, multiple)
    total = sum(lengths)
    assert packed.ids[:total].tolist() == np.concatenate(sequences).tolist()
    assert packed.positions[:total].tolist() == [place for n in lengths for place in range(n)]
    assert len(packed.ids) == (few_sizes(total) if multiple > 1 else total)
    rows = packed.rows
    padded = rows.pad(packed.ids[:, None].float())[..., 0]
    padding = rows.padding()
    for number, sequence in enumerate(sequences):
        assert padded[number, : len(sequence)].tolist() == sequence.tolist()
        if padding is not None:
            assert padding[number].tolist() == [place >= len(sequence) for place in range(rows.longest)]
    assert rows.unpad(padded)[:total, 0].tolist() == packed.ids[:total].tolist()


@given(LENGTHS, st.integers(0, 5))
def test_mean_over_each_row(lengths, filling):
    total = sum(lengths)
    states = torch.randn(total + filling, 3, dtype=torch.float32)
    means = segment_mean(states, ragged(np.array(lengths), 1, total + filling))
    expected = [part.mean(0) for part in states[:total].split(lengths)]
    torch.testing.assert_close(means, torch.stack(expected))


def test_equal_rows_are_not_copied():
    rows = ragged(np.array([3, 3]), 16, 6)
    states = torch.zeros(6, 2)
    assert rows.take is None and rows.pad(states).data_ptr() == states.data_ptr()


@given(st.integers(1, 20_000))
def test_few_sizes(total):
    size = few_sizes(total)
    # hardly more than half as much again, and the size of a size is itself
    assert total <= size < max(total + 16, 1.5 * total + 1)
    assert few_sizes(size) == size
    assert few_sizes(total + 1) >= size
