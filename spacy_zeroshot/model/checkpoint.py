"""Loading and saving checkpoints as plain Hugging Face folders. No remote code, no pickle unless asked."""

import contextlib
import copy
import json
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ..errors import ZeroShotError
from ..util import first_line
from .decomposed import DecomposedConfig, load_decomposed, save_decomposed
from .device import plain_tensors
from .tokenization import TokenizerFiles
from .types import BUNDLED, BUNDLED_FOLDER, DECOMPOSED, WEIGHTS, ClassRef, ModelSpec

# Of a repository of the Hub: its weights are in its own folder, those in further ones are for other programs
WANTED, NOT_WANTED = ["*.json", "*.txt", "*.model", "model*.safetensors"], ["*/*.safetensors", "*/*.bin"]
TOKENIZER_FILES = ("tokenizer", "vocab", "spiece", "sentencepiece", "spm")
# What transformers and the Hub's client raise for names, files and configs that are not as they should be
FAILURES = (OSError, ValueError, KeyError)
# What transformers loads a checkpoint with, by our architecture
AUTO_CLASSES = {
    "NLIClassifier": "AutoModelForSequenceClassification",
    "SimilarityClassifier": "AutoModel",
    "MaskedLMClassifier": "AutoModelForMaskedLM",
}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded model."""

    name: str
    folder: Path
    config: Any
    tokenizer: Any  # PreTrainedTokenizerFast or TokenizerFiles
    module: Any  # PreTrainedModel or DecomposedEncoder, on its device
    stored: torch.dtype  # the precision it was stored in
    base: "Checkpoint | None" = None  # the one whose encoder it shares

    @property
    def is_decomposed(self) -> bool:
        return bool(self.config.model_type == DECOMPOSED)

    @property
    def is_exact(self) -> bool:
        """Whether the module holds what is stored, to the last bit, and can be saved so."""
        return self.module.dtype == self.stored or (self.module.dtype == torch.float32 and not self.is_decomposed)

    @property
    def device(self) -> torch.device:
        return torch.device(self.module.device)

    @property
    def max_length(self) -> int:
        """Tokens the model takes: the least of what its tokenizer (some claim 1e30) and its positions allow."""
        limits = [int(self.tokenizer.model_max_length)]
        positions = getattr(self.config, "max_position_embeddings", None)
        if positions and positions > 0:
            base = getattr(self.module, "base_model", None)
            table = getattr(getattr(base, "embeddings", None), "position_embeddings", None)
            padding = getattr(table, "padding_idx", None)
            # RoBERTa-like models count positions from padding_idx + 1
            limits.append(positions if padding is None else positions - padding - 1)
        return min(limits)


_shared: "weakref.WeakValueDictionary[tuple[Any, ...], Checkpoint]" = weakref.WeakValueDictionary()
_sharing, _loading = threading.Lock(), threading.Lock()


def share_checkpoint(spec: ModelSpec, folder: Path, device: torch.device, dtype: torch.dtype) -> Checkpoint:
    """As load_checkpoint, or the one that a component holds already. For weights that are not trained."""
    # of the bundled model's layout, all architectures hold the same module
    kind = DECOMPOSED if is_decomposed(folder) else spec.architecture
    # a folder whose files were replaced is another one
    stats = [(path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()]
    stamp = str(folder.resolve()), *((name, stat.st_ino, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
    key = (*stamp, spec.use_safetensors, kind, str(device), dtype)
    with _sharing:
        found = _shared.get(key) or load_checkpoint(spec, device, dtype, folder)
        _shared[key] = found
        return found


def load_checkpoint(
    spec: ModelSpec, device: torch.device | None = None, dtype: torch.dtype | None = None, folder: Path | None = None
) -> Checkpoint:
    """Load config, tokenizer and weights for evaluation; without a dtype, in the precision they are stored in."""
    folder = folder or find_folder(spec)
    with plain_tensors():
        config = DecomposedConfig.from_folder(folder) if is_decomposed(folder) else _load_config(spec, folder)
        if spec.architecture == "NLIClassifier":
            find_head(config, spec.name, spec.entailment, spec.contradiction)
        tokenizer = _load_tokenizer(spec, folder)
        if is_decomposed(folder):
            module: Any = load_decomposed(folder, dtype, device)
            stored = getattr(torch, config.torch_dtype)
        else:
            module = _load_module(spec, folder, config)
            stored = module.dtype
            module = module.to(device=device, dtype=dtype).eval()
        return Checkpoint(spec.name, folder, module.config, tokenizer, module, stored)


def find_folder(spec: ModelSpec) -> Path:
    """A checkpoint's folder, with the files it needs; a revision of the Hub is downloaded if need be.
    RAISES (ZeroShotError): Z020 to Z023, which transformers would word for the Hub alone."""
    folder = BUNDLED_FOLDER if spec.name == BUNDLED else Path(spec.name)
    if folder.is_dir():
        _check_folder(folder, spec)
        return folder
    from huggingface_hub import snapshot_download

    options: dict[str, Any] = {"revision": spec.revision, "local_files_only": spec.local_files_only}
    wanted = WANTED if spec.use_safetensors else [*WANTED, "pytorch_model*.bin"]
    try:
        folder = Path(snapshot_download(spec.name, allow_patterns=wanted, ignore_patterns=NOT_WANTED, **options))
    except FAILURES as error:
        raise _not_loaded(spec, error) from error
    _check_folder(folder, spec, "Z020")
    return folder


def is_decomposed(folder: Path) -> bool:
    """Whether a checkpoint has the bundled model's layout."""
    return bool(json.loads((folder / "config.json").read_text(encoding="utf8"))["model_type"] == DECOMPOSED)


