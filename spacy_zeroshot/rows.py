"""Rows of JSON-lines files, plain or gzipped, with errors that name file and line."""

import gzip
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

from .errors import ZeroShotError

TEXT_FORM = '{"text": "...", "labels": ["..."]}'
NLI_FORM = '{"premise": "...", "hypothesis": "...", "label": "entailment"}'
ENTAILMENT = "entailment"
NLI_LABELS = (ENTAILMENT, "neutral", "contradiction", "not_entailment")


class LabelledText(NamedTuple):
    """A row of labelled text.

    text (str): The text.
    labels (List[str]): Its right labels; may be empty.
    """

    text: str
    labels: List[str]


class NLIPair(NamedTuple):
    """A row of natural language inference.

    premise (str): What is known.
    hypothesis (str): What may follow.
    entailed (bool): Whether it follows.
    """

    premise: str
    hypothesis: str
    entailed: bool


def read_labelled_texts(path: Path) -> Iterator[LabelledText]:
    """Read {"text", "labels": [...]} rows.

    path (Path): A .jsonl or .jsonl.gz file.
    YIELDS (LabelledText): The rows.
    RAISES (ZeroShotError): Z042 for another row, Z043 for an empty file.
    """
    for number, row in read_rows(path):
        labels = row.get("labels")
        if not isinstance(row.get("text"), str) or not isinstance(labels, list):
            raise bad_row(path, number, 'it needs "text", a string, and "labels", a list', TEXT_FORM)
        if not all(isinstance(label, str) and label.strip() for label in labels):
            raise bad_row(path, number, f"its labels {labels} are not all strings that can be seen", TEXT_FORM)
        yield LabelledText(row["text"], labels)


def read_nli(path: Path, skip_sources: Sequence[str] = ()) -> Iterator[NLIPair]:
    """Read {"premise", "hypothesis", "label"} rows.

    path (Path): A .jsonl or .jsonl.gz file.
    skip_sources (Sequence[str]): Rows whose "source" starts so are left out.
    YIELDS (NLIPair): The rows.
    RAISES (ZeroShotError): Z042 for another row, Z043 for an empty file.
    """
    for number, row in read_rows(path):
        if not all(isinstance(row.get(key), str) for key in ("premise", "hypothesis", "label")):
            raise bad_row(path, number, 'it needs "premise", "hypothesis" and "label", strings', NLI_FORM)
        if row["label"] not in NLI_LABELS:
            raise bad_row(path, number, f"its label {row['label']!r} is none of {', '.join(NLI_LABELS)}", NLI_FORM)
        if skip_sources and str(row.get("source", "")).startswith(tuple(skip_sources)):
            continue
        yield NLIPair(row["premise"], row["hypothesis"], row["label"] == ENTAILMENT)


def is_nli(path: Path) -> bool:
    """Whether a file holds NLI rows, by its first row.

    path (Path): A .jsonl or .jsonl.gz file.
    RETURNS (bool): True for {"premise", ...} rows.
    RAISES (ZeroShotError): Z042, Z043.
    """
    return "premise" in next(read_rows(path))[1]


def read_rows(path: Path) -> Iterator["tuple[int, Dict[str, Any]]"]:
    """Read JSON objects.

    path (Path): A .jsonl or .jsonl.gz file.
    YIELDS (Tuple[int, Dict[str, Any]]): Numbers of lines, and what they hold.
    RAISES (ZeroShotError): Z042 for another line, Z043 for an empty file, Z060 for one that cannot be read.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    empty = True
    try:
        with opener(path, "rt", encoding="utf8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                empty = False
                row = _parse(line)
                if row is None:
                    raise bad_row(path, number, "it is not a JSON object", f"{TEXT_FORM} or {NLI_FORM}")
                yield number, row
    except (OSError, EOFError, UnicodeDecodeError) as reason:
        raise ZeroShotError("Z060", what="file", value=str(path), reason=str(reason)) from reason
    if empty:
        raise ZeroShotError("Z043", path=str(path))


def _parse(line: str) -> Optional[Dict[str, Any]]:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def bad_row(path: Path, number: int, reason: str, form: str) -> ZeroShotError:
    """RETURNS (ZeroShotError): Z042, to be raised. path, number: Where. reason, form (str): What is wrong and right."""
    return ZeroShotError("Z042", line=number, path=str(path), reason=reason, form=form)
