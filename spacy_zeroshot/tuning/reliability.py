"""How far scores can be taken at their word: reliability diagram and expected calibration error. Pure array work."""

from typing import NamedTuple, Tuple

import numpy as np

BINS = 15


class Reliability(NamedTuple):
    """Scores against how often they are right, in bins of equal width.

    counts (np.ndarray): Shape (bins,): scores in each bin.
    confidence (np.ndarray): Shape (bins,): their mean; 0.0 for an empty bin.
    accuracy (np.ndarray): Shape (bins,): the share of them that are right; 0.0 for an empty bin.
    ece (float): Expected calibration error: the mean distance of the two, weighted by counts (Guo et al., 2017).
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    ece: float


def reliability(values: np.ndarray, gold: np.ndarray, compete: bool, bins: int = BINS) -> Reliability:
    """Measure scores against gold labels.

    Where labels compete, the score of each text's best label is measured, against whether that label is right; else
    the score of every label, against whether it is right.

    values (np.ndarray): Shape (texts, labels): scores between 0 and 1.
    gold (np.ndarray): Shape (texts, labels), bool.
    compete (bool): Whether labels compete.
    bins (int): How many bins.
    RETURNS (Reliability): The bins.
    """
    sure, right = _claims(values, gold, compete)
    place = np.minimum((sure * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    some = np.maximum(counts, 1)
    confidence = np.bincount(place, weights=sure, minlength=bins) / some
    accuracy = np.bincount(place, weights=right, minlength=bins) / some
    error = float((np.abs(confidence - accuracy) * counts).sum() / max(counts.sum(), 1))
    return Reliability(counts, confidence, accuracy, error)


def _claims(values: np.ndarray, gold: np.ndarray, compete: bool) -> Tuple[np.ndarray, np.ndarray]:
    if not compete:
        return values.ravel(), gold.ravel().astype("float64")
    best = values.argmax(axis=1)
    rows = np.arange(len(values))
    return values[rows, best], gold[rows, best].astype("float64")
