"""The files that tuning and calibration read."""

import json

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.tuning.texts import read_labelled, read_unlabelled


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_labelled_texts_of_both_formats(tmp_path):
    path = write(tmp_path / "dev.jsonl", [{"text": "A text.", "labels": ["a"]}])
    assert read_labelled(path, "", "tune") == [("A text.", ["a"])]
    nlp = spacy.blank("en")
    doc = nlp("A text.")
    doc.cats = {"x:a": 1.0, "x:b": 0.0, "other": 1.0}
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "dev.spacy")
    assert read_labelled(tmp_path / "dev.spacy", "x:", "tune") == [("A text.", ["a"])]
    assert read_unlabelled(tmp_path / "dev.spacy", "calibrate") == ["A text."]


def test_unlabelled_texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("One.\n\nTwo.\n")
    assert read_unlabelled(path, "calibrate") == ["One.", "", "Two."]
    rows = write(tmp_path / "rows.jsonl", [{"body": "One."}])
    assert read_unlabelled(rows, "calibrate", "body") == ["One."]
    with pytest.raises(ZeroShotError, match=r"Z042.*line 1"):
        read_unlabelled(rows, "calibrate")


def test_files_that_cannot_be_used(tmp_path):
    for read in (lambda path: read_labelled(path, "", "tune"), lambda path: read_unlabelled(path, "calibrate")):
        with pytest.raises(ZeroShotError, match=r"Z060.*no such file"):
            read(tmp_path / "absent.jsonl")
        bad = tmp_path / "bad.spacy"
        bad.write_bytes(b"no DocBin")
        with pytest.raises(ZeroShotError, match="Z060"):
            read(bad)
    blank = write(tmp_path / "blank.jsonl", [{"text": " ", "labels": []}])
    with pytest.raises(ZeroShotError, match="Z200"):
        read_labelled(blank, "", "tune")
    with pytest.raises(ZeroShotError, match="Z200"):
        read_unlabelled(blank, "calibrate")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(ZeroShotError, match="Z043"):
        read_labelled(tmp_path / "empty.jsonl", "", "tune")
