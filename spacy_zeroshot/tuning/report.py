"""The report of tuning: one HTML file with its chart in it, and nothing from elsewhere."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..decisions import Rule
from ..evaluation import with_none
from .calibration import calibration_error
from .search import Goal, among_best, make_grid, sweep
from .tune import Tuned, TunedGroup

GOALS: dict[Goal, str] = {"macro_f1": "macro-F1", "micro_f1": "micro-F1", "accuracy": "accuracy"}
# Rows of the tables at most
HARDEST, MISTAKES = 20, 30
NONE = "none of these"


def report(tuned: Tuned) -> str:
    """What tuning found, as an HTML document. Labels, templates and texts in it are escaped."""
    loader = FileSystemLoader(Path(__file__).parent)
    # StrictUndefined: a name that is missing is an error, not a gap
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("report.html.jinja")
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in tuned.settings.items()]
    sections = [
        {
            "tuned": group,
            "goal": GOALS[group.search.goal],
            "figures": figure_rows(group),
            "before": describe(group.before.rule, len(group.label_set.labels)),
            "after": describe(group.after.rule, len(group.label_set.labels)),
            "curves": _curves(group),
            "errors": [calibration_error(m.scores, group.gold, group.label_set) for m in (group.before, group.after)],
            "labels": _label_rows(group),
            "mistakes": mistakes(group.gold, group.after.chosen, group.label_set.labels),
            "hardest": _hardest(group, tuned.texts),
        }
        for group in tuned.groups
    ]
    settings = "\n".join(lines) or "as they were: nothing that was tried does better"
    return page.render(settings=settings, texts=len(tuned.texts), groups=sections)


def describe(rule: Rule, n_labels: int) -> str:
    """A rule in words."""
    if rule.label_thresholds:
        each = f"labels that score {rule.threshold:.3g} or more; {len(rule.label_thresholds)} have their own threshold"
        return each if rule.top_k is None else f"the best {rule.top_k} of the {each}"
    if rule.top_k is None or rule.top_k >= n_labels:
        return f"labels that score {rule.threshold:.3g} or more"
    best = "the best label" if rule.top_k == 1 else f"the {rule.top_k} best labels"
    return best if rule.threshold == 0.0 else f"{best}, or none below a score of {rule.threshold:.3g}"


def figure_rows(group: TunedGroup) -> list[list[Any]]:
    """Rows under "", macro-F1, micro-F1 and accuracy. The held-out figure is known of the goal only."""
    held_out = [group.search.held_out if goal == group.search.goal else "" for goal in GOALS]
    before, after = group.before.figures, group.after.figures
    return [["before", *before[:3]], ["tuned, fitted", *after[:3]], ["tuned, held out", *held_out]]


def mistakes(gold: np.ndarray, chosen: np.ndarray, labels: Sequence[str]) -> list[tuple[str, str, int]]:
    """How often one label was right and another one chosen, the most frequent first. Every right label that was missed
    counts against every label that was chosen wrongly, "none of these" where there is none."""
    missed, extra = with_none(gold & ~chosen).astype(int), with_none(chosen & ~gold).astype(int)
    counts, names = missed.T @ extra, [*labels, NONE]
    # nothing was missed and nothing chosen wrongly
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:MISTAKES]
    cells = zip(*np.unravel_index(order, counts.shape))
    return [(names[i], names[j], int(counts[i, j])) for i, j in cells if counts[i, j]]


def _curves(group: TunedGroup) -> dict[str, list[list[float]]]:
    """F1 against one threshold for all labels: points of x and y."""
    scores = group.after.scores
    grid = make_grid(scores)
    found = sweep(among_best(scores, 1 if group.label_set.exclusive else None), group.gold, grid, group.none)
    return {GOALS[goal]: np.stack([grid, found[goal]], axis=1).tolist() for goal in ("macro_f1", "micro_f1")}


def _label_rows(group: TunedGroup) -> list[list[Any]]:
    chosen, gold, rule, labels = group.after.chosen, group.gold, group.after.rule, group.label_set.labels
    hits = (chosen & gold).sum(axis=0)
    precision, recall = (hits / np.maximum(array.sum(axis=0), 1) for array in (chosen, gold))
    thresholds = np.array([rule.label_thresholds.get(label, rule.threshold) for label in labels])
    columns = (gold.sum(axis=0), thresholds, precision, recall, group.after.figures.f1, group.before.figures.f1)
    # with "none of these" the figures have one label more
    return [list(row) for row in zip(labels, *(column.tolist() for column in columns))]


def _hardest(group: TunedGroup, texts: Sequence[str]) -> list[list[str]]:
    """Texts that are decided wrongly, those first whose right labels score least: with the right and chosen labels."""
    gold, chosen, labels = group.gold, group.after.chosen, np.array(group.label_set.labels, dtype=object)
    wrong = np.flatnonzero((chosen != gold).any(axis=1))
    lowest = np.where(gold, group.after.scores, 1.0).min(axis=1)
    hardest = wrong[np.argsort(lowest[wrong], kind="stable")][:HARDEST]
    return [[texts[i], *(", ".join(labels[mask[i]]) or NONE for mask in (gold, chosen))] for i in hardest.tolist()]
