"""The report of tuning: one HTML file with its figures in it, and nothing from elsewhere."""

import json
from typing import Any, List, Sequence, Tuple

import numpy as np

from ..decisions import Rule, decide_rows
from ..metrics import figures
from . import charts
from .families import ABSTAIN, LABELS, THRESHOLD, TOP_K, ranks, sweep, top_k_tally
from .page import Html, figure, page, table, tag
from .reliability import reliability
from .search import held_out_value
from .tally import objective
from .temperature import negative_log_likelihood
from .tune import Tuned

GOALS = {"macro_f1": "macro-F1", "micro_f1": "micro-F1", "accuracy": "accuracy (exactly the right labels)"}
HARDEST = 20
EXCERPT = 280
# A matrix of more labels is not read; its largest cells are.
MOST_LABELS = 24
CONFUSIONS = 30
# Candidates in the table, the best ones
MOST_ROWS = 40
NONE = "none of these"


def report(tuned: Tuned) -> str:
    """Write the report.

    tuned (Tuned): What tuning found.
    RETURNS (str): An HTML document. Labels, templates and texts in it are escaped.
    RAISES (ZeroShotError): Z085 without matplotlib.
    """
    charts.require_matplotlib()
    parts: List[str] = [
        tag("h1", "Tuning report"),
        *_summary(tuned),
        *_sweeps(tuned),
        *_labels(tuned),
        *_reliability(tuned),
        *_matrix(tuned),
        *_templates(tuned),
        *_hardest(tuned),
    ]
    return page("Tuning report", parts)


def describe(rule: Rule, n_labels: int) -> str:
    """RETURNS (str): A rule in words. n_labels (int): How many labels there are."""
    if rule.top_k is not None and rule.top_k < n_labels and rule.threshold == 0.0:
        best = "the best label" if rule.top_k == 1 else f"the {rule.top_k} best labels"
        return best if rule.abstain is None else f"{best}, or none if the best score is {1 - rule.abstain:.3g} or less"
    known = f"labels that score {rule.threshold:.3g} or more"
    return f"{known}; {len(rule.label_thresholds)} have thresholds of their own" if rule.label_thresholds else known


def _summary(tuned: Tuned) -> List[Html]:
    before, after, goal = tuned.before, tuned.after, tuned.search.goal
    rows = [
        ["before", before.macro_f1, before.micro_f1, before.accuracy],
        ["tuned, fitted texts", after.macro_f1, after.micro_f1, after.accuracy],
    ]
    held_out: List[Any] = ["tuned, held-out texts", "", "", ""]
    held_out[1 + list(GOALS).index(goal)] = tuned.search.held_out
    return [
        tag(
            "p",
            f"{len(tuned.texts):,} texts, {len(tuned.labels):,} labels, {len(tuned.candidates):,} candidates. "
            f"Tuned for {GOALS[goal]}. The held-out figure, by cross-validation, is the one to expect on new texts.",
        ),
        table(["", "macro-F1", "micro-F1", "accuracy"], [*rows, held_out]),
        tag("p", f"Before: {describe(tuned.before_rule, len(tuned.labels))}. "),
        tag("p", f"Tuned: {describe(tuned.rule, len(tuned.labels))}."),
        tag("h2", "Settings"),
        tag(
            "pre",
            "\n".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in tuned.settings.items()),
        ),
    ]


def _sweeps(tuned: Tuned) -> List[Html]:
    found = sweep(tuned.values, tuned.gold)
    lines = {"macro-F1": objective(found.counts, "macro_f1"), "micro-F1": objective(found.counts, "micro_f1")}
    rule = tuned.rule
    marks = {"tuned": rule.threshold} if rule.top_k is None or rule.threshold else {}
    drawn = [
        figure(
            charts.curves(found.grid, lines, "threshold", marks, "F1 against threshold", points=False),
            "F1 against one threshold for all labels, with the tuned template and temperature.",
        )
    ]
    title = "F1 against threshold"
    if len(tuned.labels) > 1:
        title += " and top-k"
        by_k = top_k_tally(ranks(tuned.values), tuned.gold)
        lines = {"macro-F1": objective(by_k, "macro_f1"), "micro-F1": objective(by_k, "micro_f1")}
        k = np.arange(1, by_k.hits.shape[1] + 1)
        drawn.append(
            figure(
                charts.curves(k, lines, "top-k", {}, "F1 against top-k", points=True),
                "F1 of choosing the k best labels of every text.",
            )
        )
    return [tag("h2", title), tag("div", *drawn, css="pair")]


def _labels(tuned: Tuned) -> List[Html]:
    before = decide_rows(tuned.before_values, tuned.labels, tuned.before_rule)
    after = decide_rows(tuned.values, tuned.labels, tuned.rule)
    f1_before = figures(tuned.gold, before).f1
    f1_after = figures(tuned.gold, after).f1
    hits = (after & tuned.gold).sum(axis=0)
    precision = hits / np.maximum(after.sum(axis=0), 1)
    recall = hits / np.maximum(tuned.gold.sum(axis=0), 1)
    rows = [
        [
            label,
            int(tuned.gold[:, i].sum()),
            float(tuned.rule.label_thresholds.get(label, tuned.rule.threshold)),
            float(precision[i]),
            float(recall[i]),
            float(f1_after[i]),
            float(f1_before[i]),
        ]
        for i, label in enumerate(tuned.labels)
    ]
    head = ["label", "texts", "threshold", "precision", "recall", "F1", "F1 before"]
    return [tag("h2", "Labels"), table(head, rows)]


