"""Corpora in every format: what comes in comes out, with labels and scores."""

import csv
import datetime
import gzip
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin, Span

from spacy_zeroshot.corpora.annotate import annotate
from spacy_zeroshot.corpora.docbins import merge_docbins
from spacy_zeroshot.corpora.files import write_complete
from spacy_zeroshot.corpora.job import Job
from spacy_zeroshot.corpora.pipelines import PipelineSpec
from spacy_zeroshot.corpora.scoring import ShardScorer
from spacy_zeroshot.corpora.shards import RunFolder, only_run
from spacy_zeroshot.errors import ZeroShotError

from .conftest import LABELS, rows_of, texts_of


def leftovers(job):
    """What a finished job leaves beside its output."""
    names = {path.name for path in job.output.parent.iterdir() if path.name.lstrip(".").startswith(job.output.name)}
    return names - {job.output.name, job.receipt.name}


def scores_of(spec, texts):
    nlp = spec.open()
    return [doc.cats for doc in nlp.pipe(texts, batch_size=4)]


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz"])
def test_jsonl_to_jsonl(make_job, corpus, spec, name):
    job = make_job(corpus, name)
    steps = []
    summary = annotate(job, watch=steps.append)
    assert summary == (30, 0, 0)
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
    assert steps[-1].fraction == 1.0
    rows = rows_of(job.output)
    assert [(row["id"], row["text"]) for row in rows] == list(enumerate(texts_of(30)))
    for row, cats in zip(rows, scores_of(spec, texts_of(30))):
        assert row["cats"] == pytest.approx(cats, abs=1e-5)
        assert row["labels"] == [max(row["cats"], key=row["cats"].get)]
    assert not leftovers(job)


def test_spacy_train_reads_the_jsonl(make_job, corpus):
    from spacy_zeroshot.learning.readers import JsonlTextcat

    job = make_job(corpus)
    annotate(job)
    examples = list(JsonlTextcat(job.output)(spacy.blank("en")))
    chosen = [row["labels"] for row in rows_of(job.output)]
    assert [[key for key, value in eg.reference.cats.items() if value] for eg in examples] == chosen


def test_text_lines_with_thresholds(spec, tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress("\n".join(texts_of(9)).encode()))
    job = Job(path, tmp_path / "out.jsonl", spec._replace(multi_label=True), threshold=0.3)
    annotate(job)
    rows = rows_of(job.output)
    assert [row["text"] for row in rows] == texts_of(9)
    assert rows[3]["cats"] == dict.fromkeys(LABELS, 0.0) and rows[3]["labels"] == []
    for row in rows:
        assert set(row["labels"]) == {label for label, score in row["cats"].items() if score >= 0.3}


