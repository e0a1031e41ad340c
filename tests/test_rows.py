"""JSON-lines files of labelled texts and NLI pairs."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.rows import LabelledText, NLIPair, is_nli, read_labelled_texts, read_nli

TEXT = {"text": "A man plays.", "labels": ["sport"]}
PAIR = {"premise": "A man plays.", "hypothesis": "A man moves.", "label": "entailment"}


def write(path: Path, *rows: Any) -> Path:
    lines = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf8") as file_:
        file_.write(lines)
    return path


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_labelled_texts(tmp_path: Path, name: str):
    path = write(tmp_path / name, TEXT, "", {"text": "오늘 경기", "labels": [], "more": 1})
    assert list(read_labelled_texts(path)) == [LabelledText("A man plays.", ["sport"]), LabelledText("오늘 경기", [])]
    assert not is_nli(path)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_nli(tmp_path: Path, name: str):
    path = write(tmp_path / name, PAIR, {**PAIR, "label": "neutral"}, {**PAIR, "label": "not_entailment"})
    assert [pair.entailed for pair in read_nli(path)] == [True, False, False]
    assert next(read_nli(path)) == NLIPair("A man plays.", "A man moves.", True)
    assert is_nli(path)


def test_sources_can_be_skipped(tmp_path: Path):
    path = write(tmp_path / "rows.jsonl", {**PAIR, "source": "med_1"}, {**PAIR, "source": "snli"}, PAIR)
    assert len(list(read_nli(path, ("med", "dnc")))) == 2


@pytest.mark.parametrize(
    "row",
    [
        "{",
        "3",
        '"text"',
        {"text": 1, "labels": []},
        {"text": "a"},
        {"text": "a", "labels": "b"},
        {"text": "a", "labels": [1]},
        {"text": "a", "labels": [" "]},
        PAIR,
    ],
)
def test_z042_names_the_line_of_a_bad_text(tmp_path: Path, row: Any):
    path = write(tmp_path / "rows.jsonl.gz", TEXT, "", row)
    with pytest.raises(ZeroShotError, match=r"Z042.*line 3 of .*rows\.jsonl\.gz"):
        list(read_labelled_texts(path))


@pytest.mark.parametrize("row", ["[]", TEXT, {**PAIR, "label": "maybe"}, {**PAIR, "premise": None}])
def test_z042_names_the_line_of_a_bad_pair(tmp_path: Path, row: Any):
    path = write(tmp_path / "rows.jsonl", PAIR, row)
    with pytest.raises(ZeroShotError, match=r"Z042.*line 2 of .*rows\.jsonl"):
        list(read_nli(path))


@pytest.mark.parametrize("read", [read_labelled_texts, read_nli])
def test_z043_empty_files(tmp_path: Path, read: Any):
    with pytest.raises(ZeroShotError, match="Z043"):
        list(read(write(tmp_path / "rows.jsonl", "", "  ")))


def test_z060_files_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ZeroShotError, match="Z060"):
        list(read_labelled_texts(tmp_path / "missing.jsonl"))
    no_gzip = tmp_path / "rows.jsonl.gz"
    no_gzip.write_text(json.dumps(TEXT), encoding="utf8")
    with pytest.raises(ZeroShotError, match="Z060"):
        list(read_labelled_texts(no_gzip))
    whole = write(tmp_path / "whole.jsonl.gz", *[TEXT] * 500).read_bytes()
    no_gzip.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ZeroShotError, match="Z060"):
        list(read_labelled_texts(no_gzip))
    latin = tmp_path / "latin.jsonl"
    latin.write_bytes('{"text": "é", "labels": []}'.encode("latin-1"))
    with pytest.raises(ZeroShotError, match="Z060"):
        list(read_labelled_texts(latin))
