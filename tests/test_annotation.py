"""Corpora in every format: what comes in comes out, with labels and scores; killed at any point, a run goes on."""

import contextlib
import csv
import datetime
import gzip
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import DocBin, Span

from spacy_zeroshot import annotation, annotation_journal
from spacy_zeroshot.annotation import Summary, annotate
from spacy_zeroshot.annotation_journal import Entry, Journal, cut, digest_of
from spacy_zeroshot.annotation_output import Columns, SpacyOutput
from spacy_zeroshot.corpus import DataFile, RawRow
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.loading import import_code, open_pipeline
from spacy_zeroshot.readers import JsonlTextcat

LABELS = ("sport", "politics", "music")
WORDS = ["goalkeeper", "minister", "penalty", "vote", "guitar", "the", "a", "resigned", "saved", "played", "in", "of"]
NLP = spacy.blank("en")


def texts_of(count: int) -> list[str]:
    """Texts of different lengths, a blank one among them."""
    return [" ".join(WORDS[: 1 + 7 * i % 13]) + f" {i}" if i != 3 else "" for i in range(count)]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl or .jsonl.gz file."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in data.splitlines()]


def docs_of(path: Path) -> list[Any]:
    return list(DocBin(store_user_data=True).from_disk(path).get_docs(NLP.vocab))


