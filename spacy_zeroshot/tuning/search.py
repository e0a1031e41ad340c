"""The search for the best way to score and the best rule, cross-validated. Pure array work.

A candidate is a way to score the texts: a template, with biases or without. A kind of rule is a way to choose labels
from scores. Each pair is fitted to the texts outside of a fold and decides the fold; the pair that does best over all
folds is then fitted to all texts. Its held-out figure is honest about the choice as well: each fold is decided by the
pair that does best over the other folds.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from ..decisions import Rule, decide_rows
from ..evaluation import Figures, figures, with_none
from ..labels import LabelSet
from ..scores import calibrate, to_scores
from .calibration import fit_temperature

Goal = Literal["macro_f1", "micro_f1", "accuracy"]

FOLDS = 5
# Thresholds that are tried
STEPS = 100
# Beyond this rank a label is hardly ever meant
MOST_RANKS = 20
# With fewer right texts than this, a label's own threshold would be an accident
LEAST_GOLD = 5

# Kinds of rules
OWN, BEST, THRESHOLD, TOP_K, LABELS = "as it is", "best label", "threshold", "top-k", "label thresholds"


class Candidate(NamedTuple):
    """One way to score the texts."""

    name: str
    logits: np.ndarray  # (texts, labels): pooled label logits, not calibrated
    biases: np.ndarray  # (labels,): what calibration takes away from them
    temperature: float | None = None  # None: to be fitted
    rule: Rule | None = None  # None: one of every kind is fitted; else the pipeline as it is
    template: str | None = None  # what the labels were worded with; None: the component's own wording
    vote: Callable[[np.ndarray], np.ndarray] | None = None  # mixes the votes of examples into scores

    def scores(self, temperature: float, label_set: LabelSet) -> np.ndarray:
        found = to_scores(calibrate(self.logits, self.biases, temperature), label_set)
        return found if self.vote is None else self.vote(found)


class Trial(NamedTuple):
    """A candidate with a kind of rule."""

    candidate: int
    kind: str
    rule: Rule  # fitted to all texts, as is the temperature
    temperature: float
    fitted: float  # the goal on all texts
    decided: np.ndarray  # (texts, labels), bool: each fold by a rule fitted to the others
    held_out: float  # the goal of these decisions


class Search(NamedTuple):
    """What was tried, and what is best."""

    goal: Goal
    trials: list[Trial]
    best: Trial
    held_out: float  # what the whole procedure reaches on texts that neither fitted nor chose; NaN with one text


def search(
    candidates: Sequence[Candidate],
    gold: np.ndarray,
    label_set: LabelSet,
    goal: Goal = "macro_f1",
    none: bool = False,
    folds: int = FOLDS,
    seed: int = 0,
    keep_top_k: bool = False,
) -> Search:
    """Find the candidate, temperature and rule that serve a goal best; of equals, the first candidate.

    Only rules of the labels' own mode are tried: where labels compete, the best one or none. If the first candidate
    has a rule (the pipeline as it is), nothing is chosen that does not do better on the texts, and with keep_top_k its
    top-k stays. Gold labels have shape (texts, labels); `none` counts "no label fits" as a label, as evaluate does.
    """
    kept = candidates[0].rule if keep_top_k else None
    fold, everything = split_folds(gold, folds, seed), np.ones(len(gold), dtype=bool)

    def fit(candidate: Candidate, train: np.ndarray) -> tuple[float, np.ndarray, dict[str, Rule]]:
        """Temperature and rules fitted to some of the texts, and the scores of all."""
        temperature = candidate.temperature
        if temperature is None:
            fitted = fit_temperature(candidate.logits[train] - candidate.biases, gold[train], label_set)
            # rounded as it will stand in the config, so that thresholds fit the very same scores
            temperature = round(fitted, 4) or 1e-4
        scores = candidate.scores(temperature, label_set)
        if candidate.rule is not None:
            return temperature, scores, {OWN: candidate.rule}
        return temperature, scores, _rules(scores[train], gold[train], label_set, goal, none, kept)

    def reached(chosen: np.ndarray, texts: np.ndarray = everything) -> float:
        return getattr(measure(gold[texts], chosen[texts], none), goal)

    parts = [fold == part for part in range(int(fold.max()) + 1)]
    trials = []
    for number, candidate in enumerate(candidates):
        temperature, scores, rules = fit(candidate, everything)
        decided = {kind: np.zeros_like(gold) for kind in rules}
        for part in parts:
            _, others, found = fit(candidate, ~part)
            for kind, rule in found.items():
                decided[kind][part] = decide_rows(others[part], label_set.labels, rule)
        for kind, rule in rules.items():
            fitted = reached(decide_rows(scores, label_set.labels, rule))
            trials.append(Trial(number, kind, rule, temperature, fitted, decided[kind], reached(decided[kind])))
    best = _best(trials, [trial.held_out for trial in trials])
    if candidates[0].rule is not None and best.fitted <= trials[0].fitted + 1e-9:
        best = trials[0]
    chosen = np.zeros_like(gold)
    for part in parts:
        chosen[part] = _best(trials, [reached(trial.decided, ~part) for trial in trials]).decided[part]
    return Search(goal, trials, best, reached(chosen) if len(parts) > 1 else float("nan"))


def measure(gold: np.ndarray, chosen: np.ndarray, none: bool) -> Figures:
    """How well decisions meet gold labels; with `none`, "no label fits" is one more label."""
    return figures(with_none(gold), with_none(chosen)) if none else figures(gold, chosen)


def split_folds(gold: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Shape (texts,), int: folds of like size, each with its share of every label."""
    order = np.random.default_rng(seed).permutation(len(gold))
    # texts with the same first label stand together and are dealt out in turn
    kind = np.where(gold.any(axis=1), gold.argmax(axis=1), gold.shape[1])
    order = order[np.argsort(kind[order], kind="stable")]
    fold = np.empty(len(gold), dtype=int)
    fold[order] = np.arange(len(gold)) % min(folds, len(gold))
    return fold


