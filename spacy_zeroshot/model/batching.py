"""How pairs of premise and hypothesis become batches: the protocol of every scorer, and cutting by a token budget."""

from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from thinc.types import Ints1d, Ints2d

if TYPE_CHECKING:
    from torch import Tensor

# Below this many padded tokens a batch costs its calls rather than its arithmetic.
SMALL_BATCH = 512
# How even the lengths of a batch are kept where every token is padded in every layer, as in a stock model
EVENNESS = 0.85


class Window(NamedTuple):
    """One window of a premise."""

    ids: Ints1d  # its wordpieces, without special tokens
    set: int  # which of the hypothesis sets it is scored on
    first: int  # number of its first pair; its pairs are numbered hypothesis by hypothesis


class HypothesisSet(NamedTuple):
    """The hypotheses of a premise, tokenised once and remembered by the tokenizer."""

    texts: tuple[str, ...]
    pieces: tuple[Ints1d, ...]  # their wordpieces, without special tokens
    spans: tuple[tuple[int, int], ...]  # of each: first and past-the-last wordpiece of its label
    key: Hashable  # for what is computed from the set alone: equal keys mean equal hypotheses


class Batch(NamedTuple):
    """Some pairs that go through the model together."""

    pairs: Ints1d  # the numbers of the pairs, in the order of the logits
    inputs: Any  # what the scorer's `forward` takes
    n_tokens: int  # tokens that go through the model, without padding


class TextEncoder(Protocol):
    """Makes sentence embeddings."""

    max_tokens: int  # wordpieces of a text
    evenness: float  # as in sorted_slices
    cpu_tokens: int  # tokens of a batch that a CPU runs fastest with

    def embed_batch(self, texts: Sequence[Ints1d]) -> "Tensor":
        """Embed wordpieces without special tokens: shape (texts, width), rows of length 1."""


class PairScorer(Protocol):
    """Scores windows of premises on sets of hypotheses."""

    tokenizer: Any  # PairTokenizer
    classes: int  # columns of the logits: types.ENTAILMENT, types.CONTRADICTION, then the rest
    cpu_tokens: int  # tokens of a batch that a CPU runs fastest with

    @property
    def encoder(self) -> TextEncoder:
        """What embeds texts. RAISES (ZeroShotError): Z240 if the model has no such part."""

    def max_premise_tokens(self, longest_hypothesis: int) -> int:
        """Wordpieces of a premise that fit beside a hypothesis; below 1 if the hypothesis itself does not fit."""

    def batches(self, windows: Sequence[Window], sets: Sequence[HypothesisSet], budget: int) -> Iterator[Batch]:
        """Cut all pairs into batches of at most `budget` padded tokens; a single window may exceed it."""

    def forward(self, batch: Batch) -> "Tensor":
        """Score a batch: shape (pairs, classes), on the model's device."""

    def forget(self) -> None:
        """Drop what was remembered of hypotheses and texts: the weights have changed."""


def sorted_slices(lengths: Sequence[int] | Ints1d, budget: int, evenness: float = 0.0) -> Iterator[Ints1d]:
    """Sort by length, longest first, and cut where the padded size would exceed the budget (a single thing may). A
    slice of more than SMALL_BATCH tokens also ends before a thing shorter than the share `evenness` of its longest: a
    few large batches waste padding, many small ones waste calls. YIELDS (Ints1d): Positions in `lengths`."""
    values = np.asarray(lengths, dtype="int64")
    order = np.argsort(-values, kind="stable")
    falling = -values[order]
    start = 0
    while start < len(order):
        longest = max(int(-falling[start]), 1)
        end = start + max(1, budget // longest)
        if evenness:
            uneven = int(np.searchsorted(falling, -evenness * longest, side="right"))
            end = min(end, max(uneven, start + SMALL_BATCH // longest + 1))
        yield order[start:end]
        start = end


def pad(rows: Sequence[Ints1d], filling: int, multiple: int, longest: int) -> tuple[Ints2d, Ints2d]:
    """Lay rows into a rectangle, its width rounded up to a multiple, but not above the longest: in bfloat16 every new
    shape costs a kernel. RETURNS (tuple[Ints2d, Ints2d]): The values, and a mask of ones."""
    lengths = np.fromiter(map(len, rows), "int64", len(rows))
    width = min(-(-int(lengths.max()) // multiple) * multiple, longest)
    mask = np.arange(width) < lengths[:, None]
    values = np.full(mask.shape, filling, dtype="int64")
    values[mask] = np.concatenate(rows)
    return values, mask.astype("int64")


def ranges(starts: Ints1d, counts: Ints1d) -> Ints1d:
    """starts[0], starts[0] + 1, ... (counts[0] of them), starts[1], ... in one array."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
