"""Models run by OpenVINO: converted once, kept on disk, compiled in every process that uses them."""

import atexit
import copy
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import __version__
from ..errors import ZeroShotError, warn
from ..util import first_line
from .batching import HypothesisSet, PairScorer, Window
from .cross_encoder import CrossEncoder
from .decomposed import Chunk, DecomposedBatch, DecomposedEncoder, DecomposedScorer, PreparedHypotheses
from .device import Kernel
from .packing import PackedSequences, RaggedIndex, gather

CACHE_VARIABLE = "SPACY_ZEROSHOT_CACHE"
FILE = "model.xml"
# Largest difference of a result, relative to the largest one, that a conversion to float32 may show
TOLERANCE = 1e-4


def run_by_openvino(scorer: PairScorer, kernel: Kernel, name: str) -> PairScorer:
    """The same scorer, for scoring only, its model (in float32, on the CPU) run by OpenVINO. name: For errors.

    RAISES (ZeroShotError): Z034 without the package, Z035 if the model cannot be converted.
    """
    if isinstance(scorer, DecomposedScorer):
        return OpenVINODecomposedScorer(scorer, kernel, name)
    if isinstance(scorer, CrossEncoder):
        converted = copy.copy(scorer)
        converted.module = OpenVINOClassifier(scorer, kernel, name)
        return converted
    raise ZeroShotError("Z035", name=name, reason="its architecture runs in torch only", instead="backend = 'torch'")


class Converted:
    """A torch module that OpenVINO runs. Threads may share it; a forked process compiles its own.

    module (nn.Module): Takes tensors by position and gives one tensor or a tuple; in float32, in evaluation mode.
    examples (Sequence[tuple[Tensor, ...]]): Two sets of arguments of different shapes: the module is traced with
        the first one and compared on the second one.
    identity (str): Text that tells apart modules with equal weights, e.g. the config.
    kernel (Kernel): What matrix products are computed in.
    name (str): The checkpoint's name, for errors.
    RAISES (ZeroShotError): Z034 without the package, Z035 for a module that cannot be converted.
    """

    def __init__(
        self, module: nn.Module, examples: Sequence[tuple[Tensor, ...]], identity: str, kernel: Kernel, name: str
    ):
        self._ov = import_openvino()
        self._precision = "bf16" if kernel == "bfloat16" else "f32"
        self._path = _stored(self._ov, module, examples, identity, name)
        self._lock = threading.Lock()
        self._local = threading.local()
        self._parent = os.getpid()
        self._process: int | None = None
        self._compiled: Any = None
        self._inherited: list[Any] = []

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """The module's results, in float32."""
        arrays = {number: tensor.numpy() for number, tensor in enumerate(inputs)}
        results = self._request().infer(arrays, share_inputs=True)
        return [torch.from_numpy(results[number]) for number in range(len(results))]

    def _request(self) -> Any:
        """This thread's own request: one request must not be used by two threads at a time."""
        process = os.getpid()
        if getattr(self._local, "process", None) != process:
            if process != self._parent and self._process != process:
                # held by another thread of the parent at the moment of the fork, it would never be free
                self._lock = threading.Lock()
            # What a forked process inherits waits for threads that do not exist there, if it is ever let go.
            self._inherited.append(getattr(self._local, "request", None))
            with self._lock:
                if self._process != process:
                    self._inherited.append(self._compiled)
                    self._compiled = self._compile(forked=process != self._parent)
                    self._process = process
            self._local.request = self._compiled.create_infer_request()
            self._local.process = process
        return self._local.request

    def _compile(self, forked: bool) -> Any:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self._precision,
            # The threads of a parent's pool do not exist after a fork: more than one would wait for them for ever.
            "INFERENCE_NUM_THREADS": 1 if forked else torch.get_num_threads(),
        }
        core = self._ov.Core()
        return core.compile_model(core.read_model(self._path), "CPU", settings)


class OpenVINOClassifier(nn.Module):
    """Stands in a CrossEncoder where its sequence classification model did."""

    def __init__(self, scorer: CrossEncoder, kernel: Kernel, name: str):
        super().__init__()
        self.original = scorer.module
        self.config = scorer.module.config
        examples, names = [], []
        # as the tokenizer builds pairs: in each example the last one is shorter and has padding
        for n_pairs, length in ((2, 9), (3, 14)):
            windows = [Window(np.arange(10, 10 + length - (i == n_pairs - 1)), 0, i) for i in range(n_pairs)]
            hypotheses = HypothesisSet(("",), (np.arange(12, 15),), None)
            [batch] = scorer.batches(windows, [hypotheses], 10_000)
            names = list(batch.inputs)
            examples.append(tuple(torch.from_numpy(array) for array in batch.inputs.values()))
        module = _Logits(scorer.module, names)
        self.converted = Converted(module, examples, _identity(self.config.to_dict()), kernel, name)
        self.names = names

    def forward(self, **inputs: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.converted(*(inputs[name] for name in self.names))[0])


