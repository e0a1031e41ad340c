"""The bridge from thinc to torch: loads a checkpoint at first use, trains it, and serialises it.

Not thinc's PyTorchShim, which holds a module from the start, flips train() and eval() on every prediction (wrong
scores with several threads), and stores weights as a pickle.
"""

import contextlib
import copy
import os
import tempfile
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import srsly
from thinc.api import CupyOps, Shim, get_current_ops, set_gpu_allocator, torch2xp, xp2torch
from thinc.backends import context_pools
from thinc.types import Floats3d

from ..errors import ZeroShotError, warn
from ..evidence import Answer, Request
from .head import ClassRef
from .precision import Backend, Precision
from .source import BUNDLED, Source, bundled_hash, read_folder, write_folder

REFERENCE = "bundled.json"


class Placement(NamedTuple):
    """How to run a checkpoint.

    entailment, contradiction (ClassRef): Classes of the head, None to find them by name.
    precision (Precision): "auto", "float32", "bfloat16", "float16" or "int8".
    device (Optional[str]): A torch device, None to follow thinc.
    max_batch_tokens (int): Padded tokens in one forward pass.
    backend (Backend): "torch" or "openvino".
    """

    entailment: ClassRef = None
    contradiction: ClassRef = None
    precision: Precision = "auto"
    device: Optional[str] = None
    max_batch_tokens: int = 8192
    backend: Backend = "torch"


class Lesson(NamedTuple):
    """What initialize() sets for training; none of it is saved.

    new_head (Optional[Dict[str, Any]]): Start from an encoder without an NLI head; what its config.json declares.
    freeze (Tuple[str, ...]): Weights whose names start so stay as they are.
    layer_decay (float): Factor on the learning rate per layer below the top one.
    head_rate (float): Factor on the learning rate of the head.
    anchor (float): Weight of the loss that keeps the encoder's embeddings near those of another.
    anchor_to (Optional[str]): That other encoder, a name or folder; None for this one as it starts.
    learn_similarity (bool): Whether the loss reaches the embeddings through the cosine of text and hypothesis.
    """

    new_head: Optional[Dict[str, Any]] = None
    freeze: Tuple[str, ...] = ()
    layer_decay: float = 1.0
    head_rate: float = 1.0
    anchor: float = 0.0
    anchor_to: Optional[str] = None
    learn_similarity: bool = True


