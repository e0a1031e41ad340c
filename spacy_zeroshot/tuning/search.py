"""The search over candidates and rules, cross-validated. Pure array work.

Every candidate (a template, say) and kind of rule is fitted to the texts outside a fold and judged on the fold. The
pair that does best over all folds is then fitted to all texts. Its held-out figure is honest about the choice as
well: each fold is decided by the pair that does best over the other folds.
"""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import ZeroShotError
from ..examples.voting import mix
from ..scores import adjust, scores
from .families import Fitted, fit_families, ranks
from .tally import Tally, objective
from .temperature import fit_temperature

FOLDS = 5
COMMAND = "tune"


class Votes(NamedTuple):
    """How examples vote on the texts.

    shares (np.ndarray): Shape (texts, labels): see examples/voting.py.
    known (np.ndarray): Shape (labels,), bool: the labels that have examples.
    n_neighbors (int): How many examples voted on a text.
    weight (float): Share of the votes in the scores.
    """

    shares: np.ndarray
    known: np.ndarray
    n_neighbors: int
    weight: float

    def mix(self, values: np.ndarray, compete: bool) -> np.ndarray:
        """RETURNS (np.ndarray): Zero-shot scores, shape (texts, labels), mixed with the votes."""
        return mix(values, self.shares, self.known, self.weight, compete)


class Candidate(NamedTuple):
    """One way to score the texts.

    name (str): What it is called in the report.
    strengths (np.ndarray): Shape (texts, labels): pooled strengths, see scores.py.
    biases (np.ndarray): Shape (labels,): what calibration takes away from them.
    votes (Optional[Votes]): Of examples; None for zero-shot scores only.
    """

    name: str
    strengths: np.ndarray
    biases: np.ndarray
    votes: Optional[Votes] = None

    def values(self, temperature: float, compete: bool) -> np.ndarray:
        """The scores of the texts.

        temperature (float): What strengths are divided by.
        compete (bool): Whether labels compete.
        RETURNS (np.ndarray): Shape (texts, labels).
        """
        found = scores(adjust(self.strengths, self.biases, temperature), compete)
        return found if self.votes is None else self.votes.mix(found, compete)


class Trial(NamedTuple):
    """A candidate with a kind of rule.

    candidate (int): The candidate's number.
    temperature (float): Fitted to all texts.
    final (Fitted): The rule, fitted to all texts.
    held_out (List[Tally]): The decisions on each fold, of rules fitted to the others.
    """

    candidate: int
    temperature: float
    final: Fitted
    held_out: List[Tally]


class Search(NamedTuple):
    """What was tried, and what is best.

    goal (str): What was maximised.
    trials (List[Trial]): All candidates with all kinds of rule.
    best (Trial): The chosen one.
    fitted (float): What the chosen one reaches on the texts it was fitted to.
    held_out (float): What the whole procedure reaches on texts that neither fitted nor chose.
    """

    goal: str
    trials: List[Trial]
    best: Trial
    fitted: float
    held_out: float


def search(
    candidates: Sequence[Candidate],
    gold: np.ndarray,
    labels: Sequence[str],
    compete: bool,
    goal: str = "macro_f1",
    folds: int = FOLDS,
    seed: int = 0,
) -> Search:
    """Find the candidate, temperature and rule that serve a goal best.

    candidates (Sequence[Candidate]): What may be chosen; of equals, the first.
    gold (np.ndarray): Shape (texts, labels), bool; at least one text.
    labels (Sequence[str]): The labels.
    compete (bool): Whether labels compete.
    goal (str): "micro_f1", "macro_f1" or "accuracy".
    folds (int): Parts of the cross-validation; fewer if there are fewer texts.
    seed (int): Of the split into folds.
    RETURNS (Search): What was tried and what is best.
    RAISES (ZeroShotError): Z203 for strengths that are not finite.
    """
    check_finite(candidates)
    fold = split_folds(gold, folds, seed)
    trials = [
        trial
        for i, candidate in enumerate(candidates)
        for trial in _trials(i, candidate, gold, labels, compete, goal, fold)
    ]
    best = _best(trials, [held_out_value(trial, goal) for trial in trials])
    return Search(goal, trials, best, float(objective(best.final.fitted, goal)[0]), _estimate(trials, goal))


