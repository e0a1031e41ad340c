"""The one reader of texts, labelled texts and NLI pairs, from files of every format; and the registered readers."""

import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.training import Example
from spacy.util import minibatch

from .corpus import BadRow, DataFile, RawRow, parse_row, text_of
from .errors import ZeroShotError

TEXT_FIELD, LABEL_FIELD = "text", "labels"
TEXT_FORM = '{"text": "...", "labels": ["..."]}'
NLI_FORM = '{"premise": "...", "hypothesis": "...", "label": "entailment"}'
ENTAILMENT = "entailment"
NLI_LABELS = (ENTAILMENT, "neutral", "contradiction", "not_entailment")
# Prodigy's answers
ACCEPT, REJECT, IGNORE = "accept", "reject", "ignore"

Reader = Callable[[Language], Iterable[Example]]


class Row(NamedTuple):
    """A row of text."""

    number: int  # its line (text formats) or its place, from 1
    text: str
    fields: dict[str, Any]  # all by name, the text among them
    labels: tuple[str, ...] | None = None  # None if the row has no field for them
    answer: str = ACCEPT  # an annotator's, as Prodigy writes it


class LabelledText(NamedTuple):
    """A text and what is known of its labels."""

    text: str
    labels: tuple[str, ...]  # the right ones; empty if none fits
    rejected: tuple[str, ...] = ()  # by an annotator: with these alone nothing is known of other labels


class NLIPair(NamedTuple):
    """A pair of natural language inference: what is known, what may follow, and whether it follows."""

    premise: str
    hypothesis: str
    entailed: bool


def read_rows(path: Path | str, text_field: str = TEXT_FIELD, label_field: str | None = LABEL_FIELD) -> Iterator[Row]:
    """Read texts row by row, blank ones included. read_labelled documents the files. label_field: None for no labels.
    RAISES (ZeroShotError): Z042 for a row that cannot be used, Z088 if there is no such text_field, and as DataFile."""
    file = DataFile(Path(path))
    for i, raw in enumerate(file.rows()):
        fields = _flat(_parse(raw, file, TEXT_FORM))
        if i == 0:
            text_field = file.text_field(text_field, list(fields))
        try:
            text = text_of(fields, text_field)
            labels = None if label_field is None else _labels_of(fields, label_field, file.form)
        except BadRow as reason:
            raise _bad_row(path, raw.number, str(reason), TEXT_FORM) from reason
        answer = fields.get("answer")
        yield Row(raw.number, text, fields, labels, answer if answer in (REJECT, IGNORE) else ACCEPT)


def read_texts(path: Path | str, text_field: str = TEXT_FIELD) -> list[str]:
    """Texts as read_rows reads them, blank ones included. RAISES (ZeroShotError): Z200 if all are blank."""
    return _with_some_text(path, [row.text for row in read_rows(path, text_field, None)])


def read_labelled(path: Path | str, text_field: str = TEXT_FIELD, label_field: str = LABEL_FIELD) -> list[LabelledText]:
    """Read labelled texts. All answers of annotators on a text are one row; those that ignore it, or reject it without
    a label, are left out.

    path (Path | str): A .txt, .jsonl, .json, .csv, .tsv, .parquet or .spacy file, plain or with .gz; in UTF-8, or in
        UTF-16 with a byte order mark. Exports of Prodigy, Label Studio and Argilla are understood.
    text_field (str): The field with the text. A .txt or .spacy file needs none.
    label_field (str): The field with the labels: a list, one label, or scores by label, of which those above 0.5
        count. If it is "labels", a field "label", Prodigy's "accept" and the cats of a .spacy file will do, too.
    RETURNS (list[LabelledText]): The texts, blank ones included.
    RAISES (ZeroShotError): Z042 for a row that cannot be used, Z043 for a file without rows, Z080 if it cannot be read,
        Z084 for an unknown format, Z085 without pyarrow, Z088 for a field it lacks, Z200 if all texts are blank.
    """
    found: dict[str | int, LabelledText] = {}
    for i, row in enumerate(read_rows(path, text_field, label_field)):
        if row.labels is None and row.answer != IGNORE:
            if i == 0:
                fields = list(row.fields)
                raise ZeroShotError("Z088", path=str(path), field=label_field, fields=fields, option="--label-field")
            raise _bad_row(path, row.number, f"it has no {label_field!r}. Write [] where no label fits", TEXT_FORM)
        if row.answer == IGNORE or (row.answer == REJECT and not row.labels):
            continue
        given = row.labels or ()
        labels, rejected = ((), given) if row.answer == REJECT else (given, ())
        key = row.text if "answer" in row.fields else row.number
        before = found.get(key, LabelledText(row.text, ()))
        labels = tuple(dict.fromkeys(before.labels + labels))
        found[key] = LabelledText(row.text, labels, before.rejected + rejected)
    _with_some_text(path, [row.text for row in found.values()])
    return list(found.values())


