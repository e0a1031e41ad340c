"""Files of every format: rows in order, one bad row alone."""

import csv
import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.tokens import Doc, DocBin

from spacy_zeroshot.corpus import BadRow, DataFile, doc_fields, free_name, parse_row, plain, split_name, text_of
from spacy_zeroshot.errors import ZeroShotError

Reasons = list[tuple[int, str]]


def read(path: Path, text_field: str = "text") -> tuple[list[tuple[int, dict[str, Any]]], Reasons]:
    """Numbers and fields of what can be parsed, and the reasons of what cannot."""
    file = DataFile(path)
    found, reasons = [], []
    for row in file.rows():
        try:
            fields = parse_row(row, file.form)
            text_of(fields, file.text_field(text_field, None))
            found.append((row.number, fields))
        except BadRow as reason:
            reasons.append((row.number, str(reason)))
    assert file.fraction() == 1.0
    return found, reasons


def texts(path: Path, text_field: str = "text") -> list[str]:
    return [fields[text_field] for _, fields in read(path, text_field)[0]]


def test_text_lines_keep_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo\x0bsame line\nlast")
    found, reasons = read(path)
    assert [(n, f["text"]) for n, f in found] == [(1, "one"), (2, ""), (3, "two\x0bsame line"), (4, "last")]
    assert not reasons


def test_text_that_is_not_utf8_is_left_out_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("één\n".encode("latin1") + b"two\n")
    found, reasons = read(path)
    assert [f["text"] for _, f in found] == ["two"]
    assert reasons == [(1, "it is not UTF-8")]


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    good: list[dict[str, Any]] = [{"text": "a", "n": 1}, {"n": 2, "text": "b", "deep": {"x": [1]}}]
    bad = ['{"text": 3}', '{"other": "x"}', "[1]", "{broken", '{"text": "\\ud800"}', "[" * 100_000]
    lines = [json.dumps(good[0]), *bad, "", json.dumps(good[1])]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    found, reasons = read(path)
    assert found == [(1, good[0]), (9, good[1])]
    expected = ["not a string", "missing", "not a JSON object", "not JSON", "not valid Unicode", "not JSON"]
    assert [number for number, _ in reasons] == [2, 3, 4, 5, 6, 7]
    for (_, reason), words in zip(reasons, expected):
        assert words in reason


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_with_and_without_a_mark(tmp_path: Path, encoding: str, mark: str) -> None:
    (tmp_path / "a.txt").write_bytes(f"{mark}one é\n둘\n".encode(encoding))
    assert texts(tmp_path / "a.txt") == ["one é", "둘"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.tsv", "a.csv.gz"])
def test_encodings_by_their_marks(tmp_path: Path, name: str, encoding: str) -> None:
    contents = {
        "a.txt": "één\n둘\n",
        "a.jsonl": '{"text": "één"}\n{"text": "둘"}\n',
        "a.csv": "text,n\néén,1\n둘,2\n",
        "a.tsv": "text\tn\néén\t1\n둘\t2\n",
    }
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    data = (mark + contents[name.removesuffix(".gz")]).encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert texts(path) == ["één", "둘"]


def test_csv_with_quotes_and_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["id", "body"], ["1", 'a "quoted", text\nin two lines'], ["2", "plain"]])
        file.write("3\n")
        file.write('"4"x,broken\n')
        file.write("5,last\n")
    found, reasons = read(path, "body")
    assert found == [
        (2, {"id": "1", "body": 'a "quoted", text\nin two lines'}),
        (4, {"id": "2", "body": "plain"}),
        (7, {"id": "5", "body": "last"}),
    ]
    assert [number for number, _ in reasons] == [5, 6]
    assert "1 columns" in reasons[0][1] and "CSV" in reasons[1][1]