class NLIShim(Shim):
    """Holds a checkpoint that is loaded at first use.

    source (Source): What to load.
    placement (Placement): How to run it.
    """

    def __init__(self, source: Source, placement: Placement):
        super().__init__(None)
        self.source = source
        self.placement = placement
        self.trainable = False
        self.lesson = Lesson()
        self.changed = False
        # Of a pipeline read from bytes: its checkpoint's files, until they are loaded
        self._files: Optional[Dict[str, bytes]] = None
        self._from_pipeline = False
        self._lock = threading.RLock()
        self._process = os.getpid()

    @property
    def runtime(self) -> Any:
        """The loaded checkpoint. RETURNS (Runtime): Loaded on the first call, by one thread."""
        if self._model is None:
            with self._lock:
                if self._model is None:
                    self._model = self._load()
        return self._model

    def __call__(self, request: Request, is_train: bool) -> Tuple[List[Answer], Callable[[List[Floats3d]], None]]:
        if not is_train:
            return self.runtime.predict(request), _no_backprop
        return self.runtime.begin_update(request)

    def initialize(self, lesson: Lesson) -> None:
        """Load the checkpoint for training.

        lesson (Lesson): What to train and how.
        """
        with self._lock:
            if lesson.new_head is not None:
                self._model = None
            self.lesson = lesson
            runtime = self.runtime
            names = runtime.parameters
            for name, parameter in names.items():
                parameter.requires_grad_(self.trainable and not name.startswith(lesson.freeze or ("\0",)))
            if hasattr(runtime.layout, "learn_similarity"):
                runtime.layout.learn_similarity = lesson.learn_similarity
            if lesson.anchor and hasattr(runtime.layout, "anchor"):
                from .shared_layout import Anchor

                encoder = self._anchor_encoder(lesson.anchor_to)
                runtime.layout.anchor = Anchor(encoder.to(runtime.device), lesson.anchor)
            if lesson.new_head is not None:
                self.changed = True

    def set_trainable(self, trainable: bool) -> None:
        """Whether weights are kept in float32 to be updated. Call before the first use.

        trainable (bool): True for fine-tuning.
        """
        self.trainable = trainable

    def finish_update(self, optimizer: Any) -> None:
        """Step every weight that has a gradient.

        optimizer (Optimizer): thinc's.
        """
        for name, parameter in self.runtime.parameters.items():
            if parameter.grad is None:
                continue
            weights, _ = optimizer(
                (self.id, name),
                torch2xp(parameter.data),
                torch2xp(parameter.grad),
                lr_scale=self._rate(name),
            )
            parameter.data = xp2torch(weights, requires_grad=True, device=parameter.device)
            parameter.grad = None
        self.runtime.forget()
        self.changed = True

    @contextlib.contextmanager
    def use_params(self, params: Dict[Any, Any]) -> Iterator[None]:
        """Score with other weights for a while, e.g. the optimizer's averages.

        params (Dict[Any, Any]): Weights by (shim id, name).
        """
        named = self.runtime.parameters if self._model is not None else {}
        mine = {key[1]: value for key, value in params.items() if isinstance(key, tuple) and key[0] == self.id}
        backup = {name: parameter.data for name, parameter in named.items() if name in mine}
        for name in backup:
            named[name].data = xp2torch(mine[name], device=named[name].device).clone()
        if backup:
            self.runtime.forget()
        try:
            yield
        finally:
            for name, data in backup.items():
                named[name].data = data
            if backup:
                self.runtime.forget()

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
        from .checkpoint import save_checkpoint

        save_checkpoint(self._to_save(), folder)

    def restore(self, folder: Path) -> None:
        """Take a folder written by save, to be loaded at first use.

        folder (Path): The folder.
        """
        if (folder / REFERENCE).exists():
            self._check_reference(srsly.read_json(folder / REFERENCE))
            return
        self._reset(Source(str(folder), local_files_only=True, use_safetensors=True))

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The checkpoint's files, or a reference to the bundled one."""
        if self.source.is_bundled and not self.changed:
            return srsly.msgpack_dumps({"reference": {"name": BUNDLED, "sha256": bundled_hash()}})
        if self._files is not None and not self.changed:
            return srsly.msgpack_dumps({"files": self._files})
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder))
            return srsly.msgpack_dumps({"files": read_folder(Path(folder))})

    def from_bytes(self, data: bytes) -> "NLIShim":
        """Take what to_bytes gave, to be loaded at first use. data (bytes): The bytes."""
        message = srsly.msgpack_loads(data)
        if "reference" in message:
            self._check_reference(message["reference"])
        else:
            self._reset(Source("a pipeline's bytes", local_files_only=True))
            self._files = message["files"]
        return self

    def copy(self) -> "NLIShim":
        """RETURNS (NLIShim): A shim with weights of its own."""
        return copy.deepcopy(self)

    def __getstate__(self) -> Dict[str, Any]:
        state = self.__dict__.copy()
        del state["_lock"]
        if not self.source.is_bundled or self.changed:
            state["_files"] = srsly.msgpack_loads(self.to_bytes())["files"]
        # Weights travel as files, never as a pickle of a torch module.
        state.update(_model=None, changed=False)
        if self.changed:
            state["source"] = Source("a pipeline's bytes", local_files_only=True)
        return state

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()
        self._process = os.getpid()

    def _load(self) -> Any:
        from .head import find_head
        from .precision import choose_device, choose_dtype
        from .runtime import Runtime, mind_fork

        mind_fork(self._process)
        _share_gpu_memory()
        place = self.placement

        def read_head(config: Any) -> Any:
            return find_head(config, self.source.name, place.entailment, place.contradiction)

        checkpoint = self._load_checkpoint(read_head)
        head = read_head(checkpoint.config)
        device = choose_device(place.device)
        kernel = None
        if place.backend == "openvino":
            from .openvino_layout import choose_kernel

            kernel = choose_kernel(place.precision, device, self.trainable)
        return Runtime(
            checkpoint,
            head,
            self.source.name,
            device,
            choose_dtype("float32" if kernel else place.precision, device),
            self.trainable,
            place.max_batch_tokens,
            kernel,
        )

    def _load_checkpoint(self, check: Optional[Callable[[Any], Any]] = None) -> Any:
        from .checkpoint import load_checkpoint

        if self._files is not None:
            with tempfile.TemporaryDirectory() as folder:
                write_folder(Path(folder), self._files)
                return load_checkpoint(Source(folder, local_files_only=True), None, check)
        if self._from_pipeline and not self.source.is_folder:
            raise ZeroShotError("Z031", "NLIClassifier", folder=self.source.name)
        return load_checkpoint(self.source, self.lesson.new_head, check)

    def _anchor_encoder(self, name: Optional[str]) -> Any:
        if name is None:
            return copy.deepcopy(self.runtime.layout.encoder)
        from .checkpoint import load_encoder

        return load_encoder(Source(name))

    def _to_save(self) -> Any:
        """The checkpoint in its own precision: as it was stored, unless it was trained."""
        if self.changed:
            self.runtime.declare()
            return self.runtime.checkpoint
        return self._load_checkpoint()

    def _check_reference(self, reference: Dict[str, str]) -> None:
        if reference["sha256"] != bundled_hash():
            warn("Z102", "NLIClassifier", saved=reference["sha256"][:12], installed=bundled_hash()[:12])
        self._reset(Source(BUNDLED))

    def _reset(self, source: Source) -> None:
        self.source = source
        self._from_pipeline = not source.is_bundled
        self._files = None
        self._model = None
        self.changed = False
        # A pipeline's own checkpoint has its head already.
        self.lesson = self.lesson._replace(new_head=None)

    def _rate(self, name: str) -> float:
        if name == "similarity":
            # Two numbers of size 1 to 10 among weights of size 0.05: they need larger steps.
            return 100.0 * self.lesson.head_rate
        parts = name.split(".")
        if "layer" not in parts:
            embedding = "embeddings" in parts
            return self.lesson.layer_decay ** (self._depth() if embedding else 0) * (
                1.0 if embedding else self.lesson.head_rate
            )
        above = self._depth() - 1 - int(parts[parts.index("layer") + 1])
        return self.lesson.layer_decay**above

    def _depth(self) -> int:
        return int(getattr(self.runtime.checkpoint.config, "num_hidden_layers", 0))


def _no_backprop(gradients: List[Floats3d]) -> None:
    raise RuntimeError("predict() keeps nothing to backpropagate through")


def _share_gpu_memory() -> None:
    """Let torch and CuPy share one memory pool, as thinc's own shims do."""
    if CupyOps.xp is not None and isinstance(get_current_ops(), CupyOps) and "pytorch" not in context_pools.get():
        set_gpu_allocator("pytorch")
        CupyOps.xp.get_default_memory_pool().free_all_blocks()
