"""From complete doc.cats to chosen labels: the two selection rules of the literature, and abstention.

By threshold: every label whose score reaches its threshold (Yin et al., 2019, for labels that stand on their own).
By rank: the k best labels, whatever their scores. A Rule is either, or both at once. The score of "none of these" is
1 minus the best label's score: what is left when even the best label is doubted.
"""

from dataclasses import dataclass, field
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from .errors import COMPONENT, ZeroShotError

IN_UNIT = "it must lie in [0, 1]"


@dataclass(frozen=True)
class Rule:
    """How labels are chosen. A label is chosen if it passes the threshold and is among the top k.

    threshold (float): The score a label must reach. 0.0 is a threshold: every label reaches it.
    label_thresholds (Mapping[str, float]): Thresholds of single labels, in place of the global one.
    top_k (Optional[int]): Choose at most this many, the best first; None for any number.
    abstain (Optional[float]): Choose none if the score of "none of these" is this or above; None leaves abstention
        to the thresholds.
    RAISES (ZeroShotError): Z007 for a number that is out of range.
    """

    threshold: float = 0.5
    label_thresholds: Mapping[str, float] = field(default_factory=dict)
    top_k: Optional[int] = None
    abstain: Optional[float] = None

    def __post_init__(self) -> None:
        for value in (self.threshold, *self.label_thresholds.values()):
            if not 0.0 <= value <= 1.0:
                raise ZeroShotError("Z007", COMPONENT, setting="threshold", value=value, reason=IN_UNIT)
        check_abstain(self.abstain, COMPONENT)
        check_top_k(self.top_k, COMPONENT)


class Decision(NamedTuple):
    """What was decided about one text.

    labels (List[str]): The chosen labels, the best first; empty if none fits.
    none (float): The score of "none of these", between 0 and 1.
    """

    labels: List[str]
    none: float

    @property
    def abstains(self) -> bool:
        """RETURNS (bool): Whether no label was chosen."""
        return not self.labels


def by_threshold(threshold: float, label_thresholds: Optional[Mapping[str, float]] = None) -> Rule:
    """RETURNS (Rule): Every label that reaches its threshold."""
    return Rule(threshold, dict(label_thresholds or {}))


def by_rank(top_k: int, abstain: Optional[float] = None) -> Rule:
    """RETURNS (Rule): The k best labels, or none if "none of these" scores `abstain` or more."""
    return Rule(0.0, {}, top_k, abstain)


def none_score(cats: Mapping[str, float]) -> float:
    """The score of "none of these".

    cats (Mapping[str, float]): Scores between 0 and 1, e.g. doc.cats.
    RETURNS (float): 1 - the best score; 1.0 if there are no labels. Where n labels compete it is at most 1 - 1/n.
    """
    return 1.0 - max(cats.values(), default=0.0)


def decide(cats: Mapping[str, float], rule: Rule) -> Decision:
    """Choose labels, or none.

    cats (Mapping[str, float]): Scores between 0 and 1, e.g. doc.cats, without key_prefix.
    rule (Rule): How to choose.
    RETURNS (Decision): The labels, the best first (equal scores in the order of `cats`), and the score of none.
    """
    none = none_score(cats)
    if rule.abstain is not None and none >= rule.abstain:
        return Decision([], none)
    own = rule.label_thresholds
    chosen = [label for label, score in cats.items() if score >= own.get(label, rule.threshold)]
    chosen.sort(key=lambda label: -cats[label])
    return Decision(chosen[: rule.top_k], none)


def decide_rows(scores: np.ndarray, labels: Sequence[str], rule: Rule) -> np.ndarray:
    """decide() on an array.

    scores (np.ndarray): Shape (texts, labels), between 0 and 1.
    labels (Sequence[str]): The columns' labels.
    rule (Rule): How to choose.
    RETURNS (np.ndarray): Shape (texts, labels), bool: the chosen ones.
    """
    limits = np.array([rule.label_thresholds.get(label, rule.threshold) for label in labels])
    chosen = scores >= limits
    if rule.top_k is not None and rule.top_k < len(labels):
        rivals = np.where(chosen, -scores, np.inf)
        order = np.argsort(rivals, axis=1, kind="stable")
        best = np.zeros_like(chosen)
        np.put_along_axis(best, order[:, : rule.top_k], True, axis=1)
        chosen &= best
    if rule.abstain is not None:
        chosen &= (1.0 - scores.max(axis=1, initial=0.0) < rule.abstain)[:, None]
    return chosen


