"""How a checkpoint's last states become one sentence embedding, as sentence-transformers writes it down."""

import json
from pathlib import Path
from typing import Any, Dict, Literal, NamedTuple, Optional

from ..errors import ZeroShotError
from .checkpoint import not_loaded
from .source import Source

Mode = Literal["mean", "cls"]
MODULES, POOLING, LIMITS = "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"
# Embeddings are always brought to length one, so whether a checkpoint asks for that makes no difference.
KNOWN_MODULES = ("Transformer", "Pooling", "Normalize")
# Sums over the root of the length point where means do.
MODES: Dict[str, Mode] = {
    "mean_tokens": "mean",
    "mean_sqrt_len_tokens": "mean",
    "cls_token": "cls",
    "mean": "mean",
    "mean_sqrt_len": "mean",
    "cls": "cls",
}


class Pooling(NamedTuple):
    """What becomes of an encoder's last states.

    mode (Mode): "mean" over all tokens, or "cls", the first token's state.
    max_length (Optional[int]): Tokens the checkpoint was made for, None for all its positions.
    """

    mode: Mode = "mean"
    max_length: Optional[int] = None


def read_pooling(source: Source) -> Pooling:
    """Read a checkpoint's pooling. Without a word of it, it is the mean.

    source (Source): The checkpoint, its revision pinned.
    RETURNS (Pooling): The pooling.
    RAISES (ZeroShotError): Z240 for another pooling, or for further layers after it; Z020 if the Hub fails.
    """
    path = POOLING
    for module in _read_json(source, MODULES) or []:
        kind = str(module.get("type", "")).rpartition(".")[-1]
        if kind not in KNOWN_MODULES:
            raise _refused(source, f"its {MODULES} names a further layer, {kind}")
        if kind == "Pooling":
            path = f"{module['path']}/config.json"
    limits = _read_json(source, LIMITS) or {}
    return Pooling(_mode(_read_json(source, path) or {}, source), limits.get("max_seq_length"))


def write_pooling(pooling: Pooling, width: int, folder: Path) -> None:
    """Write a pooling so that this package and sentence-transformers read it.

    pooling (Pooling): The pooling.
    width (int): Of the embeddings.
    folder (Path): The checkpoint's folder.
    """
    names = ("Transformer", "Pooling", "Normalize")
    modules = [
        {"idx": i, "name": str(i), "path": f"{i}_{name}" if i else "", "type": f"sentence_transformers.models.{name}"}
        for i, name in enumerate(names)
    ]
    config = {
        "word_embedding_dimension": width,
        "pooling_mode_cls_token": pooling.mode == "cls",
        "pooling_mode_mean_tokens": pooling.mode == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    for name, content in ((MODULES, modules), (POOLING, config), (LIMITS, {"max_seq_length": pooling.max_length})):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf8")


def _mode(config: Dict[str, Any], source: Source) -> Mode:
    prefix = "pooling_mode_"
    wanted = [name[len(prefix) :] for name, value in config.items() if name.startswith(prefix) and value is True]
    if isinstance(config.get("pooling_mode"), str):
        wanted.append(config["pooling_mode"])
    if not wanted:
        return "mean"
    if len(wanted) > 1 or wanted[0] not in MODES:
        raise _refused(source, f"its pooling is {' and '.join(wanted)}")
    return MODES[wanted[0]]


def _read_json(source: Source, name: str) -> Any:
    """RETURNS (Any): A file's content, None if the checkpoint does not have it."""
    path = Path(source.location) / name if source.is_folder else _fetch(source, name)
    if path is None or not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except ValueError as reason:
        raise _refused(source, f"its {name} is not JSON ({reason})") from reason


def _fetch(source: Source, name: str) -> Optional[Path]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(
            hf_hub_download(source.location, name, revision=source.revision, local_files_only=source.local_files_only)
        )
    except EntryNotFoundError:
        return None
    except (OSError, ValueError) as reason:
        raise not_loaded(source, reason) from reason


def _refused(source: Source, reason: str) -> ZeroShotError:
    return ZeroShotError("Z240", source.component, name=source.name, reason=reason)
