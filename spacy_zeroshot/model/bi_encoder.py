"""Similarity: text and hypothesis are embedded on their own, and their cosine is the evidence. The encoder is the
bundled one, or any of transformers, pooled as its checkpoint says in sentence-transformers' files."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from thinc.types import Ints1d
from torch import Tensor

from ..errors import ZeroShotError
from .batching import EVENNESS, Batch, HypothesisSet, TextEncoder, Window, pad, ranges, sorted_slices
from .cache import Cache, n_bytes
from .checkpoint import Checkpoint
from .decomposed import DecomposedScorer
from .device import to_device
from .tokenization import PairTokenizer
from .types import ModelSpec

# Bytes of embeddings of hypotheses that are kept
HYPOTHESIS_BYTES = 32 << 20
# Cosines of most sentence encoders differ by tenths between labels.
TEMPERATURE, MIDPOINT = 0.05, 0.2
MODULES, POOLING, LIMITS = "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"
# Embeddings are always brought to length one, so whether a checkpoint asks for that makes no difference.
KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")
# Sums over the root of the length point where means do.
MODES = {"mean_tokens": "mean", "mean_sqrt_len_tokens": "mean", "cls_token": "cls"}
MODES |= {"mean": "mean", "mean_sqrt_len": "mean", "cls": "cls"}


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


@dataclass(frozen=True)
class Pooling:
    """What becomes of an encoder's last states."""

    mode: str = "mean"  # over all tokens; or "cls", the first token's state
    max_length: int | None = None  # tokens the checkpoint was made for, None for all its positions
    files: dict[str, bytes] = field(default_factory=dict, compare=False)  # what says so, to be saved with it


MEAN = Pooling()


class PooledEncoder:
    """Sentence embeddings by a model of transformers, but no encoder-decoder. A TextEncoder."""

    evenness = EVENNESS
    cpu_tokens = 1024

    def __init__(self, checkpoint: Checkpoint, tokenizer: PairTokenizer, multiple: int, pooling: Pooling = MEAN):
        if getattr(checkpoint.config, "is_encoder_decoder", False):
            reason = f"a {checkpoint.config.model_type} model has a decoder"
            raise ZeroShotError("Z240", name=checkpoint.name, reason=reason)
        self.module = checkpoint.module.base_model
        self.tokenizer = tokenizer
        self.multiple = min(multiple, 8)
        self.pooling = pooling
        self.max_length = min(checkpoint.max_length, pooling.max_length or checkpoint.max_length)
        self.max_tokens = self.max_length - sum(map(len, tokenizer.single))

    def embed_batch(self, texts: Sequence[Ints1d]) -> Tensor:
        rows = [self.tokenizer.add_special_tokens(text) for text in texts]
        ids, mask = pad(rows, self.tokenizer.pad_id, self.multiple, self.max_length)
        seen = to_device(mask, self.module.device)
        states = self.module(input_ids=to_device(ids, seen.device), attention_mask=seen).last_hidden_state.float()
        if self.pooling.mode == "cls":
            return F.normalize(states[:, 0], dim=-1)
        weights = seen.unsqueeze(-1).float()
        return F.normalize((states * weights).sum(1) / weights.sum(1), dim=-1)


def read_pooling(folder: Path, name: str) -> Pooling:
    """Read a checkpoint's pooling as sentence-transformers writes it. Without a word of it, it is the mean."""
    files: dict[str, bytes] = {}

    def read(path: str) -> Any:
        if not (folder / path).is_file():
            return None
        files[path] = (folder / path).read_bytes()
        try:
            return json.loads(files[path])
        except ValueError as error:
            raise ZeroShotError("Z240", name=name, reason=f"its {path} is not JSON ({error})") from error

    path = POOLING
    for module in read(MODULES) or []:
        kind = str(module.get("type", "")).rpartition(".")[-1]
        if kind not in KNOWN_MODULES:
            raise ZeroShotError("Z240", name=name, reason=f"its {MODULES} names a further layer, {kind}")
        if kind == "Pooling":
            path = f"{module['path']}/config.json"
    config, prefix = read(path) or {}, "pooling_mode_"
    wanted = [key.removeprefix(prefix) for key, value in config.items() if key.startswith(prefix) and value is True]
    wanted = wanted or [str(config.get("pooling_mode", "mean"))]
    if len(wanted) > 1 or wanted[0] not in MODES:
        raise ZeroShotError("Z240", name=name, reason=f"its pooling is {' and '.join(wanted)}")
    return Pooling(MODES[wanted[0]], (read(LIMITS) or {}).get("max_seq_length"), files)