def test_field_names_and_fields_in_the_way(make_job, tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file_:
        csv.writer(file_).writerows([["labels", "body", "when"], ["gold", "a text", "now"]])
    job = make_job(path, text_field="body", cats_field="scores")
    annotate(job)
    (row,) = rows_of(job.output)
    assert row["input_labels"] == "gold" and row["body"] == row["text"] == "a text" and row["when"] == "now"
    assert set(row["scores"]) == set(LABELS) and len(row["labels"]) == 1


def test_docbin_out(make_job, corpus):
    scores = make_job(corpus, "scores.spacy")
    decided = make_job(corpus, "decided.spacy", decided=True)
    annotate(scores)
    annotate(decided)
    nlp = spacy.blank("en")
    docs = list(DocBin().from_disk(scores.output).get_docs(nlp.vocab))
    assert [(doc.user_data["meta"]["id"], doc.text) for doc in docs] == list(enumerate(texts_of(30)))
    for doc, hard in zip(docs, DocBin().from_disk(decided.output).get_docs(nlp.vocab)):
        assert list(doc.user_data["labels"]) == [max(doc.cats, key=doc.cats.get)]
        assert hard.cats == {label: float(label in doc.user_data["labels"]) for label in LABELS}
        assert hard.user_data["cats"] == doc.cats


def test_spacys_textcat_trains_on_decided_docs(make_job, corpus):
    from spacy.training import Corpus

    job = make_job(corpus, "out.spacy", decided=True)
    annotate(job)
    nlp = spacy.blank("en")
    nlp.add_pipe("textcat")
    reader = Corpus(job.output)
    nlp.initialize(lambda: reader(nlp))
    assert set(nlp.get_pipe("textcat").labels) == set(LABELS)
    assert nlp.update(list(reader(nlp)))["textcat"] > 0


def test_docbin_in_keeps_annotations(make_job, tmp_path):
    nlp = spacy.blank("en")
    doc = nlp("Berlin is big.")
    doc.ents = [Span(doc, 0, 1, label="CITY")]
    doc.cats = {"gold": 1.0}
    doc.user_data["meta"] = {"id": 7}
    DocBin(store_user_data=True, docs=[doc]).to_disk(tmp_path / "in.spacy")
    to_spacy, to_jsonl = (make_job(tmp_path / "in.spacy", name) for name in ("out.spacy", "out.jsonl"))
    annotate(to_spacy)
    annotate(to_jsonl)
    (again,) = DocBin().from_disk(to_spacy.output).get_docs(nlp.vocab)
    assert [(ent.text, ent.label_) for ent in again.ents] == [("Berlin", "CITY")]
    assert set(again.cats) == set(LABELS) and again.user_data["meta"] == {"id": 7, "cats": {"gold": 1.0}}
    (row,) = rows_of(to_jsonl.output)
    assert row["text"] == "Berlin is big." and row["id"] == 7 and row["input_cats"] == {"gold": 1.0}
    assert row["ents"] == [{"start": 0, "end": 6, "label": "CITY"}] and set(row["cats"]) == set(LABELS)


def test_parquet_in_and_out_keeps_types(make_job, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    when = datetime.datetime(2020, 1, 2, 3, 4, 5)
    columns = {"text": ["one", None, "three"], "n": [1, 2, None], "when": [when] * 3, "tags": [["a"], [], None]}
    table = pa.table(columns, pa.schema([("text", pa.string()), ("n", pa.int8()), ("when", pa.timestamp("ns")),
                                         ("tags", pa.list_(pa.string()))]))  # fmt: skip
    pq.write_table(table, tmp_path / "in.parquet")
    (tmp_path / "zipped.parquet.gz").write_bytes(gzip.compress((tmp_path / "in.parquet").read_bytes()))
    for source in ("in.parquet", "zipped.parquet.gz"):
        job = make_job(tmp_path / source, f"{source}.out.parquet", shard_size=1)
        assert annotate(job).rejected == 1
        out = pq.read_table(job.output)
        assert out.schema.field("n").type == pa.int8() and out.schema.field("when").type == pa.timestamp("us")
        assert out.select(["text", "n", "when", "tags"]).to_pylist() == [
            {"text": "one", "n": 1, "when": when, "tags": ["a"]},
            {"text": "three", "n": None, "when": when, "tags": None},
        ]
        assert out["cats"].to_pylist()[0].keys() == set(LABELS)
        assert rows_of(job.rejects)[0]["row"] == 2


def test_parquet_from_rows_of_many_kinds(make_job, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    rows = [{"text": "a", "x": 1, "y": 1, "z": [1], "w": True}, {"text": "b", "x": 1.5, "y": "s", "v": ["t"]}]
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    job = make_job(path, "out.parquet", shard_size=1)
    annotate(job)
    found = pq.read_table(job.output).drop(["labels", "cats"]).to_pylist()
    assert found == [
        {"text": "a", "x": 1.0, "y": "1", "z": "[1]", "w": True, "v": None},
        {"text": "b", "x": 1.5, "y": "s", "z": None, "w": None, "v": ["t"]},
    ]


def test_broken_rows_are_rejected_with_their_lines(make_job, tmp_path):
    path = tmp_path / "in.jsonl"
    lines = [json.dumps({"text": text}) for text in texts_of(20)]
    lines[4], lines[17] = "{broken", '{"text": null}'
    path.write_text("\n".join(lines))
    job = make_job(path)
    assert annotate(job) == (18, 2, 0)
    rejects = rows_of(job.rejects)
    assert [(row["line"], row["content"]) for row in rejects] == [(5, "{broken"), (18, '{"text": null}')]
    assert [row["text"] for row in rows_of(job.output)] == [t for i, t in enumerate(texts_of(20)) if i not in (4, 17)]


def test_a_doc_that_a_component_fails_on_is_rejected_alone(make_job, corpus, spec):
    job = make_job(corpus)
    nlp = spec.open()
    scorer = ShardScorer(job, nlp)
    nlp.max_length = 80
    pipe = nlp.get_pipe("zero_shot_textcat")
    inner = pipe.predict

    def fail(docs):
        if any(doc.text.endswith(" 4") for doc in docs):
            raise ValueError("no")
        return inner(docs)

    pipe.predict = fail
    from spacy_zeroshot.corpora.inputs import open_input
    from spacy_zeroshot.corpora.shards import cut

    source = open_input(corpus)
    scorer.run.create({})
    info = scorer.score(next(cut(source.rows(), 8)), source.kind, source.unit, scorer.output(None))
    errors = {reject["line"]: reject["error"] for reject in info.rejects}
    long = [i + 1 for i, text in enumerate(texts_of(8)) if len(text) > 80]
    assert long and set(errors) == {5, *long}
    assert errors[5] == "zero_shot_textcat: no" and "nlp.max_length is 80" in errors[long[0]]
    assert info.written == 8 - len(errors)


def test_two_processes_give_the_same_bytes(make_job, corpus):
    one, two = make_job(corpus, "one.jsonl"), make_job(corpus, "two.jsonl")
    annotate(one)
    assert annotate(two, n_process=2) == (30, 0, 0)
    assert one.output.read_bytes() == two.output.read_bytes()


def test_merged_docbin_is_what_docbin_would_write(tmp_path):
    nlp = spacy.blank("en")
    whole = DocBin(store_user_data=True)
    paths = []
    for part in range(3):
        packed = DocBin(store_user_data=True)
        for i in range(20 * part):
            doc = nlp(f"Text {i} of part {part}, Grüße!")
            doc.cats = {"a": i / 7, "b": 0.0}
            doc.spans["x"] = [doc[0:2]]
            doc.user_data["meta"] = {"i": i}
            packed.add(doc)
        paths.append(tmp_path / f"{part}.spacy")
        packed.to_disk(paths[-1])
        whole.merge(packed)
    with (tmp_path / "all.spacy").open("wb") as file_:
        merge_docbins(paths, DocBin(store_user_data=True).to_bytes(), file_)
    merged = DocBin(store_user_data=True).from_disk(tmp_path / "all.spacy")
    assert len(merged) == 60 and merged.to_bytes() == whole.to_bytes()


def test_pipeline_with_other_components_and_a_textcat(tmp_path, corpus):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    textcat = nlp.add_pipe("textcat_multilabel", config={"threshold": 0.0})
    for label in ("x", "y"):
        textcat.add_label(label)
    nlp.initialize()
    nlp.to_disk(tmp_path / "pipeline")
    job = Job(corpus, tmp_path / "out.jsonl", PipelineSpec(pipeline=str(tmp_path / "pipeline")))
    annotate(job)
    assert all(sorted(row["labels"]) == ["x", "y"] for row in rows_of(job.output))


def test_z062_labels_for_a_pipeline_that_takes_none(tmp_path, corpus):
    spacy.blank("en").to_disk(tmp_path / "pipeline")
    for labels in ((), ("a", "b")):
        job = Job(corpus, tmp_path / "o.jsonl", PipelineSpec(pipeline=str(tmp_path / "pipeline"), labels=labels))
        with pytest.raises(ZeroShotError, match="Z062"):
            annotate(job)


def test_z082_output_is_there(make_job, corpus):
    job = make_job(corpus)
    job.output.write_text("precious")
    with pytest.raises(ZeroShotError, match="Z082"):
        annotate(job)
    assert job.output.read_text() == "precious"
    assert annotate(job, overwrite=True).written == 30
    itself = make_job(corpus, corpus.name)
    with pytest.raises(ZeroShotError, match="Z082"):
        annotate(itself, overwrite=True)


def test_a_finished_command_has_nothing_to_do(make_job, corpus):
    job = make_job(corpus)
    annotate(job)
    before = job.output.stat().st_mtime_ns
    steps = []
    assert annotate(job, watch=steps.append).written == 30
    assert job.output.stat().st_mtime_ns == before and not steps
    job.output.write_text("edited")
    with pytest.raises(ZeroShotError, match="Z082"):
        annotate(job)


def test_z083_disk_full(make_job, corpus):
    """A limit on file sizes is the full disk that a test can have."""
    job = make_job(corpus, shard_size=30)
    code = (
        "import resource, sys; from pathlib import Path;"
        "from spacy_zeroshot.corpora.annotate import annotate; from spacy_zeroshot.corpora.job import Job;"
        "from spacy_zeroshot.corpora.pipelines import PipelineSpec;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY));"
        f"annotate(Job(Path({str(corpus)!r}), Path({str(job.output)!r}), PipelineSpec(model={job.pipeline.model!r},"
        f"labels={job.pipeline.labels!r}), shard_size=30, batch_size=4))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Z083" in done.stderr and "no room left" in done.stderr, done.stderr
    assert not job.output.exists()
    assert not list(job.parts.glob("*.data")) and not list(job.parts.glob(".*.tmp"))
    assert annotate(job).written == 30


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a Unix")
def test_z083_device_full(tmp_path):
    from spacy_zeroshot.corpora.files import disk_errors

    with pytest.raises(ZeroShotError, match=r"Z083.*no room"), disk_errors(tmp_path), open("/dev/full", "wb") as file_:
        file_.write(b"x" * 100_000)


def test_z083_folder_that_is_a_file(make_job, corpus, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ZeroShotError, match="Z083"):
        annotate(make_job(corpus, "file/out.jsonl"))


def test_write_complete_leaves_the_old_file_when_it_fails(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), write_complete(path) as file_:
        file_.write(b"half")
        raise KeyError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_z085_without_pyarrow(make_job, corpus, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ZeroShotError, match=r"Z085.*pip install 'spacy-zeroshot\[parquet\]'"):
        annotate(make_job(corpus, "out.parquet"))


def test_z088_no_such_field(make_job, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,body\n1,text\n")
    with pytest.raises(ZeroShotError, match=r"Z088.*id, body"):
        annotate(make_job(path))
    assert not make_job(path).parts.exists()


def test_z089_another_run(make_job, corpus):
    job = make_job(corpus)
    with only_run(job.output), pytest.raises(ZeroShotError, match="Z089"):
        annotate(job)


def test_z093_docbin_limit(tmp_path, monkeypatch):
    from spacy_zeroshot.corpora import docbins

    with pytest.raises(ZeroShotError, match="Z093"):
        list(docbins._blob("tokens", 2**32, []))


def test_z043_no_rows(make_job, tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(ZeroShotError, match="Z043"):
        annotate(make_job(tmp_path / "empty.jsonl"))


def test_a_run_folder_of_half_written_files_is_cleaned(tmp_path):
    run = RunFolder(tmp_path / "parts")
    run.create({"a": 1})
    (run.folder / ".000001.data.77.tmp").write_bytes(b"half")
    run.clean()
    assert [path.name for path in run.folder.iterdir()] == ["manifest.json"] and run.settings() == {"a": 1}


def test_docbin_keeps_a_field_called_text_beside_the_text(make_job, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"text": "a title", "body": "the text"}))
    job = make_job(path, "out.spacy", text_field="body")
    annotate(job)
    (doc,) = DocBin().from_disk(job.output).get_docs(spacy.blank("en").vocab)
    assert doc.text == "the text" and doc.user_data["meta"] == {"text": "a title"}


def test_the_output_goes_straight_into_fine_tuning(make_job, corpus, tmp_path):
    from spacy.cli.train import train

    job = make_job(corpus)
    annotate(job)
    overrides = {
        "paths.train": str(job.output),
        "paths.dev": str(job.output),
        "components.zero_shot_textcat.model.name": job.pipeline.model,
        "training.max_steps": 2,
        "training.eval_frequency": 2,
    }
    train(Path(__file__).parents[2] / "configs" / "fine_tune.cfg", tmp_path / "tuned", overrides=overrides)
    tuned = spacy.load(tmp_path / "tuned" / "model-last")
    found = {label for row in rows_of(job.output) for label in row["labels"]}
    assert set(tuned("a text").cats) == found