def read_nli(path: Path | str) -> Iterator[NLIPair]:
    """Read {"premise", "hypothesis", "label"} rows of any format. RAISES (ZeroShotError): Z042 for another row."""
    file = DataFile(Path(path))
    for raw in file.rows():
        fields = _parse(raw, file, NLI_FORM)
        premise, hypothesis, label = (fields.get(key) for key in ("premise", "hypothesis", "label"))
        if not (isinstance(premise, str) and isinstance(hypothesis, str) and isinstance(label, str)):
            raise _bad_row(path, raw.number, 'it needs "premise", "hypothesis" and "label", strings', NLI_FORM)
        if label not in NLI_LABELS:
            raise _bad_row(path, raw.number, f"its label {label!r} is none of {', '.join(NLI_LABELS)}", NLI_FORM)
        yield NLIPair(premise, hypothesis, label == ENTAILMENT)


def is_nli(path: Path | str) -> bool:
    """Whether a file holds NLI pairs, by its first row."""
    file = DataFile(Path(path))
    return {"premise", "hypothesis"} <= set(_parse(next(file.rows()), file, f"{TEXT_FORM} or {NLI_FORM}"))


def JsonlTextcat(
    path: Path | str,
    limit: int = 0,
    per_label: int = 0,
    seed: int = 0,
    text_field: str = TEXT_FIELD,
    label_field: str = LABEL_FIELD,
) -> Reader:
    """Read labelled texts for training. Every label of the file becomes a key of each gold doc.cats; a text of which
    only rejected labels are known has those alone.

    path (Path | str): A file that read_labelled reads.
    limit (int): Read at most this many rows; 0 for all.
    per_label (int): Draw this many rows of each label, to learn from few examples; 0 for all.
    seed (int): Of the drawing. The same seed draws the same rows in every epoch.
    text_field, label_field (str): As read_labelled has them.
    RETURNS (Reader): Takes nlp, yields Example.
    """

    def read(nlp: Language) -> Iterator[Example]:
        rows = read_labelled(path, text_field, label_field)
        names = label_names(rows)
        if per_label:
            rows = draw_per_label(rows, per_label, seed)
        for row in rows[: limit or None]:
            keys = row.rejected if row.rejected and not row.labels else names
            yield Example.from_dict(nlp.make_doc(row.text), {"cats": {key: float(key in row.labels) for key in keys}})

    return read


def JsonlNLI(path: Path | str, limit: int = 0, max_hypotheses: int = 4) -> Reader:
    """Read NLI pairs for training. Hypotheses on one premise come together, as keys of doc.cats.

    path (Path | str): A .jsonl, .csv, .tsv or .parquet file of {"premise", "hypothesis", "label"}, plain or with .gz.
    limit (int): Read at most this many rows; 0 for all.
    max_hypotheses (int): Hypotheses in one example.
    RETURNS (Reader): Takes nlp, yields Example, for a component with hypothesis_template = "{}".
    """

    def read(nlp: Language) -> Iterator[Example]:
        groups: dict[str, dict[str, float]] = defaultdict(dict)
        for pair in itertools.islice(read_nli(path), limit or None):
            groups[pair.premise][pair.hypothesis] = float(pair.entailed)
        for premise, answers in groups.items():
            for cats in map(dict, minibatch(answers.items(), max_hypotheses)):
                example = Example.from_dict(nlp.make_doc(premise), {"cats": cats})
                # the hypotheses are also what the text is to be scored with
                example.predicted._.zero_shot_labels = list(cats)
                yield example

    return read


