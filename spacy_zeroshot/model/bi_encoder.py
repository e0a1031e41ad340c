"""Similarity: text and hypothesis are embedded on their own, and their cosine is the evidence."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from thinc.types import Ints1d
from torch import Tensor

from ..errors import ZeroShotError
from .batching import Batch, HypothesisSet, PairScorer, TextEncoder, Window, ranges, sorted_slices
from .cache import Cache, n_bytes
from .checkpoint import Checkpoint, Source, max_positions, not_loaded
from .cross_encoder import MeanEncoder
from .device import to_device
from .tokenization import PairTokenizer
from .types import DECOMPOSED

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


class Pooling(NamedTuple):
    """What becomes of an encoder's last states."""

    mode: str = "mean"  # over all tokens; or "cls", the first token's state
    max_length: int | None = None  # tokens the checkpoint was made for, None for all its positions


class PooledEncoder(MeanEncoder):
    """Any encoder of transformers with the pooling that its checkpoint names. A TextEncoder."""

    def __init__(self, checkpoint: Checkpoint, tokenizer: PairTokenizer, pooling: Pooling, multiple: int, name: str):
        super().__init__(checkpoint, tokenizer, multiple, name)
        self.pooling = pooling
        self.max_length = min(self.max_length, pooling.max_length or self.max_length)
        self.max_tokens = self.max_length - sum(map(len, tokenizer.single))

    def pool(self, states: Tensor, seen: Tensor) -> Tensor:
        return states[:, 0] if self.pooling.mode == "cls" else super().pool(states, seen)


class SimilarityInputs(NamedTuple):
    texts: list[Ints1d]  # wordpieces
    hypotheses: list[Ints1d]  # wordpieces, set after set
    text_of_pair: Tensor  # (pairs,)
    hypothesis_of_pair: Tensor  # (pairs,)


class BiEncoder:
    """Scores by the cosine of embeddings (Reimers and Gurevych, 2019). A PairScorer.

    The evidence for a hypothesis is cosine / temperature, that against it midpoint / temperature. A text costs the
    same for any number of labels, as embeddings of hypotheses are remembered.
    """

    classes = 2
    text_passes = "once for all labels"

    def __init__(self, encoder: TextEncoder, device: torch.device, temperature: float, midpoint: float):
        self.encoder = encoder
        self.device = device
        self.temperature = temperature
        self.midpoint = midpoint
        # packed sequences may be more
        self.cpu_tokens = 1024 if isinstance(encoder, PooledEncoder) else 4096
        self._embeddings: Cache[bytes, Tensor] = Cache(HYPOTHESIS_BYTES, n_bytes)

    def max_premise_tokens(self, longest_hypothesis: int) -> int:
        # a hypothesis takes no room from the text, but has to fit itself
        room = self.encoder.max_tokens
        return room if longest_hypothesis <= room else 0

    def batches(self, windows: Sequence[Window], sets: Sequence[HypothesisSet], budget: int) -> Iterator[Batch]:
        lengths = np.fromiter((len(window.ids) + 2 for window in windows), "int64", len(windows))
        set_of = np.fromiter((window.set for window in windows), "int64", len(windows))
        firsts = np.fromiter((window.first for window in windows), "int64", len(windows))
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
        texts, hypotheses = self.encoder.embed_batch(inputs.texts), self._embed(inputs.hypotheses)
        cosines = (texts @ hypotheses.T)[inputs.text_of_pair, inputs.hypothesis_of_pair]
        return torch.stack([cosines, torch.full_like(cosines, self.midpoint)], dim=1) / self.temperature

    def forget(self) -> None:
        self._embeddings.clear()

    def _embed(self, hypotheses: Sequence[Ints1d]) -> Tensor:
        """Embeddings of hypotheses, remembered. RETURNS (Tensor): Shape (hypotheses, width)."""

        def embed(keys: Sequence[bytes]) -> list[Tensor]:
            pieces = [np.frombuffer(key, dtype="int64") for key in keys]
            found: dict[int, Tensor] = {}
            for chosen in sorted_slices([len(piece) + 2 for piece in pieces], self.cpu_tokens, self.encoder.evenness):
                # cloned: a view would keep the whole batch
                vectors = self.encoder.embed_batch([pieces[i] for i in chosen])
                found.update((i, vector.clone()) for i, vector in zip(chosen, vectors, strict=True))
            return [found[i] for i in range(len(pieces))]

        return torch.stack(self._embeddings.compute([piece.tobytes() for piece in hypotheses], embed))


