"""Which of the teacher's labels the student learns from: the confident ones, not too many of any label.

Pure array work. spaCy's textcat takes no soft labels, so scores become 1.0, 0.0 or nothing.
"""

from typing import List, NamedTuple

import numpy as np
from thinc.types import Floats1d, Floats2d, Ints1d

# A cap that leaves fewer texts of a label than this teaches nothing.
FEWEST = 20
EPSILON = 1e-12


class Selection(NamedTuple):
    """The texts to learn from.

    rows (Ints1d): Shape (kept,): their numbers, rising.
    targets (Floats2d): Shape (kept, labels): 1.0 right, 0.0 wrong, NaN where the teacher was in doubt.
    """

    rows: Ints1d
    targets: Floats2d


def heat(scores: Floats2d, temperature: float, exclusive: bool) -> Floats2d:
    """Scores at a temperature (Hinton et al., 2015): above 1 they are less sure, below 1 surer.

    scores (Floats2d): Shape (texts, labels), between 0 and 1.
    temperature (float): Above 0.
    exclusive (bool): Whether a text's scores sum to one.
    RETURNS (Floats2d): The same shape.
    """
    clipped = np.clip(scores, EPSILON, 1.0 - EPSILON)
    if not exclusive:
        return 1.0 / (1.0 + (1.0 / clipped - 1.0) ** (1.0 / temperature))
    powers = np.exp(np.log(clipped) / temperature - (np.log(clipped) / temperature).max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def select_exclusive(scores: Floats2d, threshold: float, balance: float) -> Selection:
    """Texts whose best label reaches the threshold, and of each label the most confident.

    scores (Floats2d): Shape (texts, labels); each row sums to one.
    threshold (float): What the best label's score must reach.
    balance (float): A label keeps at most this many times the texts of the rarest one; 0 for no limit.
    RETURNS (Selection): The texts.
    """
    best = scores.argmax(axis=1)
    confidence = scores.max(axis=1)
    sure = confidence >= threshold
    counts = np.bincount(best[sure], minlength=scores.shape[1])
    limit = _limit(counts, balance)
    rows: List[int] = []
    for label in range(scores.shape[1]):
        mine = np.flatnonzero(sure & (best == label))
        rows.extend(_most_confident(mine, confidence, limit))
    kept = np.sort(np.asarray(rows, dtype="int64"))
    return Selection(kept, np.eye(scores.shape[1])[best[kept]])


def select_independent(scores: Floats2d, threshold: float, balance: float) -> Selection:
    """Labels that reach the threshold are right, those that fall as far below are wrong, the rest is left open.

    scores (Floats2d): Shape (texts, labels), each between 0 and 1.
    threshold (float): What a score must reach, between 0.5 and 1; 1 - threshold is what a wrong label stays under.
    balance (float): Texts without any label: at most this many times those with one; 0 for no limit.
    RETURNS (Selection): The texts with at least one right label, or with none in doubt.
    """
    targets = np.where(scores >= threshold, 1.0, np.where(scores <= 1.0 - threshold, 0.0, np.nan))
    some = (targets == 1.0).any(axis=1)
    none = (targets == 0.0).all(axis=1)
    empty = np.flatnonzero(none)
    if balance:
        empty = _most_confident(empty, 1.0 - scores.max(axis=1, initial=0.0), max(int(balance * some.sum()), FEWEST))
    kept = np.sort(np.concatenate([np.flatnonzero(some), empty]))
    return Selection(kept, targets[kept])


def split(selection: Selection, every: int = 10) -> "tuple[Selection, Selection]":
    """Set texts aside for development, the same share of every label.

    selection (Selection): The texts.
    every (int): One of this many goes to development.
    RETURNS (tuple[Selection, Selection]): For training, for development.
    """
    first = np.where((selection.targets == 1.0).any(axis=1), (selection.targets == 1.0).argmax(axis=1), -1)
    aside = np.zeros(len(selection.rows), dtype=bool)
    for label in np.unique(first):
        aside[np.flatnonzero(first == label)[every - 1 :: every]] = True
    return (
        Selection(selection.rows[~aside], selection.targets[~aside]),
        Selection(selection.rows[aside], selection.targets[aside]),
    )


def _limit(counts: Ints1d, balance: float) -> int:
    present = counts[counts > 0]
    if not balance or not len(present):
        return int(counts.sum())
    return max(int(balance * present.min()), FEWEST)


def _most_confident(rows: Ints1d, confidence: Floats1d, limit: int) -> Ints1d:
    return rows[np.argsort(-confidence[rows], kind="stable")[:limit]]
