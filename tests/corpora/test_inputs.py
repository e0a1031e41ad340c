import csv
import gzip
import json
from pathlib import Path

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import DocBin

from spacy_zeroshot.corpora.inputs import open_input
from spacy_zeroshot.corpora.naming import split_name
from spacy_zeroshot.corpora.raw import RawRow
from spacy_zeroshot.corpora.records import BadRow, parse, plain
from spacy_zeroshot.corpora.shards import cut
from spacy_zeroshot.errors import ZeroShotError


def read(path: Path, text_field: str = "text"):
    """What can be parsed, and the reasons of what cannot."""
    source = open_input(path)
    records, reasons = [], []
    for row in source.rows():
        try:
            records.append(parse(row, source.kind, text_field))
        except BadRow as reason:
            reasons.append((row.number, str(reason)))
    assert source.fraction() == 1.0
    return records, reasons


def test_text_lines_keep_blank_ones(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo\x0bsame line\nlast")
    records, reasons = read(path)
    assert [(r.number, r.text) for r in records] == [(1, "one"), (2, ""), (3, "two\x0bsame line"), (4, "last")]
    assert not reasons


def test_text_that_is_not_utf8_is_left_out_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("één\n".encode("latin1") + b"two\n")
    records, reasons = read(path)
    assert [r.text for r in records] == ["two"]
    assert reasons[0][0] == 1 and "not UTF-8" in reasons[0][1]


def test_json_lines(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    good = [{"text": "a", "n": 1}, {"n": 2, "text": "b", "deep": {"x": [1]}}]
    bad = ['{"text": 3}', '{"other": "x"}', "[1]", "{broken", '{"text": "\\ud800"}', "[" * 100_000]
    lines = [json.dumps(good[0]), *bad, "", json.dumps(good[1])]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    records, reasons = read(path)
    assert [r.fields for r in records] == good
    assert [r.number for r in records] == [1, 9]
    expected = ["not a string", "missing", "not a JSON object", "not JSON", "not valid Unicode", "not JSON"]
    assert [number for number, _ in reasons] == [2, 3, 4, 5, 6, 7]
    for (_, reason), words in zip(reasons, expected):
        assert words in reason


def test_csv_with_quotes_and_line_breaks(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file_:
        writer = csv.writer(file_)
        writer.writerows([["id", "body"], ["1", 'a "quoted", text\nin two lines'], ["2", "plain"]])
        file_.write("3\n")
        file_.write('"4"x,broken\n')
        file_.write("5,last\n")
    records, reasons = read(path, "body")
    assert [r.fields for r in records] == [
        {"id": "1", "body": 'a "quoted", text\nin two lines'},
        {"id": "2", "body": "plain"},
        {"id": "5", "body": "last"},
    ]
    assert [r.number for r in records] == [2, 4, 7]
    assert [number for number, _ in reasons] == [5, 6]
    assert "1 columns" in reasons[0][1] and "CSV" in reasons[1][1]


def test_csv_row_that_is_not_utf8(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"text\ngood\nb\xe9d\n")
    records, reasons = read(path)
    assert [r.text for r in records] == ["good"]
    assert reasons == [(3, "it is not valid Unicode")]


def test_csv_field_beyond_the_modules_default(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "x" * 200_000 + "\n")
    assert len(read(path)[0][0].text) == 200_000


def test_docbin_keeps_the_doc(tmp_path):
    nlp = spacy.blank("en")
    doc = nlp("Berlin is big.")
    doc.ents = [doc.char_span(0, 6, label="CITY")]
    DocBin(docs=[doc, nlp("")]).to_disk(tmp_path / "a.spacy")
    (tmp_path / "b.spacy.gz").write_bytes(gzip.compress((tmp_path / "a.spacy").read_bytes()))
    for name in ("a.spacy", "b.spacy.gz"):
        records, _ = read(tmp_path / name)
        assert len(records) == 2
        again = spacy.tokens.Doc(nlp.vocab).from_bytes(records[0].doc)
        assert [(ent.text, ent.label_) for ent in again.ents] == [("Berlin", "CITY")]


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("a.jsonl.gz", b"no gzip", "gzip"),
        ("a.txt.gz", gzip.compress(b"some text\n" * 1000, mtime=0)[:-12], "end-of-stream"),
        ("a.spacy", b"no DocBin", "not a DocBin"),
        ("a.spacy", b"", "not a DocBin"),
        ("a.csv", b"text,text\n1,2\n", "twice"),
        ("a.parquet", b"no parquet", "Parquet"),
    ],
)
def test_z080_damaged_files(tmp_path, name, content, reason):
    if "parquet" in name:
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ZeroShotError, match="Z080") as caught:
        read(tmp_path / name)
    assert reason in str(caught.value)


def test_z080_missing_file(tmp_path):
    with pytest.raises(ZeroShotError, match=r"Z080.*No such file"):
        open_input(tmp_path / "none.txt")


@pytest.mark.parametrize("name", ["a.docx", "a", "a.gz", "a.json"])
def test_z084_unknown_format(tmp_path, name):
    with pytest.raises(ZeroShotError, match="Z084"):
        open_input(tmp_path / name)


def test_format_names():
    assert split_name(Path("x.y.JSONL.GZ"), ("jsonl",)) == ("jsonl", True)
    assert split_name(Path("x.txt"), ("txt",)) == ("txt", False)


@given(st.lists(st.binary(max_size=20), max_size=40), st.integers(1, 7))
def test_cuts_hold_every_row_once_and_in_order(contents, size):
    rows = [RawRow(i, content, content) for i, content in enumerate(contents)]
    shards = list(cut(iter(rows), size))
    assert [row for shard in shards for row in shard.rows] == rows
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert all(len(shard.rows) == size for shard in shards[:-1])


def test_shards_of_long_texts_end_early():
    rows = [RawRow(i, b"x" * 3_000_000, b"x" * 3_000_000) for i in range(4)]
    assert [len(shard.rows) for shard in cut(rows, 1000)] == [3, 1]


def test_digests_tell_rows_apart():
    def digest(*contents):
        return next(cut([RawRow(i, c, c) for i, c in enumerate(contents)], 10)).digest

    assert digest(b"ab", b"c") != digest(b"a", b"bc")


def test_plain_values():
    import datetime

    value = {"a": datetime.date(2020, 1, 2), "b": b"\x00", "c": [2**70, (1.5, None, True)]}
    assert plain(value) == {"a": "2020-01-02", "b": "AA==", "c": [str(2**70), [1.5, None, True]]}
