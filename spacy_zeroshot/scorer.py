"""spacy_zeroshot.zero_shot_textcat_scorer.v1: scores of doc.cats for spacy evaluate and spacy train."""

from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence

from spacy.scorer import PRFScore, ROCAUCScore
from spacy.tokens import Doc
from spacy.training import Example

from .decisions import decide, default_rule
from .labels import OWN_LABELS

# Tables by label are left out beyond this many labels: NLI pairs bring thousands of hypotheses.
MANY_LABELS = 1000


def make_scorer() -> Callable:
    """RETURNS (Callable): score_zero_shot."""
    return score_zero_shot


def score_zero_shot(
    examples: Iterable[Example],
    *,
    labels: Sequence[str],
    independent: bool = False,
    threshold: float = 0.5,
    label_thresholds: Optional[Mapping[str, float]] = None,
    top_k: Optional[int] = None,
    abstain: Optional[float] = None,
    key_prefix: str = "",
    **cfg: Any,
) -> Dict[str, Any]:
    """Score predicted doc.cats against gold ones.

    The keys and values are those of spaCy's Scorer.score_cats, and beyond it: single labels may have thresholds,
    documents may bring labels of their own (doc._.zero_shot_labels), cats of other components are not touched, and
    a document without a prediction or without a right label is counted and not a crash or a false hit. Documents
    without gold cats are left out. Where documents bring labels of their own, cats_score is the micro-averaged F.

    examples (Iterable[Example]): The examples.
    labels (Sequence[str]): The component's keys of doc.cats.
    independent (bool): Whether each label stands on its own: those that reach their threshold are chosen. Else the
        best of several is, whatever its score, unless top_k or label_thresholds are set (see default_rule); a single
        label needs its threshold either way.
    threshold (float): The score that chooses a label.
    label_thresholds (Optional[Mapping[str, float]]): Thresholds of single keys, in place of the global one.
    top_k (Optional[int]): Choose at most this many.
    abstain (Optional[float]): Choose none if "none of these" scores this or above.
    key_prefix (str): What the component puts before a document's own labels.
    cfg (Any): Settings of other components' scorers, which spaCy hands to all.
    RETURNS (Dict[str, Any]): The keys of Scorer.score_cats.
    """
    counts = {label: PRFScore() for label in labels}
    curves = {label: ROCAUCScore() for label in labels}
    own_sets = False
    for example in examples:
        keys = _keys(example.predicted, labels, key_prefix)
        gold = {key: example.reference.cats[key] for key in keys if key in example.reference.cats}
        if not gold:
            continue
        own_sets = own_sets or not set(keys) <= set(labels)
        cats = {key: example.predicted.cats.get(key, 0.0) for key in keys}
        compete = not independent and len(keys) > 1
        chosen = decide(cats, default_rule(compete, threshold, label_thresholds, top_k, abstain)).labels
        if compete:
            # one label is right, so a key that is not annotated is wrong
            gold = {key: gold.get(key, 0.0) for key in keys}
        for key, value in gold.items():
            _count(counts.setdefault(key, PRFScore()), value > 0, key in chosen)
            curves.setdefault(key, ROCAUCScore()).score_set(cats[key], value)
    if own_sets:
        counts = {key: prf for key, prf in counts.items() if curves[key].golds}
    return _summary(counts, curves, "micro F" if own_sets else "macro AUC" if independent else "macro F")


def _keys(doc: Doc, labels: Sequence[str], key_prefix: str) -> List[str]:
    own = doc._.get(OWN_LABELS) if Doc.has_extension(OWN_LABELS) else None
    return list(labels) if own is None else [key_prefix + label for label in own]


def _count(prf: PRFScore, right: bool, chosen: bool) -> None:
    prf.tp += right and chosen
    prf.fp += chosen and not right
    prf.fn += right and not chosen


def _summary(counts: Dict[str, PRFScore], curves: Dict[str, ROCAUCScore], main: str) -> Dict[str, Any]:
    total = PRFScore()
    for prf in counts.values():
        total.tp += prf.tp
        total.fp += prf.fp
        total.fn += prf.fn
    areas = {key: curves[key].score if curves[key].is_binary() else None for key in counts}
    n_labels = max(len(counts), 1)
    macro_f = sum(prf.fscore for prf in counts.values()) / n_labels
    macro_auc = sum(area or 0.0 for area in areas.values()) / n_labels
    tables = len(counts) <= MANY_LABELS
    return {
        "cats_score": {"micro F": total.fscore, "macro F": macro_f, "macro AUC": macro_auc}[main],
        "cats_score_desc": main,
        "cats_micro_p": total.precision,
        "cats_micro_r": total.recall,
        "cats_micro_f": total.fscore,
        "cats_macro_p": sum(prf.precision for prf in counts.values()) / n_labels,
        "cats_macro_r": sum(prf.recall for prf in counts.values()) / n_labels,
        "cats_macro_f": macro_f,
        "cats_macro_auc": macro_auc,
        "cats_f_per_type": {key: prf.to_dict() for key, prf in counts.items()} if tables else {},
        "cats_auc_per_type": areas if tables else {},
    }
