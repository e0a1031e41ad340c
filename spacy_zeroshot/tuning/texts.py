"""The files that tuning and calibration learn from."""

from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np
from spacy.tokens import DocBin
from spacy.vocab import Vocab

from ..corpora.inputs import open_input
from ..corpora.records import BadRow, parse
from ..errors import ZeroShotError
from ..rows import LabelledText, read_labelled_texts


def read_labelled(path: Path, key_prefix: str, command: str) -> List[LabelledText]:
    """Read a development set.

    path (Path): {"text", "labels"} rows in a .jsonl or .jsonl.gz file, or a .spacy file whose docs have gold cats.
    key_prefix (str): Of the keys of doc.cats.
    command (str): The command's name, for errors.
    RETURNS (List[LabelledText]): The rows, blank texts included.
    RAISES (ZeroShotError): Z042, Z043, Z060 for a file that cannot be read; Z200 if it holds no text.
    """
    if not path.is_file():
        raise ZeroShotError("Z060", command, what="file", value=str(path), reason="there is no such file")
    rows = list(_from_docs(path, key_prefix, command) if path.suffix == ".spacy" else read_labelled_texts(path))
    if not any(row.text.strip() for row in rows):
        raise ZeroShotError("Z200", command, reason=f"{path} has none")
    return rows


def read_unlabelled(path: Path, command: str, text_field: str = "text") -> List[str]:
    """Read texts and nothing else of them.

    path (Path): A .txt, .jsonl, .csv, .parquet or .spacy file, plain or with .gz.
    command (str): The command's name, for errors.
    text_field (str): The field with the text.
    RETURNS (List[str]): The texts.
    RAISES (ZeroShotError): Z060, Z080, Z084, Z085, Z088 for a file that cannot be read; Z200 if it holds no text.
    """
    if not path.is_file():
        raise ZeroShotError("Z060", command, what="file", value=str(path), reason="there is no such file")
    if path.suffix == ".spacy":
        texts = [row.text for row in _from_docs(path, "", command)]
    else:
        texts = list(_from_rows(path, text_field))
    if not any(text.strip() for text in texts):
        raise ZeroShotError("Z200", command, reason=f"{path} has none")
    return texts


def gold_array(
    rows: Sequence[LabelledText], labels: Sequence[str], none_label: Optional[str], command: str
) -> np.ndarray:
    """The right labels of rows.

    rows (Sequence[LabelledText]): The rows.
    labels (Sequence[str]): The pipeline's labels.
    none_label (Optional[str]): A gold label that means "no label fits".
    command (str): The command's name, for errors.
    RETURNS (np.ndarray): Shape (rows, labels), bool; a row of False where no label fits.
    RAISES (ZeroShotError): Z201 for gold labels the pipeline does not have, Z204 for a none_label it has.
    """
    if none_label in labels:
        raise ZeroShotError("Z204", command, label=none_label)
    place = {label: i for i, label in enumerate(labels)}
    unknown = list(dict.fromkeys(label for row in rows for label in row.labels if label not in place))
    unknown = [label for label in unknown if label != none_label]
    if unknown:
        raise ZeroShotError("Z201", command, labels=unknown, known=list(labels))
    gold = np.zeros((len(rows), len(labels)), dtype=bool)
    for i, row in enumerate(rows):
        gold[i, [place[label] for label in row.labels if label != none_label]] = True
    return gold


def label_names(rows: Sequence[LabelledText], none_label: Optional[str]) -> Tuple[str, ...]:
    """The labels of rows, in the order they appear.

    rows (Sequence[LabelledText]): The rows.
    none_label (Optional[str]): A gold label that means "no label fits"; left out.
    RETURNS (Tuple[str, ...]): The labels.
    """
    found = dict.fromkeys(label for row in rows for label in row.labels)
    return tuple(label for label in found if label != none_label)


def _from_rows(path: Path, text_field: str) -> Iterator[str]:
    corpus = open_input(path)
    for row in corpus.rows():
        try:
            yield parse(row, corpus.kind, text_field).text
        except BadRow as reason:
            form = f'{{"{text_field}": "..."}}'
            raise ZeroShotError("Z042", line=row.number, path=str(path), reason=str(reason), form=form) from reason


def _from_docs(path: Path, key_prefix: str, command: str) -> Iterator[LabelledText]:
    try:
        docs = DocBin().from_disk(path)
    except (ValueError, OSError, KeyError) as reason:
        raise ZeroShotError(
            "Z060", command, what="file", value=str(path), reason=f"it is no DocBin ({reason})"
        ) from reason
    for doc in docs.get_docs(Vocab()):
        cats = {key[len(key_prefix) :]: value for key, value in doc.cats.items() if key.startswith(key_prefix)}
        yield LabelledText(doc.text, [label for label, value in cats.items() if value > 0.5])
