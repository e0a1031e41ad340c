"""Sentence embeddings by any encoder of transformers, pooled as its checkpoint says in sentence-transformers' files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from thinc.types import Ints1d
from torch import Tensor

from ..errors import ZeroShotError
from .batching import EVENNESS, TextEncoder, pad
from .checkpoint import Checkpoint
from .device import to_device
from .tokenization import PairTokenizer

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
    path = POOLING
    for module in _read_json(folder / MODULES, name) or []:
        kind = str(module.get("type", "")).rpartition(".")[-1]
        if kind not in KNOWN_MODULES:
            raise ZeroShotError("Z240", name=name, reason=f"its {MODULES} names a further layer, {kind}")
        if kind == "Pooling":
            path = f"{module['path']}/config.json"
    config, prefix = _read_json(folder / path, name) or {}, "pooling_mode_"
    wanted = [key.removeprefix(prefix) for key, value in config.items() if key.startswith(prefix) and value is True]
    wanted = wanted or [str(config.get("pooling_mode", "mean"))]
    if len(wanted) > 1 or wanted[0] not in MODES:
        raise ZeroShotError("Z240", name=name, reason=f"its pooling is {' and '.join(wanted)}")
    return Pooling(MODES[wanted[0]], (_read_json(folder / LIMITS, name) or {}).get("max_seq_length"))


def save_pooling(encoder: TextEncoder, folder: Path) -> None:
    """Write the pooling so that this package and sentence-transformers read it; the bundled layout has none."""
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


def _read_json(path: Path, name: str) -> Any:
    """A file's content, None if the checkpoint does not have it."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except ValueError as error:
        raise ZeroShotError("Z240", name=name, reason=f"its {path.name} is not JSON ({error})") from error
