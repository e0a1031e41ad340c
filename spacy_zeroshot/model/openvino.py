"""Models run by OpenVINO: converted when they are loaded, compiled in every process that uses them."""

import copy
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ZeroShotError
from ..util import first_line
from .batching import Batch, HypothesisSet, PairScorer, Window
from .cross_encoder import CrossEncoder
from .decomposed import DecomposedEncoder, DecomposedScorer
from .device import choose_dtype
from .int8 import GROUP_SIZE, quantize_weights
from .packing import PackedSequences, RaggedIndex, gather

# Largest difference of a result, relative to the largest one, that a conversion to float32 may show
TOLERANCE = 1e-4
# Two batches of different shapes, one to trace a model with and one to check it on: texts, wordpieces of hypotheses
EXAMPLES = ((2, (3, 5, 2)), (4, (4, 2)))


def run_by_openvino(scorer: PairScorer, kernel: torch.dtype, name: str) -> PairScorer:
    """The same scorer, for scoring only, its model (in float32, on the CPU) run by OpenVINO. kernel: What it computes
    in; with int8, its linear layers. name: For errors."""
    if isinstance(scorer, DecomposedScorer):
        module = _convert_decomposed(scorer, kernel, name)
        return DecomposedScorer(module, scorer.tokenizer, scorer.max_length, scorer.multiple)
    if isinstance(scorer, CrossEncoder):
        converted = copy.copy(scorer)
        converted.module = _convert_classifier(scorer, kernel, name)
        return converted
    raise _not_taken(name, "its architecture runs in torch only")


class Converted:
    """A torch module that OpenVINO runs: it takes tensors by position and gives one or a tuple, in float32. Threads may
    share it; a forked process compiles its own."""

    def __init__(self, module: nn.Module, examples: Sequence[tuple[Tensor, ...]], kernel: torch.dtype, name: str):
        self._ov = import_openvino()
        self._model = _convert(self._ov, module, examples, name)
        dtype = choose_dtype("auto", torch.device("cpu")) if kernel == torch.int8 else kernel
        self._settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32"}
        if kernel == torch.int8:
            quantize_weights(self._model)
            self._settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = GROUP_SIZE
        self._parent = os.getpid()
        # By process. What a forked one inherits stays: let go, it would wait for threads that do not exist there.
        self._compiled: dict[int, Any] = {}

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """The module's results, in float32."""
        process = os.getpid()
        if process not in self._compiled:
            # The threads of a parent's pool do not exist after a fork: more than one would wait for them for ever.
            threads = torch.get_num_threads() if process == self._parent else 1
            settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, **self._settings}
            self._compiled[process] = self._ov.Core().compile_model(self._model, "CPU", settings)
        # a request of its own: one must not be used by two threads at a time
        arrays = {number: tensor.numpy() for number, tensor in enumerate(inputs)}
        results = self._compiled[process].infer_new_request(arrays)
        return [torch.from_numpy(results[number]) for number in range(len(results))]


class _ByPosition(nn.Module):
    """A function of tensors as a module, which is what can be traced."""

    def __init__(self, module: nn.Module, call: Callable[..., Any]):
        super().__init__()
        self.module = module
        self.call = call

    def forward(self, *inputs: Tensor) -> Any:
        return self.call(*inputs)


def _convert_classifier(scorer: CrossEncoder, kernel: torch.dtype, name: str) -> Callable[..., SimpleNamespace]:
    """What stands in a CrossEncoder where its sequence classification model did."""
    module = scorer.module
    inputs = [_example(scorer, *shape).inputs for shape in EXAMPLES]
    names = list(inputs[0])
    # an encoder-decoder would give its keys and values as well, which cannot be traced
    options = {"use_cache": False} if getattr(module.config, "is_encoder_decoder", False) else {}

    def logits(*tensors: Tensor) -> Tensor:
        return module(**dict(zip(names, tensors, strict=True)), **options).logits

    def forward(**tensors: Any) -> SimpleNamespace:
        return SimpleNamespace(logits=converted(*(tensors[name] for name in names))[0])

    examples = [tuple(map(torch.from_numpy, arrays.values())) for arrays in inputs]
    converted = Converted(_ByPosition(module, logits), examples, kernel, name)
    return forward


