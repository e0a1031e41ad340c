"""Sequences of tokens packed one after another, and the index arrays that pad them where attention needs it.

Linear layers, norms and activations run over packed tokens: nothing is spent on padding there. Attention runs over
rectangles. All index arrays of a batch are made by numpy in one go.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from thinc.types import Ints1d
from torch import Tensor

from .batching import ranges
from .device import to_device

# Tokens that a batch is filled up by, at least and at most
SMALLEST_STEP, LARGEST_STEP = 16, 256
# A batch of so many tokens costs its calls as much as its arithmetic.
SMALL = 512


class RaggedIndex(NamedTuple):
    """Where packed tokens lie in a rectangle of rows.

    n_rows (int): Rows.
    longest (int): Tokens of a padded row.
    lengths (Tensor): Shape (rows,): tokens of each row.
    take (Tensor | None): Shape (rows * longest,): the packed token at each place, 0 for padding. None where the packed
        tokens are the rectangle.
    back (Tensor | None): Shape (tokens,): the place of each packed token, 0 for filling. None as above.
    """

    n_rows: int
    longest: int
    lengths: Tensor
    take: Tensor | None = None
    back: Tensor | None = None

    def pad(self, flat: Tensor) -> Tensor:
        """RETURNS (Tensor): Shape (rows, longest, width), from shape (tokens, width)."""
        return gather(flat, self.take).view(self.n_rows, self.longest, -1)

    def unpad(self, padded: Tensor) -> Tensor:
        """RETURNS (Tensor): Shape (tokens, width), from shape (rows, longest, ...)."""
        return gather(padded.reshape(self.n_rows * self.longest, -1), self.back)

    def padding(self) -> Tensor | None:
        """RETURNS (Tensor | None): Shape (rows, longest): True for padding; None if there is none."""
        return None if self.take is None else padding_of(self.lengths, self.longest)

    def to(self, device: torch.device) -> "RaggedIndex":
        if device.type == "cpu":
            return self
        lengths, take, back = (None if t is None else to_device(t.numpy(), device) for t in self[2:])
        assert lengths is not None
        return self._replace(lengths=lengths, take=take, back=back)


class PackedSequences(NamedTuple):
    """Token ids of sequences, one after another, then filling.

    ids (Tensor): Shape (tokens,).
    positions (Tensor): Shape (tokens,): counted from 0 in each sequence.
    rows (RaggedIndex): Where the sequences lie.
    """

    ids: Tensor
    positions: Tensor
    rows: RaggedIndex

    def to(self, device: torch.device) -> "PackedSequences":
        if device.type == "cpu":
            return self
        ids, positions = (to_device(tensor.numpy(), device) for tensor in self[:2])
        return PackedSequences(ids, positions, self.rows.to(device))


def pack(sequences: Sequence[Ints1d], multiple: int) -> PackedSequences:
    """Pack sequences of token ids.

    multiple (int): 1 to make shapes as they come, more to make few of them: see `few_sizes`.
    """
    lengths = np.fromiter(map(len, sequences), "int64", len(sequences))
    total = int(lengths.sum())
    size = few_sizes(total) if multiple > 1 else total
    ids, positions = np.zeros((2, size), dtype="int64")
    ids[:total] = np.concatenate(sequences)
    positions[:total] = ranges(np.zeros_like(lengths), lengths)
    return PackedSequences(torch.from_numpy(ids), torch.from_numpy(positions), ragged(lengths, multiple, size))


def ragged(lengths: Ints1d, multiple: int, n_tokens: int) -> RaggedIndex:
    """The index of rows of the given lengths, packed into `n_tokens` tokens."""
    longest = few_sizes(int(lengths.max())) if multiple > 1 else int(lengths.max())
    counts = torch.from_numpy(lengths)
    if len(lengths) * int(lengths.min()) == n_tokens and int(lengths.min()) == int(lengths.max()):
        return RaggedIndex(len(lengths), int(lengths.max()), counts)
    take = np.zeros(len(lengths) * longest, dtype="int64")
    back = np.zeros(n_tokens, dtype="int64")
    total = int(lengths.sum())
    back[:total] = ranges(np.arange(len(lengths)) * longest, lengths)
    take[back[:total]] = np.arange(total)
    return RaggedIndex(len(lengths), longest, counts, torch.from_numpy(take), torch.from_numpy(back))


def few_sizes(total: int) -> int:
    """Round a number of tokens up to one of few sizes.

    In bfloat16 a CPU compiles a kernel of half a megabyte for every new shape of a matrix product, and keeps a
    thousand of them. Sizes are two per power of two up to SMALL, four up to 1,024, then multiples of 256.
    """
    power = 1 << max(0, (total - 1).bit_length() - 1)
    step = min(max(SMALLEST_STEP, power // (2 if total <= SMALL else 4)), LARGEST_STEP)
    return -(-total // step) * step


def padding_of(lengths: Tensor, longest: int) -> Tensor:
    """RETURNS (Tensor): Shape (rows, longest): True beyond each row's length."""
    return torch.arange(longest, device=lengths.device) >= lengths[:, None]


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