def write_rows(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def leftovers(output: Path) -> set[str]:
    """What a finished run leaves beside its output."""
    names = {path.name for path in output.parent.iterdir() if path.name.lstrip(".").startswith(output.name)}
    return names - {output.name, f"{output.name}.journal"}


class Told(list):
    """A watch that keeps what it is told: (rows done, fraction, rejects)."""

    def __call__(self, done: int, fraction: float, rejects: Sequence[Any]) -> None:
        self.append((done, fraction, list(rejects)))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Thirty rows with a number each."""
    return write_rows(tmp_path / "corpus.jsonl", *({"id": i, "text": text} for i, text in enumerate(texts_of(30))))


@pytest.fixture
def run(nli_folder: Path, tmp_path: Path) -> Callable[..., Any]:
    """annotate() with a tiny model into a file of tmp_path: run(source, name, **settings)."""

    def call(source: Path, name: str = "out.jsonl", **settings: Any) -> Summary:
        given = {"model": str(nli_folder), "labels": LABELS, "chunk_size": 8, "batch_size": 4, **settings}
        return annotate(source, tmp_path / name, **given)

    return call


@pytest.fixture(scope="module")
def textcat(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of a pipeline without torch, so that a forked child can run it."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy.TextCatBOW.v3", "exclusive_classes": True, "ngram_size": 1,
             "no_output_layer": False, "length": 64}  # fmt: skip
    pipe: Any = nlp.add_pipe("textcat", config={"model": model})
    for label in LABELS:
        pipe.add_label(label)
    nlp.initialize()
    folder = tmp_path_factory.mktemp("textcat") / "pipeline"
    nlp.to_disk(folder)
    return {"pipeline": str(folder), "model": None, "labels": ()}


# Formats


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_jsonl_to_jsonl(run: Callable[..., Any], corpus: Path, nli_folder: Path, tmp_path: Path, name: str) -> None:
    told = Told()
    assert run(corpus, name, watch=told) == (30, 0, 0)
    # progress begins with the first document
    assert told[0][0] == 1 and 0 < told[0][1] < 0.1 and told[-1][:2] == (30, 1.0)
    assert [step[:2] for step in told] == sorted(step[:2] for step in told)
    rows = rows_of(tmp_path / name)
    assert [(row["id"], row["text"]) for row in rows] == list(enumerate(texts_of(30)))
    nlp, _ = open_pipeline(model=str(nli_folder), labels=LABELS)
    for row, doc in zip(rows, nlp.pipe(texts_of(30), batch_size=4)):
        assert row["cats"] == pytest.approx(doc.cats, abs=1e-5)
        assert row["labels"] == ([max(row["cats"], key=row["cats"].get)] if row["text"] else [])
    assert not leftovers(tmp_path / name)


def test_spacy_train_reads_the_jsonl(run: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    run(corpus)
    examples = list(JsonlTextcat(tmp_path / "out.jsonl")(NLP))
    chosen = [row["labels"] for row in rows_of(tmp_path / "out.jsonl")]
    assert [[key for key, value in eg.reference.cats.items() if value] for eg in examples] == chosen


def test_text_lines_with_thresholds(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress("\n".join(texts_of(9)).encode()))
    run(path, multi_label=True, threshold=0.3)
    rows = rows_of(tmp_path / "out.jsonl")
    assert [row["text"] for row in rows] == texts_of(9)
    assert rows[3]["cats"] == dict.fromkeys(LABELS, 0.0) and rows[3]["labels"] == []
    for row in rows:
        assert set(row["labels"]) == {label for label, score in row["cats"].items() if score >= 0.3}
    # where labels compete, a threshold abstains
    run(path, "strict.jsonl", threshold=1.0)
    assert not any(row["labels"] for row in rows_of(tmp_path / "strict.jsonl"))


def test_fields_that_are_in_the_way_are_kept(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        rows = [["labels", " body ", "input_labels", "input_labels_2"], ["gold", "a text", "older", "oldest"]]
        csv.writer(file).writerows(rows)
    run(path, text_field="body", cats_field="scores")
    (row,) = rows_of(tmp_path / "out.jsonl")
    assert row["input_labels"] == "older" and row["input_labels_2"] == "oldest" and row["input_labels_3"] == "gold"
    assert row["body"] == row["text"] == "a text" and set(row["scores"]) == set(LABELS) and len(row["labels"]) == 1
    run(path, "out.parquet", text_field="body", cats_field="scores")
    pq = pytest.importorskip("pyarrow.parquet")
    (again,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert again == row


def test_docbin_out(run: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    run(corpus, "scores.spacy")
    run(corpus, "decided.spacy", decided=True)
    docs, decided = docs_of(tmp_path / "scores.spacy"), docs_of(tmp_path / "decided.spacy")
    assert [(doc.user_data["meta"]["id"], doc.text) for doc in docs] == list(enumerate(texts_of(30)))
    for doc, hard in zip(docs, decided):
        assert list(doc.user_data["labels"]) == ([max(doc.cats, key=doc.cats.get)] if doc.text else [])
        assert hard.cats == {label: float(label in doc.user_data["labels"]) for label in LABELS}
        assert hard.user_data["cats"] == doc.cats


def test_spacys_textcat_trains_on_decided_docs(run: Callable[..., Any], tmp_path: Path) -> None:
    from spacy.training import Corpus

    run(write_rows(tmp_path / "in.txt", *texts_of(9)[4:]), "out.spacy", decided=True)
    nlp = spacy.blank("en")
    nlp.add_pipe("textcat")
    reader = Corpus(tmp_path / "out.spacy")
    nlp.initialize(lambda: reader(nlp))
    assert set(nlp.get_pipe("textcat").labels) == set(LABELS)
    assert nlp.update(list(reader(nlp)))["textcat"] > 0


def test_docbin_in_keeps_annotations(run: Callable[..., Any], tmp_path: Path) -> None:
    doc = NLP("Berlin is big.")
    doc.ents = [Span(doc, 0, 1, label="CITY")]
    doc.cats = {"gold": 1.0}
    doc.user_data["meta"] = {"id": 7}
    DocBin(store_user_data=True, docs=[doc]).to_disk(tmp_path / "in.spacy")
    run(tmp_path / "in.spacy", "out.spacy")
    run(tmp_path / "in.spacy", "out.jsonl")
    (again,) = docs_of(tmp_path / "out.spacy")
    assert [(ent.text, ent.label_) for ent in again.ents] == [("Berlin", "CITY")]
    assert set(again.cats) == set(LABELS) and again.user_data["meta"] == {"id": 7, "cats": {"gold": 1.0}}
    (row,) = rows_of(tmp_path / "out.jsonl")
    assert row["text"] == "Berlin is big." and row["id"] == 7 and row["input_cats"] == {"gold": 1.0}
    assert row["ents"] == [{"start": 0, "end": 6, "label": "CITY"}] and set(row["cats"]) == set(LABELS)


def test_gold_of_a_docbin_survives_any_number_of_runs(run: Callable[..., Any], tmp_path: Path) -> None:
    doc = NLP("hello")
    doc.cats = {"gold": 1.0}
    doc.user_data.update({"labels": ["mine"], "meta": {"input_labels": "older"}})
    DocBin(store_user_data=True, docs=[doc]).to_disk(tmp_path / "0.spacy")
    for i in range(4):
        run(tmp_path / f"{i}.spacy", f"{i + 1}.spacy", labels=(f"a{i}", f"b{i}"), decided=i == 2)
        (doc,) = docs_of(tmp_path / f"{i + 1}.spacy")
        kept = json.dumps(doc.user_data["meta"])
        assert '{"gold": 1.0}' in kept and '"mine"' in kept and '"older"' in kept
        assert all(f'"a{before}"' in kept for before in range(i)) and list(doc.cats) == [f"a{i}", f"b{i}"]
    run(tmp_path / "4.spacy", "5.jsonl")
    (row,) = rows_of(tmp_path / "5.jsonl")
    assert {"gold": 1.0} in row.values() and ["mine"] in row.values() and "older" in row.values()


def test_docbin_keeps_fields_beside_the_text_that_equal_it(run: Callable[..., Any], tmp_path: Path) -> None:
    path = write_rows(tmp_path / "in.jsonl", {"text": "hello", "title": "hello", "id": 7})
    run(path, "out.spacy")
    assert docs_of(tmp_path / "out.spacy")[0].user_data["meta"] == {"title": "hello", "id": 7}
    path = write_rows(tmp_path / "in.jsonl", {"text": "a title", "body": "the text"})
    run(path, "other.spacy", text_field="body")
    (doc,) = docs_of(tmp_path / "other.spacy")
    assert doc.text == "the text" and doc.user_data["meta"] == {"text": "a title"}


def test_parquet_in_and_out_keeps_types(run: Callable[..., Any], tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    when = datetime.datetime(2020, 1, 2, 3, 4, 5)
    columns = {"text": ["one", None, "three"], "n": [1, 2, None], "when": [when] * 3, "tags": [["a"], [], None]}
    schema = pa.schema({"text": pa.string(), "n": pa.int8(), "when": pa.timestamp("ns"), "tags": pa.list_(pa.string())})
    pq.write_table(pa.table(columns, schema), tmp_path / "in.parquet")
    (tmp_path / "zipped.parquet.gz").write_bytes(gzip.compress((tmp_path / "in.parquet").read_bytes()))
    for source in ("in.parquet", "zipped.parquet.gz"):
        output = tmp_path / f"{source}.out.parquet"
        assert run(tmp_path / source, output.name, chunk_size=1).rejected == 1
        out = pq.read_table(output)
        assert out.schema.field("n").type == pa.int8() and out.schema.field("when").type == pa.timestamp("us")
        assert out.select(["text", "n", "when", "tags"]).to_pylist() == [
            {"text": "one", "n": 1, "when": when, "tags": ["a"]},
            {"text": "three", "n": None, "when": when, "tags": None},
        ]
        assert out["cats"].to_pylist()[0].keys() == set(LABELS)
        assert rows_of(Path(f"{output}.rejects.jsonl"))[0]["row"] == 2
    # and once more, with its own output as input
    run(tmp_path / "in.parquet.out.parquet", "again.parquet")
    names = pq.read_table(tmp_path / "again.parquet").schema.names
    assert names == ["text", "n", "when", "tags", "input_labels", "input_cats", "labels", "cats"]


def test_parquet_from_rows_of_many_kinds(run: Callable[..., Any], tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    rows = [
        {"text": "a", "x": 1, "y": 1, "z": [1], "w": True, "u": {}},
        {"text": "b", "x": 1.5, "y": "s", "v": ["t"], "u": [{"i": 2**70}]},
    ]
    run(write_rows(tmp_path / "in.jsonl", *rows), "out.parquet", chunk_size=1)
    found = pq.read_table(tmp_path / "out.parquet").drop(["labels", "cats"]).to_pylist()
    assert found == [
        {"text": "a", "x": 1.0, "y": "1", "z": [1], "w": True, "u": "{}", "v": None},
        {"text": "b", "x": 1.5, "y": "s", "z": None, "w": None, "u": f'[{{"i": "{2**70}"}}]', "v": ["t"]},
    ]


def test_parquet_of_documents_whose_keys_differ(run: Callable[..., Any], tmp_path: Path) -> None:
    """Documents may bring labels of their own, and a component may write no score at all."""
    pq = pytest.importorskip("pyarrow.parquet")
    docs = [NLP("one"), NLP("two")]
    docs[1]._.zero_shot_labels = ["a", "b"]
    DocBin(store_user_data=True, docs=docs).to_disk(tmp_path / "in.spacy")
    run(tmp_path / "in.spacy", "out.parquet", chunk_size=1)
    found = pq.read_table(tmp_path / "out.parquet")["cats"].to_pylist()
    assert [{key for key, score in cats.items() if score is not None} for cats in found] == [set(LABELS), {"a", "b"}]
    code = tmp_path / "silent.py"
    code.write_text(
        "from spacy.language import Language\n"
        "@Language.component('silent', assigns=['doc.cats'])\ndef silent(doc):\n    return doc\n"
    )
    import_code(code)
    nlp = spacy.blank("en")
    nlp.add_pipe("silent")
    nlp.to_disk(tmp_path / "silent")
    run(tmp_path / "in.spacy", "none.parquet", pipeline=str(tmp_path / "silent"), model=None, labels=(), code=code)
    assert pq.read_table(tmp_path / "none.parquet").select(["text", "cats"]).to_pylist() == [
        {"text": "one", "cats": None},
        {"text": "two", "cats": None},
    ]


def test_merged_docbin_is_what_docbin_would_write() -> None:
    whole = DocBin(store_user_data=True)
    parts = []
    for part in range(3):
        packed = DocBin(store_user_data=True)
        for i in range(20 * part):
            doc = NLP(f"Text {i} of part {part}, Grüße!")
            doc.cats = {"a": i / 7, "b": 0.0}
            doc.spans["x"] = [doc[0:2]]
            doc.user_data["meta"] = {"i": i}
            packed.add(doc)
        parts.append(Entry(part, "", 0, 0, [], packed.to_bytes()))
        whole.merge(packed)
    file = io.BytesIO()
    SpacyOutput(Columns("labels", "cats")).merge(lambda: iter(parts), file)
    merged = DocBin(store_user_data=True).from_bytes(file.getvalue())
    assert len(merged) == 60 and merged.to_bytes() == whole.to_bytes()


def test_docbin_limit() -> None:
    from spacy_zeroshot.annotation_output import _pieces

    with pytest.raises(ZeroShotError, match="Z093"):
        list(_pieces({"tokens": b""}, {"tokens": 2**32}, lambda: []))


# Bad rows


def test_broken_rows_are_rejected_with_their_lines(run: Callable[..., Any], tmp_path: Path) -> None:
    lines = [json.dumps({"text": text}) for text in texts_of(20)]
    lines[4], lines[17] = "{broken", '{"text": null}'
    told = Told()
    assert run(write_rows(tmp_path / "in.jsonl", *lines), watch=told) == (18, 2, 0)
    rejects = rows_of(tmp_path / "out.jsonl.rejects.jsonl")
    assert [(row["line"], row["content"]) for row in rejects] == [(5, "{broken"), (18, '{"text": null}')]
    assert [reject["line"] for _, _, rejected in told for reject in rejected] == [5, 18]
    expected = [text for i, text in enumerate(texts_of(20)) if i not in (4, 17)]
    assert [row["text"] for row in rows_of(tmp_path / "out.jsonl")] == expected


def test_a_text_that_a_component_fails_on_is_rejected_alone(
    run: Callable[..., Any], corpus: Path, tmp_path: Path
) -> None:
    code = tmp_path / "failing.py"
    code.write_text(
        "from spacy.language import Language\n"
        "@Language.component('failing', assigns=['doc.cats'])\ndef failing(doc):\n"
        "    if doc.text.endswith(' 4'):\n        raise ValueError('no')\n"
        "    doc.cats = {'a': 1.0}\n    return doc\n"
    )
    import_code(code)
    nlp = spacy.blank("en")
    nlp.add_pipe("failing")
    nlp.to_disk(tmp_path / "failing")
    settings = {"pipeline": str(tmp_path / "failing"), "model": None, "labels": (), "code": code}
    assert run(corpus, **settings) == (29, 1, 0)
    (reject,) = rows_of(tmp_path / "out.jsonl.rejects.jsonl")
    assert reject["line"] == 5 and reject["error"] == "failing: no"


def test_a_text_beyond_the_pipelines_limit_is_rejected_alone(
    run: Callable[..., Any], textcat: Any, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "in.jsonl", {"text": "short"}, {"text": "x" * 1_000_001}, {"text": "short again"})
    assert run(path, **textcat) == (2, 1, 0)
    (reject,) = rows_of(tmp_path / "out.jsonl.rejects.jsonl")
    assert reject["line"] == 2 and "nlp.max_length is 1000000" in reject["error"]


@pytest.mark.parametrize("name", ["in.jsonl", "in.csv", "in.parquet"])
def test_a_mistyped_field_is_an_error(run: Callable[..., Any], tmp_path: Path, name: str) -> None:
    path = write_rows(tmp_path / name, '{"text": "one", "id": 1}', "{broken", '{"text": "two", "other": 1}')
    if name == "in.csv":
        path.write_text("text,id,other\none,1,1\n")
    elif name == "in.parquet":
        pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
        pq.write_table(pa.table({"text": ["one"], "id": [1], "other": [1]}), path)
    with pytest.raises(ZeroShotError, match=r"Z088.*'body': its fields are \['text', 'id', 'other'\].*--text-field"):
        run(path, text_field="body")
    assert not leftovers(tmp_path / "out.jsonl") and not (tmp_path / "out.jsonl").exists()


def test_a_file_of_which_nothing_can_be_used_is_an_error(run: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ZeroShotError, match=r"Z094.*none of the 2 rows.*not JSON"):
        run(write_rows(tmp_path / "in.jsonl", "{broken", "[1]"))
    assert leftovers(tmp_path / "out.jsonl") == {"out.jsonl.rejects.jsonl"}
    assert not (tmp_path / "out.jsonl").exists()


def test_a_checkpoint_that_is_not_there_is_one_error(
    run: Callable[..., Any], corpus: Path, nli_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(nli_folder, tmp_path / "broken"))
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ZeroShotError, match="Z02"):
        run(corpus, model=str(folder))
    assert not (tmp_path / "out.jsonl.rejects.jsonl").exists()


# Pipelines


def test_a_pipeline_with_other_components_and_a_textcat(run: Callable[..., Any], tmp_path: Path, corpus: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    several: Any = nlp.add_pipe("textcat_multilabel", config={"threshold": 0.0})
    for label in ("x", "y"):
        several.add_label(label)
    nlp.initialize()
    nlp.to_disk(tmp_path / "pipeline")
    run(corpus, pipeline=str(tmp_path / "pipeline"), model=None, labels=())
    assert all(sorted(row["labels"]) == ["x", "y"] for row in rows_of(tmp_path / "out.jsonl"))


def test_two_components_decide_each_by_its_own_settings(
    run: Callable[..., Any], corpus: Path, nli_folder: Path, tmp_path: Path
) -> None:
    nlp = spacy.blank("en")
    model = {"name": str(nli_folder)}
    for prefix, several in (("x:", False), ("y:", True)):
        config = {"labels": ["a", "b"], "key_prefix": prefix, "multi_label": several, "threshold": None, "model": model}
        nlp.add_pipe("zero_shot_textcat", name=prefix, config=config)
    nlp.to_disk(tmp_path / "pipeline")
    run(corpus, pipeline=str(tmp_path / "pipeline"), model=None, labels=())
    for row in rows_of(tmp_path / "out.jsonl"):
        cats = row["cats"]
        best = [max(("x:a", "x:b"), key=cats.get)] if row["text"] else []
        assert set(row["labels"]) == {*best, *(key for key in ("y:a", "y:b") if cats[key] >= 0.5)}
    with pytest.raises(ZeroShotError, match="Z062"):
        run(corpus, "o.jsonl", pipeline=str(tmp_path / "pipeline"), model=None, component="z")


def test_labels_for_a_pipeline_that_takes_none(run: Callable[..., Any], tmp_path: Path, corpus: Path) -> None:
    spacy.blank("en").to_disk(tmp_path / "pipeline")
    for labels in ((), ("a", "b")):
        with pytest.raises(ZeroShotError, match="Z062"):
            run(corpus, pipeline=str(tmp_path / "pipeline"), model=None, labels=labels)


# What is in the way


def test_an_output_that_is_there_already(run: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("precious")
    with pytest.raises(ZeroShotError, match="Z082"):
        run(corpus)
    assert (tmp_path / "out.jsonl").read_text() == "precious"
    assert run(corpus, overwrite=True).written == 30
    with pytest.raises(ZeroShotError, match="Z082"):
        run(corpus, corpus.name, overwrite=True)


def test_other_labels_are_another_result(run: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    run(corpus)
    with pytest.raises(ZeroShotError, match="Z082"):
        run(corpus, labels=("art", "war"))
    run(corpus, labels=("art", "war"), overwrite=True)
    assert all(list(row["cats"]) == ["art", "war"] for row in rows_of(tmp_path / "out.jsonl"))


def test_a_finished_command_has_nothing_to_do(run: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    run(corpus)
    before = output.stat().st_mtime_ns
    told = Told()
    assert run(corpus, watch=told).written == 30
    assert output.stat().st_mtime_ns == before and not told
    output.write_text("edited")
    with pytest.raises(ZeroShotError, match="Z082"):
        run(corpus)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a Unix")
def test_a_full_disk_loses_nothing_that_is_finished(textcat: dict[str, Any], corpus: Path, tmp_path: Path) -> None:
    """A limit on file sizes is the full disk that a test can have."""
    output = tmp_path / "out.jsonl"
    code = (
        "import resource; from spacy_zeroshot.annotation import annotate;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY));"
        f"annotate({str(corpus)!r}, {str(output)!r}, {textcat['pipeline']!r}, chunk_size=8)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Z083" in done.stderr and "make room" in done.stderr, done.stderr
    assert not output.exists() and not list(tmp_path.glob(".*.tmp"))
    assert annotate(corpus, output, textcat["pipeline"], chunk_size=8).resumed >= 8
    assert len(rows_of(output)) == 30


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device(tmp_path: Path) -> None:
    with pytest.raises(ZeroShotError, match=r"Z083.*No space left"), annotation_journal.disk_errors(tmp_path):  # noqa: SIM117
        with open("/dev/full", "wb") as file:
            file.write(b"x" * 100_000)


def test_a_folder_that_is_a_file(run: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ZeroShotError, match="Z083"):
        run(corpus, "file/out.jsonl")


def test_wrong_settings(run: Callable[..., Any], corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("out.txt", "out.csv", "out.parquet.gz", "out.spacy.gz", "out"):
        with pytest.raises(ZeroShotError, match="Z084"):
            run(corpus, name)
    with pytest.raises(ZeroShotError, match="Z060"):
        run(corpus, cats_field="labels")
    with pytest.raises(ZeroShotError, match="Z080"):
        run(tmp_path / "none.jsonl")
    with pytest.raises(ZeroShotError, match="Z043"):
        run(write_rows(tmp_path / "empty.jsonl", "", ""))
    with pytest.raises(ZeroShotError, match=r"Z089.*out\.jsonl"):
        # another run of the same command while the first is at work
        run(corpus, watch=lambda *told: run(corpus))
    with pytest.raises(ZeroShotError, match=r"Z089.*out\.jsonl"):
        # nor does one with other settings replace its journal
        run(corpus, watch=lambda *told: run(corpus, threshold=0.9, overwrite=True))
    assert run(corpus) == (30, 0, 0)
    (tmp_path / "out.jsonl").unlink()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ZeroShotError, match=r"Z085.*pip install 'spacy-zeroshot\[parquet\]'"):
        run(corpus, "out.parquet")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ZeroShotError, match=r"Z085.*pip install 'spacy-zeroshot\[ray\]'"):
        run(corpus, engine="ray")


# Chunks and the journal


@given(
    st.lists(st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=20), min_size=1),
    st.integers(1, 7),
)
def test_cuts_hold_every_row_once_and_in_order(lines: list[str], size: int) -> None:

    with tempfile.TemporaryDirectory() as folder:
        path = write_rows(Path(folder) / "a.txt", *lines)
        chunks = list(cut(DataFile(path), size))
    assert [row.content for chunk in chunks for row in chunk.rows] == lines
    assert [chunk.number for chunk in chunks] == list(range(len(chunks))) and chunks[-1].stop == 1.0
    assert all(len(chunk.rows) == size for chunk in chunks[:-1])


def test_chunks_of_long_texts_end_early(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.txt", *["x" * 3_000_000] * 4)
    assert [len(chunk.rows) for chunk in cut(DataFile(path), 1000)] == [3, 1]


def test_digests_tell_rows_apart() -> None:
    def digest(*contents: str) -> str:
        return digest_of([RawRow(i, text, text.encode()) for i, text in enumerate(contents)])

    assert digest("ab", "c") != digest("a", "bc")


@given(st.lists(st.binary(max_size=30), max_size=5), st.data())
def test_a_journal_cut_anywhere_keeps_its_complete_entries(datas: list[bytes], data: Any) -> None:
    rejects = [{"line": 1, "error": "ë"}]
    entries = [Entry(i, str(i), i, i, rejects, content) for i, content in enumerate(datas)]
    assert [Entry.read(io.BytesIO(entry.to_bytes())) for entry in entries] == entries
    order = data.draw(st.permutations(entries))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        journal = Journal(path, Path("in.txt"))
        with journal.opened({"a": 1}) as append:
            start = path.stat().st_size
            for entry in order:
                append(entry)
        assert list(journal.entries()) == entries
        size = data.draw(st.integers(start, path.stat().st_size))
        os.truncate(path, size)
        again = Journal(path, Path("in.txt"))
        with again.opened({"a": 1}) as append:
            kept = list(again.entries())
            # in whatever order they were done, they come in that of their chunks
            assert kept == sorted(order[: len(kept)])
            assert sum(len(entry.to_bytes()) for entry in kept) <= size - start
            for entry in order[len(kept) :]:
                append(entry)
        assert list(again.entries()) == entries and again.head() == {"a": 1}


# Killed and resumed


def die_at(steps: int, before: bool, call: Callable[[], Any]) -> bool:
    """Run in a child that ends without a word before or after it has seen its nth file to the disk."""
    child = os.fork()
    if child == 0:
        real, done = os.fsync, 0

        def fsync(handle: int) -> None:
            nonlocal done
            done += 1
            if done == steps and before:
                os.kill(os.getpid(), signal.SIGKILL)
            real(handle)
            if done == steps:
                os.kill(os.getpid(), signal.SIGKILL)

        os.fsync = fsync
        call()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a Unix")
@pytest.mark.parametrize("form", ["jsonl", "spacy", "parquet"])
def test_killed_at_every_step(textcat: dict[str, Any], corpus: Path, tmp_path: Path, form: str) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    lines = corpus.read_text().splitlines()
    lines[11] = "{broken"
    corpus.write_text("\n".join(lines))
    name = f"out.{form}"

    def call(folder: str) -> Any:
        return annotate(corpus, tmp_path / folder / name, textcat["pipeline"], chunk_size=8)

    call("whole")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert set(whole) == {name, f"{name}.rejects.jsonl", f"{name}.journal"}
    # the journal's first line, four chunks, the rejects, the output and the last line
    steps = 1 + 4 + 3
    for step in range(1, steps + 1):
        folder = str(step)
        # in turn: before it is on the disk, and after
        assert die_at(step, step % 2 == 0, lambda folder=folder: call(folder))
        summary = call(folder)
        assert (summary.written, summary.rejected) == (29, 1)
        found = {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
        assert found[name] == whole[name] and found.keys() == whole.keys()
        assert found[f"{name}.rejects.jsonl"] == whole[f"{name}.rejects.jsonl"]
    assert not die_at(steps + 1, True, lambda: call("once"))


def command(source: Path, output: Path, nli_folder: Path, *options: str) -> list[str]:
    given = ["--model", str(nli_folder), "--labels", ",".join(LABELS), "--chunk-size", "2", "--batch-size", "2"]
    return [sys.executable, "-m", "spacy", "zeroshot", "annotate", str(source), str(output), *given, *options]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a Unix")
@pytest.mark.parametrize("n_process", [1, 2])
def test_killed_at_random(
    run: Callable[..., Any], nli_folder: Path, corpus: Path, tmp_path: Path, n_process: int
) -> None:
    run(corpus, "whole.spacy", chunk_size=2, batch_size=2)
    output = tmp_path / "out.spacy"
    call = command(corpus, output, nli_folder, "--n-process", str(n_process))
    chance = random.Random(n_process)
    journal = tmp_path / "out.spacy.journal"

    def finished() -> int:
        return journal.read_bytes().count(b'{"chunk": ') if journal.exists() else 0

    # several processes take long to start, so they are killed once
    for goal in (2, 9)[: 3 - n_process]:
        process = subprocess.Popen(call, stderr=subprocess.DEVNULL)
        while process.poll() is None and finished() < goal:
            time.sleep(0.005)
        time.sleep(chance.random() * 0.05)
        process.kill()
        process.wait()
    assert output.exists() or finished()
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "30 texts labelled" in done.stderr
    assert output.read_bytes() == (tmp_path / "whole.spacy").read_bytes()


def running(group: int) -> list[str]:
    """Processes of a group that have not ended. One that nobody has waited for is a zombie."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize("n_process", [1, 2])
def test_an_interrupt_ends_it_within_two_seconds(nli_folder: Path, tmp_path: Path, n_process: int) -> None:
    source = write_rows(tmp_path / "in.txt", *(f"{text} {i}" for i in range(400) for text in texts_of(30)))
    output = tmp_path / "out.jsonl"
    call = command(source, output, nli_folder, "--n-process", str(n_process))
    process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True, start_new_session=True)
    journal = tmp_path / "out.jsonl.journal"
    while process.poll() is None and not (journal.exists() and journal.stat().st_size > 3000):
        time.sleep(0.05)
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - start < 2.5
    assert process.returncode == 130 and errors.splitlines()[-1] == "interrupted" and "Traceback" not in errors
    # nothing goes on
    size = journal.stat().st_size
    time.sleep(1.0)
    assert journal.stat().st_size == size
    assert not running(process.pid)


