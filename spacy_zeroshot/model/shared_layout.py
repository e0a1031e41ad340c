"""Passes of the shared-premise layout, and the two kinds of evidence in one logit."""

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from .layouts import Item, Pass, sorted_slices
from .shared_premise import Rows, TextStates, classify, encode_hypotheses, encode_texts, lay_flat, segment_mean
from .tokens import CACHE_SIZE, Pieces, Tokens

SHARED_PREMISE = "shared_premise"
# Encoders with BERT's layers and absolute positions
SUPPORTED = ("bert", "roberta", "xlm-roberta", "camembert")
# Tokens of hypotheses in one row. A row's hypotheses are masked from each other, so a longer row wastes more of its
# attention on masked places; a shorter one reads the text's keys more often.
ROW_TOKENS = 128
# Only attention is padded, so slices may be more uneven than a stock model's.
EVENNESS = 0.7


class HypothesisRow(NamedTuple):
    """Hypotheses that lie in one row and read one text.

    text (int): The text's number in the pass.
    pieces (Tuple[Pieces, ...]): The hypotheses.
    """

    text: int
    pieces: Tuple[Pieces, ...]


class SharedBatch(NamedTuple):
    """One pass.

    texts (List[np.ndarray]): Token ids of each premise window.
    rows (List[HypothesisRow]): All their hypotheses, text by text.
    """

    texts: List[np.ndarray]
    rows: List[HypothesisRow]


class SharedPremiseLayout(nn.Module):
    """Scores all hypotheses of a text with one pass over the text.

    module (PreTrainedModel): A BERT-like sequence classification model trained with this layout.
    tokens (Tokens): Its tokenizer.
    max_length (int): Tokens a text and its longest hypothesis may have together.
    multiple (int): Flat tokens are filled up to a multiple of this.
    similarity (Optional[Sequence[float]]): Scale and offset of the cosine in the logit, None for entailment only.
    entailment (int): The head's class that means entailment.
    """

    def __init__(
        self,
        module: Any,
        tokens: Tokens,
        max_length: int,
        multiple: int = 1,
        similarity: Optional[Sequence[float]] = None,
        entailment: int = 1,
    ):
        super().__init__()
        self.module = module
        self.tokens = tokens
        self.max_length = max_length
        self.multiple = multiple
        self.entailment = entailment
        self.similarity = None if similarity is None else nn.Parameter(torch.tensor(list(similarity)).float())
        self.anchor: Optional[Anchor] = None
        self._vectors: Dict[bytes, Tensor] = {}

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
        tail = len(self.tokens.frame.suffix)
        lengths = [
            edges + len(item.premise) + sum(len(piece.ids) + tail for piece in item.hypotheses) for item in items
        ]
        for chosen in sorted_slices(lengths, budget, EVENNESS):
            batch = [items[i] for i in chosen]
            pairs = np.concatenate([np.arange(i.first, i.first + len(i.hypotheses)) for i in batch])
            rows = [
                HypothesisRow(text, pieces)
                for text, item in enumerate(batch)
                for pieces in _cut_rows(item.hypotheses, tail)
            ]
            yield Pass(pairs, SharedBatch([item.premise for item in batch], rows))

    def forward(self, batch: SharedBatch) -> Tensor:
        frame = self.tokens.frame
        rows = [np.concatenate([frame.prefix, text, frame.middle]) for text in batch.texts]
        texts = encode_texts(self.encoder, self._flat(rows, [0] * len(rows)))
        logits = self._entailment(texts, [len(row) for row in rows], batch.rows)
        if self.similarity is None:
            return logits
        vectors = texts.pooled()
        if self.training and self.anchor is not None:
            self.anchor.hold(texts.rows, vectors)
        text_of_pair = np.repeat([row.text for row in batch.rows], [len(row.pieces) for row in batch.rows])
        chosen = vectors[torch.from_numpy(text_of_pair).to(self.device)]
        hypotheses = self._hypothesis_vectors([piece for row in batch.rows for piece in row.pieces])
        cosines = (chosen * hypotheses).sum(-1)
        similar = self.similarity[0] * cosines + self.similarity[1]
        return logits + self._sides(logits.shape[-1]) * similar.unsqueeze(-1)

    def forget(self) -> None:
        """Drop the cached embeddings of hypotheses: the weights have changed."""
        self._vectors = {}

    def _entailment(self, texts: TextStates, lengths: Sequence[int], rows: Sequence[HypothesisRow]) -> Tensor:
        """The head's logits on every hypothesis. RETURNS (Tensor): Shape (hypotheses, classes), float32."""
        suffix = np.asarray(self.tokens.frame.suffix, dtype="int64")
        pieces = [np.concatenate([piece.ids, suffix]) for row in rows for piece in row.pieces]
        sizes = np.asarray([len(piece) for piece in pieces])
        counts = [len(row.pieces) for row in rows]
        # positions restart after the text for each hypothesis
        starts = np.repeat([lengths[row.text] for row in rows], counts)
        positions = [np.arange(start, start + size) for start, size in zip(starts, sizes)]
        ends = np.cumsum(counts)
        ids = [np.concatenate(pieces[end - n : end]) for end, n in zip(ends, counts)]
        row_positions = [np.concatenate(positions[end - n : end]) for end, n in zip(ends, counts)]
        flat = self._flat(ids, row_positions)
        hypothesis = np.full(len(flat.ids), len(pieces), dtype="int64")
        hypothesis[: sizes.sum()] = np.repeat(np.arange(len(pieces)), sizes)
        hypothesis_of_token = torch.from_numpy(hypothesis).to(self.device)
        text_of_row = torch.tensor([row.text for row in rows], device=self.device)
        states = encode_hypotheses(self.encoder, texts, flat, text_of_row, hypothesis_of_token)
        return classify(self.module, segment_mean(states, hypothesis_of_token, len(pieces))).float()

    def _sides(self, classes: int) -> Tensor:
        """Similarity speaks for entailment with one half and against the other classes with the other."""
        sides = torch.full((classes,), -0.5, device=self.device)
        sides[self.entailment] = 0.5
        return sides

    def _hypothesis_vectors(self, pieces: Sequence[Pieces]) -> Tensor:
        """Sentence embeddings of hypotheses read on their own. RETURNS (Tensor): Shape (n, width)."""
        keys = [piece.ids.tobytes() for piece in pieces]
        known = {} if self.training else self._vectors
        missing = {key: piece for key, piece in zip(keys, pieces) if key not in known}
        if missing:
            known = {**known, **dict(zip(missing, self._embed(list(missing.values()))))}
            if not self.training:
                # replaced in one step, so that threads see either the old or the new
                self._vectors = known if len(known) <= CACHE_SIZE else {}
        numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        distinct = torch.stack([known[key] for key in numbers])
        return distinct[torch.tensor([numbers[key] for key in keys], device=self.device)]

    def _embed(self, pieces: Sequence[Pieces]) -> Tensor:
        frame = self.tokens.frame
        rows = [np.concatenate([frame.prefix, piece.ids, frame.middle]) for piece in pieces]
        texts = encode_texts(self.encoder, self._flat(rows, [0] * len(rows)))
        vectors = texts.pooled()
        if self.training and self.anchor is not None:
            self.anchor.hold(texts.rows, vectors)
        return vectors

    def _flat(self, rows: Sequence[np.ndarray], starts: Sequence[Any]) -> Rows:
        return lay_flat(rows, starts, self.multiple, self.device)


