"""Sequences of tokens packed one after another, and the index arrays that pad them where attention needs it: linear
layers, norms and activations spend nothing on padding."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from thinc.types import Ints1d
from torch import Tensor

from .batching import SMALL_BATCH, ranges
from .device import to_device

# Tokens that a batch is filled up by, at least and at most
SMALLEST_STEP, LARGEST_STEP = 16, 256
Part = TypeVar("Part")


class RaggedIndex(NamedTuple):
    """Where packed tokens lie in a rectangle of rows."""

    n_rows: int
    longest: int
    lengths: Tensor  # (rows,): tokens of each
    take: Tensor | None = None  # (rows * longest,): the token at each place, 0 for padding; None: tokens are the places
    back: Tensor | None = None  # (tokens,): the place of each token, 0 for filling; None as above

    def pad(self, flat: Tensor) -> Tensor:
        """From shape (tokens, width) to (rows, longest, width)."""
        return gather(flat, self.take).view(self.n_rows, self.longest, -1)

    def unpad(self, padded: Tensor) -> Tensor:
        """From shape (rows, longest, ...) to (tokens, width)."""
        return gather(padded.reshape(self.n_rows * self.longest, -1), self.back)

    def padding(self, rows: slice = slice(None), longest: int | None = None) -> Tensor | None:
        """Shape (rows, longest), True for padding, of all rows or some, cut to a length; None if there is none."""
        if self.take is None:
            return None
        return torch.arange(longest or self.longest, device=self.lengths.device) >= self.lengths[rows, None]


class PackedSequences(NamedTuple):
    """Token ids of sequences, one after another, then filling."""

    ids: Tensor  # (tokens,)
    positions: Tensor  # (tokens,): counted from 0 in each sequence
    rows: RaggedIndex


def pack(sequences: Sequence[Ints1d], multiple: int) -> PackedSequences:
    """Pack sequences of token ids: a multiple above 1 asks for few shapes."""
    lengths = np.fromiter(map(len, sequences), "int64", len(sequences))
    total = int(lengths.sum())
    size = few_sizes(total) if multiple > 1 else total
    ids, positions = np.zeros((2, size), dtype="int64")
    ids[:total] = np.concatenate(sequences)
    positions[:total] = ranges(np.zeros_like(lengths), lengths)
    return PackedSequences(torch.from_numpy(ids), torch.from_numpy(positions), ragged(lengths, multiple, size))


def ragged(lengths: Ints1d, multiple: int, n_tokens: int) -> RaggedIndex:
    """The index of rows of the given lengths, packed into `n_tokens` tokens."""
    longest, counts = int(lengths.max()), torch.from_numpy(lengths)
    if len(lengths) * longest == n_tokens and longest == int(lengths.min()):
        return RaggedIndex(len(lengths), longest, counts)
    longest = few_sizes(longest) if multiple > 1 else longest
    take = np.zeros(len(lengths) * longest, dtype="int64")
    back = np.zeros(n_tokens, dtype="int64")
    total = int(lengths.sum())
    back[:total] = ranges(np.arange(len(lengths)) * longest, lengths)
    take[back[:total]] = np.arange(total)
    return RaggedIndex(len(lengths), longest, counts, torch.from_numpy(take), torch.from_numpy(back))


def few_sizes(total: int) -> int:
    """Round a number of tokens up to one of few sizes: two per power of two up to SMALL_BATCH, four up to 1,024, then
    multiples of 256."""
    # In bfloat16 a CPU compiles a kernel of half a megabyte for every new shape of a matrix product, and keeps 1,000.
    power = 1 << max(0, (total - 1).bit_length() - 1)
    step = min(max(SMALLEST_STEP, power // (2 if total <= SMALL_BATCH else 4)), LARGEST_STEP)
    return -(-total // step) * step


def move(part: Part, device: torch.device) -> Part:
    """Tensors, and named tuples of them, from the CPU to a device."""
    moved: Any = part
    if isinstance(part, Tensor):
        moved = to_device(part.numpy(), device)
    elif isinstance(part, tuple):
        moved = type(part)(*(move(one, device) for one in part))
    return moved


def gather(flat: Tensor, index: Tensor | None) -> Tensor:
    """Rows of a matrix by index; all of them, in place, if it is None."""
    # F.embedding copies whole rows: many times faster than flat[index] on a CPU, also backwards
    return flat if index is None else F.embedding(index, flat)


def segment_mean(flat: Tensor, rows: RaggedIndex) -> Tensor:
    """Mean over the tokens of each row. RETURNS (Tensor): Shape (rows, width), float32."""
    if rows.take is None:
        return flat.view(rows.n_rows, rows.longest, -1).float().mean(1)
    # fifty times faster than index_add on a CPU; `unsafe` spares a GPU the wait for a check of the lengths. What is
    # behind the last row is filling.
    return torch.segment_reduce(flat.float(), "mean", lengths=rows.lengths, axis=0, unsafe=True)
