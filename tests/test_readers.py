"""Labelled texts and NLI pairs from every kind of file, and the corpus readers made of them."""

import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.readers import (
    JsonlNLI,
    JsonlTextcat,
    LabelledText,
    NLIPair,
    draw_per_label,
    is_nli,
    read_labelled,
    read_nli,
    read_rows,
    read_texts,
)

NLP = spacy.blank("en")
TEXT = {"text": "A man plays.", "labels": ["sport"]}
PAIR = {"premise": "A man plays.", "hypothesis": "A man moves.", "label": "entailment"}


def write(path: Path, *rows: Any) -> Path:
    lines = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


def texts(labels: str, count: int = 1) -> list[dict[str, Any]]:
    return [{"text": f"{label} {i}", "labels": [label]} for i in range(count) for label in labels]


def shown(examples: Iterable[Any]) -> list[Any]:
    return [(example.predicted.text, dict(example.reference.cats)) for example in examples]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_labelled_texts(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, TEXT, "", {"text": "오늘 경기", "labels": [], "more": 1})
    assert read_labelled(path) == [LabelledText("A man plays.", ("sport",)), LabelledText("오늘 경기", ())]
    assert [(row.number, row.fields.get("more")) for row in read_rows(path)] == [(1, None), (3, 1)]
    assert read_texts(path) == ["A man plays.", "오늘 경기"]
    assert not is_nli(path)


