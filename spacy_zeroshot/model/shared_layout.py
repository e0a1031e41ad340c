"""Passes of the shared-premise layout, and the two kinds of evidence in one logit."""

import random
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from thinc.types import Ints1d
from torch import Tensor, nn

from .anchor import Anchor
from .flat_rows import Rows, filled_size, lay_flat, segment_mean
from .hypothesis_rows import HypothesisRow, cut_rows, with_suffix, within_budget
from .layouts import Item, Pass, sorted_slices
from .shared_premise import HypothesisTokens, TextStates, begin_hypotheses, classify, encode_hypotheses, encode_texts
from .tokens import Pieces, Tokens
from .vector_cache import VectorCache

SHARED_PREMISE = "shared_premise"
# Encoders with BERT's layers and absolute positions
SUPPORTED = ("bert", "roberta", "xlm-roberta", "camembert")
# Only attention is padded, so slices may be more uneven than a stock model's.
EVENNESS = 0.7
# Where the loss does not reach embeddings, an anchor holds this share of the passes, and so many of their hypotheses:
# it would cost as much as the rest of an update.
HELD_SHARE = 0.25
HELD_HYPOTHESES = 32
# Hypotheses that are remembered after the lower layers: some 50 kilobytes each
KNOWN = 1_000


class SharedBatch(NamedTuple):
    """One pass.

    texts (List[Ints1d]): Token ids of each premise window.
    rows (List[Tuple[int, HypothesisRow]]): The rows of their hypotheses, text by text, with the text's number.
    budget (int): Tokens that go through the encoder together.
    """

    texts: List[Ints1d]
    rows: List[Tuple[int, HypothesisRow]]
    budget: int


class Begun(NamedTuple):
    """Hypotheses after the lower layers: see `begin_hypotheses`.

    tensor (Tensor): Shape (tokens, 4 * width), row after row.
    first (Dict[int, int]): By a row's id, its first token.
    """

    tensor: Tensor
    first: Dict[int, int]