def find_head(config: Any, name: str, entailment: ClassRef = None, contradiction: ClassRef = None) -> tuple[int, ...]:
    """Find the classes that mean entailment and contradiction, by name unless the settings say which. A neutral class
    is never taken for contradiction: where the names do not tell, the user is asked. RETURNS: The head's classes in the
    order of the logits: entailment, contradiction (or not-entailment), the rest; (0,) for a head of one, a sigmoid."""
    classes = {int(i): str(label) for i, label in config.id2label.items()}
    if not 1 <= len(classes) <= 3:
        raise ZeroShotError("Z029", name=name, count=len(classes))

    def chosen(setting: str, value: ClassRef) -> int | None:
        found = [i for i, label in classes.items() if value in (i, label)]
        if value is not None and not found:
            raise ZeroShotError("Z026", setting=setting, value=value, name=name, classes=list(classes.values()))
        return found[0] if found else None

    def only(numbers: list[int]) -> int | None:
        return numbers[0] if len(numbers) == 1 else None

    def starts(word: str) -> list[int]:
        return [i for i, label in classes.items() if label.lower().startswith(word)]

    for_, against = chosen("entailment", entailment), chosen("contradiction", contradiction)
    if len(classes) == 1:
        return (0,)
    for_ = only(starts("entail")) if for_ is None else for_
    if for_ is None:
        raise ZeroShotError("Z025", wanted="entailment", name=name, classes=list(classes.values()))
    rest = [i for i in sorted(classes) if i != for_]
    # by its name, or as the only one left: of two classes, or of three where one is called neutral
    for candidates in (rest, starts("contra"), [i for i in rest if i not in starts("neutral")]):
        against = only(candidates) if against is None else against
    if against is None:
        raise ZeroShotError("Z025", wanted="contradiction", name=name, classes=list(classes.values()))
    if against == for_:
        given = {"setting": "contradiction", "value": contradiction}
        raise ZeroShotError("Z007", **given, reason="it is the class that means entailment")
    return (for_, against, *(i for i in rest if i != against))


def save_checkpoint(checkpoint: Checkpoint, folder: Path, trained: bool = True) -> None:
    """Write a folder that load_checkpoint reads: trained weights in their precision, others as they were stored."""
    if checkpoint.is_decomposed:
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


