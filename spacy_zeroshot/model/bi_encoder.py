"""Similarity: text and hypothesis are embedded on their own, and their cosine is the evidence."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from thinc.types import Ints1d
from torch import Tensor

from .batching import Batch, HypothesisSet, TextEncoder, Window, ranges, sorted_slices
from .cache import Cache, n_bytes
from .checkpoint import Checkpoint
from .decomposed import DecomposedScorer
from .device import to_device
from .pooling import PooledEncoder, read_pooling
from .tokenization import PairTokenizer
from .types import ModelSpec

# Bytes of embeddings of hypotheses that are kept
HYPOTHESIS_BYTES = 32 << 20
# Cosines of most sentence encoders differ by tenths between labels.
TEMPERATURE, MIDPOINT = 0.05, 0.2


class SimilarityInputs(NamedTuple):
    texts: list[Ints1d]  # wordpieces
    hypotheses: list[Ints1d]  # wordpieces, set after set
    text_of_pair: Tensor  # (pairs,)
    hypothesis_of_pair: Tensor  # (pairs,)


class BiEncoder:
    """Scores by the cosine of embeddings (Reimers and Gurevych, 2019). A PairScorer."""

    classes = 2
    text_passes = "once for all labels"
    encoder: TextEncoder

    def __init__(self, checkpoint: Checkpoint, tokenizer: PairTokenizer, spec: ModelSpec, multiple: int):
        self.tokenizer = tokenizer
        temperature, midpoint = TEMPERATURE, MIDPOINT
        if checkpoint.is_decomposed:
            self.encoder = DecomposedScorer(checkpoint.module, tokenizer, checkpoint.max_length, multiple)
            scale, offset, _ = checkpoint.config.similarity
            if scale > 0:
                temperature, midpoint = 1.0 / scale, -offset / scale
        else:
            pooling = read_pooling(checkpoint.folder, checkpoint.name)
            self.encoder = PooledEncoder(checkpoint, tokenizer, multiple, pooling)
        self.cpu_tokens = self.encoder.cpu_tokens
        self.device = checkpoint.device
        self.temperature = temperature if spec.temperature is None else spec.temperature
        self.midpoint = midpoint if spec.midpoint is None else spec.midpoint
        self._embeddings: Cache[bytes, Tensor] = Cache(HYPOTHESIS_BYTES, n_bytes)
        self.recent_texts: Cache[bytes, Tensor] = Cache(0, n_bytes)

    def max_premise_tokens(self, longest_hypothesis: int) -> int:
        # a hypothesis takes no room from the text, but has to fit itself
        return self.encoder.max_tokens if longest_hypothesis <= self.encoder.max_tokens else 0

    def batches(self, windows: Sequence[Window], sets: Sequence[HypothesisSet], budget: int) -> Iterator[Batch]:
        lengths = np.array([len(window.ids) + 2 for window in windows], dtype="int64")
        set_of = np.array([window.set for window in windows], dtype="int64")
        firsts = np.array([window.first for window in windows])
        for chosen in sorted_slices(lengths, budget, self.encoder.evenness):
            used, row_of = np.unique(set_of[chosen], return_inverse=True)
            sizes = np.array([len(sets[number].pieces) for number in used])
            counts = sizes[row_of]
            inputs = SimilarityInputs(
                [windows[i].ids for i in chosen],
                [piece for number in used for piece in sets[number].pieces],
                to_device(np.repeat(np.arange(len(chosen)), counts), self.device),
                to_device(ranges((np.cumsum(sizes) - sizes)[row_of], counts), self.device),
            )
            yield Batch(ranges(firsts[chosen], counts), inputs, int(lengths[chosen].sum()))

    def forward(self, batch: Batch) -> Tensor:
        inputs: SimilarityInputs = batch.inputs
        hypotheses, kept = self._embed(inputs.hypotheses, self._embeddings), self.recent_texts
        texts = self._embed(inputs.texts, kept) if kept.limit else self.encoder.embed_batch(inputs.texts)
        cosines = (texts @ hypotheses.T)[inputs.text_of_pair, inputs.hypothesis_of_pair]
        return torch.stack([cosines, torch.full_like(cosines, self.midpoint)], dim=1) / self.temperature

    def forget(self) -> None:
        self._embeddings.clear()
        self.recent_texts.clear()

    def _embed(self, sequences: Sequence[Ints1d], cache: Cache[bytes, Tensor]) -> Tensor:
        """Embeddings of wordpieces, shape (sequences, width), remembered."""

        def embed(keys: Sequence[bytes]) -> list[Tensor]:
            pieces = [np.frombuffer(key, dtype="int64") for key in keys]
            found: dict[int, Tensor] = {}
            for chosen in sorted_slices([len(piece) + 2 for piece in pieces], self.cpu_tokens, self.encoder.evenness):
                # cloned: a view would keep the whole batch
                vectors = self.encoder.embed_batch([pieces[i] for i in chosen])
                found.update((i, vector.clone()) for i, vector in zip(chosen, vectors, strict=True))
            return [found[i] for i in range(len(pieces))]

        return torch.stack(cache.compute([piece.tobytes() for piece in sequences], embed))
