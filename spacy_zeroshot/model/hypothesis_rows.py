"""Hypotheses laid one after another in rows, which a text's keys and values serve together."""

from typing import Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
from thinc.types import Ints1d

from .tokens import Pieces

# Tokens of hypotheses in one row. A row's hypotheses are masked from each other, so a longer row wastes more of its
# attention on masked places; a shorter one reads the text's keys more often.
ROW_TOKENS = 64


class HypothesisRow(NamedTuple):
    """Hypotheses that lie in one row, each followed by the suffix.

    ids (Ints1d): Shape (tokens,): token ids.
    owner (Ints1d): Shape (tokens,): each token's hypothesis, counted in the row.
    pieces (Tuple[Pieces, ...]): The hypotheses.
    """

    ids: Ints1d
    owner: Ints1d
    pieces: Tuple[Pieces, ...]


def cut_rows(pieces: Sequence[Pieces], suffix: Sequence[int]) -> List[HypothesisRow]:
    """Lay hypotheses in rows of at most ROW_TOKENS tokens; a longer hypothesis has a row of its own.

    pieces (Sequence[Pieces]): The hypotheses.
    suffix (Sequence[int]): Token ids that follow each.
    RETURNS (List[HypothesisRow]): The rows.
    """
    rows: List[List[Pieces]] = [[]]
    size = 0
    for piece in pieces:
        length = len(piece.ids) + len(suffix)
        if rows[-1] and size + length > ROW_TOKENS:
            rows.append([])
            size = 0
        rows[-1].append(piece)
        size += length
    return [_lay_row(row, suffix) for row in rows]


def with_suffix(piece: Pieces, suffix: Sequence[int]) -> Ints1d:
    """A hypothesis as it is read. RETURNS (Ints1d): Shape (tokens,): its token ids and the suffix."""
    return np.concatenate([piece.ids, suffix]).astype("int64")


def _lay_row(pieces: Sequence[Pieces], suffix: Sequence[int]) -> HypothesisRow:
    ids = [with_suffix(piece, suffix) for piece in pieces]
    owner = np.repeat(np.arange(len(ids)), [len(part) for part in ids])
    return HypothesisRow(np.concatenate(ids), owner, tuple(pieces))


def within_budget(rows: Sequence[Tuple[int, HypothesisRow]], budget: int) -> Iterator[List[Tuple[int, HypothesisRow]]]:
    """Cut a pass's rows where their tokens would exceed the budget.

    rows (Sequence[Tuple[int, HypothesisRow]]): The rows, each with its text's number.
    budget (int): Tokens that go through the encoder together; a single row may exceed it.
    YIELDS (List[Tuple[int, HypothesisRow]]): Some of the rows, in order.
    """
    chunk: List[Tuple[int, HypothesisRow]] = []
    size = 0
    for text, row in rows:
        if chunk and size + len(row.ids) > budget:
            yield chunk
            chunk, size = [], 0
        chunk.append((text, row))
        size += len(row.ids)
    yield chunk