def test_a_quote_that_is_never_closed_loses_its_own_row_only(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,one\n2,"never closed\n3,three\n4,"quoted, four"\n5,"open again\n6,six\n')
    found, reasons = read(path)
    assert [(n, f["text"]) for n, f in found] == [(2, "one"), (4, "three"), (5, "quoted, four"), (7, "six")]
    assert [number for number, _ in reasons] == [3, 6]


def test_csv_header_cells_with_spaces_and_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id, text ,,\n1,one,x,y\n")
    assert read(path)[0] == [(2, {"id": "1", "text": "one", "column_3": "x", "column_4": "y"})]


def test_csv_row_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text\ngood\nb\xe9d\n")
    assert texts(path) == ["good"]
    assert read(path)[1] == [(3, "it is not UTF-8")]


def test_csv_field_beyond_the_modules_default(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "x" * 200_000 + "\n")
    assert [len(text) for text in texts(path)] == [200_000]


def test_docbin_keeps_the_doc(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    doc = nlp("Berlin is big.")
    doc.ents = [doc.char_span(0, 6, label="CITY")]
    DocBin(docs=[doc, nlp("")]).to_disk(tmp_path / "a.spacy")
    (tmp_path / "b.spacy.gz").write_bytes(gzip.compress((tmp_path / "a.spacy").read_bytes()))
    for name in ("a.spacy", "b.spacy.gz"):
        rows = list(DataFile(tmp_path / name).rows())
        assert [row.number for row in rows] == [1, 2] and rows[0].doc is not None
        again = Doc(nlp.vocab).from_bytes(rows[0].doc)
        assert [(ent.text, ent.label_) for ent in again.ents] == [("Berlin", "CITY")]


def test_parquet_rows_and_times(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    when = datetime.datetime(2020, 1, 2, 3, 4, 5)
    schema = pa.schema([("text", pa.string()), ("when", pa.timestamp("ns"))])
    pq.write_table(pa.table({"text": ["one", None], "when": [when] * 2}, schema), tmp_path / "a.parquet")
    (tmp_path / "b.parquet.gz").write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    for name in ("a.parquet", "b.parquet.gz"):
        found, reasons = read(tmp_path / name)
        assert found == [(1, {"text": "one", "when": when})]
        assert reasons == [(2, "its field 'text' is not a string")]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl.gz", b"no gzip", "gzip"),
        ("a.txt.gz", gzip.compress(b"some text\n" * 1000, mtime=0)[:-12], "end-of-stream"),
        ("a.txt", "odd".encode("utf-16")[:-1], "truncated"),
        ("a.spacy", b"no DocBin", "not a DocBin"),
        ("a.csv", b"text,text\n1,2\n", "twice"),
        ("a.csv", b'"text\n1,2\n', "header"),
        ("a.parquet", b"no parquet", "Parquet"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ZeroShotError, match="Z080") as caught:
        read(tmp_path / name)
    assert reason in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ZeroShotError, match=r"Z080.*No such file"):
        DataFile(tmp_path / "none.txt")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(ZeroShotError, match=r"Z080.*directory"):
        DataFile(tmp_path / "folder.txt")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((f"a.{form}", b"") for form in ("txt", "jsonl", "csv", "tsv", "parquet", "spacy")),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0)),
        ("a.jsonl", b"\n \n"),
        ("a.csv", b"text,id\n"),
        ("a.spacy", DocBin().to_bytes()),
    ],
)
def test_empty_files_are_called_empty(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ZeroShotError, match="Z043"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.docx", "a", "a.gz", "a.xml"])
def test_unknown_formats(tmp_path: Path, name: str) -> None:
    with pytest.raises(ZeroShotError, match="Z084"):
        DataFile(tmp_path / name)


def test_format_names() -> None:
    assert split_name(Path("x.y.JSONL.GZ"), ("jsonl",)) == ("jsonl", True)
    assert split_name(Path("x.txt"), ("txt",)) == ("txt", False)


def test_names_that_are_taken() -> None:
    assert free_name("a", ["b"]) == "a"
    assert free_name("a", ["a"]) == "input_a"
    assert free_name("a", ["a"], ["input_a", "input_a_2"]) == "input_a_3"


def test_nothing_a_doc_brings_along_covers_another() -> None:
    doc = spacy.blank("en")("hello")
    doc.cats = {"now": 1.0}
    doc.user_data.update({"meta": {"cats": "older", "input_cats": "oldest", "id": 7, "text": "t"}, "id": 8})
    fields = doc_fields(doc)
    assert fields["text"] == "hello" and fields["cats"] == {"now": 1.0} and fields["id"] == 7
    assert sorted(map(str, fields.values())) == sorted(["hello", "{'now': 1.0}", "older", "oldest", "7", "t", "8"])
    assert fields["input_cats"] == "oldest" and fields["input_text"] == "t"


def test_plain_values() -> None:
    value = {"a": datetime.date(2020, 1, 2), "b": b"\x00", "c": [2**70, (1.5, None, True)]}
    assert plain(value) == {"a": "2020-01-02", "b": "AA==", "c": [str(2**70), [1.5, None, True]]}


def test_pyarrow_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ZeroShotError, match=r"Z085.*pip install 'spacy-zeroshot\[parquet\]'"):
        DataFile(tmp_path / "a.parquet")
