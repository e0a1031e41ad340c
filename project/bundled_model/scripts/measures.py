"""Figures that choices are made by."""

import numpy as np


def macro_f1(right: np.ndarray, chosen: np.ndarray) -> float:
    """Macro-F1 over the labels that occur; right (texts, labels), chosen (texts,): numbers of labels."""
    picked = np.eye(right.shape[1], dtype=bool)[chosen]
    hits, false, missed = (right & picked).sum(0), (~right & picked).sum(0), (right & ~picked).sum(0)
    return float((2 * hits / np.maximum(2 * hits + false + missed, 1))[right.any(0)].mean())


def micro_f1(right: np.ndarray, chosen: np.ndarray) -> float:
    """F1 over all labels of all texts; both (texts, labels)."""
    return float(2 * (right & chosen).sum() / max(1, right.sum() + chosen.sum()))


def calibration_error(p: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of probabilities."""
    place = np.minimum((p * bins).astype(int), bins - 1).ravel()
    gaps = np.bincount(place, p.ravel() - right.ravel(), bins)
    return float(np.abs(gaps).sum() / p.size)
