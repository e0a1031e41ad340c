"""Rows of tokens laid flat, one after another, filled up to one of few sizes; and means over each row."""

from typing import NamedTuple, Sequence

import numpy as np
import torch
from torch import Tensor

# Tokens that a pass is filled up by, at least and at most
SMALLEST_STEP = 16
LARGEST_STEP = 512
# A pass of so many tokens costs its calls as much as its arithmetic.
SMALL = 512


class Rows(NamedTuple):
    """Rows of tokens, laid flat.

    ids (Tensor): Shape (tokens,): token ids, those of the first row first, then filling.
    positions (Tensor): Shape (tokens,): positions counted from 0.
    where (Tensor): Shape (rows * longest,): for each place of the padded rows, the flat token there; 0 for padding.
    back (Tensor): Shape (tokens,): for each flat token, its place in the padded rows; 0 for filling.
    mask (Tensor): Shape (rows, longest): True for tokens.
    owner (Tensor): Shape (tokens,): the row of each token; one more than the last row for filling.
    """

    ids: Tensor
    positions: Tensor
    where: Tensor
    back: Tensor
    mask: Tensor
    owner: Tensor


def lay_flat(rows: Sequence[np.ndarray], device: torch.device) -> Rows:
    """Lay rows of token ids flat, filled up to one of few sizes: see `filled_size`.

    rows (Sequence[np.ndarray]): Token ids of each row.
    device (torch.device): Where to put them.
    RETURNS (Rows): The rows.
    """
    lengths = np.asarray([len(row) for row in rows])
    total, longest = int(lengths.sum()), int(lengths.max())
    filled = filled_size(total)
    mask = np.arange(longest) < lengths[:, None]
    ids, positions, back = (np.zeros(filled, dtype="int64") for _ in range(3))
    owner = np.full(filled, len(rows), dtype="int64")
    where = np.zeros(mask.size, dtype="int64")
    ids[:total] = np.concatenate(rows)
    positions[:total] = np.broadcast_to(np.arange(longest), mask.shape)[mask]
    back[:total] = np.flatnonzero(mask)
    where[back[:total]] = np.arange(total)
    owner[:total] = np.repeat(np.arange(len(rows)), lengths)
    return Rows(*(torch.from_numpy(array).to(device) for array in (ids, positions, where, back, mask, owner)))


def filled_size(total: int) -> int:
    """Round a number of tokens up.

    In bfloat16 every new size costs a kernel for each matrix, which is compiled and kept (half a megabyte); and
    buffers of ever new sizes leave holes in the memory of the process. So there are few sizes.

    total (int): Tokens.
    RETURNS (int): One of two sizes per power of two up to SMALL, of four up to 2,048, then a multiple of 512.
    """
    power = 1 << max(0, (total - 1).bit_length() - 1)
    step = min(max(SMALLEST_STEP, power // (2 if total <= SMALL else 4)), LARGEST_STEP)
    return -(-total // step) * step


def segment_mean(states: Tensor, segment: Tensor, n_segments: int) -> Tensor:
    """Mean of the states of each segment.

    states (Tensor): Shape (tokens, width).
    segment (Tensor): Shape (tokens,): the segment of each token; n_segments for tokens of none.
    n_segments (int): How many segments there are.
    RETURNS (Tensor): Shape (n_segments, width), float32.
    """
    sums = torch.zeros(n_segments + 1, states.shape[1], device=states.device)
    sums = sums.index_add(0, segment, states.float())
    counts = torch.bincount(segment, minlength=n_segments + 1).clamp(min=1)
    return (sums / counts.unsqueeze(-1))[:n_segments]
