"""Figures of decisions against gold labels. Pure array work."""

from typing import NamedTuple

import numpy as np
from thinc.types import Floats1d


class Figures(NamedTuple):
    """How well decisions meet gold labels, as scikit-learn defines the figures.

    macro_f1 (float): Mean of the F1 of the labels that are right for a row or chosen for one.
    micro_f1 (float): F1 of all decisions taken together; equals accuracy where every row has one label and gets one.
    accuracy (float): Share of rows whose chosen labels are exactly the right ones.
    f1 (Floats1d): Shape (labels,): F1 of each label; 0.0 for one that never occurs.
    """

    macro_f1: float
    micro_f1: float
    accuracy: float
    f1: Floats1d


def figures(gold: np.ndarray, chosen: np.ndarray) -> Figures:
    """Compare decisions with gold labels.

    gold (np.ndarray): Shape (rows, labels), boolean: the right labels.
    chosen (np.ndarray): The same shape: the labels that were chosen.
    RETURNS (Figures): The figures.
    """
    hits = (gold & chosen).sum(axis=0)
    # 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall
    sizes = gold.sum(axis=0) + chosen.sum(axis=0)
    f1 = 2.0 * hits / np.maximum(sizes, 1)
    occurring = f1[sizes > 0]
    return Figures(
        macro_f1=float(occurring.mean()) if len(occurring) else 0.0,
        micro_f1=float(2.0 * hits.sum() / max(sizes.sum(), 1)),
        accuracy=float((gold == chosen).all(axis=1).mean()) if len(gold) else 0.0,
        f1=f1,
    )


def with_none(decisions: np.ndarray) -> np.ndarray:
    """Add a column for "no label fits".

    decisions (np.ndarray): Shape (rows, labels), boolean.
    RETURNS (np.ndarray): Shape (rows, labels + 1): the last column is True where no other is.
    """
    return np.concatenate([decisions, ~decisions.any(axis=1, keepdims=True)], axis=1)
