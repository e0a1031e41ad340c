"""The bridge from thinc to a checkpoint: loads it at first use, runs it, trains it, and saves it.

thinc's PyTorchShim holds a module from the start, flips train() and eval() on every prediction (wrong scores with
several threads), and stores weights as a pickle.
"""

import itertools
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import srsly
from thinc.api import Optimizer, Shim, torch2xp, xp2torch
from thinc.types import Floats2d

from ..errors import ZeroShotError
from ..util import hash_files, replace_folder
from .types import BUNDLED, BUNDLED_FOLDER, WEIGHTS, ModelSpec, NLIInput, NLIOutput

if TYPE_CHECKING:
    from .predictor import Predictor

# What a pipeline holds in place of the bundled model
REFERENCE = "bundled.json"
_versions = itertools.count(1)
_LAYER = re.compile(r"(?:^|\.)(?:layers?|block|h|interaction)\.(\d+)\.")
# Parts of a model that stand below its first layer
_BELOW = ("embed", "shared", "wte", "wpe")


class ModelShim(Shim):
    """Holds a checkpoint that is loaded at first use."""

    def __init__(self, spec: ModelSpec):
        super().__init__(None)
        self.spec = spec
        self.trainable = self.train_encoder = False
        # Factors on learning rates: for each layer below the top one, and of the head. Not saved.
        self.layer_decay = self.head_rate = 1.0
        # Whether the weights are other ones than the checkpoint's
        self.changed = False
        # Of a loaded pipeline: the folder, the files, or BUNDLED, that stand in the place of what the config names
        self._stored: str | dict[str, bytes] | None = None
        self._version = 0
        self._lock = threading.RLock()
        self._process = os.getpid()

    # Scoring

    @property
    def runtime(self) -> "Predictor":
        """The loaded checkpoint at work; loaded on the first call, by one thread."""
        if self._model is None:
            with self._lock:
                if self._model is None:
                    self._model = self._load()
        return self._model

    @property
    def is_on_gpu(self) -> bool:
        """Whether the model is loaded, to a device that works while the CPU goes on."""
        return self._model is not None and self._model.device.type != "cpu"

    def __call__(self, batch: NLIInput, is_train: bool) -> tuple[NLIOutput, Callable[[Floats2d], None]]:
        if is_train and self.spec.architecture == "NLIClassifier":
            return self.runtime.begin_update(batch)
        return self.runtime.predict(batch), _no_backprop

    def weights_key(self) -> str:
        """What changes with the weights: the bundled model's hash, "own:0" for another checkpoint as it was loaded."""
        return bundled_hash() if self._is_bundled and not self._version else f"own:{self._version}"

    # Learning

    def set_trainable(self, trainable: bool, train_encoder: bool = False) -> None:
        """Whether the weights are to be updated, and the encoder's of the bundled layout too."""
        if trainable and self.spec.architecture != "NLIClassifier":
            raise ZeroShotError("Z241", architecture=self.spec.architecture)
        with self._lock:
            if (trainable, train_encoder) == (self.trainable, self.train_encoder):
                return
            if self.changed:
                self.from_bytes(self.to_bytes())
            # loaded anew: weights that are trained are kept in float32, and are nobody else's
            self._model = None
            self.trainable, self.train_encoder = trainable, train_encoder

    def initialize(self, layer_decay: float = 1.0, head_rate: float = 1.0) -> None:
        """Load the checkpoint for training. What was learned before is dropped."""
        with self._lock:
            self.layer_decay, self.head_rate = layer_decay, head_rate
            if self.changed:
                self._model = None
                self.changed = False
                self._version = 0
            self._freeze(self.runtime)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Step every weight that has a gradient."""
        import torch

        parameters = self.runtime.parameters
        prefix = getattr(self.runtime.checkpoint.module, "base_model_prefix", "encoder")
        rates = learning_rates(list(parameters), prefix, self.layer_decay, self.head_rate)
        with torch.inference_mode(False), torch.no_grad():
            for name, parameter in parameters.items():
                if parameter.grad is None:
                    continue
                arrays = torch2xp(parameter.data), torch2xp(parameter.grad)
                weights, _ = optimizer((self.id, name), *arrays, lr_scale=rates[name])
                # in place: a new tensor around the optimizer's array would hang on the one before
                parameter.data.copy_(xp2torch(weights, device=parameter.device))
                parameter.grad = None
        self.changed = True
        self._weights_changed()

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Score with other weights for a while, e.g. the optimizer's averages. params: Weights by (shim id, name)."""
        import torch

        named = self.runtime.parameters if self._model is not None else {}
        chosen = {name: tensor for name, tensor in named.items() if (self.id, name) in params}
        if not chosen:
            yield
            return

        def put(values: dict[str, Any]) -> None:
            with torch.inference_mode(False), torch.no_grad():
                for name, value in values.items():
                    chosen[name].data.copy_(value)
            self._weights_changed()

        backup, version = {name: tensor.data.clone() for name, tensor in chosen.items()}, self._version
        put({name: xp2torch(params[self.id, name], device=tensor.device) for name, tensor in chosen.items()})
        try:
            yield
        finally:
            put(backup)
            self._version = version

    # Saving

    def save(self, folder: Path) -> None:
        """Write a Hugging Face folder, or, for the untouched bundled model, a reference to it."""
        from .checkpoint import save_checkpoint

        with replace_folder(folder) as fresh:
            if self.changed:
                save_checkpoint(self.runtime.checkpoint, fresh)
            elif self._is_bundled:
                srsly.write_json(fresh / REFERENCE, {"name": BUNDLED, "sha256": bundled_hash()})
            elif isinstance(self._stored, dict):
                write_folder(fresh, self._stored)
            elif self._stored is not None and Path(self._stored).is_dir():
                shutil.copytree(self._stored, fresh, dirs_exist_ok=True, copy_function=shutil.copyfile)
            else:
                self._save_source(fresh)

    def restore(self, folder: Path) -> None:
        """Take a folder written by save, to be loaded at first use."""
        reference = folder / REFERENCE
        self._take(str(folder), srsly.read_json(reference) if reference.exists() else None)

    def to_bytes(self) -> bytes:
        """The files that save writes."""
        return srsly.msgpack_dumps(self._read_files())

    def from_bytes(self, data: bytes) -> "ModelShim":
        """Take what to_bytes gave, to be loaded at first use."""
        files = srsly.msgpack_loads(data)
        self._take(files, srsly.json_loads(files[REFERENCE]) if REFERENCE in files else None)
        return self

    def to_device(self, device_type: str, device_id: int) -> None:
        """Nothing to move: the checkpoint is loaded to thinc's device, or to the one in the config."""

    def __getstate__(self) -> dict[str, Any]:
        # Weights travel as files, never as a pickle of a torch module.
        state = {**self.__dict__, "_model": None, "changed": False, "_lock": None}
        if not self._is_bundled or self.changed:
            state["_stored"] = self._read_files()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.RLock(), _process=os.getpid())

    # Inside

    @property
    def _is_bundled(self) -> bool:
        return (self._stored or self.spec.name) == BUNDLED

    @contextmanager
    def _available(self) -> Iterator[ModelSpec]:
        """The model block with a checkpoint that can be loaded; a pipeline's bytes become a folder for the moment."""
        if self._stored is None:
            yield self.spec
        elif isinstance(self._stored, dict):
            with tempfile.TemporaryDirectory() as folder:
                write_folder(Path(folder), self._stored)
                yield replace(self.spec, name=folder, local_files_only=True)
        elif self._is_bundled or Path(self._stored).is_dir():
            yield replace(self.spec, name=self._stored, local_files_only=True)
        else:
            raise ZeroShotError("Z031", folder=self._stored)

    def _load(self) -> "Predictor":
        from .device import mind_fork, share_gpu_memory
        from .predictor import load_predictor

        mind_fork(self._process)
        share_gpu_memory()
        with self._available() as spec:
            predictor = load_predictor(spec, self.trainable, self.train_encoder)
        self._freeze(predictor)
        return predictor

    def _freeze(self, predictor: "Predictor") -> None:
        """Say which weights are trained. A model that is not trained may share its weights: they stay as they are."""
        if self.trainable:
            frozen = tuple(f"{part}." for part in predictor.frozen)
            for name, parameter in predictor.parameters.items():
                parameter.requires_grad_(not name.startswith(frozen))

    def _weights_changed(self) -> None:
        self.runtime.scorer.forget()
        self._version = next(_versions)

    def _save_source(self, folder: Path) -> None:
        """Save an untouched checkpoint in the precision it is stored in; from memory where its source is gone."""
        from .bi_encoder import MEAN
        from .checkpoint import load_checkpoint, save_checkpoint

        loaded = None if self._model is None else self._model.checkpoint
        if loaded is None or not loaded.is_exact:
            try:
                with self._available() as spec:
                    loaded = load_checkpoint(spec)
            except ZeroShotError:
                if loaded is None:
                    raise
        save_checkpoint(loaded, folder, trained=False)
        if self.spec.architecture == "SimilarityClassifier":
            write_folder(folder, getattr(self.runtime.scorer.encoder, "pooling", MEAN).files)

    def _read_files(self) -> dict[str, bytes]:
        if isinstance(self._stored, dict) and not self.changed:
            return self._stored
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder, "model"))
            return read_folder(Path(folder, "model"))

    def _take(self, stored: str | dict[str, bytes], reference: dict[str, str] | None) -> None:
        if reference is not None:
            saved, installed = reference["sha256"], bundled_hash()
            if saved != installed:
                raise ZeroShotError("Z052", saved=saved[:12], installed=installed[:12])
            stored = BUNDLED
        self._stored = stored
        # embeddings by the weights before are not to be taken for those of the new ones
        self._version = 0 if self._model is None or self._is_bundled else next(_versions)
        self._model = None
        self.changed = False


