"""The kinds of rule that tuning tries, and how each is fitted to counted decisions. Pure array work."""

from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from ..decisions import Rule
from .tally import Tally, label_f1, objective, steps_of, tally, tally_mixed

STEPS = 100
# Beyond this rank a label is hardly ever meant
MOST_RANKS = 20
RANKS_WITH_ABSTENTION = 3
# With fewer right texts than this, a label's own threshold would be an accident
LEAST_GOLD = 5

THRESHOLD, TOP_K, ABSTAIN, LABELS = "threshold", "top-k", "top-k or none", "label thresholds"


class Fitted(NamedTuple):
    """A rule fitted to some texts.

    kind (str): The kind of rule.
    rule (Rule): The rule.
    fitted (Tally): Its decisions on the texts it was fitted to.
    held_out (Tally): Its decisions on the others.
    """

    kind: str
    rule: Rule
    fitted: Tally
    held_out: Tally


class Sweep(NamedTuple):
    """Decisions at every threshold.

    grid (np.ndarray): Shape (steps,): the thresholds.
    counts (Tally): The decisions.
    """

    grid: np.ndarray
    counts: Tally


def make_grid(values: np.ndarray) -> np.ndarray:
    """The thresholds that are tried: 0.0, even steps, and as many at quantiles of the texts' best scores.

    Even steps alone would miss scores that many competing labels divide among themselves.

    values (np.ndarray): Shape (texts, labels): scores.
    RETURNS (np.ndarray): Shape (STEPS,) or less, ascending, rounded to what a config is good to read with.
    """
    half = STEPS // 2
    quantiles = np.quantile(values.max(axis=1), np.linspace(0.0, 1.0, half))
    # rounded down: a score that sets a threshold must reach it
    return np.unique(np.concatenate([np.arange(half) / half, np.floor(quantiles * 1e5) / 1e5]))


