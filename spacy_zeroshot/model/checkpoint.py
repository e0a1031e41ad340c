"""Loading and saving checkpoints as plain Hugging Face folders. No remote code, no pickle unless asked."""

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Callable, Dict, Literal, NamedTuple, Optional

from ..errors import ZeroShotError
from .quiet import quiet_loading
from .source import Source

# The key of config.json that declares how a checkpoint of ours is to be read (see layouts).
DECLARATION = "zero_shot"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
# What transformers and the Hub's client raise for names, files and configs that are not as they should be
FAILURES = (OSError, ValueError, KeyError)
NEW_HEAD_CLASSES = {0: "not_entailment", 1: "entailment"}
# What a checkpoint is loaded as, and the class of transformers that does it
Kind = Literal["classifier", "encoder", "masked_lm"]
AUTO_CLASSES = {
    "classifier": "AutoModelForSequenceClassification",
    "encoder": "AutoModel",
    "masked_lm": "AutoModelForMaskedLM",
}


class Checkpoint(NamedTuple):
    """A loaded model.

    config (PretrainedConfig): Its config.
    tokenizer (PreTrainedTokenizerFast): Its tokenizer.
    module (PreTrainedModel): A model of the kind that was asked for, in the precision it was stored in.
    """

    config: Any
    tokenizer: Any
    module: Any


def load_checkpoint(
    source: Source,
    new_head: Optional[Dict[str, Any]] = None,
    check: Optional[Callable[[Any], Any]] = None,
    kind: Kind = "classifier",
) -> Checkpoint:
    """Load config, tokenizer and weights, all of the same revision.

    source (Source): What to load.
    new_head (Optional[Dict[str, Any]]): To start from an encoder without an NLI head: the declaration its
        config.json is to carry. The head has two classes and starts at zero.
    check (Optional[Callable[[PretrainedConfig], Any]]): Called with the config, to refuse it before the weights
        are downloaded.
    kind (Kind): "classifier" for sequence classification, "encoder" without a head, "masked_lm" for mask filling.
    RETURNS (Checkpoint): The checkpoint.
    RAISES (ZeroShotError): Z020 to Z024, Z027, Z028, and what `check` raises.
    """
    if source.is_folder:
        _check_folder(Path(source.location), source)
    config = load_config(source)
    # A checkpoint that declares a head has been trained: training goes on with it.
    fresh_head = new_head is not None and not declaration(config)
    if fresh_head:
        config.id2label = dict(NEW_HEAD_CLASSES)
        config.label2id = {label: i for i, label in NEW_HEAD_CLASSES.items()}
        setattr(config, DECLARATION, dict(new_head or {}))
    if check is not None:
        check(config)
    pinned = source.pinned(config)
    tokenizer = load_tokenizer(pinned)
    module = _load_module(pinned, config, kind, fresh_head)
    return Checkpoint(config, tokenizer, module)


def load_encoder(source: Source) -> Any:
    """Load an encoder without its head.

    source (Source): What to load.
    RETURNS (PreTrainedModel): The encoder, in float32.
    RAISES (ZeroShotError): Z020, Z021.
    """
    from transformers import AutoModel

    if source.is_folder:
        _check_folder(Path(source.location), source)
    try:
        return AutoModel.from_pretrained(source.location, use_safetensors=True, **options(source)).float()
    except (OSError, ValueError, RuntimeError) as reason:
        raise not_loaded(source, reason) from reason


def save_checkpoint(checkpoint: Checkpoint, folder: Path) -> None:
    """Write a folder that the transformers class it was loaded with reads.

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
        raise ZeroShotError("Z021", source.component, name=source.name, reason="it has no config.json")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    except ValueError as reason:
        raise ZeroShotError(
            "Z021", source.component, name=source.name, reason=f"its config.json is not JSON ({reason})"
        ) from reason
    if not isinstance(config, dict) or "model_type" not in config:
        raise ZeroShotError("Z021", source.component, name=source.name, reason="its config.json names no model_type")
    if not any(name.startswith(("tokenizer", "vocab", "spiece", "sentencepiece", "spm")) for name in files):
        raise ZeroShotError("Z022", source.component, name=source.name, reason="no tokenizer file is there")
    if not any(name.startswith("model") and name.endswith(".safetensors") for name in files):
        pickled = sorted(name for name in files if name.startswith("pytorch_model") and name.endswith(".bin"))
        if not pickled:
            raise ZeroShotError("Z021", source.component, name=source.name, reason="it has no model.safetensors")
        if source.use_safetensors:
            raise ZeroShotError("Z023", source.component, name=source.name, found=", ".join(pickled))


def options(source: Source) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): What from_pretrained of transformers is told of a source."""
    return {
        "revision": source.revision or "main",
        "local_files_only": source.local_files_only or source.is_folder,
        "trust_remote_code": False,
    }


