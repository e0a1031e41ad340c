import gzip
import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.examples.reading import LabelledExample, check_examples, read_examples

EXPECTED = (LabelledExample("a goal", ("sport",)), LabelledExample("a vote in the stadium", ("politics", "sport")))


def write(path: Path, *rows: object) -> Path:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def test_a_list_of_entries():
    entries = [
        {"label": "sport", "text": "a goal"},
        {"label": "politics", "text": "a vote in the stadium"},
        {"label": "sport", "text": "a vote in the stadium"},
        {"label": "sport", "text": "a goal"},
    ]
    assert check_examples(entries, "c") == EXPECTED
    assert check_examples([], "c") == ()


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_lines_of_either_form(name: str, tmp_path: Path):
    path = write(
        tmp_path / name,
        {"label": "sport", "text": "a goal"},
        {"labels": ["politics", "sport"], "text": "a vote in the stadium"},
        {"labels": [], "text": "nothing"},
        {"labels": ["sport"], "text": " "},
    )
    assert read_examples(path, "", "c") == EXPECTED


def test_a_docbin(tmp_path: Path):
    nlp = spacy.blank("en")
    packed = DocBin()
    for text, cats in (
        ("a goal", {"x_sport": 1.0, "x_politics": 0.0, "other": 1.0}),
        ("a vote in the stadium", {"x_politics": 1.0, "x_sport": 1.0}),
        ("nothing", {"x_sport": 0.0}),
    ):
        doc = nlp.make_doc(text)
        doc.cats = cats
        packed.add(doc)
    packed.to_disk(tmp_path / "docs.spacy")
    assert read_examples(tmp_path / "docs.spacy", "x_", "c") == EXPECTED


@pytest.mark.parametrize(
    "entry", [{"label": "a"}, {"label": "a", "text": " "}, {"label": "a", "text": "b", "more": "c"}, ["a", "b"]]
)
def test_entries_of_another_form(entry: object):
    with pytest.raises(ZeroShotError, match=r"Z006.*examples"):
        check_examples([entry], "c")


def test_a_blank_label():
    with pytest.raises(ZeroShotError, match="Z003"):
        check_examples([{"label": " ", "text": "a"}], "c")


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"text": "a"}, "Z042"),
        ({"label": "a"}, "Z042"),
        ({"text": "a", "labels": "b"}, "Z042"),
        ({"text": "a", "labels": [" "]}, "Z042"),
        ({"text": "a", "labels": []}, "Z220"),
    ],
)
def test_rows_of_another_form(row: object, code: str, tmp_path: Path):
    with pytest.raises(ZeroShotError, match=code):
        read_examples(write(tmp_path / "rows.jsonl", row), "", "c")


def test_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ZeroShotError, match="Z060.*no such file"):
        read_examples(tmp_path / "missing.jsonl", "", "c")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(ZeroShotError, match="Z043"):
        read_examples(tmp_path / "empty.jsonl", "", "c")
    (tmp_path / "docs.spacy").write_bytes(b"none")
    with pytest.raises(ZeroShotError, match="Z060.*no DocBin"):
        read_examples(tmp_path / "docs.spacy", "", "c")
