"""spacy_zeroshot.zero_shot_textcat_scorer.v1: scores of doc.cats for spacy evaluate and spacy train."""

from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence

from spacy.scorer import PRFScore, Scorer
from spacy.training import Example

from .decisions import choose


def make_scorer() -> Callable:
    """RETURNS (Callable): score_zero_shot."""
    return score_zero_shot


def score_zero_shot(
    examples: Iterable[Example],
    *,
    labels: Sequence[str],
    multi_label: bool = False,
    threshold: float = 0.5,
    label_thresholds: Optional[Mapping[str, float]] = None,
    **kwargs: Any,
) -> Dict[str, Any]:
    """Score predicted doc.cats against gold ones.

    Documents that share the component's labels are scored by spaCy's Scorer.score_cats. Where documents bring
    labels of their own (NLI pairs), every document's decisions count: the pairs that reach the threshold if
    labels are independent or there is one label, the best label otherwise.

    examples (Iterable[Example]): The examples.
    labels (Sequence[str]): The keys of doc.cats.
    multi_label (bool): Whether labels are independent.
    threshold (float): The score a label must reach in multi-label mode.
    label_thresholds (Optional[Mapping[str, float]]): Thresholds of single labels, in place of the global one.
    RETURNS (Dict[str, Any]): The keys of Scorer.score_cats.
    """
    examples = list(examples)
    own = label_thresholds or {}
    if all(set(eg.predicted.cats) <= set(labels) for eg in examples) and not own:
        return Scorer.score_cats(
            examples, "cats", labels=list(labels), multi_label=multi_label, threshold=threshold, **kwargs
        )
    return _score_decisions(examples, multi_label, threshold, own)


def _score_decisions(
    examples: List[Example], multi_label: bool, threshold: float, own: Mapping[str, float]
) -> Dict[str, Any]:
    per_label: Dict[str, PRFScore] = {}
    total = PRFScore()
    for example in examples:
        gold = example.reference.cats
        cats = {label: score for label, score in example.predicted.cats.items() if label in gold}
        if multi_label or len(cats) == 1:
            chosen = set(choose(cats, threshold=threshold, label_thresholds=own))
        else:
            chosen = set(choose(cats, threshold=0.0, top_k=1))
        for label, value in gold.items():
            right = value > 0
            for prf in (total, per_label.setdefault(label, PRFScore())):
                prf.tp += right and label in chosen
                prf.fp += (not right) and label in chosen
                prf.fn += right and label not in chosen
    with_gold = [prf for prf in per_label.values() if prf.tp + prf.fp + prf.fn]
    count = max(len(with_gold), 1)
    macro_f = sum(prf.fscore for prf in with_gold) / count
    shared = len(per_label) <= 1000
    return {
        "cats_score": macro_f if shared else total.fscore,
        "cats_score_desc": "macro F" if shared else "micro F",
        "cats_micro_p": total.precision,
        "cats_micro_r": total.recall,
        "cats_micro_f": total.fscore,
        "cats_macro_p": sum(prf.precision for prf in with_gold) / count,
        "cats_macro_r": sum(prf.recall for prf in with_gold) / count,
        "cats_macro_f": macro_f,
        "cats_macro_auc": None,
        "cats_f_per_type": {label: prf.to_dict() for label, prf in per_label.items()} if shared else {},
    }
