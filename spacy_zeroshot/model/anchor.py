"""What keeps an encoder from forgetting topics while it learns entailment."""

from typing import Any, List, Optional

import torch
from torch import Tensor

from .flat_rows import Rows
from .shared_premise import encode_texts


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

    def hold(self, rows: Rows, vectors: Tensor, times: float = 1.0) -> None:
        """Compare embeddings with those of the start.

        rows (Rows): The tokens that were embedded.
        vectors (Tensor): Shape (n, width): the embeddings now, of length one.
        times (float): What their distances count, above 1 where only a sample is held.
        """
        with torch.no_grad():
            start = encode_texts(self.encoder, rows).pooled()
        self._distances.append(times * (1.0 - (start * vectors).sum(-1)))

    def loss(self) -> Optional[Tensor]:
        """The loss over all held since the last call. RETURNS (Optional[Tensor]): A scalar; None if nothing was."""
        if not self._distances:
            return None
        loss = self.weight * torch.cat(self._distances).mean()
        self._distances = []
        return loss
