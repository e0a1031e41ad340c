"""The bridge from thinc to a checkpoint: loads it at first use, runs it, trains it, and saves it.

Not thinc's PyTorchShim, which holds a module from the start, flips train() and eval() on every prediction (wrong scores
with several threads), and stores weights as a pickle.
"""

import copy
import itertools
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly
from thinc.api import Optimizer, Shim, torch2xp, xp2torch
from thinc.types import Floats2d

from ..errors import ZeroShotError
from .architectures import BUNDLED, ModelSpec
from .types import InitConfig, NLIInput, NLIOutput

if TYPE_CHECKING:
    from torch import nn

    from .checkpoint import Source
    from .predictor import Predictor

# What a pipeline holds in place of the bundled model
REFERENCE = "bundled.json"
IN_MEMORY = "a pipeline's bytes"
# What a checkpoint is loaded as
KINDS: dict[str, Any] = {
    "NLIClassifier": "classifier",
    "SimilarityClassifier": "encoder",
    "MaskedLMClassifier": "masked_lm",
}
# In bfloat16 every new shape costs a kernel: lengths are rounded up to a multiple of this
MULTIPLE = 16
_versions = itertools.count(1)
_LAYER = re.compile(r"(?:^|\.)(?:layers?|block|h|interaction)\.(\d+)\.")
# Parts of a model that stand below its first layer
_BELOW = ("embed", "shared", "wte", "wpe")


