"""What a document costs: windows, pairs, passes and tokens, counted on the model's own batches."""

from itertools import cycle, islice
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np

from .component import ZeroShotTextCategorizer
from .model.layouts import Item
from .model.masked_layout import MaskedLayout
from .model.shared_layout import SharedPremiseLayout
from .model.similarity_layout import SimilarityLayout
from .model.tokens import Pieces
from .model.windows import split_windows

# A paragraph, about the most one window of a BERT-like model holds, and a long article.
LENGTHS = (100, 500, 5000)
LABEL_COUNTS = (10, 100, 1000)


class Cost(NamedTuple):
    """What one document costs.

    wordpieces (int): Length of its text.
    windows (int): Windows the text is cut into.
    pairs (int): Windows times hypotheses: what is scored.
    passes (int): Batches that go through the model, with the setting max_batch_tokens.
    tokens (int): Tokens that go through the model, without padding.
    """

    wordpieces: int
    windows: int
    pairs: int
    passes: int
    tokens: int


def costs(pipe: ZeroShotTextCategorizer, lengths: Sequence[int] = LENGTHS) -> List[Cost]:
    """Work out what documents of several lengths cost with the component's labels. Loads the model.

    pipe (ZeroShotTextCategorizer): A component with labels whose hypotheses fit.
    lengths (Sequence[int]): Lengths of texts in wordpieces.
    RETURNS (List[Cost]): One for each length.
    """
    hypotheses = _hypotheses(pipe)
    return [_cost(pipe, hypotheses, length) for length in lengths]


def costs_of_labels(
    pipe: ZeroShotTextCategorizer, counts: Sequence[int] = LABEL_COUNTS, length: int = LENGTHS[0]
) -> List[Cost]:
    """Work out what a document would cost with more labels, or fewer, that are worded alike. Loads the model.

    pipe (ZeroShotTextCategorizer): A component with labels whose hypotheses fit.
    counts (Sequence[int]): How many labels.
    length (int): Length of the text in wordpieces.
    RETURNS (List[Cost]): One for each number of labels.
    """
    hypotheses = _hypotheses(pipe)
    per_label = len(hypotheses) / len(pipe.labels)
    return [_cost(pipe, tuple(islice(cycle(hypotheses), round(count * per_label))), length) for count in counts]


def how_often_read(pipe: ZeroShotTextCategorizer) -> str:
    """How often a text goes through the model. Loads the model.

    pipe (ZeroShotTextCategorizer): The component.
    RETURNS (str): "once for all labels", "again for every hypothesis" or "again for every length of label words".
    """
    layout = pipe.model.shims[0].runtime.layout  # type: ignore[attr-defined]
    if isinstance(layout, (SharedPremiseLayout, SimilarityLayout)):
        return "once for all labels"
    if isinstance(layout, MaskedLayout):
        return "again for every length of label words"
    return "again for every hypothesis"


def _hypotheses(pipe: ZeroShotTextCategorizer) -> Tuple[Pieces, ...]:
    runtime = pipe.model.shims[0].runtime  # type: ignore[attr-defined]
    return tuple(runtime.tokens.split_cached(pipe.wording().hypotheses))


def _cost(pipe: ZeroShotTextCategorizer, hypotheses: Tuple[Pieces, ...], length: int) -> Cost:
    runtime = pipe.model.shims[0].runtime  # type: ignore[attr-defined]
    room = runtime.layout.room(max(len(piece.ids) for piece in hypotheses))
    read = length if pipe.reading.long_text == "windows" else min(length, room)
    windows = split_windows(read, room, pipe.reading.window_overlap, pipe.name)
    items = [
        Item(np.zeros(end - start, dtype="int64"), hypotheses, i * len(hypotheses))
        for i, (start, end) in enumerate(windows)
    ]
    tokens = [pass_.tokens for pass_ in runtime.layout.passes(items, runtime.budget)]
    return Cost(length, len(windows), len(windows) * len(hypotheses), len(tokens), sum(tokens))
