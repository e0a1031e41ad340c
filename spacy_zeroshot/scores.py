"""From evidence to scores. Pure array work, after the zero-shot pipeline of transformers (Yin et al., 2019).

A label's strength is its entailment logit where labels compete (single-label), and the margin of entailment over
contradiction where each stands on its own (multi-label, or one label). Strengths are averaged over a label's
hypotheses, pooled over windows, and only then turned into scores.
"""

from typing import Dict, Mapping, Sequence

import numpy as np
from thinc.types import Floats1d, Floats2d, Floats3d

from .errors import ZeroShotError
from .evidence import AGAINST, FOR

POOLINGS = ("max", "mean", "first")


def strengths(logits: Floats3d, counts: Sequence[int], compete: bool) -> Floats2d:
    """Reduce logits to one strength per window and label.

    logits (Floats3d): Shape (windows, hypotheses, classes).
    counts (Sequence[int]): Hypotheses per label.
    compete (bool): Whether labels compete: entailment logits, else margins over contradiction.
    RETURNS (Floats2d): Shape (windows, labels), in float64.
    """
    logits = np.asarray(logits, dtype="float64")
    values = logits[..., FOR] if compete else logits[..., FOR] - logits[..., AGAINST]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.add.reduceat(values, starts, axis=1) / np.asarray(counts)


def pool(values: Floats2d, pooling: str) -> Floats1d:
    """Pool the strengths of a text's windows.

    values (Floats2d): Shape (windows, labels).
    pooling (str): "max", "mean" or "first".
    RETURNS (Floats1d): Shape (labels,).
    RAISES (ZeroShotError): Z007 for another pooling.
    """
    if pooling == "max":
        return values.max(axis=0)
    if pooling == "mean":
        return values.mean(axis=0)
    if pooling == "first":
        return values[0]
    raise ZeroShotError("Z007", setting="pooling", value=pooling, reason=f"it is one of {', '.join(POOLINGS)}")


def scores(values: np.ndarray, compete: bool) -> np.ndarray:
    """Turn strengths into scores between 0 and 1.

    values (np.ndarray): Shape (..., labels).
    compete (bool): Softmax over the labels, else a sigmoid for each.
    RETURNS (np.ndarray): The same shape.
    """
    if compete:
        exponents = np.exp(values - values.max(axis=-1, keepdims=True))
        return exponents / exponents.sum(axis=-1, keepdims=True)
    # exp of a negative number only: no overflow at either end
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


def adjust(values: np.ndarray, biases: np.ndarray, temperature: float) -> np.ndarray:
    """Calibrate strengths: take each label's bias away and divide by the temperature (Guo et al., 2017).

    Neither depends on the window, so it makes no difference whether windows are pooled before or after.

    values (np.ndarray): Shape (..., labels).
    biases (np.ndarray): Shape (labels,): the strength a label has for no reason of the text's, in logits.
    temperature (float): Above 1 makes scores less sure, below 1 more.
    RETURNS (np.ndarray): The same shape as `values`.
    """
    return (values - biases) / temperature


def check_calibration(entries: Sequence[Mapping[str, object]], component: str) -> Dict[str, float]:
    """Read the config's biases.

    entries (Sequence[Mapping[str, object]]): [{"label": ..., "bias": ...}].
    component (str): The component's name, for errors.
    RETURNS (Dict[str, float]): Biases by label, in logits.
    RAISES (ZeroShotError): Z006 for an entry of another form, Z007 for a bias that is not finite.
    """
    biases: Dict[str, float] = {}
    for entry in entries:
        value = entry.get("bias")
        if set(entry) != {"label", "bias"} or not isinstance(value, (int, float)) or isinstance(value, bool):
            form = '{"label": "...", "bias": 0.3}'
            raise ZeroShotError("Z006", component, setting="calibration", entry=dict(entry), form=form)
        if not np.isfinite(value):
            raise ZeroShotError(
                "Z007", component, setting="calibration", value=value, reason="a bias is a finite number"
            )
        biases[str(entry["label"])] = float(value)
    return biases


def check_temperature(temperature: float, component: str) -> float:
    """Check a temperature.

    temperature (float): The temperature.
    component (str): The component's name, for errors.
    RETURNS (float): The temperature.
    RAISES (ZeroShotError): Z007 unless it is finite and above 0.
    """
    if not 0.0 < temperature < np.inf:
        reason = "it must be a finite number above 0"
        raise ZeroShotError("Z007", component, setting="temperature", value=temperature, reason=reason)
    return temperature


def blank_scores(n_labels: int, compete: bool) -> Floats1d:
    """The scores of a text that says nothing: no label is preferred, none is supported.

    n_labels (int): How many labels there are.
    compete (bool): Whether labels compete.
    RETURNS (Floats1d): Shape (labels,): 1 / n, or zeros.
    """
    return np.full(n_labels, 1.0 / n_labels if compete else 0.0)
