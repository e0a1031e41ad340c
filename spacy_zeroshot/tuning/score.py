"""Labelled texts and their label logits: the only part of tuning, calibration and checks that runs the model.

Other labels, templates or modes are passed to the component, never set on it: scoring is safe beside another thread.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch

from ..component import ZeroShotTextCategorizer
from ..errors import ZeroShotError, named
from ..labels import LabelSet, writers_of_keys
from ..premises import premises_of
from ..readers import LabelledText, read_labelled
from ..util import Track, no_progress

BATCH = 128
# Of the encoder's states that are kept between label sets: enough for a batch of 500 wordpieces each
TEXT_BYTES = 1 << 28


class Scored(NamedTuple):
    """Texts that were scored with several label sets."""

    rows: np.ndarray  # (scored,), int: the places of the texts that are not blank, among all texts
    texts: list[str]  # what is read of each of them
    logits: list[np.ndarray]  # (scored, labels) each, one for every label set: pooled and not calibrated


def score_texts(
    nlp: Language,
    pipe: ZeroShotTextCategorizer,
    texts: Sequence[str],
    label_sets: Sequence[LabelSet],
    track: Track = no_progress,
    description: str = "texts",
) -> Scored:
    """Run what comes before the component, and score the texts that are not blank with every label set.
    RAISES (ZeroShotError): Z203 for scores that are not finite, and what the model says of a text."""
    read: dict[int, str] = {}
    logits = [np.full((len(texts), len(label_set.labels)), np.nan) for label_set in label_sets]

    def rows() -> Iterator[tuple[int, int, np.ndarray]]:
        for batch in minibatch(docs_before(nlp, pipe.name, texts), BATCH):
            read.update((n, " ".join(premise.text for premise in premises_of(d, pipe.get_spans))) for d, n in batch)
            for column, label_set in enumerate(label_sets):
                for (_, number), values in zip(batch, pipe.label_logits([doc for doc, _ in batch], label_set)):
                    yield number, column, values

    with remembered_texts(pipe):
        for number, column, values in track(rows(), len(texts) * len(label_sets), description):
            logits[column][number] = values
    kept = np.flatnonzero(~np.isnan(np.hstack(logits)).all(axis=1))
    logits = [found[kept] for found in logits]
    if bad := int((~np.isfinite(np.hstack(logits)).all(axis=1)).sum()):
        raise ZeroShotError("Z203", count=bad, total=len(kept), name=description)
    return Scored(kept, [read[number] for number in kept.tolist()], logits)


@contextmanager
def remembered_texts(pipe: ZeroShotTextCategorizer) -> Iterator[None]:
    """Keep the encoder's states of recent texts for a while: other labels and templates then cost no pass over them.
    Without effect on models that read text and hypothesis together, and on those that remember texts already."""
    cache = getattr(predictor_of(pipe).scorer, "recent_texts", None)
    if cache is None or cache.limit > 0:
        yield
        return
    cache.limit = TEXT_BYTES
    try:
        yield
    finally:
        cache.limit = 0
        cache.clear()


def predictor_of(pipe: ZeroShotTextCategorizer) -> Any:
    """A component's Predictor; loads it. RAISES (ZeroShotError): If it cannot be loaded."""
    with named(pipe.name):
        return pipe.model.shims[0].runtime  # type: ignore[attr-defined]


def docs_before(nlp: Language, name: str, texts: Sequence[str]) -> Iterator[tuple[Doc, int]]:
    """Docs as they reach a component, each with the number of its text."""
    numbered = ((text, number) for number, text in enumerate(texts))
    later = nlp.pipe_names[nlp.pipe_names.index(name) :]
    return nlp.pipe(numbered, as_tuples=True, batch_size=BATCH, disable=later)


def read_gold(path: Path, text_field: str = "text", label_field: str = "labels") -> list[LabelledText]:
    """A labelled file's rows without those of which only rejected labels are known: they say too little."""
    return [row for row in read_labelled(path, text_field, label_field) if row.labels or not row.rejected]


def gold_array(
    rows: Sequence[LabelledText],
    nlp: Language,
    pipe: ZeroShotTextCategorizer,
    none_label: str | None,
    path: Path | None = None,
) -> np.ndarray:
    """The right labels of texts, shape (rows, labels), bool. They may be written with the component's key_prefix or
    without; those of other components are left out. A none_label is a gold label that means "no label fits".
    RAISES (ZeroShotError): Z201 for labels that the pipeline does not have, with a path Z207; Z204 for a none_label
    that it has."""
    labels, prefix = pipe.label_set().labels, pipe.key_prefix
    if none_label in labels:
        raise ZeroShotError("Z204", label=none_label)
    columns = {prefix + label: i for i, label in enumerate(labels)}
    known = {none_label, f"{prefix}{none_label}", *columns, *labels, *(written := writers_of_keys(nlp))}
    others = written if any(label in columns for row in rows for label in row.labels) else ()
    columns |= {label: i for i, label in enumerate(labels) if prefix and label not in others}
    if unknown := list(dict.fromkeys(label for row in rows for label in row.labels if label not in known)):
        raise ZeroShotError("Z201" if path is None else "Z207", labels=unknown, known=list(labels), path=str(path))
    gold = np.zeros((len(rows), len(labels)), dtype=bool)
    for row, right in zip(rows, gold):
        right[[columns[label] for label in row.labels if label in columns]] = True
    return gold
