"""The search for the best way to score and the best rule, cross-validated. Pure array work.

A candidate is a way to score the texts: a template, biases, the votes of examples. A kind of rule is a way to choose
labels from scores. Each pair is fitted to the texts outside of a fold and judged on the fold; the pair that does best
over all folds is then fitted to all texts. Its held-out figure is honest about the choice as well: each fold is
decided by the pair that does best over the other folds.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from ..decisions import Rule, decide_rows
from ..evaluation import with_none
from ..labels import LabelSet
from ..neighbors import mix
from ..scores import calibrate, to_scores
from .calibration import fit_temperature
from .score import check_finite

Goal = Literal["macro_f1", "micro_f1", "accuracy"]

FOLDS = 5
# Thresholds that are tried
STEPS = 100
# Beyond this rank a label is hardly ever meant
MOST_RANKS = 20
# With fewer right texts than this, a label's own threshold would be an accident
LEAST_GOLD = 5

OWN, BEST, THRESHOLD, TOP_K, LABELS = "as it is", "best label", "threshold", "top-k", "label thresholds"


class Votes(NamedTuple):
    """How examples vote on the texts.

    shares (np.ndarray): Shape (texts, labels): each label's share of the votes, see neighbors.py.
    known (np.ndarray): Shape (labels,), bool: the labels that have examples.
    n_neighbors (int): How many examples voted on a text.
    weight (float): Share of the votes in the scores.
    """

    shares: np.ndarray
    known: np.ndarray
    n_neighbors: int
    weight: float


class Candidate(NamedTuple):
    """One way to score the texts.

    name (str): What it is called in the report.
    logits (np.ndarray): Shape (texts, labels): pooled label logits, not calibrated.
    biases (np.ndarray): Shape (labels,): what calibration takes away from them.
    votes (Votes | None): Of examples; None for the model's scores only.
    temperature (float | None): None to fit it.
    rule (Rule | None): None to fit one of every kind; a rule for the pipeline as it is.
    """

    name: str
    logits: np.ndarray
    biases: np.ndarray
    votes: Votes | None = None
    temperature: float | None = None
    rule: Rule | None = None

    def scores(self, temperature: float, label_set: LabelSet) -> np.ndarray:
        """RETURNS (np.ndarray): Shape (texts, labels): the scores at a temperature."""
        found = to_scores(calibrate(self.logits, self.biases, temperature), label_set)
        if self.votes is None:
            return found
        return mix(found, self.votes.shares, self.votes.known, self.votes.weight, label_set.exclusive)


class Tally(NamedTuple):
    """Decisions on texts, counted for each of several settings (steps).

    hits (np.ndarray): Shape (labels, steps): right decisions for a label.
    chosen (np.ndarray): Shape (labels, steps): decisions for a label.
    gold (np.ndarray): Shape (labels,): texts that a label is right for.
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
        return Tally(*(one + another for one, another in zip(self, other)))  # type: ignore[operator]


class Fitted(NamedTuple):
    """A rule that was fitted to some texts, and its decisions on these and on the others."""

    kind: str
    rule: Rule
    fitted: Tally
    held_out: Tally


class Trial(NamedTuple):
    """A candidate with a kind of rule.

    candidate (int): The candidate's number.
    temperature (float): Fitted to all texts.
    final (Fitted): The rule, fitted to all texts.
    held_out (list[Tally]): The decisions on each fold, of rules fitted to the others.
    """

    candidate: int
    temperature: float
    final: Fitted
    held_out: list[Tally]


class Search(NamedTuple):
    """What was tried, and what is best.

    goal (str): What was maximised.
    trials (list[Trial]): All candidates with all kinds of rule.
    best (Trial): The chosen one.
    fitted (float): What the chosen one reaches on the texts it was fitted to.
    held_out (float): What the whole procedure reaches on texts that neither fitted nor chose; NaN with one text.
    """

    goal: Goal
    trials: list[Trial]
    best: Trial
    fitted: float
    held_out: float


