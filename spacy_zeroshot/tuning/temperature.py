"""Temperature scaling: one number that makes scores as sure as they are right (Guo et al., 2017). Pure array work."""

import numpy as np

from ..scores import scores

ROUNDS = 60
# Sharpness is 1 / temperature. Beyond these the scores are one-hot, or flat.
LEAST, MOST = 1e-3, 1e3


def fit_temperature(strengths: np.ndarray, gold: np.ndarray, compete: bool) -> float:
    """Find the temperature with the least negative log-likelihood of the gold labels.

    The loss is convex in the sharpness, so its slope has one zero; Newton steps find it, and bisection where they
    would leave the bracket.

    strengths (np.ndarray): Shape (texts, labels), calibrated already if they are to be.
    gold (np.ndarray): Shape (texts, labels), bool. Where labels compete, a text with several right labels counts as
        evenly divided among them, and one without says nothing.
    compete (bool): Whether labels compete.
    RETURNS (float): The temperature; 1.0 if nothing can be learnt.
    """
    targets = gold.astype("float64")
    if compete:
        known = gold.any(axis=1)
        strengths, targets = strengths[known], targets[known]
        targets = targets / targets.sum(axis=1, keepdims=True)
        strengths = strengths - strengths.mean(axis=1, keepdims=True)
    if not len(strengths) or not np.abs(strengths).max(initial=0.0):
        return 1.0
    low, high, sharpness = LEAST, MOST, 1.0
    for _ in range(ROUNDS):
        slope, curvature = _slope(strengths, targets, sharpness, compete)
        low, high = (sharpness, high) if slope < 0 else (low, sharpness)
        step = sharpness - slope / curvature if curvature > 0 else -1.0
        moved = step if low < step < high else float(np.sqrt(low * high))
        if abs(moved - sharpness) <= 1e-7 * sharpness:
            break
        sharpness = moved
    return float(1.0 / sharpness)


def negative_log_likelihood(values: np.ndarray, gold: np.ndarray, compete: bool) -> float:
    """The mean loss of scores.

    values (np.ndarray): Shape (texts, labels): scores.
    gold (np.ndarray): Shape (texts, labels), bool; as in fit_temperature.
    compete (bool): Whether labels compete.
    RETURNS (float): Per text where labels compete, else per text and label; in nats.
    """
    safe = np.clip(values, 1e-12, 1.0 - 1e-12)
    if not compete:
        return float(-np.where(gold, np.log(safe), np.log1p(-safe)).mean())
    known = gold.any(axis=1)
    if not known.any():
        return 0.0
    shares = gold[known] / gold[known].sum(axis=1, keepdims=True)
    return float(-(shares * np.log(safe[known])).sum(axis=1).mean())


def _slope(strengths: np.ndarray, targets: np.ndarray, sharpness: float, compete: bool) -> "tuple[float, float]":
    """First and second derivative of the loss by the sharpness."""
    found = scores(sharpness * strengths, compete)
    slope = ((found - targets) * strengths).sum()
    if compete:
        mean = (found * strengths).sum(axis=1, keepdims=True)
        curvature = (found * (strengths - mean) ** 2).sum()
    else:
        curvature = (found * (1.0 - found) * strengths**2).sum()
    return float(slope), float(curvature)