@pytest.mark.slow
def test_two_processes_give_the_same_bytes(run: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    run(corpus, "one.jsonl")
    told = Told()
    assert run(corpus, "two.jsonl", n_process=2, watch=told) == (30, 0, 0)
    assert [done for done, _, _ in told] == [8, 16, 24, 30]
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


class Stop(Exception):
    """Ends a run in the middle."""


@pytest.fixture
def half_done(textcat: dict[str, Any], corpus: Path, tmp_path: Path) -> Callable[..., Any]:
    """A run of which the last chunks are missing; calling it goes on, with other settings if some are given."""

    def call(**settings: Any) -> Summary:
        given = {"pipeline": textcat["pipeline"], "chunk_size": 8, **settings}
        return annotate(corpus, tmp_path / "out.jsonl", **given)

    def stop(done: int, fraction: float, rejects: Sequence[Any]) -> None:
        if done > 16:
            raise Stop

    with pytest.raises(Stop):
        call(watch=stop)
    return call


def test_what_is_done_is_not_done_again(half_done: Callable[..., Any], tmp_path: Path) -> None:
    told = Told()
    assert half_done(watch=told) == (30, 0, 16)
    assert told[0][0] == 17 and told[0][1] > 0.5 and len(rows_of(tmp_path / "out.jsonl")) == 30


def test_changed_settings(half_done: Callable[..., Any]) -> None:
    with pytest.raises(ZeroShotError, match=r"Z081.*text_field was 'text', is 'id'.*threshold was None, is 0.9"):
        half_done(threshold=0.9, text_field="id")
    assert half_done(threshold=0.9, overwrite=True) == (30, 0, 0)


def test_changed_weights(half_done: Callable[..., Any], textcat: dict[str, Any], tmp_path: Path) -> None:
    other = Path(shutil.copytree(textcat["pipeline"], tmp_path / "other"))
    with pytest.raises(ZeroShotError, match=r"Z081.*pipeline was"):
        half_done(pipeline=str(other))
    meta = other / "meta.json"
    meta.write_text(meta.read_text() + " ")
    with pytest.raises(ZeroShotError, match=r"Z081.*weights was"):
        half_done(pipeline=str(other))


def test_changed_input(half_done: Callable[..., Any], corpus: Path) -> None:
    content = corpus.read_bytes()
    corpus.write_bytes(content + b'{"text": "one more"}\n')
    with pytest.raises(ZeroShotError, match=r"Z086.*bytes"):
        half_done()
    corpus.write_bytes(content)
    assert half_done().resumed == 16


def test_input_changed_in_the_middle(
    half_done: Callable[..., Any], corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that a look at both ends of the file does not show."""
    known = annotation_journal.fingerprint(corpus)
    content = corpus.read_bytes()
    corpus.write_bytes(content.replace(b'"id": 9', b'"id": 8'))
    monkeypatch.setattr(annotation, "fingerprint", lambda path: known)
    with pytest.raises(ZeroShotError, match=r"Z086.*rows 9 to 16 are not what they were"):
        half_done()


@pytest.mark.slow
def test_a_worker_that_dies(textcat: dict[str, Any], corpus: Path, tmp_path: Path) -> None:
    """A pipeline that kills its process stands for a worker that runs out of memory."""
    code = tmp_path / "deadly_pipe.py"
    code.write_text(
        "import os, multiprocessing\nfrom spacy.language import Language\n"
        "@Language.component('deadly', assigns=['doc.cats'])\ndef deadly(doc):\n"
        "    if multiprocessing.parent_process() is not None:\n        os.kill(os.getpid(), 9)\n    return doc\n"
    )
    script = tmp_path / "main.py"
    folder = str(tmp_path / "deadly")
    script.write_text(
        "import spacy, deadly_pipe\nfrom spacy_zeroshot.annotation import annotate\n"
        "if __name__ == '__main__':\n"
        f"    nlp = spacy.load({textcat['pipeline']!r}); nlp.add_pipe('deadly'); nlp.to_disk({folder!r})\n"
        f"    annotate({str(corpus)!r}, {str(tmp_path / 'o.jsonl')!r}, {folder!r}, code={str(code)!r}, n_process=2)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert "Z087" in done.stderr, done.stderr


# Ray


@pytest.fixture(scope="module")
def cluster() -> Any:
    """Ray on this machine, small."""
    ray = pytest.importorskip("ray", reason="the extra spacy-zeroshot[ray] is not installed")
    pytest.importorskip("ray.data", reason="the extra spacy-zeroshot[ray] is not installed")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(num_cpus=2, object_store_memory=200_000_000, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_gives_the_same_bytes(
    cluster: Any, run: Callable[..., Any], corpus: Path, tmp_path: Path, workers: int
) -> None:
    lines = corpus.read_text().splitlines()
    lines[11] = "{broken"
    corpus.write_text("\n".join(lines))
    run(corpus, "here.spacy", chunk_size=2)
    told = Told()
    assert run(corpus, "there.spacy", chunk_size=2, engine="ray", n_process=workers, watch=told) == (29, 1, 0)
    assert (tmp_path / "here.spacy").read_bytes() == (tmp_path / "there.spacy").read_bytes()
    assert [reject["line"] for _, _, rejects in told for reject in rejects] == [12]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz", "in.parquet", "in.spacy"])
def test_ray_reads_every_format(cluster: Any, run: Callable[..., Any], tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    if "csv" in name:
        data = "\n".join(["id,text", *(f'{i},"{text}"' for i, text in enumerate(texts_of(12)))]).encode("utf-8-sig")
        source.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    elif name == "in.parquet":
        pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
        pq.write_table(pa.table({"text": texts_of(12)}), source)
    else:
        DocBin(docs=[NLP(text) for text in texts_of(12)]).to_disk(source)
    run(source, "here.jsonl", chunk_size=3)
    assert run(source, "there.jsonl", chunk_size=3, engine="ray") == (12, 0, 0)
    assert (tmp_path / "here.jsonl").read_bytes() == (tmp_path / "there.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_killed_ray_worker_loses_nothing(cluster: Any, run: Callable[..., Any], corpus: Path, tmp_path: Path) -> None:
    """A component that kills its process once, in the middle."""
    mark, code = tmp_path / "killed", tmp_path / "deadly_once.py"
    code.write_text(
        "import os, pathlib\nfrom spacy.language import Language\n"
        "@Language.component('deadly_once', assigns=['doc.cats'])\ndef deadly(doc):\n"
        f"    mark = pathlib.Path({str(mark)!r})\n"
        "    if doc.text.endswith(' 17') and not mark.exists():\n"
        "        mark.touch()\n        os.kill(os.getpid(), 9)\n"
        "    doc.cats = {'a': len(doc) / 100}\n    return doc\n"
    )
    import_code(code)
    nlp = spacy.blank("en")
    nlp.add_pipe("deadly_once")
    nlp.to_disk(tmp_path / "deadly")
    settings = {"pipeline": str(tmp_path / "deadly"), "model": None, "labels": (), "code": code, "chunk_size": 1}
    mark.touch()
    run(corpus, "here.jsonl", **settings)
    mark.unlink()
    assert run(corpus, "there.jsonl", engine="ray", n_process=2, **settings) == (30, 0, 0)
    assert mark.exists() and (tmp_path / "here.jsonl").read_bytes() == (tmp_path / "there.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_workers_that_fail(
    cluster: Any, run: Callable[..., Any], corpus: Path, nli_folder: Path, tmp_path: Path
) -> None:
    """Weights that are damaged when the workers want them; the parts that are done stay for the next run."""
    folder = Path(shutil.copytree(nli_folder, tmp_path / "broken"))
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(b"damaged")
    with pytest.raises(ZeroShotError, match=r"Z090.*run the same command again"):
        run(corpus, engine="ray", model=str(folder))
    weights.write_bytes(whole)
    with pytest.raises(ZeroShotError, match=r"Z081.*weights"):
        run(corpus, engine="ray", model=str(folder))
    assert run(corpus, engine="ray", model=str(folder), overwrite=True).written == 30
