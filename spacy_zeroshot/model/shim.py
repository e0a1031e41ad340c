"""The bridge from thinc to an NLI model: runs it and trains it."""

import contextlib
import copy
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Iterator, List, NamedTuple, Optional, Tuple

from thinc.api import torch2xp, xp2torch
from thinc.types import Floats3d

from ..errors import ZeroShotError, warn
from ..evidence import Answer, Request
from .checkpoint_shim import CheckpointShim
from .head import ClassRef
from .precision import Backend, Precision
from .source import Source


class Placement(NamedTuple):
    """How to run a checkpoint.

    entailment, contradiction (ClassRef): Classes of the head, None to find them by name.
    precision (Precision): "auto", "float32", "bfloat16", "float16" or "int8".
    device (Optional[str]): A torch device, None to follow thinc.
    max_batch_tokens (int): Padded tokens in one forward pass.
    backend (Backend): "torch", "openvino", or "auto".
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


class NLIShim(CheckpointShim):
    """Holds an NLI checkpoint that is loaded at first use.

    source (Source): What to load.
    placement (Placement): How to run it.
    """

    component: ClassVar[str] = "NLIClassifier"

    def __init__(self, source: Source, placement: Placement):
        super().__init__(source)
        self.placement = placement
        self.trainable = False
        self.lesson = Lesson()

    def __call__(self, request: Request, is_train: bool) -> Tuple[List[Answer], Callable[[List[Floats3d]], None]]:
        return self.runtime.begin_update(request) if is_train else super().__call__(request, False)

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
                from .anchor import Anchor

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

    def build(self, source: Source) -> Any:
        from .checkpoint import load_checkpoint
        from .head import find_head
        from .nli_runtime import NLIRuntime
        from .precision import choose_device, choose_dtype, choose_kernel

        place = self.placement

        def read_head(config: Any) -> Any:
            return find_head(config, self.source.name, place.entailment, place.contradiction)

        checkpoint = load_checkpoint(source, self.lesson.new_head, read_head)
        head = read_head(checkpoint.config)
        device = choose_device(place.device)
        kernel = choose_kernel(place.backend, place.precision, device, self.trainable)

        def run(kernel: Any) -> Any:
            dtype = choose_dtype("float32" if kernel else place.precision, device)
            name, budget = self.source.name, place.max_batch_tokens
            return NLIRuntime(checkpoint, head, name, device, dtype, self.trainable, budget, kernel)

        try:
            return run(kernel)
        except ZeroShotError as error:
            if place.backend != "auto" or place.precision == "int8" or error.code != "Z035":
                raise
            warn("Z111", "NLIClassifier", name=self.source.name, reason=str(error))
            return run(None)

    def write(self, source: Source, folder: Path) -> None:
        from .checkpoint import load_checkpoint, save_checkpoint

        if self.changed:
            self.runtime.declare()
            checkpoint = self.runtime.checkpoint
        else:
            checkpoint = load_checkpoint(source, self.lesson.new_head)
        save_checkpoint(checkpoint, folder)

    def _anchor_encoder(self, name: Optional[str]) -> Any:
        if name is None:
            return copy.deepcopy(self.runtime.layout.encoder)
        from .checkpoint import load_encoder

        return load_encoder(Source(name))

    def _reset(self, source: Source) -> None:
        super()._reset(source)
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
