"""What a layout is: how questions become passes through an encoder.

A layout numbers all pairs of a request item by item, hypothesis by hypothesis, and cuts them into passes that
keep to a token budget. Two are for NLI: the exact pair layout of stock checkpoints, and the shared-premise layout. Two
more belong to similarity and mask filling.
"""

from typing import Any, Iterator, List, NamedTuple, Protocol, Sequence, Tuple

from thinc.types import Ints1d

from .tokens import Pieces

# Below this many padded tokens a pass costs its calls rather than its arithmetic.
SMALL_SLICE = 512


class Item(NamedTuple):
    """One window of a premise and its hypotheses.

    premise (Ints1d): The window's token ids, without special tokens.
    hypotheses (Tuple[Pieces, ...]): The hypotheses; the same object for items with the same ones.
    first (int): Number of the item's first pair in the request.
    """

    premise: Ints1d
    hypotheses: Tuple[Pieces, ...]
    first: int


class Pass(NamedTuple):
    """Some pairs that go through the encoder together.

    pairs (Ints1d): Shape (n,): the numbers of the pairs, in the order of the logits.
    batch: What the layout's `forward` takes.
    tokens (int): Tokens that go through the encoder, without padding.
    """

    pairs: Ints1d
    batch: Any
    tokens: int


class Layout(Protocol):
    """How questions become passes."""

    def room(self, longest: int) -> int:
        """Wordpieces of premise that fit beside a hypothesis of `longest` wordpieces."""
        ...

    def passes(self, items: Sequence[Item], budget: int) -> Iterator[Pass]:
        """Cut items into passes of at most `budget` padded tokens (a single pair may exceed it)."""
        ...

    def forward(self, batch: Any) -> Any:
        """Run one pass. RETURNS (Tensor): Shape (n, classes of the head)."""
        ...


def sorted_slices(lengths: Sequence[int], budget: int, evenness: float = 0.0) -> Iterator[List[int]]:
    """Sort by length and cut where the padded size would exceed the budget, or lengths grow too uneven.

    lengths (Sequence[int]): Tokens of each thing to batch.
    budget (int): Padded tokens in one slice; a single thing may exceed it.
    evenness (float): Cut a slice of more than SMALL_SLICE tokens before a thing shorter than this share of its
        longest: a few large passes waste padding, many small ones waste calls.
    YIELDS (List[int]): Positions in `lengths`, longest first.
    """
    slice_: List[int] = []
    longest = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if slice_:
            full = longest * (len(slice_) + 1) > budget
            uneven = lengths[i] < evenness * longest and longest * len(slice_) > SMALL_SLICE
            if full or uneven:
                yield slice_
                slice_ = []
        if not slice_:
            longest = lengths[i]
        slice_.append(i)
    if slice_:
        yield slice_