def _convert_decomposed(scorer: DecomposedScorer, kernel: torch.dtype, name: str) -> DecomposedEncoder:
    """The same module, its encoder and interaction layers run by OpenVINO."""
    module = scorer.module
    texts, chunks = [], []
    with torch.inference_mode(False), torch.no_grad():
        for shape in EXAMPLES:
            inputs = _example(scorer, *shape).inputs
            rows, index = inputs.texts.rows, inputs.chunks[0].indices
            hypotheses = scorer.prepare(inputs.hypotheses)
            own = gather(hypotheses.states, index.tokens), gather(hypotheses.qkv, index.tokens)
            read = [rows.pad(states) for states in module.encoder(inputs.texts, module.levels)[1]]
            texts.append(_encoder_inputs(inputs.texts))
            chunks.append(_interaction_inputs(*own, read, rows.padding(), index.rows, index.pairs))

    def encode(ids: Tensor, positions: Tensor, *index: Tensor) -> tuple[Tensor, ...]:
        last, levels = module.encoder.read(PackedSequences(ids, positions, _ragged(*index)), module.levels)
        return (last, *levels)

    def interact(states: Tensor, qkv: Tensor, padding: Tensor, *more: Tensor) -> Tensor:
        return module.interaction(states, qkv, more[6:], padding, _ragged(*more[:3]), _ragged(*more[3:6]))

    encoder, interaction = copy.copy(module.encoder), copy.copy(module.interaction)
    run_encoder = Converted(_ByPosition(module.encoder, encode), texts, kernel, name)
    run_interaction = Converted(_ByPosition(module.interaction, interact), chunks, kernel, name)

    def read_texts(packed: PackedSequences, keep: range) -> tuple[Tensor, list[Tensor]]:
        last, *levels = run_encoder(*_encoder_inputs(packed))
        return last, levels[: len(keep)]

    encoder.read = read_texts  # type: ignore[method-assign]
    interaction.forward = lambda *inputs: run_interaction(*_interaction_inputs(*inputs))[0]
    return copy.deepcopy(module, {id(module.encoder): encoder, id(module.interaction): interaction})


def _example(scorer: PairScorer, n_texts: int, sizes: Sequence[int]) -> Batch:
    """A batch of texts of unlike lengths, with hypotheses of so many wordpieces."""
    windows = [Window(np.arange(10, 17 + i), 0, i * len(sizes)) for i in range(n_texts)]
    pieces = tuple(np.arange(10 + size, 10 + 2 * size) for size in sizes)
    spans = tuple((0, size) for size in sizes)
    [batch] = scorer.batches(windows, [HypothesisSet(("",), pieces, spans, ("example", sizes))], 10_000)
    return batch


def _encoder_inputs(texts: PackedSequences) -> tuple[Tensor, ...]:
    return texts.ids, texts.positions, *_explicit(texts.rows, len(texts.ids))


def _interaction_inputs(
    states: Tensor, qkv: Tensor, texts: Sequence[Tensor], padding: Tensor | None, rows: RaggedIndex, pairs: RaggedIndex
) -> tuple[Tensor, ...]:
    if padding is None:
        padding = torch.zeros(texts[0].shape[:2], dtype=torch.bool)
    indices = *_explicit(rows, len(states)), *_explicit(pairs, len(states))
    return states, qkv, padding, *indices, *(read.contiguous() for read in texts)


def _explicit(ragged: RaggedIndex, n_tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lengths, take and back: a converted model always gathers."""
    if ragged.take is None or ragged.back is None:
        every = torch.arange(n_tokens)
        return ragged.lengths, every, every
    return ragged.lengths, ragged.take, ragged.back


def _ragged(lengths: Tensor, take: Tensor, back: Tensor) -> RaggedIndex:
    return RaggedIndex(lengths.shape[0], take.shape[0] // lengths.shape[0], lengths, take, back)


def import_openvino() -> Any:
    """Import OpenVINO, without its telemetry. RAISES (ZeroShotError): Z034 if it is not installed."""
    if not {"openvino", "openvino_telemetry"} & set(sys.modules):
        # Importing openvino reports to Google Analytics unless its telemetry package is missing. None makes it so.
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        needed = {"package": "openvino", "extra": "openvino", "instead": "backend = 'torch'"}
        raise ZeroShotError("Z034", setting="backend = 'openvino'", **needed) from error
    return openvino


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
