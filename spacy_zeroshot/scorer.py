"""spacy_zeroshot.zero_shot_textcat_scorer.v1: scores of doc.cats for spacy evaluate and spacy train."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from spacy.scorer import PRFScore, ROCAUCScore
from spacy.training import Example

from .decisions import Rule, decide, default_rule
from .labels import own_labels
from .premises import is_blank

# Tables by label are left out beyond this many labels: NLI pairs bring thousands of hypotheses.
MANY_LABELS = 1000
Groups = Sequence[tuple[Sequence[str], Rule]]


def make_scorer() -> Callable:
    """RETURNS (Callable): score_zero_shot."""
    return score_zero_shot


def score_zero_shot(
    examples: Iterable[Example],
    *,
    labels: Sequence[str],
    independent: bool = False,
    threshold: float | None = None,
    label_thresholds: Mapping[str, float] | None = None,
    top_k: int | None = None,
    positive_label: str | None = None,
    key_prefix: str = "",
    groups: Groups = (),
    **cfg: Any,
) -> dict[str, Any]:
    """Score predicted doc.cats against gold ones.

    The keys and values are those of spaCy's Scorer.score_cats, and beyond it: single labels may have thresholds,
    documents may bring labels of their own (doc._.zero_shot_labels), cats of other components are not touched, gold
    may be written with key_prefix or without, and a document without a prediction or without a right label is counted
    and not a crash or a false hit. Where documents bring labels of their own, cats_score is the micro-averaged F.

    examples (Iterable[Example]): The examples. Those without gold for these labels are left out.
    labels (Sequence[str]): The component's keys of doc.cats.
    independent (bool): Whether each label stands on its own; else the best of several is chosen.
    threshold (float | None): The score that chooses a label. None: 0.5, or any score where labels compete.
    label_thresholds (Mapping[str, float] | None): Thresholds of single keys, in place of the global one.
    top_k (int | None): Choose at most this many.
    positive_label (str | None): Of two labels that compete, the one whose F is cats_score.
    key_prefix (str): What the component puts before its labels.
    groups (Groups): The keys of each group of labels and its rule, in place of the settings above.
    cfg (Any): Settings of other components' scorers, which spaCy hands to all.
    RETURNS (dict[str, Any]): The keys of Scorer.score_cats; none if no example has gold for these labels, so that the
        scores of another component stay.
    """
    counts = {label: PRFScore() for label in labels}
    curves = {label: ROCAUCScore() for label in labels}
    own_sets = found_gold = False
    for example in examples:
        own = own_labels(example.predicted)
        keys = list(labels) if own is None else [key_prefix + label for label in own]
        own_sets = own_sets or not set(keys) <= set(labels)
        all_gold = _gold(example.reference.cats, keys, key_prefix)
        found_gold = found_gold or bool(all_gold)
        for group, rule in groups if own is None and groups else [(keys, None)]:
            gold = {key: all_gold[key] for key in group if key in all_gold}
            if not gold:
                continue
            exclusive = (not independent and len(group) > 1) if rule is None else rule.top_k == 1
            rule = rule or default_rule(exclusive, threshold, label_thresholds, top_k)
            cats = {key: example.predicted.cats.get(key, 0.0) for key in group}
            chosen = [] if is_blank(example.predicted.text) else decide(cats, rule).labels
            if exclusive:
                # one label is right, so a key that is not annotated is wrong
                gold = {key: gold.get(key, 0.0) for key in group}
            for key, value in gold.items():
                _count(counts.setdefault(key, PRFScore()), value > 0, key in chosen)
                curves.setdefault(key, ROCAUCScore()).score_set(cats[key], value)
    if not found_gold:
        return {}
    if own_sets:
        counts = {key: prf for key, prf in counts.items() if curves[key].golds}
    summary = _summary(counts, curves, "micro F" if own_sets else "macro AUC" if independent else "macro F")
    if positive_label in counts and len(counts) == 2 and not independent:
        summary["cats_score"] = counts[positive_label].fscore
        summary["cats_score_desc"] = f"F ({positive_label})"
    return summary


def _gold(cats: Mapping[str, float], keys: Sequence[str], key_prefix: str) -> dict[str, float]:
    """Gold values by key; those written without key_prefix count where none has it."""
    gold = {key: cats[key] for key in keys if key in cats}
    if not gold and key_prefix:
        gold = {key: cats[key.removeprefix(key_prefix)] for key in keys if key.removeprefix(key_prefix) in cats}
    return gold


def _count(prf: PRFScore, right: bool, chosen: bool) -> None:
    prf.tp += right and chosen
    prf.fp += chosen and not right
    prf.fn += right and not chosen


def _summary(counts: dict[str, PRFScore], curves: dict[str, ROCAUCScore], main: str) -> dict[str, Any]:
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
