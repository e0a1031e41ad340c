"""Labelled examples whose nearest neighbours vote beside the model (the setting `examples`)."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from thinc.types import Floats2d, Ints2d

from .errors import ZeroShotError, warn
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

    setting (ExamplesSetting): [{"label": ..., "text": ...}], or the path of any labelled file.
    key_prefix (str): Of the keys of doc.cats, in a .spacy file.
    RAISES (ZeroShotError): Z003, Z006 or Z007 for wrong examples.
    """

    def __init__(self, setting: ExamplesSetting = (), key_prefix: str = ""):
        self.setting = setting
        self.key_prefix = key_prefix
        self._rows = None if isinstance(setting, str) and setting else check_examples(setting or ())
        self._carried: np.ndarray | None = None
        self._vectors: tuple[str, Floats2d] | None = None
        self._warned = False

    def __bool__(self) -> bool:
        """Whether there are any, or a file of them."""
        return bool(self._rows) if self._rows is not None else bool(self.setting)

    @property
    def rows(self) -> tuple[LabelledText, ...]:
        """RETURNS (tuple[LabelledText, ...]): The examples; a file is read on the first call."""
        if self._rows is None:
            self._rows = read_examples(Path(str(self.setting)), self.key_prefix)
        return self._rows

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The examples' labels, in the order they appear."""
        return tuple(dict.fromkeys(label for row in self.rows for label in row.labels))

    @property
    def listed_labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The same of examples that are known without reading a file, else none."""
        return () if self._rows is None else self.labels

    def vote(
        self,
        queries: Sequence[str],
        label_set: LabelSet,
        embed: Embed,
        weights: str,
        counts: Sequence[int] = (8,),
        leave_out: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Let the examples vote on texts.

        Where labels compete, examples that have none of them do not vote. Else they do: they speak against all.

        embed, weights: Gives embeddings of length one; and what tells its present weights from others.
        counts (Sequence[int]): Numbers of neighbours.
        leave_out (bool): Whether a text that is an example itself is no neighbour of its own.
        RETURNS (tuple[np.ndarray, np.ndarray]): Shape (counts, texts, labels): shares between 0 and 1; and shape
            (labels,), bool: the labels that have examples.
        """
        shares = np.zeros((len(counts), len(queries), len(label_set.labels)))
        carried = self._carried_of(label_set.labels)
        known = np.asarray(carried.any(axis=0))
        if not known.any() or not len(queries):
            return shares, known
        similarities = embed(queries) @ self._embedded(embed, weights).T
        if leave_out:
            texts = np.array([row.text for row in self.rows], dtype=object)
            similarities[texts == np.array(queries, dtype=object)[:, None]] = -np.inf
        for group in label_set.groups:
            columns = slice(group.start, group.stop)
            if known[columns].any():
                votes = carried[:, columns].any(axis=1) | (not group.exclusive)
                near = nearest(np.where(votes, similarities, -np.inf), max(counts))
                shares[:, :, columns] = vote(*near, carried[:, columns], counts)
        return shares, known

    def warn_of_unknown(self, labels: Sequence[str]) -> None:
        """Warn, once, of examples whose labels are none of the component's."""
        unknown = [label for label in self.labels if label not in labels]
        if unknown and not self._warned:
            self._warned = True
            warn("Z122", labels=unknown, known=list(labels))

    def forget(self) -> None:
        """Drop embeddings: they are computed anew at the next use."""
        self._vectors = None

    # Serialisation

    def to_list(self) -> list[Any]:
        """RETURNS (list[Any]): The examples as JSON: [text, labels] each."""
        return [[row.text, list(row.labels)] for row in self.rows]

    def take_rows(self, rows: Sequence[Any]) -> None:
        """Take the examples that to_list gave, in place of reading the file."""
        self._rows = tuple(LabelledText(text, tuple(labels)) for text, labels in rows)
        self._carried = self._vectors = None

    def dump_vectors(self, weights: str) -> bytes:
        """RETURNS (bytes): The embeddings as safetensors, empty if none are known for these weights."""
        from safetensors.numpy import save

        if self._vectors is None or self._vectors[0] != weights:
            return b""
        return save({self._digest(weights): self._vectors[1]})

    def take_vectors(self, data: bytes, weights: str) -> None:
        """Take what dump_vectors gave, if it is of these examples and weights; else it is computed anew.

        RAISES (ZeroShotError): Z051 for damaged ones.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        if not data or not self:
            return
        try:
            vectors = load(data).get(self._digest(weights))
        except SafetensorError as reason:
            raise ZeroShotError("Z051", path="the examples' embeddings", reason=str(reason)) from reason
        if vectors is not None:
            self._vectors = weights, vectors

    # Inside

    def _embedded(self, embed: Embed, weights: str) -> Floats2d:
        with _lock:
            if self._vectors is None or self._vectors[0] != weights:
                self._vectors = weights, np.ascontiguousarray(embed([row.text for row in self.rows]), dtype="float32")
            return self._vectors[1]

    def _carried_of(self, labels: Sequence[str]) -> np.ndarray:
        """Which of these labels each example has. RETURNS (np.ndarray): Shape (examples, labels), bool."""
        column = {label: i for i, label in enumerate(self.labels)}
        if self._carried is None:
            # the last column is that of labels without examples
            carried = np.zeros((len(self.rows), len(column) + 1), dtype=bool)
            for row, has in zip(self.rows, carried):
                has[[column[label] for label in row.labels]] = True
            self._carried = carried
        return self._carried[:, [column.get(label, -1) for label in labels]]

    def _digest(self, weights: str) -> str:
        """What tells the embeddings of these texts by these weights from others."""
        digest = hashlib.sha256(weights.encode("utf8"))
        for row in self.rows:
            digest.update(b"\0" + row.text.encode("utf8", "surrogatepass"))
        return digest.hexdigest()


def nearest(similarities: Floats2d, count: int) -> tuple[Floats2d, Ints2d]:
    """Find each text's neighbours among cosines of shape (texts, examples), -inf for an example that is none.

    RETURNS (tuple[Floats2d, Ints2d]): Shape (texts, count) each: cosines, the nearest first (the earlier of equal
        ones), and the examples' numbers. NaN where there is no further neighbour.
    """
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
    found = np.take_along_axis(similarities, order, axis=1)
    return np.where(np.isinf(found), np.nan, found), order


def vote(similarities: Floats2d, neighbours: Ints2d, carried: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Let neighbours vote: each label's share of their weights, exp(cosine / 0.1) as in matching networks (Vinyals et
    al., 2016). So a near one counts for more than many far ones.

    similarities, neighbours: What `nearest` gave.
    carried (np.ndarray): Shape (examples, labels), bool: the labels of every example.
    counts (Sequence[int]): How many neighbours are asked; several numbers give several votes.
    RETURNS (np.ndarray): Shape (counts, texts, labels): shares between 0 and 1. Where an example has one label they
        sum to 1. A text without neighbours has none.
    """
    there = ~np.isnan(similarities)
    # the nearest comes first, with a weight of 1
    distances = np.nan_to_num((similarities[:, :1] - similarities) / SHARPNESS)
    weights = np.where(there, np.exp(-distances), 0.0)
    # summed up from the nearest on, so that every count is one row of it
    totals = np.cumsum(weights, axis=1)[:, :, None]
    shares = np.cumsum(weights[:, :, None] * carried[neighbours], axis=1) / np.where(totals > 0.0, totals, 1.0)
    places = np.minimum(np.asarray(counts), similarities.shape[1]) - 1
    return shares[:, places].transpose(1, 0, 2)


