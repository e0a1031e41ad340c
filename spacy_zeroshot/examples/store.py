"""A component's examples: read at first use, embedded once, and saved with the pipeline."""

import hashlib
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from thinc.types import Floats2d

from ..errors import ZeroShotError, warn
from ..labels import plain
from .neighbours import Neighbours
from .reading import ExamplesSetting, LabelledExample, check_examples, read_examples
from .voting import carried_labels, mix, vote

# Texts in, rows of length one out
Embed = Callable[[Sequence[str]], Floats2d]
# Sets of labels that are remembered: documents may bring their own
MOST_SETS = 64
VECTORS, DIGEST = "vectors", "digest"


class Electorate(NamedTuple):
    """The examples that vote on a set of labels.

    neighbours (Neighbours): The examples.
    carried (np.ndarray): Shape (examples, labels), bool: the labels of each.
    known (np.ndarray): Shape (labels,), bool: the labels that any of them has.
    """

    neighbours: Neighbours
    carried: np.ndarray
    known: np.ndarray


class ExampleStore:
    """Labelled examples and how their votes are mixed with zero-shot scores. Nothing is read or embedded before use.

    setting (ExamplesSetting): [{"label": ..., "text": ...}], or the path of a .jsonl, .jsonl.gz or .spacy file.
    n_neighbors (int): How many neighbours vote.
    weight (float): Share of their votes in the score.
    component (str): The component's name, for errors.
    key_prefix (str): Of the keys of doc.cats, in a .spacy file.
    RAISES (ZeroShotError): Z003 or Z006 for wrong examples, Z007 for an impossible number.
    """

    def __init__(self, setting: ExamplesSetting, n_neighbors: int, weight: float, component: str, key_prefix: str = ""):
        self.component = component
        self.n_neighbors = check_n_neighbors(n_neighbors, component)
        self.weight = check_weight(weight, component)
        self._key_prefix = key_prefix
        self._setting: Any = setting if isinstance(setting, str) else [dict(entry) for entry in setting]
        self._rows = None if isinstance(setting, str) else check_examples(setting, component)
        self._vectors: Optional[Floats2d] = None
        self._electorates: Dict[Tuple[Tuple[str, ...], bool], Electorate] = {}
        self._told_unknown = False
        self._lock = threading.RLock()

    def __bool__(self) -> bool:
        """Whether there are any, or a file of them. RETURNS (bool): False for a component without examples."""
        return bool(self._rows) if self._rows is not None else bool(self._setting)

    @property
    def rows(self) -> Tuple[LabelledExample, ...]:
        """RETURNS (Tuple[LabelledExample, ...]): The examples; a file is read on the first call."""
        if self._rows is None:
            with self._lock:
                if self._rows is None:
                    path = Path(self._setting)
                    self._rows = read_examples(path, self._key_prefix, self.component) if self._setting else ()
        return self._rows

    @property
    def labels(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The examples' labels, in the order they appear."""
        return tuple(dict.fromkeys(label for row in self.rows for label in row.labels))

    @property
    def listed_labels(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The same of examples that are known without reading a file, else none."""
        return () if self._rows is None else self.labels

    def vote(
        self,
        queries: Sequence[str],
        labels: Sequence[str],
        compete: bool,
        embed: Embed,
        counts: Optional[Sequence[int]] = None,
        leave_out: bool = False,
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Let the examples vote on texts.

        Where labels compete, examples that have none of them do not vote. Else they do: they speak against all.

        queries (Sequence[str]): The texts.
        labels (Sequence[str]): The labels.
        compete (bool): Whether they compete.
        embed (Embed): Gives embeddings, of length one.
        counts (Optional[Sequence[int]]): Numbers of neighbours; None for the setting.
        leave_out (bool): Whether a text that is an example itself is no neighbour of its own.
        RETURNS (Tuple[np.ndarray, np.ndarray]): Shape (counts, texts, labels): shares between 0 and 1; and shape
            (labels,), bool: the labels that have examples.
        RAISES (ZeroShotError): Z042, Z043, Z060 or Z220 for a file that cannot be used, Z085 without scikit-learn.
        """
        wanted = [self.n_neighbors] if counts is None else list(counts)
        found = self._electorate(tuple(labels), compete, embed)
        if not found.known.any() or not queries:
            return np.zeros((len(wanted), len(queries), len(labels))), found.known
        without = queries if leave_out else None
        similarities, numbers = found.neighbours.nearest(embed(queries), max(wanted), without)
        return vote(similarities, numbers, found.carried, wanted), found.known

    def mix(
        self, values: np.ndarray, queries: Sequence[str], labels: Sequence[str], compete: bool, embed: Embed
    ) -> np.ndarray:
        """Mix texts' zero-shot scores with the examples' votes.

        values (np.ndarray): Shape (texts, labels): zero-shot scores.
        queries (Sequence[str]): The texts.
        labels (Sequence[str]): The labels.
        compete (bool): Whether they compete.
        embed (Embed): Gives embeddings, of length one.
        RETURNS (np.ndarray): Shape (texts, labels): scores between 0 and 1.
        RAISES (ZeroShotError): As vote.
        """
        votes, known = self.vote(queries, labels, compete, embed)
        return mix(values, votes[0], known, self.weight, compete)

    def warn_of_unknown(self, labels: Sequence[str]) -> None:
        """Warn, once, of examples whose labels the component does not have. labels (Sequence[str]): Those it has."""
        unknown = [label for label in self.labels if label not in labels]
        if unknown and not self._told_unknown:
            self._told_unknown = True
            warn("Z122", self.component, labels=unknown, known=list(labels))

    def forget(self) -> None:
        """Drop embeddings, because the encoder has changed."""
        with self._lock:
            self._vectors = None
            self._electorates = {}

    # Serialisation

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What restore takes: the examples, and the config's setting they came from."""
        return {"configured": self._setting, "rows": [[row.text, list(row.labels)] for row in self.rows]}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take saved examples, unless this component was now given others: the user's overrides win.

        saved (Mapping[str, Any]): What to_dict gave.
        """
        if self._setting and plain(saved["configured"]) != plain(self._setting):
            return
        self._setting = saved["configured"]
        self._rows = tuple(LabelledExample(text, tuple(labels)) for text, labels in saved["rows"])
        self.forget()

    def dump_vectors(self, weights: str) -> bytes:
        """RETURNS (bytes): The embeddings as safetensors, empty if nothing was embedded yet. weights (str): Whose."""
        from safetensors.numpy import save

        if self._vectors is None:
            return b""
        return save({VECTORS: self._vectors, DIGEST: self._digest(weights)})

    def take_vectors(self, data: bytes, weights: str, same_model: bool = True) -> None:
        """Take saved embeddings, if they are of these examples and of these weights; else they are computed anew.

        data (bytes): What dump_vectors gave.
        weights (str): What tells the encoder's weights from others.
        same_model (bool): False if the user has named another model than the saved one.
        RAISES (ZeroShotError): Z051 for damaged ones.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        if not data or not same_model or not self:
            return
        try:
            found = load(data)
        except SafetensorError as reason:
            raise ZeroShotError("Z051", self.component, path="the examples' embeddings", reason=str(reason)) from reason
        if np.array_equal(found.get(DIGEST, ()), self._digest(weights)):
            self._vectors = found[VECTORS]

    def save_vectors(self, path: Path, weights: str) -> None:
        """Write a file of embeddings, or remove it if there are none. path (Path): The file. weights (str): Whose."""
        data = self.dump_vectors(weights)
        path.unlink(missing_ok=True)
        if data:
            path.write_bytes(data)

    def load_vectors(self, path: Path, weights: str, same_model: bool) -> None:
        """Read what save_vectors wrote. path (Path): The file, if it is there. weights, same_model: as take_vectors."""
        if path.is_file():
            self.take_vectors(path.read_bytes(), weights, same_model)

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_electorates": {}}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()

    # Inside

    def _electorate(self, labels: Tuple[str, ...], compete: bool, embed: Embed) -> Electorate:
        key = (labels, compete)
        found = self._electorates.get(key)
        if found is None:
            with self._lock:
                found = self._electorates.get(key) or self._gather(labels, compete, embed)
                # replaced in one step, so that other threads see either the old or the new
                kept = self._electorates if len(self._electorates) < MOST_SETS else {}
                self._electorates = {**kept, key: found}
        return found

    def _gather(self, labels: Tuple[str, ...], compete: bool, embed: Embed) -> Electorate:
        texts = [row.text for row in self.rows]
        if self._vectors is None:
            self._vectors = np.ascontiguousarray(embed(texts), dtype="float32")
        carried = carried_labels([row.labels for row in self.rows], labels)
        voting = np.flatnonzero(carried.any(axis=1)) if compete and carried.any() else np.arange(len(texts))
        neighbours = Neighbours(self._vectors[voting], [texts[i] for i in voting], self.component)
        return Electorate(neighbours, carried[voting], np.asarray(carried.any(axis=0)))

    def _digest(self, weights: str) -> np.ndarray:
        """SHA-256 of the texts and the weights. RETURNS (np.ndarray): Shape (32,), uint8."""
        digest = hashlib.sha256(weights.encode("utf8"))
        for row in self.rows:
            digest.update(b"\0" + row.text.encode("utf8", "surrogatepass"))
        return np.frombuffer(digest.digest(), dtype="uint8")


def check_n_neighbors(count: int, component: str) -> int:
    """Check how many neighbours vote. RETURNS (int): The count. RAISES (ZeroShotError): Z007 below 1."""
    if count < 1:
        raise ZeroShotError("Z007", component, setting="n_neighbors", value=count, reason="it must be at least 1")
    return count


def check_weight(weight: float, component: str) -> float:
    """Check the share of the votes. RETURNS (float): The share. RAISES (ZeroShotError): Z007 outside of 0 to 1."""
    if not 0.0 <= weight <= 1.0:
        reason = "it must lie in [0, 1]"
        raise ZeroShotError("Z007", component, setting="examples_weight", value=weight, reason=reason)
    return weight
