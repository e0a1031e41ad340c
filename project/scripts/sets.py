"""The data sets, and how labelled texts are drawn from them."""

from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from spacy_zeroshot.rows import LabelledText, read_labelled_texts


class Set(NamedTuple):
    """A data set, its texts with one label each.

    name (str): Its name.
    train (str): The file that labelled and unlabelled texts are drawn from.
    test (str): The file that is measured on.
    labels (Tuple[str, ...]): The labels.
    template (str): The hypothesis template.
    wordings (Tuple[str, ...]): One hypothesis for each label, in place of the template; or none.
    """

    name: str
    train: str
    test: str
    labels: Tuple[str, ...]
    template: str = "This text is about {}."
    wordings: Tuple[str, ...] = ()

    @property
    def hypotheses(self) -> List[Dict[str, str]]:
        """RETURNS (List[Dict[str, str]]): The component's setting."""
        return [{"label": label, "text": text} for label, text in zip(self.labels, self.wordings)]


SETS = (
    Set(
        "github_issues",
        "clf/study/github_issues.train.jsonl.gz",
        "clf/study/github_issues.test.jsonl.gz",
        ("bug", "feature", "question"),
        wordings=("This text reports a bug.", "This text requests a feature.", "This text asks a question."),
    ),
    Set(
        "ag_news",
        "clf/study/ag_news.train_subset.jsonl.gz",
        "clf/eval/ag_news.jsonl.gz",
        ("World", "Sports", "Business", "Sci/Tech"),
        template="This example is {}.",
    ),
)


class Texts(NamedTuple):
    """A set's texts.

    train (List[LabelledText]): What is drawn from.
    test (List[LabelledText]): What is measured on.
    """

    train: List[LabelledText]
    test: List[LabelledText]


def read_set(chosen: Set, data: Path, most_train: int, most_test: int, characters: int) -> Texts:
    """Read a set, evenly thinned out.

    chosen (Set): The set.
    data (Path): The folder with clf/.
    most_train (int): Texts to draw from at most.
    most_test (int): Texts to measure on at most.
    characters (int): Texts are cut to this length.
    RETURNS (Texts): The texts.
    """
    return Texts(
        thin(_read(data / chosen.train, chosen.labels, characters), most_train),
        thin(_read(data / chosen.test, chosen.labels, characters), most_test),
    )


def thin(rows: Sequence[LabelledText], most: int) -> List[LabelledText]:
    """RETURNS (List[LabelledText]): At most so many rows, of every label as many as can be, the same every time."""
    if len(rows) <= most:
        return list(rows)
    return [rows[i] for i in sorted(order(rows, 0)[:most])]


def order(rows: Sequence[LabelledText], seed: int) -> List[int]:
    """Shuffle texts so that any beginning holds every label as often as can be.

    rows (Sequence[LabelledText]): Texts with one label each.
    seed (int): Of the order. Of one seed, the first 8 texts are among the first 16.
    RETURNS (List[int]): Their places.
    """
    by_label: Dict[str, List[int]] = {}
    for i in np.random.default_rng(seed).permutation(len(rows)):
        by_label.setdefault(rows[i].labels[0], []).append(int(i))
    turns = sorted((turn, label, i) for label, places in by_label.items() for turn, i in enumerate(places))
    return [i for _, _, i in turns]


def gold(rows: Sequence[LabelledText], labels: Sequence[str]) -> np.ndarray:
    """RETURNS (np.ndarray): Shape (rows, labels), bool: the right labels."""
    return np.array([[label in row.labels for label in labels] for row in rows])


def _read(path: Path, labels: Sequence[str], characters: int) -> List[LabelledText]:
    rows = [row._replace(text=row.text[:characters]) for row in read_labelled_texts(path)]
    return [row for row in rows if len(row.labels) == 1 and row.labels[0] in labels and row.text.strip()]