def search(
    candidates: Sequence[Candidate],
    gold: np.ndarray,
    label_set: LabelSet,
    goal: Goal = "macro_f1",
    none: bool = False,
    folds: int = FOLDS,
    seed: int = 0,
    top_k: bool = True,
) -> Search:
    """Find the candidate, temperature and rule that serve a goal best.

    Only rules of the labels' own mode are tried: where labels compete, the best one or none. If the first candidate
    has a rule (the pipeline as it is), nothing is chosen that does not do better on the texts.

    candidates (Sequence[Candidate]): What may be chosen; of equals, the first.
    gold (np.ndarray): Shape (texts, labels), bool; at least one text.
    label_set (LabelSet): The labels, one group of them.
    goal (str): "micro_f1", "macro_f1" or "accuracy".
    none (bool): Whether "no label fits" counts as a label, as in evaluate with none_label.
    folds (int): Parts of the cross-validation; fewer if there are fewer texts.
    seed (int): Of the split into folds.
    top_k (bool): Whether to try the k best labels, too.
    RETURNS (Search): What was tried and what is best.
    RAISES (ZeroShotError): Z203 for logits that are not finite.
    """
    for candidate in candidates:
        check_finite(candidate.logits, candidate.name)
    fold = split_folds(gold, folds, seed)
    fitter = _Fitter(gold, label_set, goal, none, top_k)
    trials = [trial for i, one in enumerate(candidates) for trial in fitter.trials(i, one, fold)]
    best = _best(trials, [held_out_value(trial, goal) for trial in trials])
    reached = [float(objective(trial.final.fitted, goal)[0]) for trial in (trials[0], best)]
    if candidates[0].rule is not None and reached[1] <= reached[0] + 1e-9:
        best, reached = trials[0], reached[:1]
    return Search(goal, trials, best, reached[-1], _estimate(trials, goal))


