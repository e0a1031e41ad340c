"""Sentence embeddings by any encoder of transformers, pooled as its checkpoint says in sentence-transformers' files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from thinc.types import Ints1d
from torch import Tensor

from ..errors import ZeroShotError
from .batching import EVENNESS, pad
from .checkpoint import Checkpoint
from .device import to_device
from .tokenization import PairTokenizer

MODULES, POOLING, LIMITS = "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"
# Embeddings are always brought to length one, so whether a checkpoint asks for that makes no difference.
KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")
# Sums over the root of the length point where means do.
MODES = {"mean_tokens": "mean", "mean_sqrt_len_tokens": "mean", "cls_token": "cls"}
MODES |= {"mean": "mean", "mean_sqrt_len": "mean", "cls": "cls"}


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
