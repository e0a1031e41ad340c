"""Teacher and student side by side: accuracy, macro-F1, agreement, speed and size."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, List, NamedTuple, Optional, Sequence

import numpy as np

from ..corpora.choices import Choice, choices_of, choose_labels
from ..metrics import figures

if TYPE_CHECKING:
    from spacy.language import Language

MEBIBYTE = 1 << 20
# Texts that are timed; more would only make the teacher's figure slower to get
TIMED = 1000


class Scores(NamedTuple):
    """A pipeline on a set of texts.

    accuracy (Optional[float]): Share of texts with exactly the right labels; None without gold labels.
    macro_f1 (Optional[float]): Mean F1 of the labels.
    speed (float): Documents per second on one core.
    size (float): Mebibytes on disk.
    """

    accuracy: Optional[float]
    macro_f1: Optional[float]
    speed: float
    size: float


class Comparison(NamedTuple):
    """What distillation came to.

    texts (int): How many texts were compared.
    teacher (Scores): The teacher.
    student (Scores): The student.
    agreement (float): Share of texts on which both decide the same.
    """

    texts: int
    teacher: Scores
    student: Scores
    agreement: float

    @property
    def speedup(self) -> float:
        """RETURNS (float): The student's documents per second over the teacher's."""
        return self.student.speed / max(self.teacher.speed, 1e-9)


def compare(
    teacher: "Language",
    student: "Language",
    texts: Sequence[str],
    gold: Optional[Sequence[Sequence[str]]],
    sizes: "tuple[float, float]",
) -> Comparison:
    """Compare two pipelines on the same texts, each on one core.

    teacher (Language): The teacher.
    student (Language): The student.
    texts (Sequence[str]): The texts.
    gold (Optional[Sequence[Sequence[str]]]): Their right labels, if they are known.
    sizes (tuple[float, float]): Mebibytes of teacher and student.
    RETURNS (Comparison): The figures.
    """
    labels = list(dict.fromkeys(label for choice in choices_of(teacher)[:1] for label in choice.labels))
    right = None if gold is None else _matrix([[label for label in row if label in labels] for row in gold], labels)
    theirs, their_speed = _decide(teacher, texts, labels)
    its, its_speed = _decide(student, texts, labels)
    return Comparison(
        len(texts),
        _scores(right, theirs, their_speed, sizes[0]),
        _scores(right, its, its_speed, sizes[1]),
        float((theirs == its).all(axis=1).mean()),
    )


def folder_size(folder: Path) -> float:
    """RETURNS (float): Mebibytes of a folder's files. folder (Path): The folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / MEBIBYTE


def _decide(nlp: "Language", texts: Sequence[str], labels: List[str]) -> "tuple[np.ndarray, float]":
    """Decisions of shape (texts, labels), and documents per second."""
    import torch

    choices = choices_of(nlp)[:1]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        # the first text loads weights and compiles kernels
        list(nlp.pipe(texts[:32]))
        start = time.perf_counter()
        decided = [_chosen(doc.cats, choices) for doc in nlp.pipe(texts[:TIMED])]
        seconds = time.perf_counter() - start
        decided += [_chosen(doc.cats, choices) for doc in nlp.pipe(texts[TIMED:])]
    finally:
        torch.set_num_threads(threads)
    return _matrix(decided, labels), min(len(texts), TIMED) / max(seconds, 1e-9)


def _chosen(cats: "dict[str, float]", choices: List[Choice]) -> List[str]:
    """Chosen labels without the prefix that a teacher may put before them."""
    found = set(choose_labels(cats, choices))
    return [label for prefix, labels, _, _ in choices for label in labels if prefix + label in found]


def _matrix(rows: Sequence[Sequence[str]], labels: List[str]) -> np.ndarray:
    places = {label: i for i, label in enumerate(labels)}
    matrix = np.zeros((len(rows), len(labels)), dtype=bool)
    for row, chosen in zip(matrix, rows):
        row[[places[label] for label in chosen]] = True
    return matrix


def _scores(gold: Optional[np.ndarray], chosen: np.ndarray, speed: float, size: float) -> Scores:
    if gold is None:
        return Scores(None, None, speed, size)
    found = figures(gold, chosen)
    return Scores(found.accuracy, found.macro_f1, speed, size)
