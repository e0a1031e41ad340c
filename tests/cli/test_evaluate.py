"""python -m spacy zeroshot evaluate."""

import json
from pathlib import Path
from typing import Any, Callable

import pytest

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
def files(tmp_path: Path) -> list:
    """A single-label set, a multi-label set with "none", and NLI pairs."""
    several = [{"text": "A text.", "labels": ["sport", "music"]}, {"text": "Another.", "labels": ["none"]}]
    paths = []
    for name, rows in (("single", ROWS), ("multi", [*ROWS, *several]), ("pairs", PAIRS)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths.append(path)
    return paths


def test_table(run: Callable[..., Any], pipeline_folder: Path, files: list) -> None:
    result = run("evaluate", pipeline_folder, *files, "--none-label", "none")
    assert result.exit_code == 0, result.stderr
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in result.stdout.splitlines()]
    assert table[0] == ["data", "rows", "labels", "macro-F1", "micro-F1", "accuracy", "mode"]
    assert [(row[0], row[1], row[2], row[-1]) for row in table[2:]] == [
        ("single", "3", "2", "single-label"),
        ("multi", "5", "4", "multi-label"),
        ("pairs", "2", "2", "nli"),
        ("mean of labelled texts", "8", "", ""),
    ]
    assert result.stderr.splitlines() == ["single: 3 rows", "multi: 5 rows", "pairs: 2 rows"]


def test_json_and_options(run: Callable[..., Any], nli_folder: Path, files: list) -> None:
    result = run("evaluate", nli_folder, *files, "--json", "--limit", "2", "--multi-label", "--threshold", "0.0")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["mode"] for row in rows] == ["multi-label", "multi-label", "nli"]
    assert [row["rows"] for row in rows] == [2, 2, 2]
    # with a threshold of 0.0 every label is chosen: precision is the share of right ones, recall 1
    assert rows[0]["micro_f1"] == pytest.approx(2 / 3, abs=1e-4)
    assert set(rows[0]["f1"]) == {"sport", "politics"}


def test_cosine_baseline(run: Callable[..., Any], nli_folder: Path, files: list) -> None:
    result = run("evaluate", nli_folder, *files, "--baseline", "cosine", "-t", "{}", "--json")
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 3


def test_errors_are_one_line(run: Callable[..., Any], pipeline_folder: Path, files: list, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "x", "labels": "sport"}\n')
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    for code, arguments in (
        ("Z042", [pipeline_folder, bad]),
        ("Z043", [pipeline_folder, empty]),
        ("Z060", [pipeline_folder, tmp_path / "missing.jsonl"]),
        ("Z061", ["no_such_package_anywhere", files[0]]),
        ("Z065", [tmp_path, files[0], "--baseline", "cosine"]),
        ("Z004", [pipeline_folder, files[0], "-t", "no slot"]),
    ):
        result = run("evaluate", *arguments)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert f"[{code}]" in result.stderr
        assert len([line for line in result.stderr.splitlines() if line.startswith("error: ")]) == 1