class ModelShim(Shim):
    """Holds a checkpoint that is loaded at first use.

    spec (ModelSpec): What the config says.
    """

    def __init__(self, spec: ModelSpec):
        super().__init__(None)
        self.spec = spec
        self.trainable = False
        self.train_encoder = False
        self.init = InitConfig()
        # Whether the weights are other ones than those of the checkpoint
        self.changed = False
        # The folder of a loaded pipeline, which then stands in the place of what the config names
        self._folder: str | None = None
        self._is_bundled = spec.name == BUNDLED
        # The checkpoint's files, of a pipeline read from bytes
        self._files: dict[str, bytes] | None = None
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

    def __call__(self, batch: NLIInput, is_train: bool) -> tuple[NLIOutput, Callable[[Floats2d], None]]:
        if is_train and self.spec.architecture == "NLIClassifier":
            return self.runtime.begin_update(batch)
        return self.runtime.predict(batch), _no_backprop

    def embed(self, texts: Sequence[str]) -> Floats2d:
        """Embed texts by the model's own encoder, fine-tuned or not.

        RETURNS (Floats2d): Shape (texts, width), float32, rows of length one.
        RAISES (ZeroShotError): Z240 for an encoder-decoder, and what loading raises.
        """
        return self.runtime.embed(texts)

    def remember_texts(self, max_bytes: int) -> None:
        """Keep what was computed of recent texts, for other label sets: up to so many bytes, 0 for nothing."""
        remember = getattr(self.runtime.scorer, "remember_texts", None)
        if remember is not None:
            remember(max_bytes)

    def weights_key(self) -> str:
        """What changes with the weights: the bundled model's hash, "own:0" for a checkpoint as it was loaded."""
        if self._is_bundled and not self._version:
            from .checkpoint import bundled_hash

            return bundled_hash()
        return f"own:{self._version}"

    # Learning

    def set_trainable(self, trainable: bool, train_encoder: bool = False) -> None:
        """Whether the weights are to be updated, and the encoder's of the bundled layout too.

        RAISES (ZeroShotError): Z241 if this architecture only scores.
        """
        if trainable and self.spec.architecture != "NLIClassifier":
            raise ZeroShotError("Z241", architecture=self.spec.architecture)
        with self._lock:
            if (trainable, train_encoder) == (self.trainable, self.train_encoder):
                return
            self.trainable, self.train_encoder = trainable, train_encoder
            if self.changed:
                self.from_bytes(self.to_bytes())
            # weights that are trained are kept in float32, and are nobody else's
            self._model = None

    def initialize(self, init: InitConfig) -> None:
        """Load the checkpoint for training; what was learned before is dropped. init (InitConfig): How to train."""
        with self._lock:
            self.init = init
            if self.changed:
                self._model = None
                self.changed = False
                self._version = next(_versions)
            self._freeze(self.runtime)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Step every weight that has a gradient."""
        import torch

        rates = learning_rates(self.runtime.checkpoint.module, self.init)
        with torch.inference_mode(False), torch.no_grad():
            for name, parameter in self.runtime.parameters.items():
                if parameter.grad is None:
                    continue
                weights, _ = optimizer(
                    (self.id, name), torch2xp(parameter.data), torch2xp(parameter.grad), lr_scale=rates[name]
                )
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
        mine = {key[1]: value for key, value in params.items() if isinstance(key, tuple) and key[0] == self.id}
        backup = {name: parameter.data.clone() for name, parameter in named.items() if name in mine}
        if not backup:
            yield
            return

        def put(values: dict[str, Any]) -> None:
            with torch.inference_mode(False), torch.no_grad():
                for name, value in values.items():
                    named[name].data.copy_(value)

        version = self._version
        put({name: xp2torch(mine[name], device=named[name].device) for name in backup})
        self._weights_changed()
        try:
            yield
        finally:
            put(backup)
            self._weights_changed()
            self._version = version

    # Saving

    def save(self, folder: Path) -> None:
        """Write the checkpoint as a Hugging Face folder, or, for the untouched bundled one, a reference to it."""
        from . import checkpoint as store

        folder.mkdir(parents=True, exist_ok=True)
        if self.changed:
            store.save_checkpoint(self.runtime.checkpoint, folder)
        elif self._is_bundled:
            srsly.write_json(folder / REFERENCE, self._reference())
        elif self._files is not None:
            store.write_folder(folder, self._files)
        elif self._folder is not None and Path(self._folder).is_dir():
            store.copy_folder(Path(self._folder), folder)
        else:
            self._save_source(folder)

    def restore(self, folder: Path) -> None:
        """Take a folder written by save, to be loaded at first use.

        RAISES (ZeroShotError): Z052 if it refers to another bundled model than the installed one.
        """
        if (folder / REFERENCE).exists():
            self._check_reference(srsly.read_json(folder / REFERENCE))
            self._reset(is_bundled=True)
        else:
            self._reset()
            self._folder = str(folder)

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The checkpoint's files, or a reference to the bundled one."""
        if self._is_bundled and not self.changed:
            return srsly.msgpack_dumps({"reference": self._reference()})
        return srsly.msgpack_dumps({"files": self._read_files()})

    def from_bytes(self, data: bytes) -> "ModelShim":
        """Take what to_bytes gave, to be loaded at first use. RAISES (ZeroShotError): Z052, as restore."""
        message = srsly.msgpack_loads(data)
        if "reference" in message:
            self._check_reference(message["reference"])
            self._reset(is_bundled=True)
        else:
            self._reset()
            self._files = message["files"]
        return self

    def copy(self) -> "ModelShim":
        """RETURNS (ModelShim): A shim with weights of its own."""
        return copy.deepcopy(self)

    def to_device(self, device_type: str, device_id: int) -> None:
        """Nothing to move: the checkpoint is loaded to thinc's device, or to the one in the config."""

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_lock"]
        if not self._is_bundled or self.changed:
            state.update(_files=self._read_files(), _folder=None, _is_bundled=False)
        # Weights travel as files, never as a pickle of a torch module.
        state.update(_model=None, changed=False)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()
        self._process = os.getpid()

    # Inside

    def _source(self) -> "Source":
        from .checkpoint import Source

        spec = self.spec
        if self._is_bundled:
            return Source(BUNDLED)
        if self._folder is not None:
            return Source(self._folder, local_files_only=True)
        return Source(spec.name, spec.revision, spec.local_files_only, spec.use_safetensors)

    @contextmanager
    def _available(self) -> Iterator["Source"]:
        """The checkpoint as something that can be loaded; a pipeline's bytes become a folder for the moment.

        RAISES (ZeroShotError): Z031 if the pipeline's folder is gone.
        """
        from .checkpoint import Source, write_folder

        if self._files is not None:
            with tempfile.TemporaryDirectory() as folder:
                write_folder(Path(folder), self._files)
                yield Source(folder, local_files_only=True)
            return
        source = self._source()
        if self._folder is not None and not source.is_folder:
            raise ZeroShotError("Z031", folder=source.name)
        yield source

    def _load(self) -> "Predictor":
        from .device import mind_fork, share_gpu_memory

        mind_fork(self._process)
        share_gpu_memory()
        with self._available() as source:
            predictor = build_predictor(self.spec, source, self._shown_name(), self.trainable, self.train_encoder)
        self._freeze(predictor)
        return predictor

    def _shown_name(self) -> str:
        """The checkpoint's name, for errors."""
        if self._is_bundled:
            return BUNDLED
        return IN_MEMORY if self._files is not None else self._folder or self.spec.name

    def _freeze(self, predictor: "Predictor") -> None:
        """Say which weights are trained. Weights that are not trained may be shared, so they stay as they are."""
        if not self.trainable:
            return
        frozen = tuple(f"{part}." for part in predictor.frozen) + self.init.freeze
        for name, parameter in predictor.parameters.items():
            parameter.requires_grad_(not name.startswith(frozen or ("\0",)))

    def _weights_changed(self) -> None:
        self.runtime.forget()
        self._version = next(_versions)

    def _save_source(self, folder: Path) -> None:
        """Save an untouched checkpoint in the precision it is stored in; from memory where its source is gone."""
        from .checkpoint import load_checkpoint, save_checkpoint

        kind = KINDS[self.spec.architecture]
        loaded = None if self._model is None else self._model.checkpoint
        if loaded is None or not loaded.is_exact:
            try:
                with self._available() as source:
                    loaded = load_checkpoint(source, kind)
            except ZeroShotError:
                if loaded is None:
                    raise
        save_checkpoint(loaded, folder, trained=False)
        if kind == "encoder":
            from .bi_encoder import save_pooling

            save_pooling(self.runtime.scorer, folder)

    def _read_files(self) -> dict[str, bytes]:
        from .checkpoint import read_folder

        if self._files is not None and not self.changed:
            return self._files
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder))
            return read_folder(Path(folder))

    def _reference(self) -> dict[str, str]:
        from .checkpoint import bundled_hash

        return {"name": BUNDLED, "sha256": bundled_hash()}

    def _check_reference(self, reference: dict[str, str]) -> None:
        installed = self._reference()["sha256"]
        if reference["sha256"] != installed:
            raise ZeroShotError("Z052", saved=reference["sha256"][:12], installed=installed[:12])

    def _reset(self, is_bundled: bool = False) -> None:
        used = self._model is not None
        self._folder = self._files = self._model = None
        self._is_bundled = is_bundled
        self.changed = False
        # embeddings by the weights before are not to be taken for those of the new ones
        self._version = next(_versions) if used and not is_bundled else 0


