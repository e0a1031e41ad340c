"""The losses of fine-tuning, with their gradients, in numpy."""

from typing import Tuple

import numpy as np
from thinc.types import Floats3d, Ints1d

from ..evidence import AGAINST, FOR


def cross_entropy(logits: Floats3d, targets: Ints1d, pooling: str) -> Tuple[float, Floats3d]:
    """Cross-entropy on the head's classes, mean over the hypotheses of one text.

    logits (Floats3d): Shape (windows, hypotheses, classes).
    targets (Ints1d): Shape (hypotheses,): the right class.
    pooling (str): How windows are pooled.
    RETURNS (Tuple[float, Floats3d]): The loss, and its gradient, of the shape of `logits`.
    """
    shares = window_shares(logits, pooling)
    pooled = (logits * shares[:, :, None]).sum(axis=0)
    probabilities = _softmax(pooled)
    rows = np.arange(len(targets))
    loss = float(-np.log(np.maximum(probabilities[rows, targets], 1e-12)).mean())
    gradient = probabilities
    gradient[rows, targets] -= 1.0
    return loss, (shares[:, :, None] * gradient / len(targets)).astype("float32")


def listwise(logits: Floats3d, targets: Ints1d, pooling: str) -> Tuple[float, Floats3d]:
    """Cross-entropy over competing hypotheses, on the entailment logits that single-label scores are made of.

    logits (Floats3d): Shape (windows, hypotheses, classes).
    targets (Ints1d): Shape (hypotheses,): FOR for those that are right.
    pooling (str): How windows are pooled.
    RETURNS (Tuple[float, Floats3d]): The loss, and its gradient, of the shape of `logits`.
    """
    shares = window_shares(logits, pooling)
    pooled = (logits[:, :, FOR] * shares).sum(axis=0)
    probabilities = _softmax(pooled)
    right = (targets == FOR) / (targets == FOR).sum()
    loss = float(-(right * np.log(np.maximum(probabilities, 1e-12))).sum())
    gradient = np.zeros_like(logits)
    gradient[:, :, FOR] = shares * (probabilities - right)
    return loss, gradient


def window_shares(logits: Floats3d, pooling: str) -> np.ndarray:
    """Each window's share in the pooled logits. "max" takes, for each hypothesis, the window that supports it most.

    logits (Floats3d): Shape (windows, hypotheses, classes).
    pooling (str): "max", "mean" or "first".
    RETURNS (np.ndarray): Shape (windows, hypotheses); columns sum to 1.
    """
    n_windows, n_hypotheses, _ = logits.shape
    if pooling == "mean":
        return np.full((n_windows, n_hypotheses), 1.0 / n_windows, dtype="float32")
    chosen = np.zeros(n_hypotheses, dtype="int64")
    if pooling == "max":
        chosen = (logits[:, :, FOR] - logits[:, :, AGAINST]).argmax(axis=0)
    shares = np.zeros((n_windows, n_hypotheses), dtype="float32")
    shares[chosen, np.arange(n_hypotheses)] = 1.0
    return shares


def _softmax(values: np.ndarray) -> np.ndarray:
    exponents = np.exp(values - values.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)
