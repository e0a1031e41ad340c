"""Loading and saving checkpoints as plain Hugging Face folders. No remote code, no pickle unless asked."""

import contextlib
import copy
import hashlib
import json
import logging
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from typing import Any, Literal

import torch

from ..errors import ZeroShotError
from ..util import first_line
from .decomposed import DecomposedConfig, load_decomposed, save_decomposed
from .device import plain_tensors
from .types import BUNDLED, DECOMPOSED, WEIGHTS

BUNDLED_FOLDER = Path(__file__).parent.parent / "bundled"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
TOKENIZER_FILES = ("tokenizer", "vocab", "spiece", "sentencepiece", "spm")
# What transformers and the Hub's client raise for names, files and configs that are not as they should be
FAILURES = (OSError, ValueError, KeyError)
# What a checkpoint is loaded as, and the class of transformers that does it
Kind = Literal["classifier", "encoder", "masked_lm"]
Check = Callable[[Any], Any]
AUTO_CLASSES = {
    "classifier": "AutoModelForSequenceClassification",
    "encoder": "AutoModel",
    "masked_lm": "AutoModelForMaskedLM",
}
# What transformers logs at every load, and this package checks for itself: reports on weights that are new, missing
# or left over (in transformers 4 "Some weights of ...", in 5 a table); and on the loss of a headless encoder
REPORTS = ("Some weights of", "LOAD REPORT", "`loss_type=")
LOGGERS = ("transformers.modeling_utils", "transformers.utils.loading_report")