def build_predictor(spec: ModelSpec, source: "Source", name: str, trainable: bool, train_encoder: bool) -> "Predictor":
    """Load a checkpoint and make it work as its architecture says.

    spec (ModelSpec): How to run it.
    source (Source): What to load.
    name (str): The checkpoint's name, for errors.
    trainable (bool): Whether it is to be trained: then its weights are its own, and float32.
    train_encoder (bool): Whether that includes the encoder of the bundled layout, which is otherwise shared.
    RETURNS (Predictor): The loaded checkpoint.
    """
    import torch

    from . import device as devices
    from .checkpoint import is_decomposed, load_checkpoint, max_positions, share_checkpoint
    from .head import find_head
    from .predictor import Predictor
    from .tokenization import PairTokenizer

    def read_head(config: Any) -> tuple[int, ...]:
        return find_head(config, name, spec.entailment, spec.contradiction)

    device = devices.choose_device(spec.device)
    kernel = devices.choose_kernel(spec.backend, spec.precision, device, trainable)
    dtype = devices.choose_dtype("float32" if kernel else spec.precision, device)
    kind = KINDS[spec.architecture]
    check = read_head if kind == "classifier" else None
    decomposed = is_decomposed(source)
    if not trainable:
        checkpoint = share_checkpoint(source, kind, device, dtype, check)
    elif decomposed and not train_encoder:
        base = share_checkpoint(source, kind, device, torch.float32, check)
        checkpoint = replace(base, module=base.module.sharing_encoder(), base=base)
    else:
        checkpoint = load_checkpoint(source, kind, device, torch.float32, check)
    multiple = 1 if dtype == torch.float32 and not kernel else MULTIPLE
    tokenizer = PairTokenizer(checkpoint.tokenizer)
    scorer: Any
    if kind == "masked_lm":
        from .masked_lm import MaskedLM, read_prompt

        prompt = read_prompt(spec.prompt, checkpoint.tokenizer, name)
        tokenizer = PairTokenizer(checkpoint.tokenizer, prompt.text_lead, prompt.word_lead)
        scorer = MaskedLM(checkpoint, tokenizer, prompt, min(multiple, 8), name)
    elif kind == "encoder":
        from .bi_encoder import make_bi_encoder

        scorer = make_bi_encoder(checkpoint, tokenizer, source, spec.temperature, spec.midpoint, multiple)
    elif decomposed:
        from .decomposed import DecomposedScorer

        length = max_positions(checkpoint.module, checkpoint.tokenizer)
        scorer = DecomposedScorer(checkpoint.module, tokenizer, length, multiple)
    else:
        from .cross_encoder import CrossEncoder

        scorer = CrossEncoder(checkpoint, tokenizer, read_head(checkpoint.config), min(multiple, 8), name)

    frozen = ("encoder",) if decomposed and not train_encoder else ()
    return Predictor(checkpoint, tokenizer, scorer, device, dtype, spec.max_batch_tokens, trainable, frozen)


def learning_rates(module: "nn.Module", init: InitConfig) -> dict[str, float]:
    """Factors on the learning rate, by the weight's name: less for each layer below the top one.

    Several stacks of layers (encoder and decoder, encoder and interaction) stand on each other in the order in which
    the module names them.
    """
    names = [name for name, _ in module.named_parameters()]
    # number of a layer among all, by the name of its stack and its number there
    layers: dict[tuple[str, int], int] = {}
    for name in names:
        found = _LAYER.search(name)
        if found:
            layers.setdefault((name[: found.start(1)], int(found[1])), len(layers))
    base = f"{getattr(module, 'base_model_prefix', 'encoder')}."
    rates = {}
    for name in names:
        found = _LAYER.search(name)
        if found:
            above = len(layers) - 1 - layers[name[: found.start(1)], int(found[1])]
            rates[name] = init.layer_decay**above
        elif name.startswith(base) and any(part in name for part in _BELOW):
            rates[name] = init.layer_decay ** len(layers)
        elif name.startswith(base) and "pooler" not in name:
            rates[name] = 1.0
        else:
            # the two or three numbers of size 1 to 10 that say what a cosine is worth need larger steps than weights
            rates[name] = init.head_rate * (100.0 if name == "similarity" else 1.0)
    return rates


def _no_backprop(d_logits: Floats2d) -> None:
    raise RuntimeError("predict() keeps nothing to backpropagate through")
