"""python -m spacy zeroshot tune and calibrate."""

import json
from pathlib import Path
from typing import Any, Callable

import pytest
import spacy

from ..tiny import SENTENCES

LABELS = ["sport", "politics", "music"]
ROWS = [{"text": f"{text} {i}", "labels": [LABELS[i % 3]]} for i in range(4) for text in SENTENCES[:4]]


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    return write(tmp_path / "dev.jsonl", ROWS)


def write(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_tune_writes_a_pipeline_and_a_report(run: Callable[..., Any], pipeline_folder: Path, dev: Path) -> None:
    pytest.importorskip("matplotlib", reason="the report needs the extra 'report'")
    output = dev.with_name("tuned")
    result = run("tune", pipeline_folder, dev, "-o", output, "-t", "It is {}.", "--objective", "accuracy")
    assert result.exit_code == 0, result.stderr
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in result.stdout.splitlines()[:5]]
    assert table[0] == ["", "macro-F1", "micro-F1", "accuracy"]
    assert [row[0] for row in table[2:]] == ["before", "tuned, fitted", "tuned, held out"]
    # the held-out figure is known of the objective only
    assert table[4][1] == table[4][2] == "" and 0 <= float(table[4][3]) <= 1
    assert "pass 1 of 2: 16 texts" in result.stderr
    nlp = spacy.load(output)
    assert nlp.config["components"]["zero_shot_textcat"]["temperature"] == nlp.get_pipe("zero_shot_textcat").temperature
    assert set(nlp("A man plays.").cats) == set(LABELS)
    assert "Tuning report" in (output / "report.html").read_text(encoding="utf8")
    # a folder that is there is not replaced unless it is said
    again = run("tune", pipeline_folder, dev, "-o", output)
    assert again.exit_code == 1 and "Z092" in again.stderr and len(again.stderr.splitlines()) == 1
    assert run("tune", pipeline_folder, dev, "-o", output, "-t", "{}.", "--overwrite", "--no-report").exit_code == 0
    assert not (output / "report.html").exists()


def test_a_checkpoint_takes_its_labels_from_the_file(run: Callable[..., Any], nli_folder: Path, tmp_path: Path) -> None:
    dev = write(tmp_path / "dev.jsonl", [*ROWS, {"text": "Nothing.", "labels": ["none"]}])
    options = ["-t", "{}.", "--none-label", "none", "--multi-label", "--no-report"]
    result = run("tune", nli_folder, dev, "-o", tmp_path / "tuned", *options)
    assert result.exit_code == 0, result.stderr
    pipe = spacy.load(tmp_path / "tuned").get_pipe("zero_shot_textcat")
    assert set(pipe.labels) == set(LABELS) and pipe.multi_label


@pytest.mark.parametrize(
    "rows,code",
    [
        ([{"text": "A text.", "labels": ["art"]}], "Z201"),
        (ROWS[:1] * 3, "Z202"),
        ([{"text": " ", "labels": ["sport"]}], "Z200"),
        ([], "Z043"),
        ([{"text": "A text."}], "Z042"),
    ],
)
def test_tune_refuses(run: Callable[..., Any], pipeline_folder: Path, tmp_path: Path, rows: list, code: str) -> None:
    dev = write(tmp_path / "dev.jsonl", rows)
    result = run("tune", pipeline_folder, dev, "--output", tmp_path / "tuned", "--no-report")
    assert result.exit_code == 1
    assert code in result.stderr and len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["dev.jsonl"]


def test_calibrate_writes_a_pipeline(run: Callable[..., Any], pipeline_folder: Path, dev: Path) -> None:
    texts = dev.with_name("texts.txt")
    texts.write_text("\n".join(row["text"] for row in ROWS))
    output = dev.with_name("calibrated")
    result = run("calibrate", pipeline_folder, texts, "-o", output, "--labelled", dev)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split("|")[1].strip() == "label" and len(lines) == 7
    assert lines[5].startswith("temperature: ") and lines[6].startswith("expected calibration error: ")
    config = spacy.load(output).config["components"]["zero_shot_textcat"]
    assert {entry["label"] for entry in config["calibration"]} <= set(LABELS) and config["calibration"]
    assert config["temperature"] != 1.0


def test_calibrate_by_a_prior(run: Callable[..., Any], nli_folder: Path, dev: Path) -> None:
    output = dev.with_name("calibrated")
    options = ["--labels", "sport,music", "--prior", '{"sport": 3, "music": 1}', "-t", "It is {}."]
    result = run("calibrate", nli_folder, dev, "-o", output, *options)
    assert result.exit_code == 0, result.stderr
    assert [line.split("|")[4].strip() for line in result.stdout.splitlines()[2:]] == ["0.750", "0.250"]
    assert spacy.load(output).get_pipe("zero_shot_textcat").templates == ("It is {}.",)


@pytest.mark.parametrize(
    "options,code",
    [
        (["--prior", "[1]"], "Z060"),
        (["--prior", '{"sport": 1}'], "Z007"),
        (["--text-field", "body"], "Z042"),
        (["--labelled", "absent.jsonl"], "Z060"),
        (["--method", "magic"], "magic"),
    ],
)
def test_calibrate_refuses(run: Callable[..., Any], pipeline_folder: Path, dev: Path, options: list, code: str) -> None:
    result = run("calibrate", pipeline_folder, dev, "-o", dev.with_name("calibrated"), *options)
    assert result.exit_code == 1
    assert code in result.stderr and len(result.stderr.splitlines()) == 1
    assert not dev.with_name("calibrated").exists()


def test_calibrate_needs_labels(run: Callable[..., Any], nli_folder: Path, dev: Path) -> None:
    assert "Z067" in run("calibrate", nli_folder, dev, "-o", dev.with_name("calibrated")).stderr


@pytest.mark.parametrize("command", ["tune", "calibrate"])
def test_help_has_an_example(run: Callable[..., Any], command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0 and f"Example: python -m spacy zeroshot {command}" in result.stdout