def split_folds(gold: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """RETURNS (np.ndarray): Shape (texts,), int: folds of like size, each with its share of every label."""
    order = np.random.default_rng(seed).permutation(len(gold))
    # texts with the same first label stand together and are dealt out in turn
    kind = np.where(gold.any(axis=1), gold.argmax(axis=1), gold.shape[1])
    order = order[np.argsort(kind[order], kind="stable")]
    fold = np.empty(len(gold), dtype=int)
    fold[order] = np.arange(len(gold)) % min(folds, len(gold))
    return fold


def held_out_value(trial: Trial, goal: Goal, without: int = -1) -> float:
    """RETURNS (float): The goal over all held-out decisions taken together, if need be without one of the folds."""
    return _value([counts for i, counts in enumerate(trial.held_out) if i != without], goal)


# Decisions at many thresholds: scores are put into steps of a grid once, and sums over the steps then count the
# decisions of every threshold.


def make_grid(scores: np.ndarray) -> np.ndarray:
    """The thresholds that are tried: 0.0, even steps, and as many at quantiles of the texts' best scores.

    Even steps alone would miss scores that many competing labels divide among themselves.

    scores (np.ndarray): Shape (texts, labels).
    RETURNS (np.ndarray): Shape (STEPS,) or less, ascending, rounded to what a config is good to read with.
    """
    half = STEPS // 2
    quantiles = np.quantile(scores.max(axis=1), np.linspace(0.0, 1.0, half))
    # rounded down: a score that sets a threshold must reach it
    return np.unique(np.concatenate([np.arange(half) / half, np.floor(quantiles * 1e5) / 1e5]))


def steps_of(scores: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): The shape of `scores`, int: how many of the grid's ascending thresholds each reaches."""
    return np.searchsorted(grid, scores, side="right")


def tally(reached: np.ndarray, gold: np.ndarray, n_steps: int, exact: bool = True, none: bool = False) -> Tally:
    """Count decisions at every step: at step s the labels are chosen that reach more than s thresholds.

    reached (np.ndarray): Shape (texts, labels), int in [0, n_steps].
    gold (np.ndarray): Shape (texts, labels), bool.
    n_steps (int): How many steps.
    exact (bool): Whether to count exact matches, which takes as long as all the rest.
    none (bool): Whether "no label" counts as one more label, the last.
    RETURNS (Tally): The counts.
    """
    chosen = _above(reached, n_steps)
    # a label that is right is hit where it is chosen
    hits = _above(np.where(gold, reached, 0), n_steps)
    counts = gold.sum(axis=0)
    if none:
        most, empty = reached.max(axis=1, initial=0), ~gold.any(axis=1)
        missed = len(gold) - _above(most[:, None], n_steps)
        counts = np.append(counts, empty.sum())
        chosen = np.vstack([chosen, missed])
        hits = np.vstack([hits, empty.sum() - _above(most[empty][:, None], n_steps)])
    matches = _exact(reached, gold, n_steps) if exact else np.zeros(n_steps, dtype=int)
    return Tally(hits, chosen, counts, matches, len(gold))


def count(chosen: np.ndarray, gold: np.ndarray, none: bool = False) -> Tally:
    """RETURNS (Tally): The counts of one step: of decisions of shape (texts, labels), bool."""
    exact = (chosen == gold).all(axis=1).sum()
    if none:
        chosen, gold = with_none(chosen), with_none(gold)
    hits = (chosen & gold).sum(axis=0)[:, None]
    return Tally(hits, chosen.sum(axis=0)[:, None], gold.sum(axis=0), np.array([exact]), len(gold))


def label_f1(counts: Tally) -> np.ndarray:
    """RETURNS (np.ndarray): Shape (labels, steps): each label's F1, 0.0 for one that is neither right nor chosen."""
    return 2.0 * counts.hits / np.maximum(counts.chosen + counts.gold[:, None], 1)


def objective(counts: Tally, goal: Goal) -> np.ndarray:
    """How good decisions are: what evaluation.figures gives, for every step.

    counts (Tally): The counts.
    goal (str): "micro_f1", "macro_f1" (over the labels that are right for a text or chosen for one) or "accuracy"
        (share of texts with exactly the right labels).
    RETURNS (np.ndarray): Shape (steps,).
    """
    if goal == "accuracy":
        return counts.exact / max(counts.texts, 1)
    sizes = counts.chosen + counts.gold[:, None]
    if goal == "micro_f1":
        return 2.0 * counts.hits.sum(axis=0) / np.maximum(sizes.sum(axis=0), 1)
    return label_f1(counts).sum(axis=0) / np.maximum((sizes > 0).sum(axis=0), 1)


def ranks(scores: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): Shape (texts, labels), int: 0 for a text's best label; ties in the labels' order."""
    order = np.argsort(-scores, axis=1, kind="stable")
    found = np.empty_like(order)
    np.put_along_axis(found, order, np.arange(scores.shape[1])[None, :], axis=1)
    return found


def top_k_tally(rank: np.ndarray, gold: np.ndarray, exact: bool = True, none: bool = False) -> Tally:
    """RETURNS (Tally): The decisions for the k best labels by ranks(); step s is top_k = s + 1."""
    most = min(rank.shape[1], MOST_RANKS)
    # a label of rank r is chosen by top_k = r + 1 and above
    counts = tally(np.maximum(most - rank, 0), gold, most, exact, none)
    return Tally(counts.hits[:, ::-1], counts.chosen[:, ::-1], counts.gold, counts.exact[::-1], counts.texts)


class _Fitter:
    """Fits temperature and rules to parts of the texts. The arguments are those of search()."""

    def __init__(self, gold: np.ndarray, label_set: LabelSet, goal: Goal, none: bool, top_k: bool):
        self.gold, self.label_set, self.goal, self.none, self.top_k = gold, label_set, goal, none, top_k

    def trials(self, number: int, candidate: Candidate, fold: np.ndarray) -> list[Trial]:
        """RETURNS (list[Trial]): One for each kind of rule, the simplest first."""
        temperature, final = self._fit(candidate, np.ones(len(self.gold), dtype=bool))
        by_fold = [self._fit(candidate, fold != f)[1] for f in range(int(fold.max()) + 1)]
        return [
            Trial(number, temperature, one, [fitted[i].held_out for fitted in by_fold]) for i, one in enumerate(final)
        ]

    def _fit(self, candidate: Candidate, train: np.ndarray) -> tuple[float, list[Fitted]]:
        temperature = candidate.temperature
        if temperature is None:
            logits = candidate.logits - candidate.biases
            # rounded as it will stand in the config, so that thresholds fit the very same scores
            temperature = round(fit_temperature(logits[train], self.gold[train], self.label_set), 4) or 1e-4
        scores = candidate.scores(temperature, self.label_set)
        if candidate.rule is not None:
            chosen = decide_rows(scores, self.label_set.labels, candidate.rule)
            return temperature, [self._fitted(OWN, candidate.rule, chosen, train)]
        return temperature, self._rules(scores, ranks(scores), train)

    def _rules(self, scores: np.ndarray, rank: np.ndarray, train: np.ndarray) -> list[Fitted]:
        grid = make_grid(scores)
        reached = steps_of(scores, grid)
        if self.label_set.exclusive:
            # only the best label is ever chosen
            reached = np.where(rank == 0, reached, 0)
            found = [self._fitted(BEST, Rule(0.0, top_k=1), rank == 0, train)]
        else:
            found = []
        seen, unseen = self._tallies(reached, len(grid), train)
        step = int(np.argmax(objective(seen, self.goal)))
        top_k = 1 if self.label_set.exclusive else None
        found.append(Fitted(THRESHOLD, Rule(float(grid[step]), top_k=top_k), seen.at(step), unseen.at(step)))
        if top_k is None and len(self.label_set.labels) > 1:
            if self.top_k:
                found.append(self._top_k(rank, train))
            found.append(self._label_thresholds(reached, grid, seen, step, train))
        return found

    def _top_k(self, rank: np.ndarray, train: np.ndarray) -> Fitted:
        exact = self.goal == "accuracy"
        seen = top_k_tally(rank[train], self.gold[train], exact, self.none)
        k = int(np.argmax(objective(seen, self.goal))) + 1
        return self._fitted(TOP_K, Rule(0.0, top_k=k), rank < k, train)

    def _label_thresholds(
        self, reached: np.ndarray, grid: np.ndarray, seen: Tally, common: int, train: np.ndarray
    ) -> Fitted:
        labels = self.label_set.labels
        counts = Tally(*(part[: len(labels)] for part in seen[:3]), seen.exact, seen.texts)  # type: ignore[arg-type]
        if self.goal == "macro_f1":
            steps = label_f1(counts).argmax(axis=1)
        elif self.goal == "micro_f1":
            steps = _micro_steps(counts, common)
        else:
            # Exact matches do not fall apart into labels; fewest wrong decisions a label come near.
            steps = (2 * counts.hits - counts.chosen).argmax(axis=1)
        rare = counts.gold < LEAST_GOLD
        steps = np.where(rare, common, steps)
        own = {label: float(grid[step]) for label, step, few in zip(labels, steps, rare) if not few}
        return self._fitted(LABELS, Rule(float(grid[common]), own), reached > steps, train)

    def _tallies(self, reached: np.ndarray, n_steps: int, train: np.ndarray) -> tuple[Tally, Tally]:
        exact = self.goal == "accuracy"
        seen, unseen = (tally(reached[part], self.gold[part], n_steps, exact, self.none) for part in (train, ~train))
        return seen, unseen

    def _fitted(self, kind: str, rule: Rule, chosen: np.ndarray, train: np.ndarray) -> Fitted:
        seen, unseen = (count(chosen[part], self.gold[part], self.none) for part in (train, ~train))
        return Fitted(kind, rule, seen, unseen)


def _micro_steps(counts: Tally, common: int) -> np.ndarray:
    """Thresholds of the labels that together maximise micro-F1, by Dinkelbach's method for ratios: at the ratio
    reached so far, each label's best step no longer depends on the others'."""
    steps = np.full(len(counts.gold), common)
    rows = np.arange(len(steps))
    for _ in range(50):
        ratio = 2.0 * counts.hits[rows, steps].sum() / max(counts.chosen[rows, steps].sum() + counts.gold.sum(), 1)
        better = (2.0 * counts.hits - ratio * counts.chosen).argmax(axis=1)
        if (better == steps).all():
            break
        steps = better
    return steps


def _above(reached: np.ndarray, n_steps: int) -> np.ndarray:
    """Shape (labels, steps): how many of the numbers of each column are above each step."""
    n_labels, width = reached.shape[1], n_steps + 1
    places = (reached + np.arange(n_labels) * width).ravel()
    histogram = np.bincount(places, minlength=n_labels * width).reshape(n_labels, width)
    return np.cumsum(histogram[:, ::-1], axis=1)[:, ::-1][:, 1:]


def _exact(reached: np.ndarray, gold: np.ndarray, n_steps: int) -> np.ndarray:
    # All right labels and no others are chosen from the step the best wrong one has missed, up to the one the worst
    # right label reaches.
    first = np.where(gold, 0, reached).max(axis=1, initial=0)
    end = np.where(gold, reached, n_steps).min(axis=1, initial=n_steps)
    some = first < end
    turns = np.bincount(first[some], minlength=n_steps + 1) - np.bincount(end[some], minlength=n_steps + 1)
    return np.cumsum(turns)[:n_steps]


def _value(counts: Sequence[Tally], goal: Goal) -> float:
    total = counts[0]
    for other in counts[1:]:
        total = total.plus(other)
    return float(objective(total, goal)[0])


def _best(trials: Sequence[Trial], values: Sequence[float]) -> Trial:
    """The first of the best; differences of rounding do not count."""
    top = max(values)
    return next(trial for trial, value in zip(trials, values) if value >= top - 1e-9)


def _estimate(trials: Sequence[Trial], goal: Goal) -> float:
    folds = range(len(trials[0].held_out))
    if len(folds) == 1:
        return float("nan")
    decided = [_best(trials, [held_out_value(trial, goal, without=f) for trial in trials]).held_out[f] for f in folds]
    return _value(decided, goal)
