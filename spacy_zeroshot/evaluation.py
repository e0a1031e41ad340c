"""Evaluation on files of labelled texts and of NLI pairs. The one place where decisions become F1."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from spacy.language import Language
from spacy.util import minibatch
from thinc.types import Floats1d

from .component import ZeroShotTextCategorizer
from .decisions import DEFAULT_THRESHOLD, Rule, decide_rows, default_rule
from .errors import ZeroShotError, warn
from .labels import LabelSet
from .loading import open_pipeline
from .model.types import ENTAILMENT, NLIInput, WindowConfig
from .readers import LabelledText, NLIPair, is_nli, label_names, read_nli
from .scores import pool_windows
from .tuning.score import BATCH, docs_before, gold_array, read_gold, remembered_texts
from .util import Track, no_progress

SINGLE, MULTI, NLI = "single-label", "multi-label", "nli"


class Figures(NamedTuple):
    """How well decisions meet gold labels, as scikit-learn defines the figures."""

    macro_f1: float  # mean of the F1 of the labels that are right for a row or chosen for one
    micro_f1: float  # of all decisions taken together; equals accuracy where every row has one label and gets one
    accuracy: float  # share of rows whose chosen labels are exactly the right ones
    f1: Floats1d  # (labels,): of each label; 0.0 for one that never occurs


class Outcome(NamedTuple):
    """The figures of one file, or of one group of labels in it."""

    data: str  # the file's name without its endings; with groups also the group's
    mode: str  # "single-label", "multi-label" or "nli" (two classes: entailment and the rest)
    rows: int
    labels: int
    macro_f1: float
    micro_f1: float
    accuracy: float
    f1: dict[str, float]  # by label


def evaluate(
    pipeline: Language | str | Path,
    paths: Sequence[Path | str],
    *,
    component: str | None = None,
    labels_from_data: bool = False,
    templates: Sequence[str] = (),
    multi_label: bool | None = None,
    threshold: float | None = None,
    none_label: str | None = None,
    limit: int | None = None,
    text_field: str = "text",
    label_field: str = "labels",
    track: Track = no_progress,
) -> list[Outcome]:
    """Evaluate a zero-shot component on files of labelled texts or NLI pairs.

    A pipeline with labels is scored with these, in its own mode and by its own settings; one without takes the labels
    of each file, in multi-label mode if some row has other than one label. The pipeline is not changed.

    pipeline (Language | str | Path): The pipeline, or what loading.open_pipeline takes.
    paths (Sequence[Path | str]): The files.
    component (str | None): The component, None for the first zero-shot one.
    labels_from_data (bool): Score each file with its own labels, whatever the pipeline's are.
    templates (Sequence[str]): Templates in place of the component's.
    multi_label (bool | None): Whether labels are independent, in place of what is said above.
    threshold (float | None): A threshold for all labels in place of the component's own.
    none_label (str | None): A gold label that means "no label fits"; None for the component's. It is no hypothesis: it
        counts as chosen where no label is. Where a file's own labels compete and no threshold is set, 0.5 counts.
    limit (int | None): Evaluate this many rows of each file, spread evenly over it.
    text_field, label_field (str): The fields with the text and its labels.
    track (Track): Shows progress.
    RETURNS (list[Outcome]): One for each file; with label_groups one for each group.
    RAISES (ZeroShotError): Z062, Z064 for a file without labels, Z207 for unknown ones, and of reading and scoring.
    """
    nlp, pipe = open_pipeline(pipeline, component=component)
    none_label = none_label or pipe.none_label
    outcomes = []

    def add(name: str, mode: str, gold: np.ndarray, chosen: np.ndarray, labels: Sequence[str]) -> None:
        found = figures(gold, chosen)
        outcomes.append(Outcome(name, mode, len(gold), len(labels), *found[:3], dict(zip(labels, found.f1.tolist()))))

    def add_nli(path: Path, name: str) -> None:
        pairs = spread(list(read_nli(path)), limit)
        found = dict(track(entailed(pipe, pairs), len(pairs), name))
        gold, chosen = np.array([[pair.entailed, found[number]] for number, pair in enumerate(pairs)]).T[:, :, None]
        add(name, NLI, with_none(gold), with_none(chosen), ["entailment", "the rest"])

    def add_labelled(path: Path, name: str) -> None:
        rows = read_gold(path, text_field, label_field)
        own, mode, labels = bool(pipe.labels) and not labels_from_data, multi_label, None
        if not own:
            labels = [label for label in label_names(rows) if label != none_label]
            if not labels:
                raise ZeroShotError("Z064", path=str(path))
            if mode is None:
                mode = any(len(row.labels) != 1 for row in rows)
        label_set, rows = pipe.label_set(labels, list(templates) or None, mode), spread(rows, limit)
        plain = [[label in row.labels for label in label_set.labels] for row in rows]
        gold = gold_array(rows, nlp, pipe, none_label, path) if own else np.array(plain)
        scores = np.array(list(track(scores_of(nlp, pipe, rows, label_set), len(rows), name))).reshape(gold.shape)
        for group, rule in zip(label_set.groups, pipe.rules(label_set)):
            right, names = gold[:, group.columns], list(label_set.labels[group.columns])
            if gold.any() and not right.any() and len(label_set.groups) > 1:
                # nobody has answered this question
                continue
            has_none = none_label is not None and not right.any(axis=1).all()
            if threshold is not None:
                rule = default_rule(group.exclusive, threshold, {}, pipe.top_k)
            elif has_none and not own and group.exclusive and not rule.threshold:
                rule = Rule(DEFAULT_THRESHOLD, rule.label_thresholds, rule.top_k)
            if (several := int((right.sum(axis=1) > 1).sum())) and group.exclusive and multi_label is None:
                warn("Z123", path=str(path), count=several)
            # NaN, of a blank text, reaches no threshold
            chosen = decide_rows(scores[:, group.columns], names, rule)
            if has_none:
                right, chosen, names = with_none(right), with_none(chosen), [*names, str(none_label)]
            shown = f"{name}: {group.name}" if group.name else name
            add(shown, SINGLE if group.exclusive else MULTI, right, chosen, names)

    # files may hold the same texts with other labels
    with remembered_texts(pipe):
        for path in map(Path, paths):
            (add_nli if is_nli(path) else add_labelled)(path, Path(path.name.removesuffix(".gz")).stem)
    return outcomes


def figures(gold: np.ndarray, chosen: np.ndarray) -> Figures:
    """How well decisions meet gold labels: two bool arrays of shape (rows, labels)."""
    hits = (gold & chosen).sum(axis=0)
    # 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall
    sizes = gold.sum(axis=0) + chosen.sum(axis=0)
    f1 = 2.0 * hits / np.maximum(sizes, 1)
    macro_f1 = float(f1[sizes > 0].mean()) if sizes.any() else 0.0
    accuracy = float((gold == chosen).all(axis=1).mean()) if len(gold) else 0.0
    return Figures(macro_f1, float(2.0 * hits.sum() / max(sizes.sum(), 1)), accuracy, f1)


def with_none(decisions: np.ndarray) -> np.ndarray:
    """Decisions, bool, with one more column: True where no label is chosen."""
    return np.concatenate([decisions, ~decisions.any(axis=1, keepdims=True)], axis=1)


def entailed(
    pipe: ZeroShotTextCategorizer, pairs: Sequence[NLIPair], batch_size: int = BATCH
) -> Iterator[tuple[int, bool]]:
    """Every pair's number, and whether entailment is the strongest class, neutral included."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        groups[pair.premise].append(number)
    windows = WindowConfig(pipe.long_text, pipe.window_overlap)
    for batch in minibatch(groups.items(), batch_size):
        # no template: a pair's hypothesis is a sentence already
        asked = [tuple(dict.fromkeys(pairs[i].hypothesis for i in numbers)) for _, numbers in batch]
        output = pipe.model.predict(NLIInput([premise for premise, _ in batch], asked, windows))
        margins = output.logits[:, ENTAILMENT] - np.delete(output.logits, ENTAILMENT, axis=1).max(axis=1)
        stops = np.cumsum(output.n_windows * output.n_hypotheses)
        for (_, numbers), hypotheses, values in zip(batch, asked, np.split(margins, stops)):
            pooled = pool_windows(values.reshape(-1, len(hypotheses)), np.array([0]), pipe.pooling)[0]
            for i in numbers:
                yield i, bool(pooled[hypotheses.index(pairs[i].hypothesis)] > 0)


def spread(rows: Sequence[Any], limit: int | None) -> list[Any]:
    """At most `limit` rows, evenly spread: files are often sorted by label."""
    count = min(limit or len(rows), len(rows))
    return [rows[i * len(rows) // count] for i in range(count)]


def scores_of(
    nlp: Language, pipe: ZeroShotTextCategorizer, rows: Sequence[LabelledText], label_set: LabelSet
) -> Iterator[Floats1d]:
    """Each text's scores, of shape (labels,), as the component gives them; NaN for a blank one."""
    for batch in minibatch(docs_before(nlp, pipe.name, [row.text for row in rows]), BATCH):
        for found in pipe.predict([doc for doc, _ in batch], label_set):
            yield found.scores if len(found.windows) else np.full(len(label_set.labels), np.nan)
