"""Labelled examples whose nearest neighbours vote beside the model (the setting `examples`)."""

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from thinc.types import Floats2d, Ints2d

from .errors import ZeroShotError, warn
from .labels import LabelSet, check_labels, is_text
from .readers import LabelledText, read_labelled

ExamplesSetting = str | Sequence[Mapping[str, str]]
# Texts in, rows of length one out
Embed = Callable[[Sequence[str]], Floats2d]
ENTRY_FORM = '{"label": "...", "text": "..."}'
# A neighbour whose cosine is a tenth less has about a third of the weight
SHARPNESS = 0.1
# Sets of labels that are remembered: documents may bring their own
MOST_SETS = 64
VECTORS, DIGEST = "vectors", "digest"


class Voters(NamedTuple):
    """The examples that vote on a set of labels.

    vectors (Floats2d): Shape (examples, width): embeddings of length one.
    texts (np.ndarray): Shape (examples,): their texts, all different.
    carried (np.ndarray): Shape (examples, labels), bool: the labels of each.
    known (np.ndarray): Shape (labels,), bool: the labels that any of them has.
    """

    vectors: Floats2d
    texts: np.ndarray
    carried: np.ndarray
    known: np.ndarray


class ExampleStore:
    """Labelled examples. Nothing is read or embedded before use; embeddings are remembered for the present weights.

    setting (ExamplesSetting): [{"label": ..., "text": ...}], or the path of any labelled file.
    key_prefix (str): Of the keys of doc.cats, in a .spacy file.
    RAISES (ZeroShotError): Z003 or Z006 for wrong examples.
    """

    def __init__(self, setting: ExamplesSetting = (), key_prefix: str = ""):
        self.setting = setting
        self._key_prefix = key_prefix
        self._rows = None if isinstance(setting, str) and setting else check_examples(setting or ())
        self._vectors: tuple[str, Floats2d] | None = None
        self._voters: dict[Any, Voters] = {}
        self._warned = False
        self._lock = threading.RLock()

    def __bool__(self) -> bool:
        """Whether there are any, or a file of them."""
        return bool(self._rows) if self._rows is not None else bool(self.setting)

    @property
    def rows(self) -> tuple[LabelledText, ...]:
        """RETURNS (tuple[LabelledText, ...]): The examples; a file is read on the first call."""
        if self._rows is None:
            with self._lock:
                if self._rows is None:
                    self._rows = read_examples(Path(str(self.setting)), self._key_prefix)
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

        queries (Sequence[str]): The texts.
        label_set (LabelSet): The labels.
        embed (Embed): Gives embeddings, of length one.
        weights (str): What tells the encoder's present weights from others.
        counts (Sequence[int]): Numbers of neighbours.
        leave_out (bool): Whether a text that is an example itself is no neighbour of its own.
        RETURNS (tuple[np.ndarray, np.ndarray]): Shape (counts, texts, labels): shares between 0 and 1; and shape
            (labels,), bool: the labels that have examples.
        RAISES (ZeroShotError): What reading the file raises.
        """
        shares = np.zeros((len(counts), len(queries), len(label_set.labels)))
        known = np.zeros(len(label_set.labels), dtype=bool)
        without = np.array(queries, dtype=object) if leave_out else None
        embedded: Floats2d | None = None
        for group in label_set.groups:
            columns = slice(group.start, group.stop)
            found = self._electorate(label_set.labels[columns], group.exclusive, embed, weights)
            known[columns] = found.known
            if found.known.any() and len(queries):
                embedded = embed(queries) if embedded is None else embedded
                similarities, numbers = nearest(found.vectors, found.texts, embedded, max(counts), without)
                shares[:, :, columns] = vote(similarities, numbers, found.carried, counts)
        return shares, known

    def warn_of_unknown(self, labels: Sequence[str]) -> None:
        """Warn, once, of examples whose labels the component does not have. labels (Sequence[str]): Those it has."""
        unknown = [label for label in self.labels if label not in labels]
        if unknown and not self._warned:
            self._warned = True
            warn("Z122", labels=unknown, known=list(labels))

    def forget(self) -> None:
        """Drop embeddings: they are computed anew at the next use."""
        with self._lock:
            self._vectors = None
            self._voters = {}

    # Serialisation

    def to_list(self) -> list[Any]:
        """RETURNS (list[Any]): The examples as JSON: [text, labels] each."""
        return [[row.text, list(row.labels)] for row in self.rows]

    def take_rows(self, rows: Sequence[Any]) -> None:
        """Take the examples that to_list gave, in place of reading the file."""
        self._rows = tuple(LabelledText(text, tuple(labels)) for text, labels in rows)
        self.forget()

    def dump_vectors(self, weights: str) -> bytes:
        """RETURNS (bytes): The embeddings as safetensors, empty if none are known for these weights."""
        from safetensors.numpy import save

        if self._vectors is None or self._vectors[0] != weights:
            return b""
        return save({VECTORS: self._vectors[1], DIGEST: self._digest(weights)})

    def take_vectors(self, data: bytes, weights: str) -> None:
        """Take what dump_vectors gave, if it is of these examples and weights; else it is computed anew.

        RAISES (ZeroShotError): Z051 for damaged ones.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        if not data or not self:
            return
        try:
            found = load(data)
        except SafetensorError as reason:
            raise ZeroShotError("Z051", path="the examples' embeddings", reason=str(reason)) from reason
        if np.array_equal(found.get(DIGEST, ()), self._digest(weights)):
            self._vectors = weights, found[VECTORS]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_voters": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    # Inside

    def _electorate(self, labels: tuple[str, ...], exclusive: bool, embed: Embed, weights: str) -> Voters:
        key = (labels, exclusive, weights)
        found = self._voters.get(key)
        if found is None:
            with self._lock:
                found = self._voters.get(key) or self._gather(labels, exclusive, embed, weights)
                # replaced in one step, so that other threads see either the old or the new
                kept = {k: v for k, v in self._voters.items() if k[2] == weights}
                self._voters = {**(kept if len(kept) < MOST_SETS else {}), key: found}
        return found

    def _gather(self, labels: tuple[str, ...], exclusive: bool, embed: Embed, weights: str) -> Voters:
        texts = [row.text for row in self.rows]
        if self._vectors is None or self._vectors[0] != weights:
            self._vectors = weights, np.ascontiguousarray(embed(texts), dtype="float32")
        place = {label: i for i, label in enumerate(labels)}
        carried = np.zeros((len(texts), len(labels)), dtype=bool)
        for number, row in enumerate(self.rows):
            carried[number, [place[label] for label in row.labels if label in place]] = True
        voting = np.flatnonzero(carried.any(axis=1)) if exclusive and carried.any() else np.arange(len(texts))
        known = np.asarray(carried.any(axis=0))
        return Voters(self._vectors[1][voting], np.array(texts, dtype=object)[voting], carried[voting], known)

    def _digest(self, weights: str) -> np.ndarray:
        """SHA-256 of the texts and the weights. RETURNS (np.ndarray): Shape (32,), uint8."""
        digest = hashlib.sha256(weights.encode("utf8"))
        for row in self.rows:
            digest.update(b"\0" + row.text.encode("utf8", "surrogatepass"))
        return np.frombuffer(digest.digest(), dtype="uint8")


