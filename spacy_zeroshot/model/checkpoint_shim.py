"""The bridge from thinc to a checkpoint: loads it at first use and serialises it.

Not thinc's PyTorchShim, which holds a module from the start, flips train() and eval() on every prediction (wrong
scores with several threads), and stores weights as a pickle.
"""

import contextlib
import copy
import os
import tempfile
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Iterator, List, Optional, Tuple, TypeVar

import srsly
from thinc.api import CupyOps, Shim, get_current_ops, set_gpu_allocator
from thinc.backends import context_pools
from thinc.types import Floats3d

from ..errors import ZeroShotError, warn
from ..evidence import Answer, Request
from .source import BUNDLED, Source, bundled_hash, read_folder, write_folder

REFERENCE = "bundled.json"
IN_MEMORY = "a pipeline's bytes"

S = TypeVar("S", bound="CheckpointShim")


class CheckpointShim(Shim, ABC):
    """Holds a checkpoint that is loaded at first use.

    source (Source): What to load.
    """

    # Who it belongs to, for errors
    component: ClassVar[str]

    def __init__(self, source: Source):
        super().__init__(None)
        self.source = source
        self.changed = False
        # Of a pipeline read from bytes: its checkpoint's files, until they are loaded
        self._files: Optional[Dict[str, bytes]] = None
        self._from_pipeline = False
        self._lock = threading.RLock()
        self._process = os.getpid()

    @abstractmethod
    def build(self, source: Source) -> Any:
        """Load a checkpoint to answer with.

        source (Source): What to load: the shim's own, or a folder that is there for the moment.
        RETURNS (Runtime): The loaded checkpoint.
        """

    @abstractmethod
    def write(self, source: Source, folder: Path) -> None:
        """Write the checkpoint as a Hugging Face folder, in its own precision.

        source (Source): The checkpoint it was loaded from.
        folder (Path): The folder.
        """

    @property
    def runtime(self) -> Any:
        """The loaded checkpoint. RETURNS (Runtime): Loaded on the first call, by one thread."""
        if self._model is None:
            with self._lock:
                if self._model is None:
                    self._model = self._load()
        return self._model

    def __call__(self, request: Request, is_train: bool) -> Tuple[List[Answer], Callable[[List[Floats3d]], None]]:
        return self.runtime.predict(request), _no_backprop

    def set_trainable(self, trainable: bool) -> None:
        """Refuse to be trained.

        trainable (bool): The component's setting.
        RAISES (ZeroShotError): Z241 if true.
        """
        if trainable:
            raise ZeroShotError("Z241", self.component, architecture=self.component)

    def to_device(self, device_type: str, device_id: int) -> None:
        """Nothing to move: the checkpoint is loaded to thinc's device, or to the one in the config."""

    def save(self, folder: Path) -> None:
        """Write the checkpoint as a Hugging Face folder, or, for the untouched bundled one, a reference.

        folder (Path): The folder.
        """
        if self.source.is_bundled and not self.changed:
            folder.mkdir(parents=True, exist_ok=True)
            srsly.write_json(folder / REFERENCE, {"name": BUNDLED, "sha256": bundled_hash()})
            return
        if self._files is not None and not self.changed:
            write_folder(folder, self._files)
            return
        with self.available() as source:
            self.write(source, folder)

    def restore(self, folder: Path) -> None:
        """Take a folder written by save, to be loaded at first use.

        folder (Path): The folder.
        """
        if (folder / REFERENCE).exists():
            self._check_reference(srsly.read_json(folder / REFERENCE))
            return
        self._reset(self._saved(str(folder)))

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The checkpoint's files, or a reference to the bundled one."""
        if self.source.is_bundled and not self.changed:
            return srsly.msgpack_dumps({"reference": {"name": BUNDLED, "sha256": bundled_hash()}})
        if self._files is not None and not self.changed:
            return srsly.msgpack_dumps({"files": self._files})
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder))
            return srsly.msgpack_dumps({"files": read_folder(Path(folder))})

    def from_bytes(self: S, data: bytes) -> S:
        """Take what to_bytes gave, to be loaded at first use. data (bytes): The bytes."""
        message = srsly.msgpack_loads(data)
        if "reference" in message:
            self._check_reference(message["reference"])
        else:
            self._reset(self._saved(IN_MEMORY))
            self._files = message["files"]
        return self

    def copy(self: S) -> S:
        """RETURNS (S): A shim with weights of its own."""
        return copy.deepcopy(self)

    def __getstate__(self) -> Dict[str, Any]:
        state = self.__dict__.copy()
        del state["_lock"]
        if not self.source.is_bundled or self.changed:
            state["_files"] = srsly.msgpack_loads(self.to_bytes())["files"]
        # Weights travel as files, never as a pickle of a torch module.
        state.update(_model=None, changed=False)
        if self.changed:
            state["source"] = self._saved(IN_MEMORY)
        return state

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()
        self._process = os.getpid()

    @contextlib.contextmanager
    def available(self) -> Iterator[Source]:
        """The checkpoint as something that can be loaded; a pipeline's bytes become a folder for the moment.

        YIELDS (Source): What to load.
        RAISES (ZeroShotError): Z031 if the pipeline's folder is gone.
        """
        if self._files is not None:
            with tempfile.TemporaryDirectory() as folder:
                write_folder(Path(folder), self._files)
                yield self._saved(folder)
            return
        if self._from_pipeline and not self.source.is_folder and not self.changed:
            raise ZeroShotError("Z031", self.component, folder=self.source.name)
        yield self.source

    def _load(self) -> Any:
        from .runtime import mind_fork

        mind_fork(self._process)
        _share_gpu_memory()
        with self.available() as source:
            return self.build(source)

    def _saved(self, name: str) -> Source:
        return Source(name, local_files_only=True, component=self.component)

    def _check_reference(self, reference: Dict[str, str]) -> None:
        if reference["sha256"] != bundled_hash():
            warn("Z102", self.component, saved=reference["sha256"][:12], installed=bundled_hash()[:12])
        self._reset(Source(BUNDLED, component=self.component))

    def _reset(self, source: Source) -> None:
        self.source = source
        self._from_pipeline = not source.is_bundled
        self._files = None
        self._model = None
        self.changed = False


def _no_backprop(gradients: List[Floats3d]) -> None:
    raise RuntimeError("predict() keeps nothing to backpropagate through")


def _share_gpu_memory() -> None:
    """Let torch and CuPy share one memory pool, as thinc's own shims do."""
    if CupyOps.xp is not None and isinstance(get_current_ops(), CupyOps) and "pytorch" not in context_pools.get():
        set_gpu_allocator("pytorch")
        CupyOps.xp.get_default_memory_pool().free_all_blocks()
