"""Labelled examples as a config gives them: a list, or the path of a file."""

from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple, Union

from spacy.tokens import DocBin
from spacy.vocab import Vocab

from ..errors import ZeroShotError
from ..hypotheses import check_labels, is_text
from ..premises import is_blank
from ..rows import bad_row, read_rows

ExamplesSetting = Union[str, Sequence[Mapping[str, str]]]

ENTRY_FORM = '{"label": "...", "text": "..."}'
ROW_FORM = '{"text": "...", "labels": ["..."]}, or {"label": "...", "text": "..."}'


class LabelledExample(NamedTuple):
    """An example.

    text (str): The text.
    labels (Tuple[str, ...]): Its right labels, at least one.
    """

    text: str
    labels: Tuple[str, ...]


def check_examples(entries: Sequence[Mapping[str, str]], component: str) -> Tuple[LabelledExample, ...]:
    """Read the config's own examples. A text that is given with several labels is one example that has them all.

    entries (Sequence[Mapping[str, str]]): [{"label": ..., "text": ...}].
    component (str): The component's name, for errors.
    RETURNS (Tuple[LabelledExample, ...]): The examples.
    RAISES (ZeroShotError): Z006 for an entry of another form or a blank text, Z003 for a blank label.
    """
    pairs = []
    for entry in entries:
        if not isinstance(entry, Mapping) or set(entry) != {"label", "text"} or not is_text(entry["text"]):
            raise ZeroShotError("Z006", component, setting="examples", entry=entry, form=ENTRY_FORM)
        pairs.append((entry["text"], [entry["label"]]))
    return _merge(pairs, component)


def read_examples(path: Path, key_prefix: str, component: str) -> Tuple[LabelledExample, ...]:
    """Read a file of examples. Rows without a label, or with a blank text, say nothing and are left out.

    path (Path): A .jsonl or .jsonl.gz file, or a .spacy file whose docs have gold cats.
    key_prefix (str): Of the keys of doc.cats.
    component (str): The component's name, for errors.
    RETURNS (Tuple[LabelledExample, ...]): The examples.
    RAISES (ZeroShotError): Z042 for a row of another form, Z043 for an empty file, Z060 for one that cannot be read,
        Z220 if none has a text and a label.
    """
    if not path.is_file():
        raise ZeroShotError("Z060", component, what="examples", value=str(path), reason="there is no such file")
    rows = _from_docs(path, key_prefix, component) if path.suffix == ".spacy" else _from_lines(path)
    found = _merge([(text, labels) for text, labels in rows if labels and not is_blank(text)], component)
    if not found:
        raise ZeroShotError("Z220", component, path=str(path))
    return found


def _merge(pairs: Sequence[Tuple[str, Sequence[str]]], component: str) -> Tuple[LabelledExample, ...]:
    by_text: Dict[str, Dict[str, None]] = {}
    for text, labels in pairs:
        by_text.setdefault(text, {}).update(dict.fromkeys(check_labels(list(dict.fromkeys(labels)), component)))
    return tuple(LabelledExample(text, tuple(labels)) for text, labels in by_text.items())


def _from_lines(path: Path) -> Iterator[Tuple[str, List[str]]]:
    for number, row in read_rows(path):
        labels: Any = row.get("labels", [row["label"]] if isinstance(row.get("label"), str) else None)
        if not isinstance(row.get("text"), str) or not isinstance(labels, list):
            raise bad_row(path, number, "it needs a text, and a label or labels", ROW_FORM)
        if not all(isinstance(label, str) and label.strip() for label in labels):
            raise bad_row(path, number, f"its labels {labels} are not all strings that can be seen", ROW_FORM)
        yield row["text"], labels


def _from_docs(path: Path, key_prefix: str, component: str) -> Iterator[Tuple[str, List[str]]]:
    try:
        docs = list(DocBin().from_disk(path).get_docs(Vocab()))
    except (ValueError, OSError, KeyError) as reason:
        raise ZeroShotError(
            "Z060", component, what="examples", value=str(path), reason=f"it is no DocBin ({reason})"
        ) from reason
    for doc in docs:
        cats = {key[len(key_prefix) :]: value for key, value in doc.cats.items() if key.startswith(key_prefix)}
        yield doc.text, [label for label, value in cats.items() if value > 0.5]