def label_names(rows: Iterable[LabelledText]) -> list[str]:
    """The labels of a set, right and rejected ones, in the order they appear."""
    return list(dict.fromkeys(label for row in rows for label in row.labels + row.rejected))


def draw_per_label(rows: Sequence[LabelledText], per_label: int, seed: int) -> list[LabelledText]:
    """Draw rows until every label has per_label of them, or all there are. A row of several labels counts for each."""
    counts: Counter[str] = Counter()
    drawn = []
    for row in random.Random(seed).sample(list(rows), len(rows)):
        if any(counts[label] < per_label for label in row.labels):
            drawn.append(row)
            counts.update(row.labels)
    return drawn


def _bad_row(path: Path | str, number: int, reason: str, form: str) -> ZeroShotError:
    return ZeroShotError("Z042", line=number, path=str(path), reason=reason, form=form)


def _parse(raw: RawRow, file: DataFile, form: str) -> dict[str, Any]:
    try:
        return parse_row(raw, file.form)
    except BadRow as reason:
        raise _bad_row(file.path, raw.number, str(reason), form) from reason


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """A row; of an export of Label Studio or Argilla, its text beside labels and answer."""
    try:
        if isinstance(fields.get("annotations"), list) and isinstance(fields.get("data"), dict):
            data, done = fields["data"], [each for each in fields["annotations"] if not each.get("was_cancelled")]
            values = [part["value"].get("choices", ()) for each in done for part in each["result"]]
        elif isinstance(fields.get("responses"), dict) and isinstance(fields.get("fields"), dict):
            data, given = fields["fields"], itertools.chain(*fields["responses"].values())
            done = [each for each in given if each.get("status") in (None, "submitted")]
            values = [each["value"] for each in done]
        elif names := [name for name in fields if name.endswith(".responses")]:
            # Argilla's records as a table
            pairs = [each for name in names for each in zip(fields[name] or (), fields[f"{name}.status"] or ())]
            data, done = fields, [value for value, status in pairs if status == "submitted"]
            values = done
        elif {"annotator", "annotation_id"} <= fields.keys():
            # Label Studio's short export, where a task without choices has no field for them
            is_done = fields["annotation_id"] not in (None, "")
            return {LABEL_FIELD: [], **fields, "answer": ACCEPT if is_done else IGNORE}
        else:
            return fields
    except (AttributeError, KeyError, TypeError):
        # of another tool
        return fields
    labels = [label for value in values for label in ([value] if isinstance(value, str) else value)]
    return {**data, LABEL_FIELD: list(dict.fromkeys(labels)), "answer": ACCEPT if done else IGNORE}


def _labels_of(fields: dict[str, Any], label_field: str, form: str) -> tuple[str, ...] | None:
    """A row's labels, in whatever form they are written; None if it has no field for them."""
    names = [label_field]
    if label_field == LABEL_FIELD:
        names = ["cats"] if form == "spacy" else [LABEL_FIELD, "label", "accept"]
    name = next((name for name in names if name in fields), None)
    if name is None:
        return None
    value = fields[name]
    if form in ("csv", "tsv") and isinstance(value, str):
        value = _cell_labels(value.strip())
    if isinstance(value, dict) and "choices" in value:
        # in the short export of Label Studio
        value = value["choices"]
    elif isinstance(value, dict) and all(isinstance(score, (int, float)) for score in value.values()):
        value = [label for label, score in value.items() if score > 0.5]
    labels = [value] if isinstance(value, str) else value
    if not isinstance(labels, (list, tuple)) or not all(isinstance(one, str) and one.strip() for one in labels):
        raise BadRow(f"its {name} {value!r} are not all strings that can be seen. Write [] where no label fits")
    return tuple(dict.fromkeys(labels))


def _cell_labels(cell: str) -> Any:
    """One label, a JSON list of several, Label Studio's {"choices": [...]}, or nothing."""
    if not cell.startswith(("[", '{"choices"')):
        return [cell] if cell else []
    try:
        return json.loads(cell)
    except ValueError:
        raise BadRow(f'its labels {cell} are no JSON list, such as ["a", "b"]') from None


def _with_some_text(path: Path | str, texts: list[str]) -> list[str]:
    if not any(text.strip() for text in texts):
        raise ZeroShotError("Z200", reason=f"{path} has none")
    return texts
