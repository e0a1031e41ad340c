"""python -m spacy zeroshot annotate."""

import json
from pathlib import Path
from typing import Any, Callable

import pytest


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Five rows, one of them broken."""
    path = tmp_path / "in.jsonl"
    rows = [{"body": text, "id": i} for i, text in enumerate(("A penalty.", "A vote.", "", "A man plays."))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    return path


def test_options_and_report(run: Callable[..., Any], nli_folder: Path, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    arguments = ["annotate", corpus, out, "-m", nli_folder, "-l", "sport,politics", "--text-field", "body",
                 "--labels-field", "topics", "--multi-label", "--threshold", "0.0", "--template", "{}"]  # fmt: skip
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows] == [0, 1, 2, 3]
    assert all(sorted(row["topics"]) == ["politics", "sport"] for row in rows)
    assert rows[2]["cats"] == {"sport": 0.0, "politics": 0.0}
    assert f"{corpus}, line 5 left out: it is not JSON" in result.stderr
    assert "4 texts labelled, 1 rows left out, see" in result.stderr and "rows/s" in result.stderr
    # again: nothing to do
    assert run(*arguments).exit_code == 0
    changed = run(*arguments, "--threshold", "0.9")
    assert changed.exit_code == 1 and "[Z082]" in changed.stderr and len(changed.stderr.splitlines()) == 1
    assert run(*arguments, "--threshold", "0.9", "--overwrite").exit_code == 0


def test_a_saved_pipeline(run: Callable[..., Any], pipeline_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("A penalty.\nA vote.\n")
    result = run("annotate", tmp_path / "in.txt", tmp_path / "out.jsonl", "--pipeline", pipeline_folder)
    assert result.exit_code == 0, result.stderr
    assert {"text", "labels", "cats"} == set(json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0]))


@pytest.mark.parametrize(
    "options, code",
    [
        (["out.jsonl"], "Z067"),
        (["out.jsonl", "-l", "a,b", "-m", "bundled", "-p", "x"], "Z068"),
        (["out.txt", "-l", "a,b"], "Z084"),
        (["out.jsonl.gz.gz", "-l", "a,b"], "Z084"),
        (["out.jsonl", "-l", "a,b", "--cats-field", "labels"], "Z060"),
        (["out.jsonl", "-p", "no-such-pipeline"], "Z061"),
        (["out.jsonl", "-l", "a,a"], "Z002"),
        (["out.jsonl", "-l", "a,b", "--gpu-id", "99"], "Z063"),
    ],
)
def test_wrong_options(run: Callable[..., Any], corpus: Path, tmp_path: Path, options: list, code: str) -> None:
    result = run("annotate", corpus, tmp_path / options[0], *options[1:])
    assert result.exit_code == 1 and f"[{code}]" in result.stderr
    assert len(result.stderr.splitlines()) == 1 and not (tmp_path / options[0]).exists()


def test_missing_input_and_engine(run: Callable[..., Any], nli_folder: Path, tmp_path: Path) -> None:
    options = ["-m", nli_folder, "-l", "a,b"]
    result = run("annotate", tmp_path / "none.jsonl", tmp_path / "out.jsonl", *options)
    assert result.exit_code == 1 and "[Z080]" in result.stderr
    result = run("annotate", tmp_path / "none.jsonl", tmp_path / "out.jsonl", *options, "--engine", "spark")
    assert result.exit_code == 1 and "--engine" in result.stderr


def test_help_has_an_example(run: Callable[..., Any]) -> None:
    for command in ("annotate", "distill"):
        result = run(command, "--help")
        assert result.exit_code == 0 and f"Example: python -m spacy zeroshot {command}" in " ".join(
            result.stdout.split()
        )
