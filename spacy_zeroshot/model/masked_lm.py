"""Mask filling: a masked language model says how likely a label's words are at the masks of a prompt."""

import threading
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from thinc.types import Ints1d, Ints2d
from torch import Tensor, nn

from ..errors import ZeroShotError
from .batching import EVENNESS, Batch, HypothesisSet, Window, pad, ranges, sorted_slices
from .bi_encoder import PooledEncoder
from .cache import Cache
from .checkpoint import Checkpoint
from .device import to_device
from .tokenization import PairTokenizer
from .types import MASK_SLOT, TEXT_SLOT

# Numbers in the logits of one batch: a vocabulary may have 250,000 words.
LARGEST_LOGITS = 1 << 26
# Label sets whose priors are remembered
KNOWN_SETS = 1_000


class Prompt(NamedTuple):
    """A tokenised prompt."""

    left: list[int]  # what stands before the text
    right: list[int]  # what stands after it
    mask: int  # the place of the one mask in both
    text_lead: str  # a space before the text or nothing: many tokenizers make it part of the word that follows
    word_lead: str  # the same before the mask

    def fill(self, text: Ints1d, masks: int) -> tuple[Ints1d, int]:
        """Put a text, and so many masks, into the prompt. RETURNS: Token ids, and where the masks begin."""
        ids = np.concatenate([self.left, text, self.right]).astype("int64")
        first = self.mask + (len(text) if self.mask >= len(self.left) else 0)
        return np.concatenate([ids[:first], ids[first].repeat(masks), ids[first + 1 :]]), first


class Row(NamedTuple):
    """A text in the prompt, and the labels of one length that its masks may stand for."""

    ids: Ints1d  # with masks and special tokens
    start: int  # where the masks begin
    labels: Ints1d  # shape (labels,): their numbers in their set
    pieces: Ints2d  # shape (labels, masks): token ids of each label's words
    set: HypothesisSet
    first: int  # number of the text's first pair