def learning_rates(names: Sequence[str], base_prefix: str, layer_decay: float, head_rate: float) -> dict[str, float]:
    """Factors on the learning rate, by the weight's name: less for each layer below the top one, more for the head.
    What is not in the part of the model called `base_prefix` is its head."""
    # several stacks (encoder and decoder, encoder and interaction) stand on each other in the order of names
    found = {name: match for name in names if (match := _LAYER.search(name))}
    layers = list(dict.fromkeys(name[: match.end(1)] for name, match in found.items()))
    rates = {}
    for name in names:
        in_base = name.startswith(f"{base_prefix}.")
        if name in found:
            above = len(layers) - 1 - layers.index(name[: found[name].end(1)])
            rates[name] = layer_decay**above
        elif in_base and any(part in name for part in _BELOW):
            rates[name] = layer_decay ** len(layers)
        elif in_base and "pooler" not in name:
            rates[name] = 1.0
        else:
            # the numbers of size 1 to 10 that say what a cosine is worth need larger steps than weights of size 0.05
            rates[name] = head_rate * (100.0 if name == "similarity" else 1.0)
    return rates


@lru_cache(maxsize=1)
def bundled_hash() -> str:
    """SHA-256 of the installed bundled model, which a saved pipeline refers to."""
    return hash_files(BUNDLED_FOLDER / name for name in ("config.json", "tokenizer.json", WEIGHTS))


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of a folder and of those in it, by path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write what read_folder gave. A path that leads out of the folder leads into it."""
    for name, data in files.items():
        path = folder.joinpath(*(part for part in PurePosixPath(name).parts if part not in ("..", "/")))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _no_backprop(d_logits: Floats2d) -> None:
    raise RuntimeError("predict() keeps nothing to backpropagate through")
