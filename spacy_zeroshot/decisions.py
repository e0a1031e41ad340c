"""From scores to labels: the selection rules of the literature, and "none of these".

By threshold: every label whose score reaches its threshold (Yin et al., 2019, for labels that stand on their own).
By rank: the best labels, whatever their scores. A Rule is either, or both at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .errors import ZeroShotError

# What a threshold of null means where each label stands on its own
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Rule:
    """How labels are chosen: those that reach their threshold and are among the best top_k.

    threshold (float): The score a label must reach. 0.0 is a threshold: every label reaches it.
    label_thresholds (Mapping[str, float]): Thresholds of single labels.
    top_k (int | None): None for any number.
    none_label (str | None): What is said where no label is chosen.
    RAISES (ZeroShotError): Z007 for a number that is out of range.
    """

    threshold: float = DEFAULT_THRESHOLD
    label_thresholds: Mapping[str, float] = field(default_factory=dict)
    top_k: int | None = None
    none_label: str | None = None

    def __post_init__(self) -> None:
        for value in (self.threshold, *self.label_thresholds.values()):
            check_threshold(value)
        if self.top_k is not None and not is_whole(self.top_k, 1):
            raise ZeroShotError("Z007", setting="top_k", value=self.top_k, reason="it must be at least 1")


class Decision(NamedTuple):
    """What was decided about one text.

    labels (list[str]): The chosen labels, the best first; empty if none fits.
    none (float): The score of "none of these": 1 minus the best label's score.
    none_label (str | None): What is said where no label is chosen.
    """

    labels: list[str]
    none: float
    none_label: str | None = None

    @property
    def abstains(self) -> bool:
        """RETURNS (bool): Whether no label was chosen."""
        return not self.labels

    @property
    def label(self) -> str | None:
        """RETURNS (str | None): The best of the chosen labels, else the none_label."""
        return self.labels[0] if self.labels else self.none_label


class RankedLabels(NamedTuple):
    """What doc._.zero_shot holds: a document's labels by their scores, and what was decided."""

    ranked: list[tuple[str, float]]  # labels and scores, the best first
    decision: Decision
    margin: float  # by how much the best label leads the next one; of one label its score
    keys: list[str]  # the component's keys of doc.cats, in the order of `ranked`
    components: dict[str, "RankedLabels"]  # the same by component


def rank(cats: Mapping[str, float], decision: Decision, key_prefix: str) -> RankedLabels:
    """One component's labels by their scores; there is at least one."""
    ranked = sorted(cats.items(), key=lambda pair: -pair[1])
    margin = ranked[0][1] - (ranked[1][1] if len(ranked) > 1 else 0.0)
    return RankedLabels(ranked, decision, margin, [key_prefix + label for label, _ in ranked], {})


def decide(cats: Mapping[str, float], rule: Rule) -> Decision:
    """Choose labels, or none. Of a document that a component has scored, `pipe.decide(doc)` knows more.

    cats (Mapping[str, float]): Scores between 0 and 1 of one component's labels, without its key_prefix.
    rule (Rule): How to choose.
    RETURNS (Decision): The labels; equal scores in the order of `cats`.
    """
    chosen = [label for label, score in cats.items() if score >= rule.label_thresholds.get(label, rule.threshold)]
    chosen.sort(key=lambda label: -cats[label])
    return Decision(chosen[: rule.top_k], 1.0 - max(cats.values(), default=0.0), rule.none_label)


def decide_rows(scores: np.ndarray, labels: Sequence[str], rule: Rule) -> np.ndarray:
    """`decide` on an array of shape (texts, labels). RETURNS (np.ndarray): The same shape, bool: the chosen ones."""
    chosen = scores >= np.array([rule.label_thresholds.get(label, rule.threshold) for label in labels])
    if rule.top_k is not None and rule.top_k < len(labels):
        order = np.argsort(np.where(chosen, -scores, np.inf), axis=1, kind="stable")
        best = np.zeros_like(chosen)
        np.put_along_axis(best, order[:, : rule.top_k], True, axis=1)
        chosen &= best
    return chosen


def default_rule(
    exclusive: bool,
    threshold: float | None = None,
    label_thresholds: Mapping[str, float] | None = None,
    top_k: int | None = None,
    none_label: str | None = None,
) -> Rule:
    """The rule of a component's settings. Where labels compete, the best one is chosen; whatever its score if the
    threshold is None, as spaCy's textcat does: of many scores that sum to one few reach a fixed threshold."""
    if threshold is None:
        threshold = 0.0 if exclusive else DEFAULT_THRESHOLD
    if exclusive and top_k is None:
        top_k = 1
    return Rule(threshold, dict(label_thresholds or {}), top_k, none_label)


def check_threshold(value: float | None) -> float | None:
    if value is not None and not is_share(value):
        raise ZeroShotError("Z007", setting="threshold", value=value, reason="it must lie in [0, 1]")
    return value


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_share(value: Any) -> bool:
    return is_number(value) and 0.0 <= value <= 1.0


def is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