def test_every_format_is_read_alike(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    expected = [LabelledText("one, two", ("a",)), LabelledText("three", ("a", "b")), LabelledText("four", ())]
    docs = []
    for row in expected:
        docs.append(NLP.make_doc(row.text))
        docs[-1].cats = {label: float(label in row.labels) for label in "ab"}
    DocBin(docs=docs).to_disk(tmp_path / "a.spacy")
    (tmp_path / "a.csv").write_text('text,labels\n"one, two",a\nthree,"[""a"", ""b""]"\nfour,\n', encoding="utf-8-sig")
    (tmp_path / "a.tsv").write_text('text\t labels \none, two\ta\nthree\t["a", "b"]\nfour\t\n', encoding="utf-16")
    table = {"text": [row.text for row in expected], "labels": [list(row.labels) for row in expected]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    write(tmp_path / "a.jsonl.gz", *({"text": row.text, "labels": row.labels} for row in expected))
    for name in ("a.spacy", "a.csv", "a.tsv", "a.parquet", "a.jsonl.gz"):
        assert read_labelled(tmp_path / name) == expected, name
        (tmp_path / f"again.{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        if not name.endswith(".gz"):
            assert read_labelled(tmp_path / f"again.{name}.gz") == expected, name


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_changes_nothing(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(mark + "\n".join(map(json.dumps, texts("ab"))).encode())
    assert len(list(JsonlTextcat(path)(NLP))) == 2


def test_fields_of_other_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"body": "one", "topic": "a"}, {"body": "two", "topic": {"a": 0.2, "b": 0.9}})
    assert read_labelled(path, "body", "topic") == [LabelledText("one", ("a",)), LabelledText("two", ("b",))]
    assert shown(JsonlTextcat(path, text_field="body", label_field="topic")(NLP)) == [
        ("one", {"a": 1.0, "b": 0.0}),
        ("two", {"a": 0.0, "b": 1.0}),
    ]
    # the last one as in the short export of Label Studio
    for value in ("a", ["a"], {"a": True, "b": 0}, {"choices": ["a"]}):
        path = write(tmp_path / "b.jsonl", {"text": "one", "label": value})
        assert read_labelled(path) == [LabelledText("one", ("a",))]
    with pytest.raises(ZeroShotError, match="Z042"):
        read_labelled(write(tmp_path / "c.jsonl", {"text": "one", "label": {"a": "yes"}}))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_mistyped_fields_are_errors_that_name_those_there_are(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, {"text": "one", "topic": "a"})
    if name == "a.csv":
        path.write_text("text,topic\none,a\n")
    for read in (read_labelled, read_texts):
        with pytest.raises(ZeroShotError, match=r"Z088.*'body': its fields are \['text', 'topic'\].*--text-field"):
            read(path, "body")
    with pytest.raises(ZeroShotError, match=r"Z088.*'topics': its fields are \['text', 'topic'\].*--label-field"):
        read_labelled(path, "text", "topics")


def test_answers_of_prodigy(tmp_path: Path) -> None:
    rows = [
        {"text": "one", "label": "a", "answer": "accept"},
        {"text": "one", "label": "b", "answer": "reject"},
        {"text": "two", "label": "a", "answer": "reject"},
        {"text": "three", "label": "a", "answer": "ignore"},
        {"text": "four", "options": [{"id": "a"}, {"id": "b"}], "accept": ["a", "b"], "answer": "accept"},
        {"text": "five", "options": [{"id": "a"}, {"id": "b"}], "accept": [], "answer": "accept"},
    ]
    path = write(tmp_path / "a.jsonl", *rows)
    assert read_labelled(path) == [
        LabelledText("one", ("a",), ("b",)),
        LabelledText("two", (), ("a",)),
        LabelledText("four", ("a", "b")),
        LabelledText("five", ()),
    ]
    assert shown(JsonlTextcat(path)(NLP))[:2] == [("one", {"a": 1.0, "b": 0.0}), ("two", {"a": 0.0})]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_nli(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, PAIR, {**PAIR, "label": "neutral"}, {**PAIR, "label": "not_entailment"})
    assert [pair.entailed for pair in read_nli(path)] == [True, False, False]
    assert next(read_nli(path)) == NLIPair("A man plays.", "A man moves.", True)
    assert is_nli(path)


def test_nli_in_a_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("premise, hypothesis, label\nA man plays.,A man moves.,entailment\n")
    assert list(read_nli(tmp_path / "a.csv")) == [NLIPair("A man plays.", "A man moves.", True)]


@pytest.mark.parametrize(
    "row",
    [
        "{",
        "3",
        '"text"',
        {"text": 1, "labels": []},
        {"text": "a"},
        {"text": "a", "labels": None},
        {"text": "a", "labels": 7},
        {"text": "a", "labels": [1]},
        {"text": "a", "labels": [" "]},
        PAIR,
    ],
)
def test_errors_name_the_line_of_a_bad_text(tmp_path: Path, row: Any) -> None:
    path = write(tmp_path / "rows.jsonl.gz", TEXT, "", row)
    with pytest.raises(ZeroShotError, match=r"Z042.*line 3 of .*rows\.jsonl\.gz"):
        read_labelled(path)


def test_labels_do_not_matter_where_none_are_asked_for(tmp_path: Path) -> None:
    assert read_texts(write(tmp_path / "a.jsonl", {"text": "a", "labels": 7})) == ["a"]


@pytest.mark.parametrize("row", ["[]", TEXT, {**PAIR, "label": "maybe"}, {**PAIR, "premise": None}])
def test_errors_name_the_line_of_a_bad_pair(tmp_path: Path, row: Any) -> None:
    path = write(tmp_path / "rows.jsonl", PAIR, row)
    with pytest.raises(ZeroShotError, match=r"Z042.*line 2 of .*rows\.jsonl"):
        list(read_nli(path))


@pytest.mark.parametrize("read", [read_labelled, read_nli, read_texts, is_nli])
def test_empty_and_unreadable_files(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    def use(path: Path) -> None:
        found = read(path)
        if not isinstance(found, (bool, list)):
            list(found)

    for rows in ((), ("", "  ")):
        with pytest.raises(ZeroShotError, match="Z043"):
            use(write(tmp_path / "rows.jsonl", *rows))
    with pytest.raises(ZeroShotError, match="Z080"):
        use(tmp_path / "missing.jsonl")
    (tmp_path / "rows.jsonl.gz").write_text(json.dumps(TEXT), encoding="utf8")
    with pytest.raises(ZeroShotError, match="Z080"):
        use(tmp_path / "rows.jsonl.gz")
    (tmp_path / "latin.jsonl").write_bytes('{"text": "é", "labels": []}'.encode("latin-1"))
    with pytest.raises(ZeroShotError, match=r"Z042.*line 1.*UTF-8"):
        use(tmp_path / "latin.jsonl")


def test_a_file_cut_short(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.jsonl.gz", *[TEXT] * 500).read_bytes()
    (tmp_path / "half.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ZeroShotError, match="Z080"):
        read_labelled(tmp_path / "half.jsonl.gz")


def test_blank_texts_alone_are_nothing_to_learn_from(tmp_path: Path) -> None:
    path = write(tmp_path / "blank.jsonl", {"text": " ", "labels": []})
    for read in (read_labelled, read_texts):
        with pytest.raises(ZeroShotError, match=r"Z200.*blank\.jsonl"):
            read(path)
    assert read_texts(write(tmp_path / "some.txt", "One.", "", "Two.")) == ["One.", "", "Two."]


def test_docs_without_cats_are_not_labelled(tmp_path: Path) -> None:
    DocBin(docs=[NLP("one")]).to_disk(tmp_path / "a.spacy")
    assert read_texts(tmp_path / "a.spacy") == ["one"]
    with pytest.raises(ZeroShotError, match="Z088"):
        read_labelled(tmp_path / "a.spacy")


def test_every_label_of_the_file_is_a_key(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl.gz", *texts("ba"), {"text": "none", "labels": []})
    found = shown(JsonlTextcat(path)(NLP))
    assert found == [("b 0", {"b": 1.0, "a": 0.0}), ("a 0", {"b": 0.0, "a": 1.0}), ("none", {"b": 0.0, "a": 0.0})]


def test_a_limit_keeps_the_labels_of_the_whole_file(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", *texts("ba"))
    assert shown(JsonlTextcat(path, limit=1)(NLP)) == [("b 0", {"b": 1.0, "a": 0.0})]


def test_the_registry_knows_the_readers(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", *texts("ab", 3))
    config = {"corpus": {"@readers": "spacy_zeroshot.JsonlTextcat.v1", "path": str(path), "per_label": 1, "seed": 2}}
    reader = spacy.registry.resolve(config)["corpus"]
    assert len(list(reader(NLP))) == 2
    assert shown(reader(NLP)) == shown(reader(NLP))
    assert spacy.registry.has("readers", "spacy_zeroshot.JsonlNLI.v1")


@settings(max_examples=50)
@given(st.lists(st.lists(st.sampled_from("abc"), unique=True), max_size=20), st.integers(1, 4), st.integers(0, 9))
def test_drawing_per_label(sets: list[list[str]], per_label: int, seed: int) -> None:
    rows = [LabelledText(str(i), tuple(labels)) for i, labels in enumerate(sets)]
    drawn = draw_per_label(rows, per_label, seed)
    assert drawn == draw_per_label(rows, per_label, seed)
    assert len({row.text for row in drawn}) == len(drawn)
    for label in "abc":
        there = sum(label in row.labels for row in rows)
        got = sum(label in row.labels for row in drawn)
        assert got >= min(per_label, there)
        if all(len(row.labels) <= 1 for row in rows):
            assert got == min(per_label, there)


def test_other_seeds_draw_other_rows() -> None:
    rows = [LabelledText(str(i), ("a",)) for i in range(100)]
    assert draw_per_label(rows, 5, 1) != draw_per_label(rows, 5, 2)


def test_hypotheses_on_one_premise_come_together(tmp_path: Path) -> None:
    pairs = [
        {"premise": f"p{i}", "hypothesis": f"h{j}", "label": "entailment" if j else "neutral"}
        for i in range(3)
        for j in range(2)
    ]
    path = write(tmp_path / "nli.jsonl", *pairs)
    found = shown(JsonlNLI(path)(NLP))
    assert found[0] == ("p0", {"h0": 0.0, "h1": 1.0})
    assert [text for text, _ in found] == ["p0", "p1", "p2"]
    assert shown(JsonlNLI(path, max_hypotheses=1)(NLP))[:2] == [("p0", {"h0": 0.0}), ("p0", {"h1": 1.0})]
    assert len(shown(JsonlNLI(path, limit=3)(NLP))) == 2
    for example in JsonlNLI(path)(NLP):
        assert example.predicted._.zero_shot_labels == list(example.reference.cats)


@pytest.mark.parametrize("make", [JsonlTextcat, JsonlNLI])
def test_errors_of_the_corpus_readers(tmp_path: Path, make: Any) -> None:
    path = write(tmp_path / "rows.jsonl", json.dumps({"a": 1}))
    with pytest.raises(ZeroShotError, match="Z042|Z088"):
        list(make(path)(NLP))
    with pytest.raises(ZeroShotError, match="Z043"):
        list(make(write(tmp_path / "empty.jsonl"))(NLP))
    with pytest.raises(ZeroShotError, match="Z080"):
        list(make(tmp_path / "missing.jsonl")(NLP))