def split_folds(gold: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Divide texts into folds of like size, each with its share of every label.

    gold (np.ndarray): Shape (texts, labels), bool.
    folds (int): How many.
    seed (int): Of the random order.
    RETURNS (np.ndarray): Shape (texts,), int: each text's fold.
    """
    order = np.random.default_rng(seed).permutation(len(gold))
    # texts with the same first label stand together and are dealt out in turn
    kind = np.where(gold.any(axis=1), gold.argmax(axis=1), gold.shape[1])
    order = order[np.argsort(kind[order], kind="stable")]
    fold = np.empty(len(gold), dtype=int)
    fold[order] = np.arange(len(gold)) % min(folds, len(gold))
    return fold


def check_finite(candidates: Sequence[Candidate]) -> None:
    """Check that all strengths are numbers.

    candidates (Sequence[Candidate]): The strengths.
    RAISES (ZeroShotError): Z203, with how many texts have others.
    """
    for candidate in candidates:
        bad = ~np.isfinite(candidate.strengths).all(axis=1)
        if bad.any():
            raise ZeroShotError("Z203", COMMAND, count=int(bad.sum()), total=len(bad), name=candidate.name)


def _trials(
    number: int,
    candidate: Candidate,
    gold: np.ndarray,
    labels: Sequence[str],
    compete: bool,
    goal: str,
    fold: np.ndarray,
) -> List[Trial]:
    everything = np.ones(len(gold), dtype=bool)
    temperature, final = _fit(candidate, gold, everything, labels, compete, goal)
    by_fold = [_fit(candidate, gold, fold != f, labels, compete, goal)[1] for f in range(int(fold.max()) + 1)]
    return [
        Trial(number, temperature, fitted, [found[i].held_out for found in by_fold]) for i, fitted in enumerate(final)
    ]


def _fit(
    candidate: Candidate,
    gold: np.ndarray,
    train: np.ndarray,
    labels: Sequence[str],
    compete: bool,
    goal: str,
) -> Tuple[float, List[Fitted]]:
    strengths = candidate.strengths - candidate.biases
    # rounded as it will stand in the config, so that thresholds fit the very same scores
    temperature = round(fit_temperature(strengths[train], gold[train], compete), 4) or 1e-4
    found = candidate.values(temperature, compete)
    # without votes neither the temperature nor a sigmoid changes the order, but may round labels to a tie
    rank = ranks(strengths if candidate.votes is None else found)
    return temperature, fit_families(found, rank, gold, train, labels, goal)


def held_out_value(trial: Trial, goal: str, without: int = -1) -> float:
    """What a trial reaches over the folds.

    trial (Trial): The trial.
    goal (str): What was maximised.
    without (int): A fold to leave out.
    RETURNS (float): The objective of all held-out decisions taken together.
    """
    kept = [counts for i, counts in enumerate(trial.held_out) if i != without]
    return float(objective(_sum(kept), goal)[0])


def _best(trials: Sequence[Trial], values: Sequence[float]) -> Trial:
    """The first of the best; differences of rounding do not count."""
    top = max(values)
    return next(trial for trial, value in zip(trials, values) if value >= top - 1e-9)


def _estimate(trials: Sequence[Trial], goal: str) -> float:
    folds = range(len(trials[0].held_out))
    if len(folds) == 1:
        return float("nan")
    decided = [_best(trials, [held_out_value(trial, goal, without=f) for trial in trials]).held_out[f] for f in folds]
    return float(objective(_sum(decided), goal)[0])


def _sum(counts: Sequence[Tally]) -> Tally:
    total = counts[0]
    for other in counts[1:]:
        total = total.plus(other)
    return total