class OpenVINODecomposedScorer(DecomposedScorer):
    """A DecomposedScorer with two converted models: the encoder, and the interaction layers."""

    def __init__(self, scorer: DecomposedScorer, kernel: Kernel, name: str):
        super().__init__(scorer.module, scorer.tokenizer, scorer.encoder.max_length, scorer.multiple)
        texts, chunks = [], []
        # texts of unlike lengths with the same few hypotheses
        for n_texts, sizes in ((2, (3, 5, 2)), (4, (4, 2))):
            windows = [Window(np.arange(10, 17 + i), 0, i * len(sizes)) for i in range(n_texts)]
            pieces = tuple(np.arange(10 + size, 10 + 2 * size) for size in sizes)
            with torch.inference_mode(False), torch.no_grad():
                [batch] = scorer.batches(windows, [HypothesisSet(("",), pieces, (name, sizes))], 10_000)
                inputs: DecomposedBatch = batch.inputs
                texts.append(_text_inputs(inputs.texts))
                [chunk], rows = inputs.chunks, inputs.texts.rows
                read = [rows.pad(states)[:, : chunk.longest] for states in scorer.read(inputs.texts)[1]]
                padding = rows.padding(longest=chunk.longest)
                chunks.append(_chunk_inputs(scorer.prepare(inputs.hypotheses), chunk, read, padding))
        identity = _identity(self.module.config.to_dict())
        self._encoder = Converted(_Texts(self.module), texts, identity, kernel, name)
        self._interaction = Converted(_Interaction(self.module), chunks, identity, kernel, name)

    def read(self, texts: PackedSequences) -> tuple[Tensor, list[Tensor]]:
        last, *levels = self._encoder(*_text_inputs(texts))
        return last, levels

    def interact(
        self, hypotheses: PreparedHypotheses, chunk: Chunk, texts: Sequence[Tensor], padding: Tensor | None
    ) -> Tensor:
        return self._interaction(*_chunk_inputs(hypotheses, chunk, texts, padding))[0]


class _Logits(nn.Module):
    """A sequence classification model that takes tensors by position and gives its logits only."""

    def __init__(self, module: Any, names: Sequence[str]):
        super().__init__()
        self.module = module
        self.names = names
        # an encoder-decoder would give its keys and values as well, which cannot be traced
        self.options = {"use_cache": False} if getattr(module.config, "is_encoder_decoder", False) else {}

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.module(**dict(zip(self.names, inputs, strict=True)), **self.options).logits


class _Texts(nn.Module):
    """The encoder, over tensors by position."""

    def __init__(self, module: DecomposedEncoder):
        super().__init__()
        self.module = module

    def forward(
        self, ids: Tensor, positions: Tensor, lengths: Tensor, take: Tensor, back: Tensor
    ) -> tuple[Tensor, ...]:
        texts = PackedSequences(ids, positions, _ragged(lengths, take, back))
        last, levels = self.module.encoder(texts, self.module.levels)
        return (last, *levels)


class _Interaction(nn.Module):
    """The interaction layers, over tensors by position."""

    def __init__(self, module: DecomposedEncoder):
        super().__init__()
        self.module = module

    def forward(self, states: Tensor, qkv: Tensor, tokens: Tensor, padding: Tensor, *more: Tensor) -> Tensor:
        rows, pairs, texts = _ragged(*more[:3]), _ragged(*more[3:6]), more[6:]
        return self.module.interact(gather(states, tokens), gather(qkv, tokens), texts, padding, rows, pairs)


def _text_inputs(texts: PackedSequences) -> tuple[Tensor, ...]:
    return (texts.ids, texts.positions, *_explicit(texts.rows, len(texts.ids)))