def make_bi_encoder(
    checkpoint: Checkpoint,
    tokenizer: PairTokenizer,
    source: Source,
    temperature: float | None,
    midpoint: float | None,
    multiple: int,
) -> BiEncoder:
    """The scorer of any encoder, or of the bundled model's. temperature, midpoint: None for what fits the checkpoint.

    RAISES (ZeroShotError): Z240 for a pooling that is not known, Z020 if the Hub fails.
    """
    module = checkpoint.module
    device = next(module.parameters()).device
    encoder: TextEncoder
    scale, center = TEMPERATURE, MIDPOINT
    if checkpoint.config.model_type == DECOMPOSED:
        from .decomposed import PackedTextEncoder

        encoder = PackedTextEncoder(module.encoder, tokenizer, max_positions(module, checkpoint.tokenizer), multiple)
        slope, offset, _ = checkpoint.config.similarity
        if slope > 0:
            scale, center = 1.0 / slope, -offset / slope
    else:
        pooling = read_pooling(source.pinned(checkpoint.config))
        encoder = PooledEncoder(checkpoint, tokenizer, pooling, multiple, source.name)
    return BiEncoder(
        encoder, device, scale if temperature is None else temperature, center if midpoint is None else midpoint
    )


def read_pooling(source: Source) -> Pooling:
    """Read a checkpoint's pooling as sentence-transformers writes it. Without a word of it, it is the mean.

    RAISES (ZeroShotError): Z240 for another pooling, or for further layers after it; Z020 if the Hub fails.
    """
    path = POOLING
    for module in _read_json(source, MODULES) or []:
        kind = str(module.get("type", "")).rpartition(".")[-1]
        if kind not in KNOWN_MODULES:
            raise ZeroShotError("Z240", name=source.name, reason=f"its {MODULES} names a further layer, {kind}")
        if kind == "Pooling":
            path = f"{module['path']}/config.json"
    config, prefix = _read_json(source, path) or {}, "pooling_mode_"
    wanted = [key[len(prefix) :] for key, value in config.items() if key.startswith(prefix) and value is True]
    wanted = wanted or [str(config.get("pooling_mode", "mean"))]
    if len(wanted) > 1 or wanted[0] not in MODES:
        raise ZeroShotError("Z240", name=source.name, reason=f"its pooling is {' and '.join(wanted)}")
    limits = _read_json(source, LIMITS) or {}
    return Pooling(MODES[wanted[0]], limits.get("max_seq_length"))


def save_pooling(scorer: PairScorer, folder: Path) -> None:
    """Write the pooling so that this package and sentence-transformers read it; the bundled layout has none."""
    encoder = scorer.encoder
    if not isinstance(encoder, PooledEncoder):
        return
    mode, max_length = encoder.pooling
    modules = [
        {"idx": i, "name": str(i), "path": f"{i}_{name}" if i else "", "type": f"sentence_transformers.models.{name}"}
        for i, name in enumerate(KNOWN_MODULES)
    ]
    config = {
        "word_embedding_dimension": encoder.module.config.hidden_size,
        "pooling_mode_cls_token": mode == "cls",
        "pooling_mode_mean_tokens": mode == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    for name, content in ((MODULES, modules), (POOLING, config), (LIMITS, {"max_seq_length": max_length})):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf8")


def _read_json(source: Source, name: str) -> Any:
    """A file's content, None if the checkpoint does not have it."""
    path = Path(source.location) / name if source.is_folder else _fetch(source, name)
    if path is None or not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except ValueError as error:
        raise ZeroShotError("Z240", name=source.name, reason=f"its {name} is not JSON ({error})") from error


def _fetch(source: Source, name: str) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    offline = source.local_files_only
    try:
        return Path(hf_hub_download(source.location, name, revision=source.revision, local_files_only=offline))
    except EntryNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise not_loaded(source, error) from error
