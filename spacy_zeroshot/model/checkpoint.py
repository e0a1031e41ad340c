"""Loading and saving checkpoints as plain Hugging Face folders. No remote code, no pickle unless asked."""

import json
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional

from ..errors import ZeroShotError
from .source import Source

# The key of config.json that declares how a checkpoint of ours is to be read (see layouts).
DECLARATION = "zero_shot"
NEW_HEAD_CLASSES = {0: "not_entailment", 1: "entailment"}


class Checkpoint(NamedTuple):
    """A loaded model.

    config (PretrainedConfig): Its config.
    tokenizer (PreTrainedTokenizerFast): Its tokenizer.
    module (PreTrainedModel): A sequence classification model, in the precision it was stored in.
    """

    config: Any
    tokenizer: Any
    module: Any


def load_checkpoint(source: Source, new_head: Optional[Dict[str, Any]] = None) -> Checkpoint:
    """Load config, tokenizer and weights, all of the same revision.

    source (Source): What to load.
    new_head (Optional[Dict[str, Any]]): To start from an encoder without an NLI head: the declaration its
        config.json is to carry. The head has two classes and starts at zero.
    RETURNS (Checkpoint): The checkpoint.
    RAISES (ZeroShotError): Z020 to Z024, Z027.
    """
    if source.is_folder:
        _check_folder(Path(source.location), source)
    config = _load_config(source)
    if new_head is not None:
        config.id2label = dict(NEW_HEAD_CLASSES)
        config.label2id = {label: i for i, label in NEW_HEAD_CLASSES.items()}
        setattr(config, DECLARATION, dict(new_head))
    tokenizer = _load_tokenizer(source)
    module = _load_module(source, config, fresh_head=new_head is not None)
    return Checkpoint(config, tokenizer, module)


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a folder that AutoModelForSequenceClassification.from_pretrained reads.

    checkpoint (Checkpoint): What to save, weights in the precision they are in.
    folder (Path): The folder; made if it is not there.
    """
    checkpoint.module.save_pretrained(folder)
    checkpoint.tokenizer.save_pretrained(folder)


def declaration(config: Any) -> Dict[str, Any]:
    """What a checkpoint of ours declares about itself; empty for stock checkpoints.

    config (PretrainedConfig): Its config.
    RETURNS (Dict[str, Any]): "layout" and its parameters.
    """
    return dict(getattr(config, DECLARATION, None) or {})


def _check_folder(folder: Path, source: Source) -> None:
    """Give the plain errors that transformers words for the Hub."""
    files = {path.name for path in folder.iterdir()}
    if "config.json" not in files:
        raise ZeroShotError("Z021", "NLIClassifier", name=source.name, reason="it has no config.json")
    try:
        json.loads((folder / "config.json").read_text(encoding="utf8"))
    except ValueError as reason:
        raise ZeroShotError(
            "Z021", "NLIClassifier", name=source.name, reason=f"its config.json is not JSON ({reason})"
        ) from reason
    if not any(name.startswith(("tokenizer", "vocab", "spiece", "sentencepiece", "spm")) for name in files):
        raise ZeroShotError("Z022", "NLIClassifier", name=source.name, reason="no tokenizer file is there")
    if not any(name.endswith(".safetensors") for name in files):
        pickled = sorted(name for name in files if name.endswith((".bin", ".pt", ".pth")))
        if not pickled:
            raise ZeroShotError("Z021", "NLIClassifier", name=source.name, reason="it has no model.safetensors")
        if source.use_safetensors:
            raise ZeroShotError("Z023", "NLIClassifier", name=source.name, found=", ".join(pickled))


def _options(source: Source) -> Dict[str, Any]:
    return {
        "revision": source.revision or "main",
        "local_files_only": source.local_files_only or source.is_folder,
        "trust_remote_code": False,
    }


def _load_config(source: Source) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source.location, **_options(source))
    except (OSError, ValueError, KeyError) as reason:
        if "trust_remote_code" in str(reason):
            raise ZeroShotError("Z027", "NLIClassifier", name=source.name) from reason
        raise _not_loaded(source, reason) from reason


def _load_tokenizer(source: Source) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source.location, use_fast=True, **_options(source))
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as reason:
        raise ZeroShotError("Z022", "NLIClassifier", name=source.name, reason=_first_line(reason)) from reason


def _load_module(source: Source, config: Any, fresh_head: bool) -> Any:
    import transformers
    from safetensors import SafetensorError
    from transformers import AutoModelForSequenceClassification

    # transformers renamed the argument in 4.56 and warns about the old name in 5
    major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
    dtype = "dtype" if (major, minor) >= (4, 56) else "torch_dtype"
    try:
        module, info = AutoModelForSequenceClassification.from_pretrained(
            source.location,
            config=config,
            output_loading_info=True,
            use_safetensors=True if source.use_safetensors else None,
            **{dtype: "auto"},
            **_options(source),
        )
    except SafetensorError as reason:
        raise ZeroShotError("Z024", "NLIClassifier", name=source.name, reason=_first_line(reason)) from reason
    except (OSError, ValueError, RuntimeError, KeyError) as reason:
        if "safetensors" in str(reason) and not source.is_folder:
            raise ZeroShotError("Z023", "NLIClassifier", name=source.name, found="pytorch_model.bin") from reason
        raise _not_loaded(source, reason) from reason
    missing = sorted(info["missing_keys"])
    if fresh_head:
        head = module.get_submodule("classifier")
        for parameter in head.parameters():
            parameter.data.zero_()
    elif missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise ZeroShotError("Z024", "NLIClassifier", name=source.name, reason=f"there is no {shown}")
    return module.eval()


def _not_loaded(source: Source, reason: BaseException) -> ZeroShotError:
    return ZeroShotError("Z020", "NLIClassifier", name=source.name, reason=_first_line(reason))


def _first_line(reason: BaseException) -> str:
    return (str(reason).strip().splitlines() or [type(reason).__name__])[0].rstrip(".")