def _not_loaded(spec: ModelSpec, error: BaseException, code: str = "Z020") -> ZeroShotError:
    """Why a checkpoint could not be loaded: Z027 if it asks for code of its own."""
    wants_code = "trust_remote_code" in str(error)
    return ZeroShotError("Z027" if wants_code else code, name=spec.name, reason=first_line(error))


def _check_folder(folder: Path, spec: ModelSpec, missing: str = "Z021") -> None:
    """Check that a folder has what is needed; `missing` is the code for a file that is not there."""
    name, files = spec.name, sorted(path.name for path in folder.iterdir())
    if "config.json" not in files:
        raise ZeroShotError(missing, name=name, reason="it has no config.json")
    try:
        is_decomposed(folder)
    except (ValueError, LookupError, TypeError) as error:
        reason = f"its config.json is not JSON or names no model_type ({error})"
        raise ZeroShotError("Z021", name=name, reason=reason) from error
    if not any(file.startswith(TOKENIZER_FILES) for file in files):
        raise ZeroShotError("Z022", name=name, reason="no tokenizer file is there")
    if not any(file.startswith("model") and file.endswith(".safetensors") for file in files):
        pickled = [file for file in files if file.startswith("pytorch_model") and file.endswith(".bin")]
        if not pickled:
            reason = f"it has no {WEIGHTS} (use_safetensors = false takes a pytorch_model.bin, too)"
            raise ZeroShotError(missing, name=name, reason=reason)
        if spec.use_safetensors:
            raise ZeroShotError("Z023", name=name, found=", ".join(pickled))


def _load_config(spec: ModelSpec, folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except FAILURES as error:
        raise _not_loaded(spec, error) from error
    layout = (getattr(config, "zero_shot", None) or {}).get("layout", "pair")
    if layout != "pair":
        # declared by 0.1.0: run as pairs, it would give other scores without a word
        raise ZeroShotError("Z030", layout=layout, name=spec.name, reason="only spacy-zeroshot 0.1.0 knows it")
    return config


def _load_tokenizer(spec: ModelSpec, folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        if is_decomposed(folder):
            return TokenizerFiles(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True, trust_remote_code=False)
    # Tokenizers fail on damaged files in every way, down to an error of their Rust half that is a bare Exception.
    except (*FAILURES, TypeError, ImportError, AttributeError) as error:
        raise _not_loaded(spec, error, "Z022") from error
    if not tokenizer.is_fast:
        raise ZeroShotError("Z028", name=spec.name)
    return tokenizer


def _load_module(spec: ModelSpec, folder: Path, config: Any) -> Any:
    import transformers
    from safetensors import SafetensorError

    try:
        with _quiet():
            module, info = getattr(transformers, AUTO_CLASSES[spec.architecture]).from_pretrained(
                folder,
                config=config,
                output_loading_info=True,
                # checked below, where the error can name them
                ignore_mismatched_sizes=True,
                use_safetensors=True if spec.use_safetensors else None,
                trust_remote_code=False,
                torch_dtype="auto",
            )
    except (SafetensorError, RuntimeError, UnpicklingError, EOFError) as error:
        raise ZeroShotError("Z024", name=spec.name, reason=first_line(error)) from error
    except FAILURES as error:
        raise _not_loaded(spec, error) from error
    missing = [f"no {name}" for name in sorted(info["missing_keys"])]
    # transformers gives names, or names with both shapes
    mismatched = sorted(entry if isinstance(entry, str) else entry[0] for entry in info["mismatched_keys"])
    missing += [f"a {name} of another size" for name in mismatched]
    if spec.architecture == "SimilarityClassifier" and any(entry.startswith("no pooler.") for entry in missing):
        # BERT's pooler stands after the last states: sentence embeddings do not read it, and it is not to be saved
        module.pooler = None
        missing = [entry for entry in missing if not entry.startswith("no pooler.")]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        code = "Z245" if spec.architecture == "MaskedLMClassifier" else "Z024"
        raise ZeroShotError(code, name=spec.name, reason=f"there is {shown}")
    return module


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide reports on weights, which are checked here, and progress bars of files that are here already."""
    from transformers.utils import logging

    # one at a time: each puts back what it found
    with _loading:
        level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()