class SharedPremiseLayout(nn.Module):
    """Scores all hypotheses of a text with one pass over the text.

    module (PreTrainedModel): A BERT-like sequence classification model trained with this layout.
    tokens (Tokens): Its tokenizer.
    max_length (int): Tokens a text and its longest hypothesis may have together.
    similarity (Optional[Sequence[float]]): What the cosine of text and hypothesis is worth, None for entailment only:
        its scale and offset in the margin of entailment; and, third, a scale that all classes get alike, which leaves
        the margin as it is but counts where labels compete. 0 if missing.
    entailment (int): The head's class that means entailment.
    decoupled_layers (int): In how many lower layers a hypothesis is read on its own, without the text.
    """

    # As large passes as a CPU runs at full speed, with few labels and with many
    cached_tokens = 4096

    def __init__(
        self,
        module: Any,
        tokens: Tokens,
        max_length: int,
        similarity: Optional[Sequence[float]] = None,
        entailment: int = 1,
        decoupled_layers: int = 0,
    ):
        super().__init__()
        self.module = module
        self.tokens = tokens
        self.max_length = max_length
        self.entailment = entailment
        self.decoupled_layers = decoupled_layers
        self.similarity = None if similarity is None else nn.Parameter(torch.tensor([*similarity, 0.0][:3]).float())
        self.anchor: Optional[Anchor] = None
        self.learn_similarity = True
        self._vectors = VectorCache()
        self._known = VectorCache(KNOWN)

    @property
    def encoder(self) -> Any:
        return self.module.base_model

    @property
    def device(self) -> torch.device:
        return self.encoder.embeddings.word_embeddings.weight.device

    def room(self, longest: int) -> int:
        return self.max_length - len(self.tokens.frame) - longest

    def passes(self, items: Sequence[Item], budget: int) -> Iterator[Pass]:
        edges = len(self.tokens.frame.prefix) + len(self.tokens.frame.middle)
        rows = {id(item.hypotheses): item.hypotheses for item in items}
        cut = {key: cut_rows(hypotheses, self.tokens.frame.suffix) for key, hypotheses in rows.items()}
        sizes = {key: sum(len(row.ids) for row in found) for key, found in cut.items()}
        lengths = [edges + len(item.premise) + sizes[id(item.hypotheses)] for item in items]
        for chosen in sorted_slices(lengths, budget, EVENNESS):
            batch = [items[i] for i in chosen]
            pairs = np.concatenate([np.arange(i.first, i.first + len(i.hypotheses)) for i in batch])
            numbered = [(text, row) for text, item in enumerate(batch) for row in cut[id(item.hypotheses)]]
            tokens = sum(lengths[i] for i in chosen)
            yield Pass(pairs, SharedBatch([item.premise for item in batch], numbered, budget), tokens)

    def forward(self, batch: SharedBatch) -> Tensor:
        frame = self.tokens.frame
        rows = [np.concatenate([frame.prefix, text, frame.middle]) for text in batch.texts]
        texts = self.encode_texts(lay_flat(rows, self.device))
        begun = self._begun([row for _, row in batch.rows])
        # The text's keys and values serve as many passes over hypotheses as the budget asks for.
        logits = torch.cat([self._entailment(texts, begun, part) for part in within_budget(batch.rows, batch.budget)])
        if self.similarity is None:
            return logits
        cosines = self._cosines(texts, batch.rows).unsqueeze(-1)
        margin = self.similarity[0] * cosines + self.similarity[1]
        return logits + self._sides(logits.shape[-1]) * margin + self.similarity[2] * cosines

    def encode_texts(self, rows: Rows) -> TextStates:
        """As shared_premise.encode_texts, with the layout's encoder."""
        return encode_texts(self.encoder, rows, self.decoupled_layers)

    def encode_hypotheses(self, texts: TextStates, hypotheses: HypothesisTokens) -> Tensor:
        """As shared_premise.encode_hypotheses, with the layout's encoder."""
        return encode_hypotheses(self.encoder, texts, hypotheses)

    def forget(self) -> None:
        """Drop what is cached of hypotheses: the weights have changed."""
        self._vectors.forget()
        self._known.forget()

    def _entailment(self, texts: TextStates, begun: Begun, numbered: Sequence[Tuple[int, HypothesisRow]]) -> Tensor:
        """The head's logits on every hypothesis. RETURNS (Tensor): Shape (hypotheses, classes), float32."""
        rows = lay_flat([row.ids for _, row in numbered], self.device)
        counts = [len(row.pieces) for _, row in numbered]
        total = sum(counts)
        first = np.cumsum([0, *counts[:-1]])
        owner = np.concatenate([start + row.owner for start, (_, row) in zip(first, numbered)])
        places = np.concatenate([begun.first[id(row)] + np.arange(len(row.ids)) for _, row in numbered])
        # filling belongs to no hypothesis; and the head, too, reads few sizes only
        size = filled_size(total)
        filling = len(rows.ids) - len(owner)
        hypothesis_of_token = torch.from_numpy(np.pad(owner, (0, filling), constant_values=size)).to(self.device)
        begun_of_token = torch.from_numpy(np.pad(places, (0, filling))).to(self.device)
        text_of_row = torch.tensor([text for text, _ in numbered], device=self.device)
        tokens = HypothesisTokens(rows, begun.tensor, begun_of_token, text_of_row, hypothesis_of_token)
        states = self.encode_hypotheses(texts, tokens)
        return classify(self.module, segment_mean(states, hypothesis_of_token, size))[:total].float()

    def _begun(self, rows: Sequence[HypothesisRow]) -> Begun:
        """Hypotheses after the lower layers, remembered between passes unless in training.

        rows (Sequence[HypothesisRow]): The rows.
        RETURNS (Begun): Every row once.
        """
        distinct = {id(row): row for row in rows}
        pieces = [piece for row in distinct.values() for piece in row.pieces]
        cache = VectorCache() if self.training else self._known
        sizes = [len(row.ids) for row in distinct.values()]
        first = dict(zip(distinct, np.cumsum([0, *sizes[:-1]])))
        return Begun(torch.cat(cache.of(pieces, self._begin)), first)

    def _begin(self, pieces: Sequence[Pieces]) -> List[Tensor]:
        rows = [with_suffix(piece, self.tokens.frame.suffix) for piece in pieces]
        begun = begin_hypotheses(self.encoder, lay_flat(rows, self.device), self.decoupled_layers)
        lengths = [len(row) for row in rows]
        return list(begun[: sum(lengths)].split(lengths))

    def _cosines(self, texts: TextStates, rows: Sequence[Tuple[int, HypothesisRow]]) -> Tensor:
        """Cosine of each hypothesis and its text. RETURNS (Tensor): Shape (hypotheses,)."""
        distinct = list({id(row): row for _, row in rows}.values())
        if self.training and not self.learn_similarity:
            if self.anchor is not None and random.random() < HELD_SHARE:
                self.anchor.hold(texts.rows, texts.pooled(), 1.0 / HELD_SHARE)
                held = self._embedded([piece for row in distinct for piece in row.pieces][:HELD_HYPOTHESES])
                self.anchor.hold(held.rows, held.pooled(), 1.0 / HELD_SHARE)
            with torch.no_grad():
                known, vectors = self._hypothesis_vectors(distinct), texts.pooled()
        else:
            known, vectors = self._hypothesis_vectors(distinct), texts.pooled()
            if self.training and self.anchor is not None:
                self.anchor.hold(texts.rows, vectors)
        cosines = [known[id(row)] @ vectors[text] for text, row in rows]
        return torch.cat(cosines)

    def _sides(self, classes: int) -> Tensor:
        """Similarity speaks for entailment with one half and against the other classes with the other."""
        sides = torch.full((classes,), -0.5, device=self.device)
        sides[self.entailment] = 0.5
        return sides

    def _hypothesis_vectors(self, rows: Sequence[HypothesisRow]) -> Dict[int, Tensor]:
        """Sentence embeddings of hypotheses read on their own, remembered between passes unless in training.

        rows (Sequence[HypothesisRow]): The rows.
        RETURNS (Dict[int, Tensor]): By the row's id, shape (hypotheses, width).
        """
        pieces = [piece for row in rows for piece in row.pieces]
        cache = VectorCache() if self.training else self._vectors
        found = iter(cache.of(pieces, self._embed))
        return {id(row): torch.stack([next(found) for _ in row.pieces]) for row in rows}

    def _embed(self, pieces: Sequence[Pieces]) -> Tensor:
        texts = self._embedded(pieces)
        vectors = texts.pooled()
        if self.training and self.anchor is not None and self.learn_similarity:
            self.anchor.hold(texts.rows, vectors)
        return vectors

    def _embedded(self, pieces: Sequence[Pieces]) -> TextStates:
        frame = self.tokens.frame
        rows = [np.concatenate([frame.prefix, piece.ids, frame.middle]) for piece in pieces]
        return encode_texts(self.encoder, lay_flat(rows, self.device))
