"""spacy_zeroshot.zero_shot_textcat_scorer.v1: scores of doc.cats for spacy evaluate and spacy train."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from spacy.scorer import PRFScore, ROCAUCScore
from spacy.training import Example

from .decisions import Rule, decide, default_rule
from .labels import own_gold, own_labels
from .premises import is_blank

# Tables by label are left out beyond this many labels: NLI pairs bring thousands of hypotheses.
MANY_LABELS = 1000
# The keys of each group of labels, whether they compete, and the rule
Groups = Sequence[tuple[Sequence[str], bool, Rule]]


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
    none_label: str | None = None,
    key_prefix: str = "",
    foreign: Collection[str] = (),
    groups: Groups = (),
    **cfg: Any,
) -> dict[str, Any]:
    """Score predicted doc.cats against gold ones, with the keys of spaCy's Scorer.score_cats.

    Beyond it, single labels may have thresholds, documents may bring labels of their own (then cats_score is the
    micro-averaged F), and gold may be written with key_prefix or without.

    labels (Sequence[str]): The component's keys of doc.cats.
    independent (bool): The setting multi_label.
    threshold, label_thresholds, top_k: As the component's settings, but by key.
    positive_label (str | None): Of two labels that compete, the one whose F is cats_score.
    none_label (str | None): A label more: chosen where no other is, and right where no other is or gold says so.
    foreign (Collection[str]): Keys of other components.
    groups (Groups): The keys of each group of labels and its rule, in place of the settings above.
    cfg (Any): Settings of other components' scorers, which spaCy hands to all.
    RETURNS (dict[str, Any]): Nothing if no example has gold for these labels: so another component's scores stay.
    """
    # a group of labels of which no example has gold is left out
    counts = {label: PRFScore() for label in labels if not groups}
    curves = {label: ROCAUCScore() for label in labels if not groups}
    none_key = None if none_label is None else key_prefix + none_label

    def count(key: str, score: float, right: float, chosen: bool) -> None:
        counts.setdefault(key, PRFScore()).score_set({key} if chosen else set(), {key} if right > 0 else set())
        curves.setdefault(key, ROCAUCScore()).score_set(score, right)

    own_sets = False
    for example in examples:
        own = own_labels(example.predicted)
        keys = list(labels) if own is None else [key_prefix + label for label in own]
        wanted = [*keys] if none_key is None else [*keys, none_key]
        gold = own_gold(example.reference.cats, [key.removeprefix(key_prefix) for key in wanted], key_prefix, foreign)
        all_gold = {key_prefix + label: value for label, value in gold.items()}
        if all_gold.keys().isdisjoint(wanted):
            continue
        own_sets = own_sets or not set(keys) <= set(labels)
        exclusive = not independent and len(keys) > 1
        plain = keys, exclusive, default_rule(exclusive, threshold, label_thresholds, top_k)
        for group, exclusive, rule in groups if own is None and groups else [plain]:
            right = {key: all_gold[key] for key in group if key in all_gold}
            if not right and none_key not in all_gold:
                continue
            cats = {key: example.predicted.cats.get(key, 0.0) for key in group}
            chosen = [] if is_blank(example.predicted.text) else decide(cats, rule).labels
            if exclusive:
                # one label is right, so a key that is not annotated is wrong
                right = {key: right.get(key, 0.0) for key in group}
            for key, value in right.items():
                count(key, cats[key], value, key in chosen)
            if none_key is not None:
                value = all_gold.get(none_key, float(not any(right.values())))
                count(none_key, 1.0 - max(cats.values(), default=0.0), value, not chosen)
    if not any(curve.golds for curve in curves.values()):
        return {}
    if none_key in curves and not any(curves[none_key].golds):
        del counts[none_key]
    if own_sets:
        counts = {key: prf for key, prf in counts.items() if curves[key].golds}
    summary = _summary(counts, curves, "micro F" if own_sets else "macro AUC" if independent else "macro F")
    if positive_label in counts and len(labels) == 2 and not independent:
        summary["cats_score"] = counts[positive_label].fscore
        summary["cats_score_desc"] = f"F ({positive_label})"
    return summary


def _summary(counts: dict[str, PRFScore], curves: dict[str, ROCAUCScore], main: str) -> dict[str, Any]:
    total = sum(counts.values(), PRFScore())
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
