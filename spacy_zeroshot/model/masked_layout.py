"""Passes of the mask-filling classifier: one row for each text and each length of a label's words."""

import threading
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from thinc.types import Ints1d
from torch import Tensor

from .encoder import pad
from .layouts import Item, Pass, sorted_slices
from .pair_layout import EVENNESS, max_positions
from .prompt import Prompt
from .tokens import Pieces, Tokens
from .vector_cache import VectorCache

# Numbers in the logits of one pass: a vocabulary may have 250,000 words.
LARGEST_LOGITS = 1 << 26


class Filling(NamedTuple):
    """A text in the prompt, and the label words that its masks may stand for.

    ids (Ints1d): Token ids with masks and special tokens.
    start (int): Where the masks begin.
    words (List[Ints1d]): Token ids of each label's words; all of one length, that of the masks.
    pairs (List[int]): The number of each.
    """

    ids: Ints1d
    start: int
    words: List[Ints1d]
    pairs: List[int]


class MaskedBatch(NamedTuple):
    """One pass.

    fillings (List[Filling]): The rows.
    hypotheses (List[Pieces]): The label words of each pair, in the order of the logits.
    budget (int): Padded tokens that go through the model together.
    """

    fillings: List[Filling]
    hypotheses: List[Pieces]
    budget: int


