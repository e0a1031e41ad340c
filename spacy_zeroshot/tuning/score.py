"""Labelled texts and their label logits: the only part of tuning, calibration and evaluation that runs the model.

Other labels, templates or modes are passed to the component, never set on it: scoring is safe beside another thread.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch

from ..component import ZeroShotTextCategorizer
from ..errors import ZeroShotError, named, warn
from ..labels import LabelGroup, LabelSet
from ..premises import premises_of
from ..readers import LabelledText, label_names, read_labelled
from ..util import Track, no_progress

BATCH = 128


class Scored(NamedTuple):
    """Texts that were scored with several label sets.

    rows (np.ndarray): Shape (scored,), int: the places of the texts that have something to score, among all texts.
    texts (list[str]): What is read of each of them.
    logits (list[np.ndarray]): Shape (scored, labels) each, one for every label set: pooled and not calibrated.
    """

    rows: np.ndarray
    texts: list[str]
    logits: list[np.ndarray]


def score_texts(
    nlp: Language,
    pipe: ZeroShotTextCategorizer,
    texts: Sequence[str],
    label_sets: Sequence[LabelSet],
    *,
    batch_size: int = BATCH,
    track: Track = no_progress,
    description: str = "texts",
) -> Scored:
    """Run what comes before the component, and score the texts with every label set in one pass.

    nlp (Language): The pipeline.
    pipe (ZeroShotTextCategorizer): A component of it.
    texts (Sequence[str]): The texts. Blank ones are left out.
    label_sets (Sequence[LabelSet]): What to score them with.
    batch_size (int): Texts that are scored together.
    track (Track): Shows progress.
    description (str): What the texts are, for the progress.
    RETURNS (Scored): The texts and their logits.
    """
    # Where a text's windows do not depend on the hypotheses, it is read once for all label sets. Any other model reads
    # it again for each, and cuts it by the longest hypothesis of a set.
    fits = predictor_of(pipe).scorer.max_premise_tokens
    asked = [join(label_sets)] if fits(0) == fits(8) else list(label_sets)

    def passes() -> Iterator[tuple[int, Doc, list[np.ndarray]]]:
        for batch in minibatch(docs_before(nlp, pipe.name, texts, batch_size), batch_size):
            found = [pipe.label_logits([doc for doc, _ in batch], label_set) for label_set in asked]
            for row, (doc, number) in enumerate(batch):
                yield number, doc, [values[row] for values in found]

    everything = list(track(passes(), len(texts), description))
    kept = [entry for entry in everything if not np.isnan(entry[2][0]).all()]
    widths = np.cumsum([0, *(len(label_set.labels) for label_set in label_sets)])
    whole = np.array([np.concatenate(values) for _, _, values in kept]).reshape(len(kept), int(widths[-1]))
    logits = [whole[:, start:stop] for start, stop in zip(widths, widths[1:])]
    read = [" ".join(premise.text for premise in premises_of(doc, pipe.get_spans)) for _, doc, _ in kept]
    return Scored(np.array([number for number, _, _ in kept], dtype=int), read, logits)


def predictor_of(pipe: ZeroShotTextCategorizer) -> Any:
    """RETURNS (Predictor): A component's loaded model; loads it. RAISES (ZeroShotError): If it cannot be loaded."""
    with named(pipe.name):
        return pipe.model.shims[0].runtime  # type: ignore[attr-defined]


def docs_before(nlp: Language, name: str, texts: Sequence[str], batch_size: int) -> Iterator[tuple[Doc, int]]:
    """RETURNS (Iterator[tuple[Doc, int]]): Docs as they reach a component, each with the number of its text."""
    later = nlp.pipe_names[nlp.pipe_names.index(name) :] if name in nlp.pipe_names else nlp.pipe_names
    numbered = ((text, number) for number, text in enumerate(texts))
    return nlp.pipe(numbered, as_tuples=True, batch_size=batch_size, disable=later)


