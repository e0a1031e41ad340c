"""python -m spacy zeroshot evaluate."""

import json
from pathlib import Path

import pytest

from ..util import make_nlp, run_cli

ROWS = [
    {"text": "The goalkeeper saved a late penalty.", "labels": ["sport"]},
    {"text": "The minister resigned.", "labels": ["politics"]},
    {"text": "A man plays football.", "labels": ["sport"]},
]
PAIRS = [
    {"premise": "A man plays football.", "hypothesis": "A man plays.", "label": "entailment"},
    {"premise": "A man plays football.", "hypothesis": "Nobody plays.", "label": "contradiction"},
]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A single-label set, a multi-label set with "none", and NLI pairs."""
    several = [{"text": "A text.", "labels": ["sport", "music"]}, {"text": "Another.", "labels": ["none"]}]
    paths = []
    for name, rows in (("single", ROWS), ("multi", [*ROWS, *several]), ("pairs", PAIRS)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths.append(path)
    return paths


@pytest.fixture
def pipeline(tmp_path: Path, nli_folder: Path) -> Path:
    make_nlp(nli_folder, multi_label=True).to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def test_table_of_a_pipeline_with_labels(pipeline: Path, files: list[Path]) -> None:
    result = run_cli("evaluate", pipeline, *files, "--none-label", "none")
    assert result.exit_code == 0, result.stderr
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in result.stdout.splitlines()]
    assert table[0] == ["data", "rows", "labels", "macro-F1", "micro-F1", "accuracy", "mode"]
    assert [(row[0], row[1], row[2], row[-1]) for row in table[2:]] == [
        ("single", "3", "3", "multi-label"),
        ("multi", "5", "4", "multi-label"),
        ("pairs", "2", "2", "nli"),
        ("mean of labelled texts", "8", "", ""),
    ]
    assert "Next: python -m spacy zeroshot tune" in result.stderr


def test_each_file_with_its_own_labels(nli_folder: Path, files: list[Path]) -> None:
    result = run_cli("evaluate", nli_folder, *files, "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["data"], row["mode"], row["labels"]) for row in rows] == [
        ("single", "single-label", 2),
        ("multi", "multi-label", 4),
        ("pairs", "nli", 2),
    ]


def test_json_and_options(nli_folder: Path, files: list[Path]) -> None:
    result = run_cli("evaluate", nli_folder, *files, "--json", "--limit", "2", "--multi-label", "--threshold", "0.0")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["mode"] for row in rows] == ["multi-label", "multi-label", "nli"]
    assert [row["rows"] for row in rows] == [2, 2, 2]
    # with a threshold of 0.0 every label is chosen: precision is the share of right ones, recall 1
    assert rows[0]["micro_f1"] == pytest.approx(2 / 3, abs=1e-4)
    assert set(rows[0]["f1"]) == {"sport", "politics"}


def test_a_label_mistyped_is_said(pipeline: Path, files: list[Path]) -> None:
    files[0].write_text('{"text": "A man plays football.", "labels": ["sprot"]}\n')
    result = run_cli("evaluate", pipeline, files[0])
    assert result.exit_code == 1 and "[Z207] evaluate: " in result.stderr
    assert "sprot" in result.stderr and "--labels-from-data" in result.stderr and result.stdout == ""
    result = run_cli("evaluate", pipeline, files[0], "--labels-from-data", "--json")
    assert result.exit_code == 0 and set(json.loads(result.stdout)["f1"]) == {"sprot"}
    result = run_cli("evaluate", pipeline, files[0], "--labels", "sprot,music", "--json")
    assert result.exit_code == 0 and set(json.loads(result.stdout)["f1"]) == {"sprot", "music"}


def test_errors_are_one_line(pipeline: Path, files: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "x", "labels": 3}\n')
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    for code, arguments in (
        ("Z042", [pipeline, bad]),
        ("Z043", [pipeline, empty]),
        ("Z060", [pipeline, tmp_path / "missing.jsonl"]),
        ("Z061", ["no_such_package_anywhere", files[0]]),
        ("Z062", [pipeline, files[0], "--component", "other"]),
        ("Z060", [pipeline, files[0], "--code", tmp_path / "missing.py"]),
        ("Z004", [pipeline, files[0], "-t", "no slot"]),
    ):
        result = run_cli("evaluate", *arguments)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert f"[{code}]" in result.stderr, result.stderr
        assert len([line for line in result.stderr.splitlines() if line.startswith("error: ")]) == 1