class MaskedLayout:
    """Asks a masked language model for the probability of label words in a prompt.

    A label of several wordpieces gets as many masks, and the mean of its pieces' log-probabilities, each predicted
    on its own.

    module (PreTrainedModel): A masked language model.
    tokenizer (PreTrainedTokenizerFast): Its tokenizer, to know its length.
    tokens (Tokens): The same, splitting texts.
    prompt (Prompt): The prompt.
    multiple (int): Lengths are padded to a multiple of this.
    """

    def __init__(self, module: Any, tokenizer: Any, tokens: Tokens, prompt: Prompt, multiple: int):
        self.module = module
        self.tokens = tokens
        self.prompt = prompt
        self.multiple = multiple
        self.max_length = max_positions(module, tokenizer)
        self._priors = VectorCache()
        self._asked = threading.local()
        self._largest = max(1, LARGEST_LOGITS // module.config.vocab_size)
        self._gathers = module.base_model is not module
        if self._gathers:
            # heads work place by place, and a vocabulary is large: only the masks' states reach the head
            module.base_model.register_forward_hook(self._gather)

    def room(self, longest: int) -> int:
        ends = self.tokens.ends
        return self.max_length - len(ends.prefix) - len(ends.suffix) - len(self.prompt) - longest

    def passes(self, items: Sequence[Item], budget: int) -> Iterator[Pass]:
        fillings: List[Filling] = []
        owners: List[Item] = []
        for item in items:
            found = self._fill(item.premise, item.hypotheses, item.first)
            fillings.extend(found)
            owners.extend([item] * len(found))
        for chosen in self._slices(fillings, budget):
            rows = [fillings[i] for i in chosen]
            pairs = np.asarray([pair for row in rows for pair in row.pairs])
            pieces = [owners[i].hypotheses[pair - owners[i].first] for i in chosen for pair in fillings[i].pairs]
            yield Pass(pairs, MaskedBatch(rows, pieces, budget), sum(len(row.ids) for row in rows))

    def forward(self, batch: MaskedBatch) -> Tensor:
        """Run one pass.

        batch (MaskedBatch): The rows.
        RETURNS (Tensor): Shape (pairs, 2): the mean log-probability of a label's words, with the text in the
            prompt and without.
        """
        with_text = self._log_probabilities(batch.fillings)
        without = self._priors.of(batch.hypotheses, lambda pieces: self._prior(pieces, batch.budget))
        return torch.stack([with_text, torch.stack(without)], dim=1)

    def _prior(self, pieces: Sequence[Pieces], budget: int) -> Tensor:
        """Mean log-probabilities in the prompt without a text. RETURNS (Tensor): Shape (pieces,)."""
        fillings = self._fill(np.zeros(0, dtype="int64"), pieces, 0)
        found: Dict[int, Tensor] = {}
        for chosen in self._slices(fillings, budget):
            rows = [fillings[i] for i in chosen]
            numbers = [number for row in rows for number in row.pairs]
            found.update(zip(numbers, self._log_probabilities(rows)))
        return torch.stack([found[i] for i in range(len(pieces))])

    def _fill(self, premise: Ints1d, hypotheses: Sequence[Pieces], first: int) -> List[Filling]:
        """One row for each length of the hypotheses."""
        by_length: Dict[int, List[int]] = {}
        for number, piece in enumerate(hypotheses):
            by_length.setdefault(len(piece.ids), []).append(number)
        fillings = []
        for masks, numbers in by_length.items():
            ids, start = self.prompt.row(premise, masks)
            row = self.tokens.ends.around(ids)
            words = [hypotheses[number].ids for number in numbers]
            fillings.append(
                Filling(row, start + len(self.tokens.ends.prefix), words, [first + number for number in numbers])
            )
        return fillings

    def _slices(self, fillings: Sequence[Filling], budget: int) -> Iterator[List[int]]:
        """Cut rows by their tokens, and by the size of their logits."""
        for chosen in sorted_slices([len(row.ids) for row in fillings], budget, EVENNESS):
            slice_: List[int] = []
            masks = 0
            for i in chosen:
                more = len(fillings[i].words[0])
                if slice_ and masks + more > self._largest:
                    yield slice_
                    slice_, masks = [], 0
                slice_.append(i)
                masks += more
            yield slice_

    def _log_probabilities(self, rows: Sequence[Filling]) -> Tensor:
        """RETURNS (Tensor): Shape (pairs of all rows,): mean log-probability of the label words, float32."""
        device = next(self.module.parameters()).device
        masks = np.asarray([len(row.words[0]) for row in rows])
        where = (
            np.repeat(np.arange(len(rows)), masks),
            np.concatenate([row.start + np.arange(n) for row, n in zip(rows, masks)]),
        )
        batch = pad([row.ids for row in rows], self.tokens.pad_id, self.multiple, self.max_length)
        inputs = {name: torch.from_numpy(array).to(device) for name, array in batch.items()}
        places = tuple(torch.from_numpy(index).to(device) for index in where)
        logits = self._logits(inputs, places)
        totals = logits.logsumexp(-1)
        firsts = np.cumsum([0, *masks[:-1]])
        # for every wordpiece of every label: the mask it stands at
        masks_at = np.concatenate(
            [first + np.arange(n) for row, first, n in zip(rows, firsts, masks) for _ in row.words]
        )
        pieces = np.concatenate([word for row in rows for word in row.words])
        lengths = [n for row, n in zip(rows, masks) for _ in row.words]
        at, piece = torch.from_numpy(masks_at).to(device), torch.from_numpy(pieces).to(device)
        values = logits[at, piece] - totals[at]
        return torch.stack([part.mean() for part in values.split([int(n) for n in lengths])])

    def _logits(self, inputs: Dict[str, Tensor], places: Tuple[Tensor, ...]) -> Tensor:
        """RETURNS (Tensor): Shape (masks, vocabulary): the logits at the masks, float32."""
        self._asked.places = places
        try:
            logits = self.module(**inputs).logits
        finally:
            self._asked.places = None
        return (logits[0] if self._gathers else logits[places]).float()

    def _gather(self, module: Any, inputs: Any, output: Any) -> Any:
        """Keep the last states at the masks only, as one row; unless the encoder is run by itself."""
        places = getattr(self._asked, "places", None)
        if places is None:
            return output
        states = output[0][places].unsqueeze(0)
        if isinstance(output, tuple):
            return (states, *output[1:])
        output.last_hidden_state = states
        return output