def join(label_sets: Sequence[LabelSet]) -> LabelSet:
    """RETURNS (LabelSet): Several label sets side by side, whose labels need not differ."""
    groups, start = [], 0
    for label_set in label_sets:
        groups += [LabelGroup(g.name, start + g.start, start + g.stop, g.exclusive) for g in label_set.groups]
        start += len(label_set.labels)
    return LabelSet(
        tuple(label for one in label_sets for label in one.labels),
        tuple(text for one in label_sets for text in one.hypotheses),
        tuple(count for one in label_sets for count in one.counts),
        tuple(groups),
    )


def part_of(label_set: LabelSet, group: LabelGroup) -> LabelSet:
    """RETURNS (LabelSet): One group of a label set, as a label set of its own."""
    first, last = sum(label_set.counts[: group.start]), sum(label_set.counts[: group.stop])
    columns = slice(group.start, group.stop)
    alone = LabelGroup(group.name, 0, group.stop - group.start, group.exclusive)
    return LabelSet(label_set.labels[columns], label_set.hypotheses[first:last], label_set.counts[columns], (alone,))


def read_gold(path: Path, text_field: str = "text", label_field: str = "labels") -> list[LabelledText]:
    """Read labelled texts. A row whose only label was rejected by an annotator says too little, and is left out.

    path (Path): Any file that the package reads.
    text_field, label_field (str): The fields with the text and its labels.
    RETURNS (list[LabelledText]): The rows, blank texts included.
    RAISES (ZeroShotError): What reading raises.
    """
    return [row for row in read_labelled(path, text_field, label_field) if row.labels or not row.rejected]


def gold_array(
    rows: Sequence[LabelledText], nlp: Language, pipe: ZeroShotTextCategorizer, none_label: str | None
) -> np.ndarray:
    """The right labels of texts, written with or without the component's key_prefix.

    rows (Sequence[LabelledText]): The texts. Labels of other components of the pipeline are left out.
    nlp (Language): The pipeline.
    pipe (ZeroShotTextCategorizer): The component.
    none_label (str | None): A gold label that means "no label fits".
    RETURNS (np.ndarray): Shape (rows, labels), bool; a row of False where no label fits.
    RAISES (ZeroShotError): Z201 for gold labels that the pipeline does not have, Z204 for a none_label that it has.
    """
    labels = pipe.label_set().labels
    if none_label in labels:
        raise ZeroShotError("Z204", label=none_label)
    prefix = pipe.key_prefix
    columns = {prefix + label: i for i, label in enumerate(labels)}
    columns.update({label: i for i, label in enumerate(labels)})
    ignored = {none_label, f"{prefix}{none_label}", *other_keys(nlp, pipe)}
    gold = np.zeros((len(rows), len(labels)), dtype=bool)
    unknown: dict[str, None] = {}
    for row, right in zip(rows, gold):
        for label in row.labels:
            if label in columns:
                right[columns[label]] = True
            elif label not in ignored:
                unknown[label] = None
    if unknown:
        raise ZeroShotError("Z201", labels=list(unknown), known=list(labels))
    return gold


def other_keys(nlp: Language, pipe: ZeroShotTextCategorizer) -> set[str]:
    """RETURNS (set[str]): Keys of doc.cats that other components of the pipeline write."""
    return {
        getattr(other, "key_prefix", "") + label
        for name, other in nlp.components
        if other is not pipe and "doc.cats" in nlp.get_pipe_meta(name).assigns
        for label in getattr(other, "labels", ())
    }


def warn_of_blanks(scored: Scored, total: int) -> None:
    """Warn with Z120 of blank texts that were left out."""
    if len(scored.rows) < total:
        warn("Z120", count=total - len(scored.rows), total=total)


def check_finite(logits: np.ndarray, name: str) -> None:
    """Check logits of shape (texts, labels). RAISES (ZeroShotError): Z203, with how many texts have other numbers."""
    bad = ~np.isfinite(logits).all(axis=1)
    if bad.any():
        raise ZeroShotError("Z203", count=int(bad.sum()), total=len(bad), name=name)
