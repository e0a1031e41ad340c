"""Counting decisions at every threshold at once. Pure array work.

Scores are put into steps of a grid once; sums over the steps then count the decisions of every threshold.
"""

from typing import NamedTuple

import numpy as np

OBJECTIVES = ("micro_f1", "macro_f1", "accuracy")


class Tally(NamedTuple):
    """Decisions on texts, counted for each of several settings (steps).

    hits (np.ndarray): Shape (labels, steps): right decisions for a label.
    chosen (np.ndarray): Shape (labels, steps): decisions for a label.
    gold (np.ndarray): Shape (labels,): texts a label is right for.
    exact (np.ndarray): Shape (steps,): texts whose chosen labels are exactly the right ones; zeros if not counted.
    texts (int): All texts.
    """

    hits: np.ndarray
    chosen: np.ndarray
    gold: np.ndarray
    exact: np.ndarray
    texts: int

    def at(self, step: int) -> "Tally":
        """RETURNS (Tally): The counts of one step."""
        one = slice(step, step + 1)
        return Tally(self.hits[:, one], self.chosen[:, one], self.gold, self.exact[one], self.texts)

    def plus(self, other: "Tally") -> "Tally":
        """RETURNS (Tally): The counts of both."""
        return Tally(
            self.hits + other.hits,
            self.chosen + other.chosen,
            self.gold + other.gold,
            self.exact + other.exact,
            self.texts + other.texts,
        )


def steps_of(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Put values into steps of a grid.

    values (np.ndarray): Any shape.
    grid (np.ndarray): Shape (steps,), ascending.
    RETURNS (np.ndarray): The same shape as `values`, int: how many of the grid's thresholds a value reaches.
    """
    return np.searchsorted(grid, values, side="right")


def tally(reached: np.ndarray, gold: np.ndarray, n_steps: int, exact: bool = True) -> Tally:
    """Count decisions at every step: at step s the labels are chosen that reach more than s thresholds.

    reached (np.ndarray): Shape (texts, labels), int in [0, n_steps].
    gold (np.ndarray): Shape (texts, labels), bool.
    n_steps (int): How many steps.
    exact (bool): Whether to count exact matches, which takes as long as all the rest.
    RETURNS (Tally): The counts.
    """
    n_texts, n_labels = gold.shape
    width = n_steps + 1
    place = (reached + np.arange(n_labels) * width).ravel()
    chosen = _above(np.bincount(place, minlength=n_labels * width).reshape(n_labels, width))
    hits = _above(np.bincount(place[gold.ravel()], minlength=n_labels * width).reshape(n_labels, width))
    matches = _exact(reached, gold, n_steps) if exact else np.zeros(n_steps, dtype=int)
    return Tally(hits, chosen, gold.sum(axis=0), matches, n_texts)


def tally_mixed(reached: np.ndarray, gold: np.ndarray, steps: np.ndarray) -> Tally:
    """Count decisions where every label has a step of its own.

    reached (np.ndarray): Shape (texts, labels), int.
    gold (np.ndarray): Shape (texts, labels), bool.
    steps (np.ndarray): Shape (labels,), int.
    RETURNS (Tally): The counts, of one step.
    """
    chosen = reached > steps
    exact = (chosen == gold).all(axis=1).sum()
    return Tally(
        (chosen & gold).sum(axis=0)[:, None],
        chosen.sum(axis=0)[:, None],
        gold.sum(axis=0),
        np.array([exact]),
        len(gold),
    )


def label_f1(counts: Tally) -> np.ndarray:
    """RETURNS (np.ndarray): Shape (labels, steps): each label's F1, 0.0 for one that is neither right nor chosen."""
    return 2.0 * counts.hits / np.maximum(counts.chosen + counts.gold[:, None], 1)


def objective(counts: Tally, name: str) -> np.ndarray:
    """How good the decisions are, as in metrics.figures.

    counts (Tally): The counts.
    name (str): "micro_f1", "macro_f1" (over the labels that are right for a text or chosen for one) or "accuracy"
        (share of texts with exactly the right labels).
    RETURNS (np.ndarray): Shape (steps,).
    """
    if name == "accuracy":
        return counts.exact / max(counts.texts, 1)
    sizes = counts.chosen + counts.gold[:, None]
    if name == "micro_f1":
        return 2.0 * counts.hits.sum(axis=0) / np.maximum(sizes.sum(axis=0), 1)
    return label_f1(counts).sum(axis=0) / np.maximum((sizes > 0).sum(axis=0), 1)


def _above(histogram: np.ndarray) -> np.ndarray:
    """Counts in bins to counts above each step."""
    return np.cumsum(histogram[:, ::-1], axis=1)[:, ::-1][:, 1:]


def _exact(reached: np.ndarray, gold: np.ndarray, n_steps: int) -> np.ndarray:
    # All right labels and no others are chosen from the step the best wrong one has missed, up to the one the worst
    # right label reaches.
    first = np.where(gold, 0, reached).max(axis=1, initial=0)
    end = np.where(gold, reached, n_steps).min(axis=1, initial=n_steps)
    some = first < end
    turns = np.bincount(first[some], minlength=n_steps + 1) - np.bincount(end[some], minlength=n_steps + 1)
    return np.cumsum(turns)[:n_steps]
