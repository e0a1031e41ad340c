"""Labelled examples whose nearest neighbours vote beside the model (the setting `examples`)."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from thinc.types import Floats2d

from .errors import ZeroShotError
from .labels import LabelSet, check_entry, check_labels, is_text
from .readers import LabelledText, read_labelled

ExamplesSetting = str | Sequence[Mapping[str, str]]
# Texts in, rows of length one out
Embed = Callable[[Sequence[str]], Floats2d]
# A neighbour whose cosine is a tenth less has about a third of the weight
SHARPNESS = 0.1
# Threads that come at the same time embed examples once
_lock = threading.RLock()


class ExampleStore:
    """Labelled examples. Nothing is read or embedded before use; embeddings are remembered for the present weights.
    key_prefix: Of the keys of doc.cats, in a .spacy file."""

    def __init__(self, setting: ExamplesSetting = (), key_prefix: str = ""):
        self.setting = setting
        self.key_prefix = key_prefix
        self._rows = None if isinstance(setting, str) and setting else check_examples(setting or ())
        self._vectors: tuple[str, Floats2d] | None = None

    def __bool__(self) -> bool:
        """Whether there are any, or a file of them."""
        return bool(self._rows) if self._rows is not None else bool(self.setting)

    @property
    def rows(self) -> tuple[LabelledText, ...]:
        """The examples; a file is read on the first call."""
        if self._rows is None:
            self._rows = read_examples(Path(str(self.setting)), self.key_prefix)
        return self._rows

    @property
    def labels(self) -> tuple[str, ...]:
        """The examples' labels, in the order they appear."""
        return tuple(dict.fromkeys(label for row in self.rows for label in row.labels))

    def vote(
        self, texts: Sequence[str], label_set: LabelSet, embed: Embed, weights: str, count: int, leave_out: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Let the `count` nearest examples vote on each text: shares of shape (texts, labels), and which labels have
        examples. weights: What tells the present weights of `embed` from others. leave_out: Whether a text that is an
        example itself is no neighbour of its own."""
        carried = self._carried(label_set.labels)
        known = np.asarray(carried.any(axis=0))
        shares = np.zeros((len(texts), len(known)))
        if not known.any() or not len(texts):
            return shares, known
        similarities = embed(texts) @ self._embedded(embed, weights).T
        if leave_out:
            own = np.array([row.text for row in self.rows], dtype=object)
            similarities[own == np.array(texts, dtype=object)[:, None]] = -np.inf
        for group in label_set.groups:
            own = carried[:, group.columns]
            # an example with none of the labels speaks against all; where labels compete, it does not vote
            voters = own.any(axis=1) | (not group.exclusive)
            shares[:, group.columns] = vote(np.where(voters, similarities, -np.inf), own, count)
        return shares, known

    def to_list(self) -> list[Any]:
        """The examples as JSON: [text, labels] each."""
        return [[row.text, list(row.labels)] for row in self.rows]

    def take_rows(self, rows: Sequence[Any]) -> None:
        """Take the examples that to_list gave, in place of reading the file."""
        self._rows = tuple(LabelledText(text, tuple(labels)) for text, labels in rows)
        self.forget()

    def forget(self) -> None:
        """Drop the embeddings; the next vote makes them anew."""
        self._vectors = None

    def _embedded(self, embed: Embed, weights: str) -> Floats2d:
        with _lock:
            if self._vectors is None or self._vectors[0] != weights:
                self._vectors = weights, np.ascontiguousarray(embed([row.text for row in self.rows]), dtype="float32")
            return self._vectors[1]

    def _carried(self, labels: Sequence[str]) -> np.ndarray:
        """Which of these labels each example has: shape (examples, labels), bool."""
        column = {label: i for i, label in enumerate(labels)}
        carried = np.zeros((len(self.rows), len(labels)), dtype=bool)
        for row, has in zip(self.rows, carried):
            has[[column[label] for label in row.labels if label in column]] = True
        return carried


def vote(similarities: Floats2d, carried: np.ndarray, count: int) -> Floats2d:
    """Each label's share of the weights of a text's nearest examples, exp(cosine / 0.1) as in matching networks
    (Vinyals et al., 2016); 0 if none votes. similarities: Shape (texts, examples), -inf for an example that does not
    vote. carried: Shape (examples, labels), bool: the labels of every example."""
    nearest = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
    cosines = np.take_along_axis(similarities, nearest, axis=1)
    # the nearest has a weight of 1, unless none votes
    weights = np.exp((cosines - np.maximum(cosines[:, :1], -1.0)) / SHARPNESS)
    totals = weights.sum(axis=1, keepdims=True)
    shares = (weights[:, :, None] * carried[nearest]).sum(axis=1)
    return shares / np.where(totals > 0.0, totals, 1.0)


def mix(scores: Floats2d, votes: Floats2d, known: np.ndarray, weight: float, label_set: LabelSet) -> Floats2d:
    """Mix zero-shot scores with votes, both of shape (texts, labels); known: which labels any example has.
    A label without any example keeps its zero-shot score. Where labels compete, those with examples keep, all together,
    what zero-shot gives them, and the votes divide it anew: scores that sum to 1 still do."""
    mass = np.ones_like(scores)
    for group in label_set.groups:
        if group.exclusive:
            own = group.columns
            mass[:, own] = (scores[:, own] * known[own]).sum(axis=1, keepdims=True)
    return np.where(known, (1.0 - weight) * scores + weight * mass * votes, scores)


def check_examples(entries: Any) -> tuple[LabelledText, ...]:
    """Read the config's own examples. A text that is given with several labels is one example that has them all."""
    if not isinstance(entries, (list, tuple)):
        raise ZeroShotError("Z007", setting="examples", value=entries, reason="it is a list, or the path of a file")
    for entry in entries:
        check_entry("examples", entry)
        check_labels([entry["label"]])
    return _merge((entry["text"], (entry["label"],)) for entry in entries)


def read_examples(path: Path, key_prefix: str = "") -> tuple[LabelledText, ...]:
    """Read a labelled file of examples. A row whose list of labels is empty says that nothing fits; one whose label
    was rejected by an annotator says too little, and is left out."""
    if not path.is_file():
        raise ZeroShotError("Z060", what="examples", value=str(path), reason="there is no such file")
    rows = [row for row in read_labelled(path) if is_text(row.text) and (row.labels or not row.rejected)]
    if not any(row.labels for row in rows):
        raise ZeroShotError("Z220", path=str(path))
    return _merge((row.text, tuple(label.removeprefix(key_prefix) for label in row.labels)) for row in rows)


def _merge(pairs: Iterable[tuple[str, tuple[str, ...]]]) -> tuple[LabelledText, ...]:
    merged: dict[str, dict[str, None]] = {}
    for text, labels in pairs:
        merged.setdefault(text, {}).update(dict.fromkeys(labels))
    return tuple(LabelledText(text, tuple(labels)) for text, labels in merged.items())