def make_grid(scores: np.ndarray) -> np.ndarray:
    """At most STEPS thresholds to try, ascending, rounded to what reads well."""
    half = STEPS // 2
    # even steps alone would miss scores that many competing labels divide among themselves
    quantiles = np.quantile(scores.max(axis=1), np.linspace(0.0, 1.0, half))
    # rounded down: a score that sets a threshold must reach it
    return np.unique(np.concatenate([np.arange(half) / half, np.floor(quantiles * 1e5) / 1e5]))


def sweep(scores: np.ndarray, gold: np.ndarray, grid: np.ndarray, none: bool = False) -> dict[str, np.ndarray]:
    """What `measure` gives, by its names, where the labels are chosen that reach a threshold of the grid: each shape
    (thresholds,), but "f1" (labels, thresholds)."""

    def reaching(values: np.ndarray) -> np.ndarray:
        return len(values) - np.searchsorted(np.sort(values), grid)

    chosen = [reaching(column) for column in scores.T]
    hits = [reaching(column[right]) for column, right in zip(scores.T, gold.T)]
    counts = gold.sum(axis=0)
    if none:
        best, empty = scores.max(axis=1), ~gold.any(axis=1)
        chosen.append(len(best) - reaching(best))
        hits.append(empty.sum() - reaching(best[empty]))
        counts = np.append(counts, empty.sum())
    sizes = np.array(chosen) + counts[:, None]
    f1 = 2.0 * np.array(hits) / np.maximum(sizes, 1)
    # exactly right above the last wrong label, up to the first right one
    last, first = np.where(gold, -np.inf, scores).max(axis=1), np.where(gold, scores, np.inf).min(axis=1)
    return {
        "macro_f1": f1.sum(axis=0) / np.maximum((sizes > 0).sum(axis=0), 1),
        "micro_f1": 2.0 * np.sum(hits, axis=0) / np.maximum(sizes.sum(axis=0), 1),
        "accuracy": (reaching(first) - reaching(np.minimum(first, last))) / len(gold),
        "f1": f1,
    }


def ranks(scores: np.ndarray) -> np.ndarray:
    """Shape (texts, labels), int: 0 for a text's best label; ties in the labels' order."""
    return np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1, kind="stable")


def among_best(scores: np.ndarray, top_k: int | None) -> np.ndarray:
    """The scores, those that are not among a text's best top_k below every threshold."""
    return scores if top_k is None else np.where(ranks(scores) < top_k, scores, -1.0)


def _rules(
    scores: np.ndarray, gold: np.ndarray, label_set: LabelSet, goal: Goal, none: bool, kept: Rule | None
) -> dict[str, Rule]:
    """One rule of each kind, fitted to these texts; the simplest kind first. The top-k of `kept` stays."""
    labels, exclusive = label_set.labels, label_set.exclusive
    top_k = kept.top_k if kept is not None else 1 if exclusive else None
    grid = make_grid(scores)
    found = sweep(among_best(scores, top_k), gold, grid, none)
    threshold = float(grid[np.argmax(found[goal])])
    if exclusive:
        return {BEST: Rule(0.0, top_k=top_k), THRESHOLD: Rule(threshold, top_k=top_k)}
    rules = {THRESHOLD: Rule(threshold, top_k=top_k)}
    if len(labels) == 1:
        return rules
    if kept is None:
        by_rank = sweep(-ranks(scores), gold, -np.arange(min(len(labels), MOST_RANKS)), none)
        rules[TOP_K] = Rule(0.0, top_k=int(np.argmax(by_rank[goal])) + 1)
    steps = found["f1"][: len(labels)].argmax(axis=1)
    own = {label: float(grid[step]) for label, step, n in zip(labels, steps, gold.sum(axis=0)) if n >= LEAST_GOLD}
    rules[LABELS] = Rule(threshold, own, top_k)
    return rules


def _best(trials: Sequence[Trial], values: Sequence[float]) -> Trial:
    """The first of the best; differences of rounding do not count."""
    top = max(values)
    return next(trial for trial, value in zip(trials, values) if value >= top - 1e-9)