def choose(
    cats: Mapping[str, float],
    *,
    threshold: float = 0.5,
    label_thresholds: Optional[Mapping[str, float]] = None,
    top_k: Optional[int] = None,
) -> List[str]:
    """Choose labels whose score reaches their threshold, the best first: decide() without abstention.

    cats (Mapping[str, float]): Scores between 0 and 1, e.g. doc.cats.
    threshold (float): The score a label must reach. 0.0 is a threshold: every label reaches it.
    label_thresholds (Optional[Mapping[str, float]]): Thresholds of single labels, in place of the global one.
    top_k (Optional[int]): Keep at most this many.
    RETURNS (List[str]): The chosen labels; empty if none reaches its threshold.
    """
    return decide(cats, Rule(threshold, label_thresholds or {}, top_k)).labels


def default_rule(
    compete: bool,
    threshold: float = 0.5,
    label_thresholds: Optional[Mapping[str, float]] = None,
    top_k: Optional[int] = None,
    abstain: Optional[float] = None,
) -> Rule:
    """The rule of a component's settings.

    Where labels compete and neither top_k nor label_thresholds is set, the best label is chosen whatever its score,
    as spaCy's textcat does: scores that sum to one rarely reach a fixed threshold when labels are many.

    compete (bool): Whether labels compete for one text.
    threshold (float): The setting `threshold`.
    label_thresholds (Optional[Mapping[str, float]]): The setting `label_thresholds`, as check_thresholds gives it.
    top_k (Optional[int]): The setting `top_k`.
    abstain (Optional[float]): The setting `abstain`.
    RETURNS (Rule): The rule.
    """
    if compete and top_k is None and not label_thresholds:
        return by_rank(1, abstain)
    return Rule(threshold, dict(label_thresholds or {}), top_k, abstain)


def check_top_k(top_k: Optional[int], component: str) -> Optional[int]:
    """Check a number of labels.

    top_k (Optional[int]): The number, None for any.
    component (str): The component's name, for errors.
    RETURNS (Optional[int]): The number.
    RAISES (ZeroShotError): Z007 for less than 1.
    """
    if top_k is not None and top_k < 1:
        raise ZeroShotError("Z007", component, setting="top_k", value=top_k, reason="it must be at least 1")
    return top_k


def check_abstain(abstain: Optional[float], component: str) -> Optional[float]:
    """Check a limit on the score of "none of these".

    abstain (Optional[float]): The limit, None for none.
    component (str): The component's name, for errors.
    RETURNS (Optional[float]): The limit.
    RAISES (ZeroShotError): Z007 outside [0, 1].
    """
    if abstain is not None and not 0.0 <= abstain <= 1.0:
        raise ZeroShotError("Z007", component, setting="abstain", value=abstain, reason=IN_UNIT)
    return abstain


def check_thresholds(threshold: float, entries: Sequence[Mapping[str, object]], component: str) -> Dict[str, float]:
    """Read the config's thresholds.

    threshold (float): The global one.
    entries (Sequence[Mapping[str, object]]): [{"label": ..., "threshold": ...}].
    component (str): The component's name, for errors.
    RETURNS (Dict[str, float]): Thresholds by label.
    RAISES (ZeroShotError): Z006 for an entry of another form, Z007 for a threshold outside [0, 1].
    """
    own: Dict[str, float] = {}
    for entry in entries:
        value = entry.get("threshold") if isinstance(entry, Mapping) else None
        if (
            value is None
            or set(entry) != {"label", "threshold"}
            or not isinstance(value, (int, float))
            or isinstance(value, bool)
        ):
            form = '{"label": "...", "threshold": 0.7}'
            raise ZeroShotError("Z006", component, setting="label_thresholds", entry=entry, form=form)
        own[str(entry["label"])] = float(value)
    for value in (threshold, *own.values()):
        if not 0.0 <= value <= 1.0:
            raise ZeroShotError("Z007", component, setting="threshold", value=value, reason=IN_UNIT)
    return own
