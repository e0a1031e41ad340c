"""Passes of the similarity classifier: texts are embedded, hypotheses remembered."""

from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from thinc.types import Ints1d
from torch import Tensor

from .encoder import SentenceEncoder
from .layouts import Item, Pass
from .tokens import Pieces
from .vector_cache import VectorCache

# Matrices of label sets that are kept: those of documents with labels of their own may be many.
MATRICES = 32


class SimilarityBatch(NamedTuple):
    """One pass.

    texts (List[Ints1d]): Token ids of each window.
    hypotheses (List[Tuple[Pieces, ...]]): Each window's hypotheses.
    budget (int): Tokens that go through the encoder together.
    """

    texts: List[Ints1d]
    hypotheses: List[Tuple[Pieces, ...]]
    budget: int


class SimilarityLayout:
    """Compares each text with its hypotheses by the cosine of their embeddings.

    encoder (SentenceEncoder): The encoder.
    temperature (float): What cosines are divided by.
    midpoint (float): The cosine that speaks neither for nor against a hypothesis.
    """

    def __init__(self, encoder: SentenceEncoder, temperature: float, midpoint: float):
        self.encoder = encoder
        self.temperature = temperature
        self.midpoint = midpoint
        self._vectors = VectorCache()
        self._matrices: Dict[Tuple[bytes, ...], Tensor] = {}

    def room(self, longest: int) -> int:
        # a hypothesis takes no room from the text, but has to fit itself
        return self.encoder.room if longest < self.encoder.room else 0

    def passes(self, items: Sequence[Item], budget: int) -> Iterator[Pass]:
        for slice_ in self.encoder.slices([item.premise for item in items], budget):
            batch = [items[i] for i in slice_.chosen]
            pairs = np.concatenate([np.arange(i.first, i.first + len(i.hypotheses)) for i in batch])
            tokens = sum(len(self.encoder.tokens.ends.around(text)) for text in slice_.texts)
            yield Pass(pairs, SimilarityBatch(slice_.texts, [item.hypotheses for item in batch], budget), tokens)

    def forward(self, batch: SimilarityBatch) -> Tensor:
        """Run one pass.

        batch (SimilarityBatch): The texts.
        RETURNS (Tensor): Shape (pairs, 2): the cosine, and the midpoint, both divided by the temperature.
        """
        texts = self.encoder.vectors(batch.texts)
        rows: Dict[int, List[int]] = {}
        for row, hypotheses in enumerate(batch.hypotheses):
            rows.setdefault(id(hypotheses), []).append(row)
        found: Dict[int, Tensor] = {}
        for chosen in rows.values():
            cosines = texts[chosen] @ self._matrix(batch.hypotheses[chosen[0]], batch.budget).T
            found.update(zip(chosen, cosines))
        cosine = torch.cat([found[row] for row in range(len(batch.texts))])
        return torch.stack([cosine, torch.full_like(cosine, self.midpoint)], dim=1) / self.temperature

    def _matrix(self, hypotheses: Tuple[Pieces, ...], budget: int) -> Tensor:
        """RETURNS (Tensor): Shape (hypotheses, width): their embeddings."""
        key = tuple(piece.ids.tobytes() for piece in hypotheses)
        matrix = self._matrices.get(key)
        if matrix is None:
            matrix = torch.stack(self._vectors.of(hypotheses, lambda pieces: self._embed(pieces, budget)))
            kept = self._matrices if len(self._matrices) < MATRICES else {}
            # replaced in one step, so that threads see either the old or the new
            self._matrices = {**kept, key: matrix}
        return matrix

    def _embed(self, pieces: Sequence[Pieces], budget: int) -> Tensor:
        vectors: Dict[int, Tensor] = {}
        for slice_ in self.encoder.slices([piece.ids for piece in pieces], budget):
            vectors.update(zip(slice_.chosen, self.encoder.vectors(slice_.texts)))
        return torch.stack([vectors[i] for i in range(len(pieces))])