def _chunk_inputs(
    hypotheses: PreparedHypotheses, chunk: Chunk, texts: Sequence[Tensor], padding: Tensor | None
) -> tuple[Tensor, ...]:
    n_tokens = len(chunk.tokens)
    if padding is None:
        padding = torch.zeros(texts[0].shape[:2], dtype=torch.bool)
    indices = (*_explicit(chunk.rows, n_tokens), *_explicit(chunk.pairs, n_tokens))
    return (hypotheses.states, hypotheses.qkv, chunk.tokens, padding, *indices, *(read.contiguous() for read in texts))


def _explicit(ragged: RaggedIndex, n_tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lengths, take and back: a converted model always gathers."""
    if ragged.take is None or ragged.back is None:
        every = torch.arange(n_tokens)
        return ragged.lengths, every, every
    return ragged.lengths, ragged.take, ragged.back


def _ragged(lengths: Tensor, take: Tensor, back: Tensor) -> RaggedIndex:
    n_rows = lengths.shape[0]
    return RaggedIndex(n_rows, take.shape[0] // n_rows, lengths, take, back)


def import_openvino() -> Any:
    """Import OpenVINO, without its telemetry. RAISES (ZeroShotError): Z034 if it is not installed."""
    if not {"openvino", "openvino_telemetry"} & set(sys.modules):
        # Importing openvino reports to Google Analytics unless its telemetry package is missing. None makes it so.
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise ZeroShotError(
            "Z034",
            setting="backend = 'openvino'",
            package="openvino",
            extra="openvino",
            instead="backend = 'torch'",
        ) from error
    return openvino


def cache_folder() -> Path:
    """Where converted models are kept, which may not exist yet: $SPACY_ZEROSHOT_CACHE, else the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen) / "openvino"
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "spacy-zeroshot" / "openvino"


def _stored(ov: Any, module: nn.Module, examples: Sequence[tuple[Tensor, ...]], identity: str, name: str) -> Path:
    """The converted model's file: from the cache, or written to it now."""
    versions = f"{__version__} openvino {ov.get_version()} torch {torch.__version__}"
    digest = hashlib.sha256(f"{versions}\n{type(module).__name__}\n{identity}".encode())
    for key, tensor in sorted(module.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().data)
    path = cache_folder() / digest.hexdigest()[:32] / FILE
    if path.exists():
        if _readable(ov, path):
            return path
        shutil.rmtree(path.parent, ignore_errors=True)
    model = _convert(ov, module, examples, name)
    try:
        return _publish(ov, model, path)
    except OSError as error:
        warn("Z110", folder=str(path.parent.parent), reason=str(error))
        folder = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return _publish(ov, model, folder / path.parent.name / FILE)


def _readable(ov: Any, path: Path) -> bool:
    try:
        ov.Core().read_model(path)
    except RuntimeError:
        return False
    return True


def _convert(ov: Any, module: nn.Module, examples: Sequence[tuple[Tensor, ...]], name: str) -> Any:
    from openvino.frontend import OpConversionFailure

    # Weights made under inference_mode cannot be traced. Tracing warns of every branch on a shape; the comparison
    # that follows it says whether one mattered.
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = ov.convert_model(module, example_input=examples[0])
            wanted = module(*examples[1])
        except (OpConversionFailure, RuntimeError, ValueError, TypeError, IndexError) as error:
            raise _not_taken(name, first_line(error).rstrip(".")) from error
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled({number: tensor.numpy() for number, tensor in enumerate(examples[1])})
    for number, tensor in enumerate(wanted if isinstance(wanted, tuple) else (wanted,)):
        expected = tensor.numpy()
        difference = float(np.abs(results[number] - expected).max() / max(1.0, np.abs(expected).max()))
        if not difference <= TOLERANCE:
            raise _not_taken(name, f"its results differ from torch's by {difference:.1g}")
    return model


def _not_taken(name: str, reason: str) -> ZeroShotError:
    return ZeroShotError("Z035", name=name, reason=reason, instead="backend = 'torch'")


def _publish(ov: Any, model: Any, path: Path) -> Path:
    """Write a folder beside its place and move it there: it is complete or absent, whoever else writes."""
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=path.parent.parent))
    try:
        try:
            ov.save_model(model, draft / FILE, compress_to_fp16=False)
        except RuntimeError as error:
            raise OSError(first_line(error)) from error
        try:
            draft.rename(path.parent)
        except OSError:
            # another process was faster, with the same content
            if not path.exists():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return path


def _identity(config: dict[str, Any]) -> str:
    """A config without what changes from one copy of a checkpoint to another."""
    content = {key: value for key, value in config.items() if not key.startswith("_") and key != "transformers_version"}
    return repr(sorted(content.items()))
