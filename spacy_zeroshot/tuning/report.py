"""The report of tuning: one HTML file with its charts in it, and nothing from elsewhere."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..decisions import Rule
from .calibration import Reliability, negative_log_likelihood, reliability
from .search import (
    BEST,
    LABELS,
    OWN,
    THRESHOLD,
    TOP_K,
    Goal,
    count,
    held_out_value,
    make_grid,
    objective,
    ranks,
    steps_of,
    tally,
    value,
)
from .tune import Tuned, TunedGroup

GOALS = {"macro_f1": "macro-F1", "micro_f1": "micro-F1", "accuracy": "accuracy (exactly the right labels)"}
HARDEST = 20
EXCERPT = 280
# A matrix of more labels is not read; its largest cells are.
MOST_LABELS = 24
CONFUSIONS = 30
# Candidates in the table, the best ones
MOST_ROWS = 40
MOST_K = 20
NONE = "none of these"
QUARTERS = [(x, f"{x:g}") for x in (0.0, 0.25, 0.5, 0.75, 1.0)]


def report(tuned: Tuned) -> str:
    """Write the report.

    tuned (Tuned): What tuning found.
    RETURNS (str): An HTML document. Labels, templates and texts in it are escaped.
    """
    loader = FileSystemLoader(Path(__file__).parent)
    # StrictUndefined: a name that is missing is an error, not a gap
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("report.html.jinja")
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in tuned.settings.items()]
    return page.render(
        settings="\n".join(lines) or "as they were: nothing that was tried does better",
        texts=len(tuned.texts),
        groups=[_group(group, tuned.texts) for group in tuned.groups],
    )


def describe(rule: Rule, n_labels: int) -> str:
    """RETURNS (str): A rule in words. n_labels (int): How many labels there are."""
    if rule.label_thresholds:
        each = f"labels that score {rule.threshold:.3g} or more; {len(rule.label_thresholds)} have their own threshold"
        return each if rule.top_k is None else f"the best {rule.top_k} of the {each}"
    if rule.top_k is None or rule.top_k >= n_labels:
        return f"labels that score {rule.threshold:.3g} or more"
    best = "the best label" if rule.top_k == 1 else f"the {rule.top_k} best labels"
    return best if rule.threshold == 0.0 else f"{best}, or none below a score of {rule.threshold:.3g}"


def confusions(gold: np.ndarray, chosen: np.ndarray, labels: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """Count right labels against chosen ones, shape (labels + 1, labels + 1): "none of these" is last, and left out
    where every text has a right label and got one. Where labels agree they count on the diagonal only; every right
    label that was missed counts against every label that was chosen wrongly, or against none of these."""
    hits, missed, extra = gold & chosen, gold & ~chosen, chosen & ~gold
    size = len(labels)
    counts = np.zeros((size + 1, size + 1), dtype=int)
    counts[:size, :size] = missed.astype(int).T @ extra.astype(int)
    counts[np.arange(size), np.arange(size)] = hits.sum(axis=0)
    counts[:size, size] = missed[~extra.any(axis=1)].sum(axis=0)
    counts[size, :size] = extra[~missed.any(axis=1)].sum(axis=0)
    counts[size, size] = int((~gold.any(axis=1) & ~chosen.any(axis=1)).sum())
    if not counts[size].any() and not counts[:, size].any():
        return counts[:size, :size], list(labels)
    return counts, [*labels, NONE]


def _group(group: TunedGroup, texts: list[str]) -> dict[str, Any]:
    """What the page says of one group of labels."""
    label_set, goal, (before, after) = group.label_set, group.search.goal, (group.before, group.after)
    held_out: list[Any] = ["tuned, held-out texts", "", "", ""]
    held_out[1 + list(GOALS).index(goal)] = group.search.held_out
    bins = [reliability(one.scores, group.gold, label_set) for one in (before, after)]
    losses = [negative_log_likelihood(one.scores, group.gold, label_set.exclusive) for one in (before, after)]
    counts, names = confusions(group.gold, after.chosen, label_set.labels)
    n_labels = len(label_set.labels)
    return {
        "name": label_set.groups[0].name,
        "goal": GOALS[goal],
        "n_labels": n_labels,
        "n_candidates": len(group.candidates),
        "changed": group.changed,
        "figures": [["before", *before.figures[:3]], ["tuned, fitted texts", *after.figures[:3]], held_out],
        "before": describe(before.rule, n_labels),
        "after": describe(after.rule, n_labels),
        "temperature": group.search.best.temperature,
        "plots": _plots(group),
        "labels": _labels(group),
        "reliability": _reliability(bins, label_set.exclusive),
        "losses": [["before", bins[0].ece, losses[0]], ["after", bins[1].ece, losses[1]]],
        "names": names,
        "counts": counts.tolist() if len(names) <= MOST_LABELS else [],
        "mistakes": _mistakes(counts, names),
        **_trials(group),
        "hardest": _hardest(group, texts),
    }


def _plots(group: TunedGroup) -> list[dict[str, Any]]:
    scores, gold, exclusive = group.after.scores, group.gold, group.label_set.exclusive
    grid = make_grid(scores)
    counts = tally(steps_of(scores, grid, exclusive), gold, len(grid), False, group.none)
    goals: tuple[Goal, Goal] = ("macro_f1", "micro_f1")
    lines = [(GOALS[goal], [(x, y, 0) for x, y in zip(grid, objective(counts, goal))]) for goal in goals]
    rule = group.after.rule
    mark = rule.threshold if rule.threshold or rule.top_k is None else None
    caption = "F1 against one threshold for all labels, with the tuned template and temperature."
    plots = [_plot("F1 against threshold", "threshold", lines, QUARTERS, caption, mark)]
    most = min(len(group.label_set.labels), MOST_K)
    if not exclusive and most > 1:
        rank = ranks(scores)
        by_k = [count(rank < k, gold, group.none) for k in range(1, most + 1)]
        x = np.linspace(0.0, 1.0, most)
        lines = [(GOALS[goal], [(x[k], value(one, goal), 3) for k, one in enumerate(by_k)]) for goal in goals]
        ticks = [(x[k], str(k + 1)) for k in range(0, most, 1 + most // 11)]
        plots.append(_plot("F1 against top-k", "top-k", lines, ticks, "F1 of the k best labels of every text."))
    return plots


def _reliability(measured: list[Reliability], exclusive: bool) -> dict[str, Any]:
    lines = []
    for name, bins in zip(("before", "after"), measured):
        sizes = 3 + 7 * np.sqrt(bins.counts / max(bins.counts.max(), 1))
        some = bins.counts > 0
        points = zip(bins.confidence[some], bins.accuracy[some], sizes[some].round(1))
        lines.append((f"{name}, ECE {bins.ece:.3f}", list(points)))
    what = "the score of every text's best label" if exclusive else "the scores of all labels"
    caption = f"How often {what} is right, in {len(measured[0].counts)} bins. On the dashed line a score of 0.8 is "
    caption += "right 8 times in 10. Larger marks stand for more scores."
    return _plot("Reliability before and after", "score", lines, QUARTERS, caption, diagonal=True)


def _plot(
    title: str, xlabel: str, lines: Any, ticks: Any, caption: str, mark: float | None = None, diagonal: bool = False
) -> dict[str, Any]:
    """Lines are names and points: x, y between 0 and 1, and the radius of a dot. Ticks are places and names."""
    return {"title": title, "xlabel": xlabel, "lines": lines, "ticks": ticks, "caption": caption, "mark": mark,
            "diagonal": diagonal}  # fmt: skip


def _labels(group: TunedGroup) -> list[list[Any]]:
    chosen, gold, rule = group.after.chosen, group.gold, group.after.rule
    hits = (chosen & gold).sum(axis=0)
    precision, recall = (hits / np.maximum(array.sum(axis=0), 1) for array in (chosen, gold))
    thresholds = [rule.label_thresholds.get(label, rule.threshold) for label in group.label_set.labels]
    columns = (thresholds, precision, recall, group.after.figures.f1, group.before.figures.f1)
    return [
        [label, int(gold[:, i].sum()), *(float(column[i]) for column in columns)]
        for i, label in enumerate(group.label_set.labels)
    ]


def _mistakes(counts: np.ndarray, names: list[str]) -> list[list[Any]]:
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    cells = zip(*(places.tolist() for places in np.unravel_index(order, wrong.shape)))
    return [[names[i], names[j], int(wrong[i, j])] for i, j in cells if wrong[i, j]]


def _trials(group: TunedGroup) -> dict[str, Any]:
    search = group.search
    found = {(trial.candidate, trial.kind): held_out_value(trial, search.goal) for trial in search.trials}
    kinds = [kind for kind in (OWN, BEST, THRESHOLD, TOP_K, LABELS) if any(key[1] == kind for key in found)]
    best = [max(found[key] for key in found if key[0] == i) for i in range(len(group.candidates))]
    order = sorted(range(len(best)), key=lambda i: -best[i])
    chosen = search.best.candidate
    shown = order[:MOST_ROWS] if chosen in order[:MOST_ROWS] else [*order[: MOST_ROWS - 1], chosen]
    rows = [[group.candidates[i].name, *(found.get((i, kind), "") for kind in kinds)] for i in shown]
    return {"kinds": ["template", *kinds], "trials": rows, "best": shown.index(chosen)}


def _hardest(group: TunedGroup, texts: list[str]) -> list[list[str]]:
    scores, chosen = np.clip(group.after.scores, 1e-12, 1 - 1e-12), group.after.chosen
    # how surprising the right labels are, and, for labels that stand on their own, the wrong ones' scores
    wrong_loss = 0.0 if group.label_set.exclusive else np.log1p(-scores)
    loss = -np.where(group.gold, np.log(scores), wrong_loss).sum(axis=1)
    wrong = np.flatnonzero((chosen != group.gold).any(axis=1))

    def named(mask: np.ndarray, row: int) -> str:
        labels = [f"{label} {scores[row, j]:.2f}" for j, label in enumerate(group.label_set.labels) if mask[j]]
        return ", ".join(labels) or NONE

    hardest = wrong[np.argsort(-loss[wrong], kind="stable")][:HARDEST].tolist()
    return [[_excerpt(texts[i]), named(group.gold[i], i), named(chosen[i], i)] for i in hardest]


def _excerpt(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"