def _reliability(tuned: Tuned) -> List[Html]:
    before = reliability(tuned.before_values, tuned.gold, tuned.compete)
    after = reliability(tuned.values, tuned.gold, tuned.compete)
    loss_before = negative_log_likelihood(tuned.before_values, tuned.gold, tuned.compete)
    loss_after = negative_log_likelihood(tuned.values, tuned.gold, tuned.compete)
    what = "the score of every text's best label" if tuned.compete else "the scores of all labels"
    rows = [["before", before.ece, loss_before], ["after", after.ece, loss_after]]
    drawn = charts.reliability_diagram(before, after, "Reliability before and after")
    return [
        tag("h2", "Can the scores be taken at their word?"),
        tag(
            "div",
            figure(
                drawn,
                f"Reliability of {what}, in {len(after.counts)} bins. On the dashed line a score of 0.8 is "
                "right 8 times in 10. Larger marks stand for more scores.",
            ),
            tag(
                "div",
                table(["", "ECE", "log loss"], rows),
                tag(
                    "p",
                    "ECE: expected calibration error. "
                    f"Temperature {tuned.search.best.temperature:.3g}, fitted to these very texts.",
                    css="note",
                ),
            ),
            css="pair",
        ),
    ]


def _matrix(tuned: Tuned) -> List[Html]:
    chosen = decide_rows(tuned.values, tuned.labels, tuned.rule)
    counts, names = confusions(tuned.gold, chosen, tuned.labels)
    single = bool((tuned.gold.sum(axis=1) <= 1).all() and (chosen.sum(axis=1) <= 1).all())
    title = "Confusion matrix" if single else "Right and chosen labels together"
    if len(names) <= MOST_LABELS:
        drawn = charts.matrix(counts, names, names, title)
        caption = "Texts by right label (rows) and chosen label (columns)."
        return [tag("h2", title), figure(drawn, caption, css="wide")]
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    cells = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, wrong.shape))]
    rows = [[names[i], names[j], int(wrong[i, j])] for i, j in cells if wrong[i, j]]
    return [tag("h2", f"{title}: the most frequent mistakes"), table(["right", "chosen", "texts"], rows)]


def confusions(gold: np.ndarray, chosen: np.ndarray, labels: Sequence[str]) -> Tuple[np.ndarray, List[str]]:
    """Count right labels against chosen ones. Where labels agree they count on the diagonal only; every right label
    that was missed counts against every label that was chosen wrongly, or against none of these.

    gold (np.ndarray): Shape (texts, labels), bool.
    chosen (np.ndarray): Shape (texts, labels), bool.
    labels (Sequence[str]): The labels.
    RETURNS (Tuple[np.ndarray, List[str]]): Shape (labels + 1, labels + 1), and the names with "none of these" last;
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


def _templates(tuned: Tuned) -> List[Html]:
    search = tuned.search
    kinds = [kind for kind in (THRESHOLD, TOP_K, ABSTAIN, LABELS) if any(t.final.kind == kind for t in search.trials)]
    found = {(trial.candidate, trial.final.kind): held_out_value(trial, search.goal) for trial in search.trials}
    best = [max(found[i, kind] for kind in kinds) for i in range(len(tuned.candidates))]
    order = sorted(range(len(best)), key=lambda i: -best[i])
    chosen = search.best.candidate
    shown = order[:MOST_ROWS] if chosen in order[:MOST_ROWS] else [*order[: MOST_ROWS - 1], chosen]
    rows = [[tuned.candidates[i].name, *(found[i, kind] for kind in kinds)] for i in shown]
    return [
        tag("h2", "Templates and rules"),
        tag(
            "p",
            f"Held-out {GOALS[search.goal]} of every template with every kind of rule. Calibrated: with a bias per "
            "label that matches the labels' mean scores, without gold labels. Neighbours: with the votes of the "
            "nearest examples" + (f"; the {len(shown)} best of {len(order):,}." if len(shown) < len(order) else "."),
            css="note",
        ),
        table(["template", *kinds], rows, chosen=[shown.index(chosen)]),
    ]


def _hardest(tuned: Tuned) -> List[Html]:
    values = np.clip(tuned.values, 1e-12, 1 - 1e-12)
    # how surprising the right labels are, and, for labels that stand on their own, the wrong ones' scores
    loss = -np.where(tuned.gold, np.log(values), 0.0 if tuned.compete else np.log1p(-values)).sum(axis=1)
    chosen = decide_rows(tuned.values, tuned.labels, tuned.rule)
    wrong = np.flatnonzero((chosen != tuned.gold).any(axis=1))
    rows = [
        [
            _excerpt(tuned.texts[i]),
            _scored(tuned, tuned.gold[i], i),
            _scored(tuned, chosen[i], i),
        ]
        for i in wrong[np.argsort(-loss[wrong], kind="stable")][:HARDEST]
    ]
    if not rows:
        return []
    return [tag("h2", "The hardest texts"), table(["text", "right", "chosen"], rows)]


def _scored(tuned: Tuned, mask: np.ndarray, row: int) -> str:
    names = [f"{label} {tuned.values[row, j]:.2f}" for j, label in enumerate(tuned.labels) if mask[j]]
    return ", ".join(names) or NONE


def _excerpt(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"