def ranks(values: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): Shape (texts, labels), int: 0 for a text's best label; ties in the labels' order."""
    order = np.argsort(-values, axis=1, kind="stable")
    found = np.empty_like(order)
    np.put_along_axis(found, order, np.arange(values.shape[1])[None, :], axis=1)
    return found


def fit_families(
    values: np.ndarray, rank: np.ndarray, gold: np.ndarray, train: np.ndarray, labels: Sequence[str], goal: str
) -> List[Fitted]:
    """Fit every kind of rule to some texts and count its decisions on all.

    values (np.ndarray): Shape (texts, labels): scores.
    rank (np.ndarray): Shape (texts, labels): ranks() of them.
    gold (np.ndarray): Shape (texts, labels), bool.
    train (np.ndarray): Shape (texts,), bool: the texts to fit to.
    labels (Sequence[str]): The labels.
    goal (str): What to maximise, see objective().
    RETURNS (List[Fitted]): The simplest kind first.
    """
    grid = make_grid(values)
    reached = steps_of(values, grid)
    seen, unseen = _split(reached, gold, train, len(grid), goal)
    step = int(np.argmax(objective(seen, goal)))
    found = [Fitted(THRESHOLD, Rule(float(grid[step])), seen.at(step), unseen.at(step))]
    if len(labels) > 1:
        found.append(_fit_top_k(rank, gold, train, goal))
        found.append(_fit_abstention(values.max(axis=1), grid, rank, gold, train, goal))
        found.append(_fit_labels(reached, grid, seen, step, gold, train, labels, goal))
    return found


def sweep(values: np.ndarray, gold: np.ndarray) -> Sweep:
    """RETURNS (Sweep): The decisions of one threshold for all labels. values, gold: as in fit_families."""
    grid = make_grid(values)
    return Sweep(grid, tally(steps_of(values, grid), gold, len(grid)))


def top_k_tally(rank: np.ndarray, gold: np.ndarray, exact: bool = True) -> Tally:
    """Count the decisions for the k best labels.

    rank (np.ndarray): Shape (texts, labels), as ranks() gives it.
    gold (np.ndarray): Shape (texts, labels), bool.
    exact (bool): Whether to count exact matches.
    RETURNS (Tally): Step s is top_k = s + 1.
    """
    most = min(rank.shape[1], MOST_RANKS)
    # a label of rank r is chosen by top_k = r + 1 and above
    counts = tally(np.maximum(most - rank, 0), gold, most, exact)
    return Tally(counts.hits[:, ::-1], counts.chosen[:, ::-1], counts.gold, counts.exact[::-1], counts.texts)


def as_settings(rule: Rule, compete: bool, n_labels: int) -> Dict[str, object]:
    """The component's settings that make a rule.

    rule (Rule): The rule.
    compete (bool): Whether labels compete; then top_k must be said, or the best label is chosen in any case.
    n_labels (int): How many labels there are.
    RETURNS (Dict[str, object]): Settings.
    """
    return {
        "threshold": rule.threshold,
        "label_thresholds": [{"label": k, "threshold": v} for k, v in rule.label_thresholds.items()],
        "top_k": n_labels if rule.top_k is None and compete else rule.top_k,
        "abstain": rule.abstain,
    }


def _fit_top_k(rank: np.ndarray, gold: np.ndarray, train: np.ndarray, goal: str) -> Fitted:
    exact = goal == "accuracy"
    seen, unseen = top_k_tally(rank[train], gold[train], exact), top_k_tally(rank[~train], gold[~train], exact)
    step = int(np.argmax(objective(seen, goal)))
    return Fitted(TOP_K, Rule(0.0, top_k=step + 1), seen.at(step), unseen.at(step))


def _fit_abstention(
    best: np.ndarray, grid: np.ndarray, rank: np.ndarray, gold: np.ndarray, train: np.ndarray, goal: str
) -> Fitted:
    reached = steps_of(best, grid)[:, None]
    options = []
    for k in range(1, min(RANKS_WITH_ABSTENTION, rank.shape[1]) + 1):
        seen, unseen = _split(np.where(rank < k, reached, 0), gold, train, len(grid), goal)
        values = objective(seen, goal)
        step = int(np.argmax(values))
        # `abstain` bounds 1 - the best score, and is reached from above: no limit at all for a threshold of 0.0
        limit = None if grid[step] == 0.0 else float(1.0 - grid[step])
        options.append((values[step], Fitted(ABSTAIN, Rule(0.0, {}, k, limit), seen.at(step), unseen.at(step))))
    return max(options, key=lambda option: option[0])[1]


def _fit_labels(
    reached: np.ndarray,
    grid: np.ndarray,
    seen: Tally,
    common: int,
    gold: np.ndarray,
    train: np.ndarray,
    labels: Sequence[str],
    goal: str,
) -> Fitted:
    if goal == "macro_f1":
        steps = label_f1(seen).argmax(axis=1)
    elif goal == "micro_f1":
        steps = _micro_steps(seen, common)
    else:
        # Exact matches do not fall apart into labels; fewest wrong decisions a label come near.
        steps = (2 * seen.hits - seen.chosen).argmax(axis=1)
    rare = seen.gold < LEAST_GOLD
    steps = np.where(rare, common, steps)
    own = {label: float(grid[step]) for label, step, few in zip(labels, steps, rare) if not few}
    rule = Rule(float(grid[common]), own)
    return Fitted(
        LABELS,
        rule,
        tally_mixed(reached[train], gold[train], steps),
        tally_mixed(reached[~train], gold[~train], steps),
    )


def _micro_steps(seen: Tally, common: int) -> np.ndarray:
    """Thresholds of the labels that together maximise micro-F1, by Dinkelbach's method for ratios: at the ratio
    reached so far, each label's best step no longer depends on the others'."""
    steps = np.full(len(seen.gold), common)
    rows = np.arange(len(steps))
    for _ in range(50):
        ratio = 2.0 * seen.hits[rows, steps].sum() / max(seen.chosen[rows, steps].sum() + seen.gold.sum(), 1)
        better = (2.0 * seen.hits - ratio * seen.chosen).argmax(axis=1)
        if (better == steps).all():
            break
        steps = better
    return steps


def _split(reached: np.ndarray, gold: np.ndarray, train: np.ndarray, n_steps: int, goal: str) -> Tuple[Tally, Tally]:
    exact = goal == "accuracy"
    return tally(reached[train], gold[train], n_steps, exact), tally(reached[~train], gold[~train], n_steps, exact)