def mix(scores: np.ndarray, votes: np.ndarray, known: np.ndarray, weight: float, exclusive: bool) -> np.ndarray:
    """Mix zero-shot scores with votes.

    Of a label without any example the neighbours know nothing, so it keeps its zero-shot score. Where labels compete,
    the labels with examples keep, all together, what zero-shot gives them: the votes divide it anew. So scores that
    sum to 1 still do, and with examples for every label this is (1 - weight) * zero-shot + weight * vote.

    scores, votes (np.ndarray): Shape (..., labels): zero-shot scores, and the neighbours' votes.
    known (np.ndarray): Shape (labels,), bool: the labels that any example has.
    """
    mass = (scores * known).sum(axis=-1, keepdims=True) if exclusive else 1.0
    return np.where(known, (1.0 - weight) * scores + weight * mass * votes, scores)


def mix_groups(
    scores: np.ndarray, votes: np.ndarray, known: np.ndarray, weight: float, label_set: LabelSet
) -> np.ndarray:
    """RETURNS (np.ndarray): Scores mixed with votes, group by group of a label set. See `mix`."""
    parts = [(slice(group.start, group.stop), group.exclusive) for group in label_set.groups]
    mixed = [mix(scores[:, own], votes[:, own], known[own], weight, exclusive) for own, exclusive in parts]
    return np.concatenate(mixed, axis=1)


def check_examples(entries: Any) -> tuple[LabelledText, ...]:
    """Read the config's own examples. A text that is given with several labels is one example that has them all.

    RAISES (ZeroShotError): Z007 for no list, Z006 for an entry of another form or a blank text, Z003 for a blank label.
    """
    if not isinstance(entries, (list, tuple)):
        raise ZeroShotError("Z007", setting="examples", value=entries, reason="it is a list, or the path of a file")
    for entry in entries:
        check_entry("examples", entry)
        check_labels([entry["label"]])
    return _merge((entry["text"], (entry["label"],)) for entry in entries)


def read_examples(path: Path, key_prefix: str = "") -> tuple[LabelledText, ...]:
    """Read a labelled file of examples. A row whose list of labels is empty says that nothing fits; one whose label
    was rejected by an annotator says too little, and is left out.

    RAISES (ZeroShotError): Z060 for a missing file, Z220 if no row has a label, and what reading raises.
    """
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
