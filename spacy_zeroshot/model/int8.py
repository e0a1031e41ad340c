"""Encoders in 8 bits: NNCF measures their activations on a few texts and rounds activations and weights."""

import contextlib
import functools
import hashlib
import inspect
import logging
import sys
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Callable, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from ..errors import ZeroShotError
from .calibration_texts import LABELS, TEMPLATES, TEXTS
from .layouts import Item, Pass
from .tokens import Tokens

# Labels that are read beside each text
LABELS_OF_TEXT = 6
# Tokens of a pass: small ones measure as well as large ones, and NNCF keeps every activation of a pass.
PASS_TOKENS = 256
# A layer stays as it is where its largest input is so many times the root of their mean square
UNEVEN = 45.0
REPORTS = "openvino_telemetry"
# What to set where it cannot be had
INSTEAD = "precision = 'auto'"

Arrays = Tuple[np.ndarray, ...]


class Calibration(NamedTuple):
    """Inputs to measure activations on.

    identity (str): Tells apart calibrations: part of the key of a cached conversion.
    inputs (Callable[[], Sequence[Arrays]]): Gives the module's arguments, call by call. Called for a conversion only.
    """

    identity: str
    inputs: Callable[[], Sequence[Arrays]]


def calibration_items(tokens: Tokens, room: Callable[[int], int]) -> List[Item]:
    """The built-in texts, each with some of the built-in labels under one of the templates.

    tokens (Tokens): The checkpoint's tokenizer.
    room (Callable[[int], int]): Wordpieces of text that fit beside a hypothesis of a length: a layout's `room`.
    RETURNS (List[Item]): One for each text; no text is longer than fits.
    """
    items: List[Item] = []
    pairs = 0
    for i, text in enumerate(tokens.split(TEXTS)):
        template = TEMPLATES[i % len(TEMPLATES)]
        chosen = [LABELS[(i * LABELS_OF_TEXT + j) % len(LABELS)] for j in range(LABELS_OF_TEXT)]
        hypotheses = tuple(tokens.split_cached([template.format(label) for label in chosen]))
        fitting = max(1, room(max(len(piece.ids) for piece in hypotheses)))
        items.append(Item(text.ids[:fitting], hypotheses, pairs))
        pairs += len(hypotheses)
    return items


def calibration_passes(layout: Any) -> "tuple[str, List[Pass]]":
    """The calibration items as a layout would run them.

    layout (Layout): The layout, as torch runs it.
    RETURNS (tuple[str, List[Pass]]): What tells them apart from those of another tokenizer or version; the passes.
    """
    items = calibration_items(layout.tokens, layout.room)
    digest = hashlib.sha256(str(PASS_TOKENS).encode())
    for item in items:
        for ids in (item.premise, *(piece.ids for piece in item.hypotheses)):
            digest.update(f"{ids.tolist()}".encode())
    return digest.hexdigest(), list(layout.passes(items, PASS_TOKENS))


def nncf_version() -> str:
    """RETURNS (str): The installed version of NNCF. RAISES (ZeroShotError): Z034 if there is none."""
    if find_spec("nncf") is None:
        raise _no_nncf()
    return version("nncf")


def quantise(model: Any, inputs: Sequence[Arrays], name: str) -> Any:
    """Round matrix products of a model to 8 bits: weights by output, activations by what the inputs show.

    Post-training quantisation as NNCF does it for transformers: with smoothed activations (SmoothQuant, Xiao et al.,
    2022) and corrected biases. Softmax, norms, layers of uneven inputs and the rest stay as they are.

    model (openvino.Model): In float32.
    inputs (Sequence[Arrays]): Arguments to measure activations on, call by call.
    name (str): The checkpoint's name, for errors.
    RETURNS (openvino.Model): Another model, which gives nearly the same.
    RAISES (ZeroShotError): Z034 without NNCF, Z035 for a model it cannot take.
    """
    nncf = _import_nncf()
    exact = nncf.IgnoredScope(names=[*_uneven(model, inputs), *_beside_gathered(model)], validate=False)
    data = nncf.Dataset([dict(enumerate(arrays)) for arrays in inputs])
    # Beneath its decorators: those report each call, if this process imported NNCF before we could prevent it.
    run = inspect.unwrap(nncf.quantize)
    size = len(inputs)
    with _silence(nncf):
        try:
            return run(model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=size, ignored_scope=exact)
        except (nncf.InternalError, nncf.UnsupportedModelError, nncf.ValidationError, RuntimeError) as reason:
            first = str(reason).strip().split("\n")[0].rstrip(".")
            raise ZeroShotError(
                "Z035", "NLIClassifier", name=name, reason=f"in 8 bits: {first}", instead=INSTEAD
            ) from reason