def nearest(
    vectors: Floats2d, texts: np.ndarray, queries: Floats2d, count: int, without: np.ndarray | None = None
) -> tuple[Floats2d, Ints2d]:
    """Find each query's neighbours by one product of matrices: exact, and below the cost of the queries' embedding up
    to some hundred thousand examples.

    vectors (Floats2d): Shape (examples, width), rows of length one.
    texts (np.ndarray): Shape (examples,): their texts, all different.
    queries (Floats2d): Shape (queries, width), rows of length one.
    count (int): How many neighbours; fewer if there are fewer examples.
    without (np.ndarray | None): Shape (queries,): a text that is not to be the query's neighbour: itself.
    RETURNS (tuple[Floats2d, Ints2d]): Shape (queries, count) each: cosines, the nearest first (the earlier of equal
        ones), and the examples' numbers. NaN where one was left out and there is no other.
    """
    similarities = np.asarray(queries, dtype="float32") @ vectors.T
    if without is not None:
        similarities[texts[None, :] == without[:, None]] = -np.inf
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
    found = np.take_along_axis(similarities, order, axis=1)
    found[np.isinf(found)] = np.nan
    return found, order


def vote(similarities: Floats2d, neighbours: Ints2d, carried: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Let neighbours vote: each label's share of their weights, exp(cosine / 0.1) as in matching networks (Vinyals et
    al., 2016). So a near one counts for more than many far ones.

    similarities (Floats2d): Shape (texts, most): cosines of each text's neighbours, the nearest first. NaN where a
        text has no further neighbour.
    neighbours (Ints2d): Shape (texts, most): their numbers.
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

    scores (np.ndarray): Shape (..., labels): zero-shot scores.
    votes (np.ndarray): Shape (..., labels): the neighbours' votes.
    known (np.ndarray): Shape (labels,), bool: the labels that any example has.
    weight (float): Share of the votes: 0 for zero-shot only, 1 for neighbours only.
    exclusive (bool): Whether labels compete.
    RETURNS (np.ndarray): Shape (..., labels): scores between 0 and 1.
    """
    mass = (scores * known).sum(axis=-1, keepdims=True) if exclusive else 1.0
    return np.where(known, (1.0 - weight) * scores + weight * mass * votes, scores)


def mix_groups(
    scores: np.ndarray, votes: np.ndarray, known: np.ndarray, weight: float, label_set: LabelSet
) -> np.ndarray:
    """RETURNS (np.ndarray): Scores mixed with votes, group by group of a label set. See `mix`."""
    mixed = np.empty_like(scores)
    for group in label_set.groups:
        columns = slice(group.start, group.stop)
        own = scores[:, columns], votes[:, columns], known[columns]
        mixed[:, columns] = mix(*own, weight, group.exclusive)
    return mixed


def check_examples(entries: Sequence[Mapping[str, str]] | str) -> tuple[LabelledText, ...]:
    """Read the config's own examples. A text that is given with several labels is one example that has them all.

    entries (Sequence[Mapping[str, str]]): [{"label": ..., "text": ...}].
    RETURNS (tuple[LabelledText, ...]): The examples.
    RAISES (ZeroShotError): Z006 for an entry of another form or a blank text, Z003 for a blank label.
    """
    pairs = []
    for entry in entries:
        if not isinstance(entry, Mapping) or set(entry) != {"label", "text"} or not is_text(entry["text"]):
            raise ZeroShotError("Z006", setting="examples", entry=entry, form=ENTRY_FORM)
        check_labels([entry["label"]])
        pairs.append((entry["text"], (entry["label"],)))
    return _merge(pairs)


def read_examples(path: Path, key_prefix: str = "") -> tuple[LabelledText, ...]:
    """Read a file of examples. A row whose list of labels is empty says that nothing fits; one whose label was
    rejected by an annotator says too little, and is left out.

    path (Path): A labelled file.
    key_prefix (str): Taken off the labels that have it.
    RETURNS (tuple[LabelledText, ...]): The examples.
    RAISES (ZeroShotError): Z220 if none has a label, and what reading raises.
    """
    if not path.is_file():
        raise ZeroShotError("Z060", what="examples", value=str(path), reason="there is no such file")
    rows = [row for row in read_labelled(path) if is_text(row.text) and (row.labels or not row.rejected)]
    pairs = [(row.text, tuple(label.removeprefix(key_prefix) for label in row.labels)) for row in rows]
    if not any(labels for _, labels in pairs):
        raise ZeroShotError("Z220", path=str(path))
    return _merge(pairs)


def _merge(pairs: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[LabelledText, ...]:
    merged: dict[str, dict[str, None]] = {}
    for text, labels in pairs:
        merged.setdefault(text, {}).update(dict.fromkeys(labels))
    return tuple(LabelledText(text, tuple(labels)) for text, labels in merged.items())