def load_config(source: Source) -> Any:
    """RETURNS (PretrainedConfig): A checkpoint's config. RAISES (ZeroShotError): Z020, Z027."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source.location, **options(source))
    except FAILURES as reason:
        raise not_loaded(source, reason) from reason


def load_tokenizer(source: Source) -> Any:
    """RETURNS (PreTrainedTokenizerFast): Its tokenizer. RAISES (ZeroShotError): Z020, Z022, Z027, Z028."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source.location, use_fast=True, **options(source))
    # Tokenizers fail on damaged files in every way, down to an error of their Rust half that is a bare Exception.
    except (*FAILURES, TypeError, ImportError, AttributeError) as reason:
        if _wants_code(reason):
            raise not_loaded(source, reason) from reason
        raise ZeroShotError("Z022", source.component, name=source.name, reason=_one_line(reason)) from reason
    if not tokenizer.is_fast:
        raise ZeroShotError("Z028", source.component, name=source.name)
    return tokenizer


def _load_module(source: Source, config: Any, kind: Kind, fresh_head: bool) -> Any:
    import transformers
    from safetensors import SafetensorError

    # transformers renamed the argument in 4.56 and warns about the old name in 5
    major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
    dtype = "dtype" if (major, minor) >= (4, 56) else "torch_dtype"
    try:
        with quiet_loading():
            module, info = getattr(transformers, AUTO_CLASSES[kind]).from_pretrained(
                source.location,
                config=config,
                output_loading_info=True,
                # checked below, where the error can name them
                ignore_mismatched_sizes=True,
                use_safetensors=True if source.use_safetensors else None,
                **{dtype: "auto"},
                **options(source),
            )
    except (SafetensorError, RuntimeError, UnpicklingError, EOFError) as reason:
        raise ZeroShotError("Z024", source.component, name=source.name, reason=_one_line(reason)) from reason
    except FAILURES as reason:
        if source.use_safetensors and not source.is_folder and _only_pickled(source, reason):
            raise ZeroShotError("Z023", source.component, name=source.name, found="pytorch_model.bin") from reason
        raise not_loaded(source, reason) from reason
    missing = [f"no {name}" for name in sorted(info["missing_keys"])]
    # transformers gives names, or names with both shapes
    mismatched = sorted(entry if isinstance(entry, str) else entry[0] for entry in info["mismatched_keys"])
    missing += [f"a {name} of another size" for name in mismatched]
    if fresh_head:
        head = module.get_submodule("classifier")
        for parameter in head.parameters():
            parameter.data.zero_()
        missing = [entry for entry in missing if " classifier." not in entry and ".pooler." not in entry]
    if kind == "encoder" and any(entry.startswith("no pooler.") for entry in missing):
        # BERT's pooler stands after the last states: sentence embeddings do not read it, and it is not to be saved
        module.pooler = None
        missing = [entry for entry in missing if not entry.startswith("no pooler.")]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        if kind == "masked_lm":
            raise ZeroShotError("Z245", source.component, name=source.name, reason=f"there is {shown}")
        raise ZeroShotError("Z024", source.component, name=source.name, reason=f"there is {shown}")
    return module.eval()


def _only_pickled(source: Source, reason: BaseException) -> bool:
    """Whether a Hub repository was seen to have pickled weights only, rather than none in the cache."""
    from huggingface_hub import constants, try_to_load_from_cache

    if "safetensors" not in str(reason):
        return False
    offline = source.local_files_only or constants.HF_HUB_OFFLINE
    cached = [try_to_load_from_cache(source.location, name, revision=source.revision) for name in PICKLES]
    return not offline or any(isinstance(path, str) for path in cached)


def not_loaded(source: Source, reason: BaseException) -> ZeroShotError:
    """RETURNS (ZeroShotError): Z027 or Z020, by why a checkpoint could not be loaded."""
    if _wants_code(reason):
        return ZeroShotError("Z027", source.component, name=source.name)
    return ZeroShotError("Z020", source.component, name=source.name, reason=_one_line(reason))


def _wants_code(reason: BaseException) -> bool:
    return "trust_remote_code" in str(reason)


def _one_line(reason: BaseException) -> str:
    return (str(reason).strip().splitlines() or [type(reason).__name__])[0].rstrip(".")
