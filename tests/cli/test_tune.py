"""python -m spacy zeroshot tune and calibrate."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import spacy

from ..util import LABELS, SENTENCES, make_nlp, run_cli

ROWS = [{"text": f"{text} {i}", "labels": [LABELS[i % 3]]} for i in range(4) for text in SENTENCES[:4]]


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    return write(tmp_path / "dev.jsonl", ROWS)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, nli_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    make_nlp(nli_folder).to_disk(folder)
    return folder


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_tune_writes_a_pipeline_and_a_report(pipeline: Path, dev: Path) -> None:
    output = dev.with_name("tuned")
    result = run_cli("tune", pipeline, dev, "-o", output, "-t", "It is {}.", "--objective", "accuracy")
    assert result.exit_code == 0, result.stderr
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in result.stdout.splitlines()[:5]]
    assert table[0] == ["", "macro-F1", "micro-F1", "accuracy"]
    assert [row[0] for row in table[2:]] == ["before", "tuned, fitted", "tuned, held out"]
    assert float(table[3][3]) >= float(table[2][3])
    # the held-out figure is known of the objective only
    assert table[4][1] == table[4][2] == "" and 0 <= float(table[4][3]) <= 1
    assert (
        result.stderr.splitlines()[-1]
        == f"{output}: written. Next: python -m spacy zeroshot evaluate {output} TEST_FILE"
    )
    nlp = spacy.load(output)
    assert nlp.config["components"]["zero_shot_textcat"]["temperature"] == nlp.get_pipe("zero_shot_textcat").temperature
    assert set(nlp("A man plays.").cats) == set(LABELS)
    assert "Tuning report" in (output / "report.html").read_text(encoding="utf8")
    # a folder that is there is not replaced unless it is said
    again = run_cli("tune", pipeline, dev, "-o", output)
    assert again.exit_code == 1 and "Z092" in again.stderr and len(again.stderr.splitlines()) == 1
    assert run_cli("tune", pipeline, dev, "-o", output, "-t", "{}.", "--overwrite", "--no-report").exit_code == 0
    assert not (output / "report.html").exists()


def test_tune_without_matplotlib(pipeline: Path, dev: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run_cli("tune", pipeline, dev, "-o", dev.with_name("tuned"), "-t", "{}.")
    assert result.exit_code == 0, result.stderr
    assert (dev.with_name("tuned") / "report.html").exists()
    assert "<svg" in (dev.with_name("tuned") / "report.html").read_text(encoding="utf8")


def test_other_labels_come_back_with_their_thresholds(nli_folder: Path, dev: Path) -> None:
    """labels, thresholds and mode that were set at run time are those of the pipeline that is loaded."""
    make_nlp(nli_folder, labels=["x", "y"], multi_label=True).to_disk(dev.with_name("pipeline"))
    rows = [
        {"text": f"{text} {i}", "labels": LABELS[: (i + j) % 4]}
        for i in range(6)
        for j, text in enumerate(SENTENCES[:4])
    ]
    output = dev.with_name("tuned")
    arguments = [dev.with_name("pipeline"), write(dev, rows), "--output", output, "--no-report", "-t", "{}."]
    result = run_cli("tune", *arguments, "--labels", ",".join(LABELS))
    assert result.exit_code == 0, result.stderr
    pipe = spacy.load(output).get_pipe("zero_shot_textcat")
    assert pipe.labels == tuple(LABELS) and pipe.multi_label
    assert set(pipe.label_thresholds) <= set(LABELS)


def test_a_checkpoint_takes_its_labels_from_the_file(nli_folder: Path, tmp_path: Path) -> None:
    dev = write(tmp_path / "dev.jsonl", [*ROWS, {"text": "Nothing.", "labels": ["none"]}])
    options = ["-t", "{}.", "--none-label", "none", "--multi-label", "--no-report"]
    result = run_cli("tune", nli_folder, dev, "-o", tmp_path / "tuned", *options)
    assert result.exit_code == 0, result.stderr
    pipe = spacy.load(tmp_path / "tuned").get_pipe("zero_shot_textcat")
    assert set(pipe.labels) == set(LABELS) and pipe.multi_label and pipe.none_label == "none"


def test_other_formats_and_fields(pipeline: Path, tmp_path: Path) -> None:
    path = tmp_path / "dev.csv"
    path.write_text("title,topic\n" + "".join(f'"{row["text"]}",{row["labels"][0]}\n' for row in ROWS))
    options = ["--text-field", "title", "--label-field", "topic", "--no-report", "-t", "{}."]
    assert run_cli("tune", pipeline, path, "-o", tmp_path / "tuned", *options).exit_code == 0
    result = run_cli("calibrate", pipeline, path, "-o", tmp_path / "calibrated", *options[:4], "--labelled", path)
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([{"text": "A text.", "labels": ["art"]}], "Z201"),
        (ROWS[:1] * 3, "Z202"),
        ([{"text": " ", "labels": ["sport"]}], "Z200"),
        ([], "Z043"),
        ([{"text": "A text."}], "Z088"),
        ([*ROWS, {"text": "A text."}], "Z042"),
    ],
)
def test_tune_refuses(pipeline: Path, tmp_path: Path, rows: list, code: str) -> None:
    dev = write(tmp_path / "dev.jsonl", rows)
    result = run_cli("tune", pipeline, dev, "--output", tmp_path / "tuned", "--no-report")
    assert result.exit_code == 1
    assert f"error: [{code}] tune: " in result.stderr and len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["dev.jsonl"]


@pytest.mark.parametrize("command", ["tune", "calibrate"])
def test_help_has_an_example_and_defaults(command: str) -> None:
    result = run_cli(command, "--help")
    assert result.exit_code == 0 and f"Example: python -m spacy zeroshot {command}" in " ".join(result.stdout.split())
    assert "[default: " in result.stdout
