"""From complete doc.cats to chosen labels."""

from typing import Dict, List, Mapping, Optional, Sequence

from .errors import ZeroShotError


def choose(
    cats: Mapping[str, float],
    *,
    threshold: float = 0.5,
    label_thresholds: Optional[Mapping[str, float]] = None,
    top_k: Optional[int] = None,
) -> List[str]:
    """Choose labels whose score reaches their threshold, the best first.

    cats (Mapping[str, float]): Scores between 0 and 1, e.g. doc.cats.
    threshold (float): The score a label must reach. 0.0 is a threshold: every label reaches it.
    label_thresholds (Optional[Mapping[str, float]]): Thresholds of single labels, in place of the global one.
    top_k (Optional[int]): Keep at most this many.
    RETURNS (List[str]): The chosen labels; empty if none reaches its threshold.
    """
    own = label_thresholds or {}
    chosen = [label for label, score in cats.items() if score >= own.get(label, threshold)]
    chosen.sort(key=lambda label: -cats[label])
    return chosen if top_k is None else chosen[:top_k]


def check_thresholds(
    threshold: float, entries: Sequence[Mapping[str, object]], component: str
) -> Dict[str, float]:
    """Read the config's thresholds.

    threshold (float): The global one.
    entries (Sequence[Mapping[str, object]]): [{"label": ..., "threshold": ...}].
    component (str): The component's name, for errors.
    RETURNS (Dict[str, float]): Thresholds by label.
    RAISES (ZeroShotError): Z006 for an entry of another form, Z007 for a threshold outside [0, 1].
    """
    own: Dict[str, float] = {}
    for entry in entries:
        value = entry.get("threshold")
        if set(entry) != {"label", "threshold"} or not isinstance(value, (int, float)) or isinstance(value, bool):
            form = '{"label": "...", "threshold": 0.7}'
            raise ZeroShotError("Z006", component, setting="label_thresholds", entry=dict(entry), form=form)
        own[str(entry["label"])] = float(value)
    for value in (threshold, *own.values()):
        if not 0.0 <= value <= 1.0:
            raise ZeroShotError("Z007", component, setting="threshold", value=value, reason="it must lie in [0, 1]")
    return own