def _uneven(model: Any, inputs: Sequence[Arrays]) -> List[str]:
    """The layers behind an activation function that a few large inputs keep from being stored in 8 bits.

    One scale serves all inputs of a layer. Behind an activation function, where they cannot be smoothed, a few may be
    so much larger than the others that 255 steps are too coarse. With the bundled model the first half of these
    layers makes two thirds of the error.

    model (openvino.Model): The model.
    inputs (Sequence[Arrays]): Arguments to measure on, call by call.
    RETURNS (List[str]): Names of the layers.
    """
    from openvino import Core

    known = len(model.outputs)
    watched = model.clone()
    nodes = [node for node in watched.get_ordered_ops() if _narrows(node)]
    watched.add_outputs([node.input_value(0) for node in nodes])
    compiled = Core().compile_model(watched, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    peaks, squares = np.zeros(len(nodes)), np.zeros(len(nodes))
    for arrays in inputs:
        results = compiled(dict(enumerate(arrays)))
        for i in range(len(nodes)):
            peaks[i] = max(peaks[i], np.abs(results[known + i]).max())
            squares[i] += np.square(results[known + i]).mean() / len(inputs)
    return [node.get_friendly_name() for node, uneven in zip(nodes, peaks > UNEVEN * np.sqrt(squares)) if uneven]


def _beside_gathered(model: Any) -> List[str]:
    """The linear layers whose result is added to gathered states, as in the first layer in which hypotheses read.

    OpenVINO 2026.4 computes such a sum wrongly on a CPU if the product is in 8 bits: it fuses the two, and the states
    after it are half noise; they are right if anything else reads the product.

    model (openvino.Model): The model.
    RETURNS (List[str]): Names of the layers.
    """
    names = []
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MatMul":
            biased = [after for after in _readers(node) if after.get_type_name() == "Add"]
            sums = [after for bias in biased for after in _readers(bias) if after.get_type_name() == "Add"]
            added = [after.input_value(i).get_node().get_type_name() for after in sums for i in (0, 1)]
            if "Gather" in added:
                names.append(node.get_friendly_name())
    return names


def _readers(node: Any) -> List[Any]:
    return [target.get_node() for target in node.output(0).get_target_inputs()]


def _narrows(node: Any) -> bool:
    """Whether an operation is a linear layer with fewer outputs than inputs, as after an activation function."""
    if node.get_type_name() != "MatMul":
        return False
    source = node.input_value(1).get_node()
    if source.get_type_name() != "Constant" or len(source.shape) != 2:
        return False
    # as torch stores weights, or the other way round
    outputs, inputs = source.shape if node.get_attributes()["transpose_b"] else reversed(source.shape)
    return bool(outputs < inputs)


def _import_nncf() -> Any:
    """Import NNCF without its telemetry, and leave Python's logging as it was."""
    logger_class = logging.getLoggerClass()
    known = "nncf" in sys.modules
    missing = object()
    reports: Any = sys.modules.get(REPORTS, missing)
    try:
        if not known:
            # NNCF reports to Google Analytics unless this package is missing. None makes it so.
            sys.modules[REPORTS] = None  # type: ignore[assignment]
        import nncf
    except ImportError as reason:
        raise _no_nncf() from reason
    finally:
        logging.setLoggerClass(logger_class)
        if not known and reports is missing:
            del sys.modules[REPORTS]
        elif not known:
            sys.modules[REPORTS] = reports
    return nncf


@contextlib.contextmanager
def _silence(nncf: Any) -> Iterator[None]:
    """No log lines and no progress bars, which would also stop a bar of ours."""
    from nncf.common.logging import track_progress

    logger = logging.getLogger("nncf")
    parts: List[Any] = [logger, *logger.handlers]
    levels = [(part, part.level) for part in parts]
    bars = {name: getattr(track_progress, name) for name in ("Progress", "WeightedProgress")}
    for name, bar in bars.items():
        setattr(track_progress, name, functools.partial(_hidden, bar))
    nncf.set_log_level(logging.ERROR)
    try:
        yield
    finally:
        for name, bar in bars.items():
            setattr(track_progress, name, bar)
        for part, level in levels:
            part.setLevel(level)


def _hidden(bar: Callable[..., Any], *columns: Any, **options: Any) -> Any:
    return bar(*columns, **{**options, "disable": True})


def _no_nncf() -> ZeroShotError:
    return ZeroShotError(
        "Z034", "NLIClassifier", setting="precision = 'int8'", package="nncf", extra="int8", instead=INSTEAD
    )
