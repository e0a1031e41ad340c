"""python -m spacy zeroshot calibrate."""

import json
from pathlib import Path

import pytest
import spacy

from ..util import LABELS, SENTENCES, make_nlp, run_cli

ROWS = [{"text": f"{text} {i}", "labels": [LABELS[i % 3]]} for i in range(4) for text in SENTENCES[:4]]


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    path = tmp_path / "dev.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory, nli_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    make_nlp(nli_folder).to_disk(folder)
    return folder


def test_calibrate_writes_a_pipeline(pipeline: Path, dev: Path) -> None:
    texts = dev.with_name("texts.txt")
    texts.write_text("\n".join(row["text"] for row in ROWS))
    output = dev.with_name("calibrated")
    result = run_cli("calibrate", pipeline, texts, "-o", output, "--labelled", dev)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split("|")[1].strip() == "label" and len(lines) == 7
    assert lines[5].startswith("temperature: ") and lines[6].startswith("expected calibration error: ")
    assert "Next: python -m spacy zeroshot evaluate" in result.stderr
    config = spacy.load(output).config["components"]["zero_shot_textcat"]
    assert {entry["label"] for entry in config["calibration"]} <= set(LABELS) and config["calibration"]
    assert config["temperature"] != 1.0


def test_calibrate_by_a_prior(nli_folder: Path, dev: Path) -> None:
    output = dev.with_name("calibrated")
    options = ["--labels", "sport,music", "--prior", '{"sport": 3, "music": 1}', "-t", "It is {}."]
    result = run_cli("calibrate", nli_folder, dev, "-o", output, *options)
    assert result.exit_code == 0, result.stderr
    assert [line.split("|")[4].strip() for line in result.stdout.splitlines()[2:]] == ["0.750", "0.250"]
    assert spacy.load(output).get_pipe("zero_shot_textcat").templates == ("It is {}.",)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--prior", "[1]"], "Z060"),
        (["--prior", '{"sport": 1}'], "Z007"),
        (["--prior", '{"sport": 1, "politics": 1, "music": 1, "art": 1}'], "Z007"),
        (["--labels", "sport,sprot"], "Z208"),
        (["--text-field", "body"], "Z088"),
        (["--labelled", "absent.jsonl"], "absent.jsonl"),
        (["--method", "magic"], "magic"),
    ],
)
def test_calibrate_refuses(pipeline: Path, dev: Path, options: list[str], code: str) -> None:
    result = run_cli("calibrate", pipeline, dev, "-o", dev.with_name("calibrated"), *options)
    assert result.exit_code == 1
    assert code in result.stderr and len(result.stderr.splitlines()) == 1
    assert not dev.with_name("calibrated").exists()


def test_calibrate_refuses_gold_labels_it_does_not_know(pipeline: Path, dev: Path) -> None:
    rows = dev.with_name("more.jsonl")
    rows.write_text('{"text": "A text.", "labels": ["art"]}\n')
    result = run_cli("calibrate", pipeline, dev, "-o", dev.with_name("calibrated"), "--labelled", rows)
    assert result.exit_code == 1 and "[Z201] calibrate: " in result.stderr and "art" in result.stderr


def test_calibrate_needs_labels(nli_folder: Path, dev: Path) -> None:
    assert "Z067" in run_cli("calibrate", nli_folder, dev, "-o", dev.with_name("calibrated")).stderr