class MaskedLM:
    """Scores label words by the log-probability that a prompt gives them. A PairScorer. As a label gets as many masks
    as it has wordpieces, a text has one row for each length of its labels."""

    classes = 2
    cpu_tokens = 8192

    def __init__(self, checkpoint: Checkpoint, prompt: Prompt, multiple: int):
        self.module = checkpoint.module
        self.tokenizer = PairTokenizer(checkpoint.tokenizer, prompt.text_lead, prompt.word_lead)
        self.prompt = prompt
        self.multiple = multiple
        self.max_length = checkpoint.max_length
        self._checkpoint = checkpoint
        self._priors: Cache[Hashable, Tensor] = Cache(KNOWN_SETS)
        self._most_masks = max(1, LARGEST_LOGITS // self.module.config.vocab_size)
        # once for a module that components share
        base = self.module.base_model
        if _keep_masked not in base._forward_hooks.values():
            base.register_forward_hook(_keep_masked)

    @property
    def encoder(self) -> PooledEncoder:
        return PooledEncoder(self._checkpoint, self.tokenizer, self.multiple)

    def max_premise_tokens(self, longest_hypothesis: int) -> int:
        # of the prompt all but its mask
        fixed = len(self.prompt.left) + len(self.prompt.right) - 1 + sum(map(len, self.tokenizer.single))
        return self.max_length - fixed - longest_hypothesis

    def batches(self, windows: Sequence[Window], sets: Sequence[HypothesisSet], budget: int) -> Iterator[Batch]:
        groups = [self._by_length(found) for found in sets]
        rows = [row for one in windows for row in self._rows(one.ids, sets[one.set], groups[one.set], one.first)]
        masks = np.array([row.pieces.shape[1] for row in rows])
        for even in sorted_slices([len(row.ids) for row in rows], budget, EVENNESS):
            at_once = max(1, self._most_masks // int(masks[even].max()))
            for chosen in (even[i : i + at_once] for i in range(0, len(even), at_once)):
                part = [rows[i] for i in chosen]
                pairs = np.concatenate([row.first + row.labels for row in part])
                yield Batch(pairs, part, sum(len(row.ids) for row in part))

    def forward(self, batch: Batch) -> Tensor:
        rows: list[Row] = batch.inputs
        priors = torch.cat([self._prior(row.set)[row.labels] for row in rows])
        return torch.stack([self._log_probabilities(rows), priors], dim=1)

    def forget(self) -> None:
        self._priors.clear()

    def _rows(
        self, text: Ints1d, found: HypothesisSet, groups: list[tuple[Ints1d, Ints2d]], first: int
    ) -> Iterator[Row]:
        for labels, pieces in groups:
            ids, start = self.prompt.fill(text, pieces.shape[1])
            start += len(self.tokenizer.single[0])
            yield Row(self.tokenizer.add_special_tokens(ids), start, labels, pieces, found, first)

    def _by_length(self, found: HypothesisSet) -> list[tuple[Ints1d, Ints2d]]:
        """Labels by their number of wordpieces: their numbers in the set, and their ids."""
        for word, ids in zip(found.texts, found.pieces, strict=True):
            if not len(ids) or self._checkpoint.tokenizer.unk_token_id in ids:
                reason = "its tokenizer does not know all of it"
                raise ZeroShotError("Z244", word=word, name=self._checkpoint.name, reason=reason)
        lengths = np.array([len(ids) for ids in found.pieces])
        groups = [np.flatnonzero(lengths == length) for length in dict.fromkeys(lengths)]
        return [(numbers, np.stack([found.pieces[i] for i in numbers])) for numbers in groups]

    def _prior(self, found: HypothesisSet) -> Tensor:
        """Mean log-probabilities in the prompt without a text, shape (hypotheses,), remembered."""
        prior = self._priors.get(found.key)
        if prior is None:
            prior = torch.zeros(len(found.texts), dtype=torch.float32, device=self._checkpoint.device)
            for row in self._rows(np.zeros(0, dtype="int64"), found, self._by_length(found), 0):
                prior[row.labels] = self._log_probabilities([row])
            self._priors.add({found.key: prior})
        return prior

    def _log_probabilities(self, rows: Sequence[Row]) -> Tensor:
        """Mean log-probabilities of every row's label words, shape (pairs,), float32."""
        device = self._checkpoint.device
        masks = np.array([row.pieces.shape[1] for row in rows])
        ids, seen = pad([row.ids for row in rows], self.tokenizer.pad_id, self.multiple, self.max_length)
        places = np.repeat(np.arange(len(rows)), masks), ranges(np.array([row.start for row in rows]), masks)
        _asked.places = tuple(to_device(part, device) for part in places)
        try:
            output = self.module(input_ids=to_device(ids, device), attention_mask=to_device(seen, device))
        finally:
            _asked.places = None
        logits = output.logits[0].float().log_softmax(-1)  # (masks, vocabulary)
        return torch.cat(
            [
                values[torch.arange(len(values), device=device), to_device(row.pieces, device)].mean(1)
                for row, values in zip(rows, logits.split(masks.tolist()), strict=True)
            ]
        )


# Where the masks are of the batch that this thread runs
_asked = threading.local()


def _keep_masked(module: nn.Module, inputs: Any, output: Any) -> Any:
    """Keep the last states at the masks, as one row; unless the encoder is run by itself. A head works place by place,
    and a vocabulary is large."""
    places = getattr(_asked, "places", None)
    if places is None:
        return output
    states = output[0][places].unsqueeze(0)
    if isinstance(output, tuple):
        return (states, *output[1:])
    output.last_hidden_state = states
    return output


def read_prompt(prompt: str, tokenizer: Any, name: str) -> Prompt:
    """Tokenise a prompt that check_prompt has passed."""
    if tokenizer.mask_token_id is None:
        raise ZeroShotError("Z243", name=name)

    def encode(part: str) -> list[int]:
        # by the tokenizer's own call, which knows what becomes of a space before its mask
        text = part.replace(MASK_SLOT, tokenizer.mask_token)
        encoded = tokenizer(text, add_special_tokens=False, padding=False, truncation=False, verbose=False)
        return list(encoded["input_ids"])

    before, after = prompt.split(TEXT_SLOT)
    left, right = encode(before.rstrip()), encode(after)
    if (left + right).count(tokenizer.mask_token_id) != 1:
        raise ZeroShotError("Z242", prompt=prompt)
    text_lead = " " if before[-1:].isspace() and before.strip() else ""
    word_lead = " " if prompt.split(MASK_SLOT)[0][-1:].isspace() else ""
    return Prompt(left, right, (left + right).index(tokenizer.mask_token_id), text_lead, word_lead)