class Anchor:
    """Keeps the encoder's sentence embeddings near those it started with, as it learns entailment.

    Fine-tuning on entailment alone makes an encoder forget topics. The loss is the mean cosine distance between
    the embedding now and at the start, on the texts and hypotheses of each update.

    encoder (PreTrainedModel): The encoder as it started; a copy of its own, never changed.
    weight (float): Weight of the loss.
    """

    def __init__(self, encoder: Any, weight: float):
        self.encoder = encoder.eval().requires_grad_(False)
        self.weight = weight
        self._distances: List[Tensor] = []

    def hold(self, rows: Rows, vectors: Tensor) -> None:
        """Compare embeddings with those of the start.

        rows (Rows): The tokens that were embedded.
        vectors (Tensor): Shape (n, width): the embeddings now, of length one.
        """
        with torch.no_grad():
            start = encode_texts(self.encoder, rows).pooled()
        self._distances.append(1.0 - (start * vectors).sum(-1))

    def loss(self) -> Optional[Tensor]:
        """The loss over all held since the last call. RETURNS (Optional[Tensor]): A scalar; None if nothing was."""
        if not self._distances:
            return None
        loss = self.weight * torch.cat(self._distances).mean()
        self._distances = []
        return loss


def _cut_rows(pieces: Tuple[Pieces, ...], tail: int) -> Iterator[Tuple[Pieces, ...]]:
    """Cut a text's hypotheses into rows of at most ROW_TOKENS tokens, of at least one hypothesis."""
    row: List[Pieces] = []
    size = 0
    for piece in pieces:
        if row and size + len(piece.ids) + tail > ROW_TOKENS:
            yield tuple(row)
            row, size = [], 0
        row.append(piece)
        size += len(piece.ids) + tail
    if row:
        yield tuple(row)
