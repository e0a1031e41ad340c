"""The report of tuning: one HTML file with its charts in it, and nothing from elsewhere."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..decisions import Rule, decide_rows
from ..evaluation import figures
from . import charts
from .calibration import negative_log_likelihood, reliability
from .search import (
    BEST,
    LABELS,
    OWN,
    THRESHOLD,
    TOP_K,
    held_out_value,
    make_grid,
    objective,
    ranks,
    steps_of,
    tally,
    top_k_tally,
)
from .tune import Tuned, TunedGroup

GOALS = {"macro_f1": "macro-F1", "micro_f1": "micro-F1", "accuracy": "accuracy (exactly the right labels)"}
MISSING = "There are no charts: install matplotlib for them, with pip install 'spacy-zeroshot[report]'."
HARDEST = 20
EXCERPT = 280
# A matrix of more labels is not read; its largest cells are.
MOST_LABELS = 24
CONFUSIONS = 30
# Candidates in the table, the best ones
MOST_ROWS = 40
NONE = "none of these"


def report(tuned: Tuned) -> str:
    """Write the report. Without matplotlib it has no charts, and says so.

    tuned (Tuned): What tuning found.
    RETURNS (str): An HTML document. Labels, templates and texts in it are escaped.
    """
    loader = FileSystemLoader(Path(__file__).parent)
    # StrictUndefined: a name that is missing is an error, not a gap
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("report.html.jinja")
    drawing = has_matplotlib()
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in tuned.settings.items()]
    return page.render(
        settings="\n".join(lines) or "as they were: nothing that was tried does better",
        missing="" if drawing else MISSING,
        groups=[_group(group, tuned.texts, drawing) for group in tuned.groups],
    )


def has_matplotlib() -> bool:
    """RETURNS (bool): Whether charts can be drawn."""
    return find_spec("matplotlib") is not None


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
    """Count right labels against chosen ones. Where labels agree they count on the diagonal only; every right label
    that was missed counts against every label that was chosen wrongly, or against none of these.

    gold, chosen (np.ndarray): Shape (texts, labels), bool.
    labels (tuple[str, ...]): The labels.
    RETURNS (tuple[np.ndarray, list[str]]): Shape (labels + 1, labels + 1), and the names with "none of these" last;
        without it where every text has a right label and got one.
    """
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


def _group(group: TunedGroup, texts: list[str], drawing: bool) -> dict[str, Any]:
    """What the page says of one group of labels."""
    before, after, goal = group.before, group.after, group.search.goal
    held_out: list[Any] = ["tuned, held-out texts", "", "", ""]
    held_out[1 + list(GOALS).index(goal)] = group.search.held_out
    n_labels = len(group.label_set.labels)
    chosen = describe(group.rule, n_labels)
    return {
        "name": group.label_set.groups[0].name,
        "intro": f"{len(texts):,} texts, {n_labels:,} labels, {len(group.candidates):,} candidates. Tuned for "
        f"{GOALS[goal]}. The held-out figure, by cross-validation, is the one to expect on new texts.",
        "figures": [["before", *before[:3]], ["tuned, fitted texts", *after[:3]], held_out],
        "before": describe(group.before_rule, n_labels),
        "after": f"Tuned: {chosen}" if group.changed else "Nothing that was tried does better: the settings stay",
        **_sweeps(group, drawing),
        "labels": _labels(group),
        **_reliability(group, drawing),
        **_mistakes(group, drawing),
        **_trials(group),
        "hardest": _hardest(group, texts),
    }


def _sweeps(group: TunedGroup, drawing: bool) -> dict[str, Any]:
    if not drawing:
        return {"sweeps": []}
    grid, rank, rule = make_grid(group.scores), ranks(group.scores), group.rule
    reached = steps_of(group.scores, grid)
    if group.label_set.exclusive:
        reached = np.where(rank == 0, reached, 0)
    counts = tally(reached, group.gold, len(grid), none=group.none)
    lines = {"macro-F1": objective(counts, "macro_f1"), "micro-F1": objective(counts, "micro_f1")}
    marks = {"tuned": rule.threshold} if rule.top_k is None or rule.threshold else {}
    name = group.label_set.groups[0].name
    title = " ".join(filter(None, (name, "F1 against threshold")))
    drawn = [_chart(charts.curves(grid, lines, "threshold", marks, title, False), "F1 against one threshold for all "
                    "labels, with the tuned template and temperature.")]  # fmt: skip
    if group.label_set.exclusive or len(group.label_set.labels) == 1:
        return {"sweeps": drawn, "sweeps_title": "F1 against threshold"}
    by_k = top_k_tally(rank, group.gold, none=group.none)
    lines = {"macro-F1": objective(by_k, "macro_f1"), "micro-F1": objective(by_k, "micro_f1")}
    k = np.arange(1, by_k.hits.shape[1] + 1)
    title = " ".join(filter(None, (name, "F1 against top-k")))
    drawn.append(_chart(charts.curves(k, lines, "top-k", {}, title, True), "F1 of the k best labels of every text."))
    return {"sweeps": drawn, "sweeps_title": "F1 against threshold and top-k"}


def _labels(group: TunedGroup) -> list[list[Any]]:
    chosen, gold = group.chosen_labels, group.gold
    hits = (chosen & gold).sum(axis=0)
    precision, recall = (hits / np.maximum(array.sum(axis=0), 1) for array in (chosen, gold))
    f1, f1_before = figures(gold, chosen).f1, figures(gold, group.before_labels).f1
    thresholds = [group.rule.label_thresholds.get(label, group.rule.threshold) for label in group.label_set.labels]
    columns = (thresholds, precision, recall, f1, f1_before)
    return [
        [label, int(gold[:, i].sum()), *(float(column[i]) for column in columns)]
        for i, label in enumerate(group.label_set.labels)
    ]


def _reliability(group: TunedGroup, drawing: bool) -> dict[str, Any]:
    label_set, exclusive = group.label_set, group.label_set.exclusive
    rows, found = [], []
    for name, scores in (("before", group.before_scores), ("after", group.scores)):
        found.append(reliability(scores, group.gold, label_set))
        rows.append([name, found[-1].ece, negative_log_likelihood(scores, group.gold, exclusive)])
    drawn = None
    if drawing:
        title = " ".join(filter(None, (label_set.groups[0].name, "Reliability before and after")))
        what = "the score of every text's best label" if exclusive else "the scores of all labels"
        drawn = _chart(
            charts.reliability_diagram(*found, title),
            f"Reliability of {what}, in {len(found[0].counts)} bins. On the dashed line a score of 0.8 is right 8 "
            "times in 10. Larger marks stand for more scores.",
        )
    temperature = f"Temperature {group.search.best.temperature:.3g}, fitted to these very texts."
    return {"reliability": drawn, "losses": rows, "temperature": temperature if group.changed else ""}


def _mistakes(group: TunedGroup, drawing: bool) -> dict[str, Any]:
    chosen = group.chosen_labels
    counts, names = confusions(group.gold, chosen, group.label_set.labels)
    single = bool((group.gold.sum(axis=1) <= 1).all() and (chosen.sum(axis=1) <= 1).all())
    title = "Confusion matrix" if single else "Right and chosen labels together"
    if drawing and len(names) <= MOST_LABELS:
        caption = "Texts by right label (rows) and chosen label (columns)."
        name = " ".join(filter(None, (group.label_set.groups[0].name, title)))
        return {"mistakes_title": title, "matrix": _chart(charts.matrix(counts, names, name), caption)}
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    cells = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, wrong.shape))]
    rows = [[names[i], names[j], int(wrong[i, j])] for i, j in cells if wrong[i, j]]
    return {"mistakes_title": f"{title}: the most frequent mistakes", "matrix": None, "mistakes": rows}


def _trials(group: TunedGroup) -> dict[str, Any]:
    search = group.search
    found = {(trial.candidate, trial.final.kind): held_out_value(trial, search.goal) for trial in search.trials}
    kinds = [kind for kind in (OWN, BEST, THRESHOLD, TOP_K, LABELS) if any(key[1] == kind for key in found)]
    best = [max(found[key] for key in found if key[0] == i) for i in range(len(group.candidates))]
    order = sorted(range(len(best)), key=lambda i: -best[i])
    chosen = search.best.candidate
    shown = order[:MOST_ROWS] if chosen in order[:MOST_ROWS] else [*order[: MOST_ROWS - 1], chosen]
    rest = f"; the {len(shown)} best of {len(order):,}." if len(shown) < len(order) else "."
    return {
        "trials_note": f"Held-out {GOALS[search.goal]} of every template with every kind of rule. Calibrated: with a "
        "bias per label that matches the labels' mean scores, without gold labels. Neighbours: with the votes of the "
        "nearest examples" + rest,
        "trials_head": ["template", *kinds],
        "trials": [[group.candidates[i].name, *(found.get((i, kind), "") for kind in kinds)] for i in shown],
        "trials_chosen": shown.index(chosen),
    }


def _hardest(group: TunedGroup, texts: list[str]) -> list[list[str]]:
    scores, chosen = np.clip(group.scores, 1e-12, 1 - 1e-12), group.chosen_labels
    # how surprising the right labels are, and, for labels that stand on their own, the wrong ones' scores
    wrong_loss = 0.0 if group.label_set.exclusive else np.log1p(-scores)
    loss = -np.where(group.gold, np.log(scores), wrong_loss).sum(axis=1)
    wrong = np.flatnonzero((chosen != group.gold).any(axis=1))
    return [
        [_excerpt(texts[i]), _scored(group, group.gold[i], i), _scored(group, chosen[i], i)]
        for i in wrong[np.argsort(-loss[wrong], kind="stable")][:HARDEST]
    ]


def _scored(group: TunedGroup, mask: np.ndarray, row: int) -> str:
    names = [f"{label} {group.scores[row, j]:.2f}" for j, label in enumerate(group.label_set.labels) if mask[j]]
    return ", ".join(names) or NONE


def _excerpt(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"


def _chart(svg: str, caption: str) -> dict[str, str]:
    return {"svg": Markup(svg), "caption": caption}