@dataclass(frozen=True)
class Source:
    """Where a checkpoint comes from: fields as the parameters of NLIClassifier."""

    name: str
    revision: str | None = None
    local_files_only: bool = False
    use_safetensors: bool = True

    @property
    def is_bundled(self) -> bool:
        return self.name == BUNDLED

    @property
    def location(self) -> str:
        """What transformers' from_pretrained is given."""
        return str(BUNDLED_FOLDER) if self.is_bundled else self.name

    @property
    def is_folder(self) -> bool:
        return Path(self.location).is_dir()

    def pinned(self, config: Any) -> "Source":
        """The same at the commit a config came from: a branch of the Hub may move on between two files."""
        return replace(self, revision=getattr(config, "_commit_hash", None) or self.revision)

    def options(self) -> dict[str, Any]:
        """What from_pretrained of transformers is given beside the location."""
        local = self.local_files_only or self.is_folder
        return {"revision": self.revision or "main", "local_files_only": local, "trust_remote_code": False}

    def stamp(self) -> tuple[Any, ...]:
        """What tells checkpoints apart, and a folder from itself after its files were replaced."""
        if not self.is_folder:
            return (self.location, self.revision)
        folder = Path(self.location).resolve()
        facts = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
        return (str(folder), *((name, stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in facts))


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded model."""

    config: Any
    tokenizer: Any  # PreTrainedTokenizerFast
    module: Any  # PreTrainedModel or DecomposedEncoder, on its device
    stored: torch.dtype  # the precision it was stored in
    base: "Checkpoint | None" = None  # the one whose encoder it shares

    @property
    def is_exact(self) -> bool:
        """Whether the module still holds what is stored, to the last bit, and can be saved so."""
        wider = self.module.dtype == torch.float32 and self.config.model_type != DECOMPOSED
        return wider or self.module.dtype == self.stored


_shared: "weakref.WeakValueDictionary[tuple[Any, ...], Checkpoint]" = weakref.WeakValueDictionary()
_sharing = threading.Lock()


def share_checkpoint(
    source: Source, kind: Kind, device: torch.device, dtype: torch.dtype, check: Check | None = None
) -> Checkpoint:
    """As load_checkpoint, or the one that a component holds already. For weights that are not trained."""
    # of the bundled model's layout, a classifier and an encoder are the same module
    kind_ = DECOMPOSED if kind != "masked_lm" and is_decomposed(source) else kind
    key = (source.stamp(), source.use_safetensors, kind_, str(device), dtype)
    with _sharing:
        found = _shared.get(key)
        if found is None:
            found = _shared[key] = load_checkpoint(source, kind, device, dtype, check)
        elif check is not None:
            check(found.config)
        return found


def load_checkpoint(
    source: Source,
    kind: Kind = "classifier",
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    check: Check | None = None,
) -> Checkpoint:
    """Load config, tokenizer and weights, all of the same revision, for evaluation.

    Without a dtype they keep the precision they are stored in. `check` is called with the config, to refuse it before
    the weights are downloaded. RAISES (ZeroShotError): Z020 to Z024, Z027, Z028, Z030, Z245, and what `check` raises.
    """
    with plain_tensors():
        folder = _decomposed_folder(source)
        if folder is not None and kind == "masked_lm":
            raise ZeroShotError("Z245", name=source.name, reason="it compares texts with hypotheses")
        config = _load_config(source, folder)
        if check is not None:
            check(config)
        pinned = source.pinned(config)
        tokenizer = _load_tokenizer(pinned, folder)
        if folder is not None:
            module = load_decomposed(folder, dtype, device)
            return Checkpoint(module.config, tokenizer, module, getattr(torch, config.torch_dtype))
        module = _load_module(pinned, config, kind)
        stored = module.dtype
        return Checkpoint(config, tokenizer, module.to(device=device, dtype=dtype).eval(), stored)


def is_decomposed(source: Source) -> bool:
    """Whether a checkpoint has the bundled model's layout."""
    return source.is_bundled or _decomposed_folder(source) is not None


def save_checkpoint(checkpoint: Checkpoint, folder: Path, trained: bool = True) -> None:
    """Write a folder that load_checkpoint reads: trained weights in their precision, others as they were stored."""
    if checkpoint.config.model_type == DECOMPOSED:
        save_decomposed(checkpoint.module, folder)
    else:
        module = checkpoint.module
        if not trained and module.dtype != checkpoint.stored:
            module = copy.deepcopy(module).to(checkpoint.stored)
        module.save_pretrained(folder)
    checkpoint.tokenizer.save_pretrained(folder)
    # safetensors makes files that nobody else may read; config.json has what the user's umask says
    mode = (folder / "config.json").stat().st_mode
    for path in folder.iterdir():
        path.chmod(mode)


@lru_cache(maxsize=1)
def bundled_hash() -> str:
    """SHA-256 of the installed bundled model, which a saved pipeline refers to. RETURNS (str): In hexadecimal."""
    digest = hashlib.sha256()
    for name in ("config.json", "tokenizer.json", WEIGHTS):
        with (BUNDLED_FOLDER / name).open("rb") as file_:
            while block := file_.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of a folder and of those in it. RETURNS (dict[str, bytes]): By path, parts divided by "/"."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write what read_folder gave."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        # a path that leads out of the folder leads into it
        path = folder.joinpath(*(part for part in PurePosixPath(name).parts if part not in ("..", "/")))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def copy_folder(source: Path, folder: Path) -> None:
    """Copy the files of a checkpoint folder, byte for byte."""
    shutil.copytree(source, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)


def not_loaded(source: Source, error: BaseException) -> ZeroShotError:
    """RETURNS (ZeroShotError): Z027 or Z020, by why a checkpoint could not be loaded."""
    if _wants_code(error):
        return ZeroShotError("Z027", name=source.name)
    return ZeroShotError("Z020", name=source.name, reason=first_line(error))


def max_positions(module: Any, tokenizer: Any) -> int:
    """Tokens a model takes: the least of what its tokenizer (some claim 1e30) and its positions allow."""
    limits = [int(tokenizer.model_max_length)]
    positions = getattr(module.config, "max_position_embeddings", None)
    if positions and positions > 0:
        table = getattr(getattr(module.base_model, "embeddings", None), "position_embeddings", None)
        padding = getattr(table, "padding_idx", None)
        # RoBERTa-like models count positions from padding_idx + 1
        limits.append(positions if padding is None else positions - padding - 1)
    return min(limits)


def _check_folder(source: Source) -> dict[str, Any]:
    """Give the plain errors that transformers words for the Hub. RETURNS (dict[str, Any]): The config."""
    name, folder = source.name, Path(source.location)
    files = sorted(path.name for path in folder.iterdir())
    if "config.json" not in files:
        raise ZeroShotError("Z021", name=name, reason="it has no config.json")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    except ValueError as error:
        raise ZeroShotError("Z021", name=name, reason=f"its config.json is not JSON ({error})") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise ZeroShotError("Z021", name=name, reason="its config.json names no model_type")
    if not any(file.startswith(TOKENIZER_FILES) for file in files):
        raise ZeroShotError("Z022", name=name, reason="no tokenizer file is there")
    if not any(file.startswith("model") and file.endswith(".safetensors") for file in files):
        pickled = [file for file in files if file.startswith("pytorch_model") and file.endswith(".bin")]
        if not pickled:
            raise ZeroShotError("Z021", name=name, reason=f"it has no {WEIGHTS}")
        if source.use_safetensors:
            raise ZeroShotError("Z023", name=name, found=", ".join(pickled))
    return config


def _decomposed_folder(source: Source) -> Path | None:
    """The folder of a checkpoint of the bundled model's layout, downloaded if need be; None for any other."""
    if "://" in source.name:
        # transformers would ask the network for it, whatever the options say
        raise ZeroShotError("Z020", name=source.name, reason="it is an address, and a Hub name reads owner/name")
    if source.is_folder:
        return Path(source.location) if _check_folder(source)["model_type"] == DECOMPOSED else None
    from huggingface_hub import snapshot_download
    from transformers import PretrainedConfig

    try:
        config, _ = PretrainedConfig.get_config_dict(source.location, **source.options())
        if config.get("model_type") != DECOMPOSED:
            return None
        revision, local = config.get("_commit_hash") or source.revision, source.local_files_only
        wanted = ["*.json", WEIGHTS]
        found = snapshot_download(source.location, revision=revision, local_files_only=local, allow_patterns=wanted)
        return Path(found)
    except FAILURES as error:
        raise not_loaded(source, error) from error


def _load_config(source: Source, folder: Path | None) -> Any:
    from transformers import AutoConfig

    if folder is not None:
        return DecomposedConfig.from_folder(folder)
    try:
        config = AutoConfig.from_pretrained(source.location, **source.options())
    except FAILURES as error:
        raise not_loaded(source, error) from error
    layout = (getattr(config, "zero_shot", None) or {}).get("layout", "pair")
    if layout != "pair":
        # declared by 0.1.0: run as pairs, it would give other scores without a word
        raise ZeroShotError("Z030", layout=layout, name=source.name, reason="only spacy-zeroshot 0.1.0 knows it")
    return config


def _load_tokenizer(source: Source, folder: Path | None) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        if folder is not None:
            # the automatic class would read config.json, whose model_type only this package knows
            return PreTrainedTokenizerFast.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(source.location, use_fast=True, **source.options())
    # Tokenizers fail on damaged files in every way, down to an error of their Rust half that is a bare Exception.
    except (*FAILURES, TypeError, ImportError, AttributeError) as error:
        if _wants_code(error):
            raise not_loaded(source, error) from error
        raise ZeroShotError("Z022", name=source.name, reason=first_line(error)) from error
    if not tokenizer.is_fast:
        raise ZeroShotError("Z028", name=source.name)
    return tokenizer


def _load_module(source: Source, config: Any, kind: Kind) -> Any:
    import transformers
    from safetensors import SafetensorError

    # transformers renamed the argument in 4.56 and warns about the old name in 5
    major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
    dtype = "dtype" if (major, minor) >= (4, 56) else "torch_dtype"
    try:
        with _quiet():
            module, info = getattr(transformers, AUTO_CLASSES[kind]).from_pretrained(
                source.location,
                config=config,
                output_loading_info=True,
                # checked below, where the error can name them
                ignore_mismatched_sizes=True,
                use_safetensors=True if source.use_safetensors else None,
                **{dtype: "auto"},
                **source.options(),
            )
    except (SafetensorError, RuntimeError, UnpicklingError, EOFError) as error:
        raise ZeroShotError("Z024", name=source.name, reason=first_line(error)) from error
    except FAILURES as error:
        if source.use_safetensors and not source.is_folder and _only_pickled(source, error):
            raise ZeroShotError("Z023", name=source.name, found=PICKLES[0]) from error
        raise not_loaded(source, error) from error
    missing = [f"no {name}" for name in sorted(info["missing_keys"])]
    # transformers gives names, or names with both shapes
    mismatched = sorted(entry if isinstance(entry, str) else entry[0] for entry in info["mismatched_keys"])
    missing += [f"a {name} of another size" for name in mismatched]
    if kind == "encoder" and any(entry.startswith("no pooler.") for entry in missing):
        # BERT's pooler stands after the last states: sentence embeddings do not read it, and it is not to be saved
        module.pooler = None
        missing = [entry for entry in missing if not entry.startswith("no pooler.")]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise ZeroShotError("Z245" if kind == "masked_lm" else "Z024", name=source.name, reason=f"there is {shown}")
    return module


def _only_pickled(source: Source, error: BaseException) -> bool:
    """Whether a Hub repository was seen to have pickled weights only, rather than none in the cache."""
    from huggingface_hub import constants, try_to_load_from_cache

    if "safetensors" not in str(error):
        return False
    offline = source.local_files_only or constants.HF_HUB_OFFLINE
    cached = [try_to_load_from_cache(source.location, name, revision=source.revision) for name in PICKLES]
    return not offline or any(isinstance(path, str) for path in cached)


def _wants_code(error: BaseException) -> bool:
    return "trust_remote_code" in str(error)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the report on loaded weights from the calling thread, and progress bars of files that are here already."""
    from transformers.utils import logging as verbosity

    thread = threading.get_ident()

    def wanted(record: logging.LogRecord) -> bool:
        reports = any(report in str(record.msg) for report in REPORTS)
        return not (reports and record.thread == thread)

    bars = verbosity.is_progress_bar_enabled()
    with contextlib.ExitStack() as undo:
        for logger in map(logging.getLogger, LOGGERS):
            logger.addFilter(wanted)
            undo.callback(logger.removeFilter, wanted)
        if bars:
            verbosity.disable_progress_bar()
            undo.callback(verbosity.enable_progress_bar)
        yield
