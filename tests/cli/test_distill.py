"""python -m spacy zeroshot distill."""

import json
from pathlib import Path
from typing import Any, Callable

import spacy

from ..tiny import words


def test_distill_reports_and_writes_a_native_pipeline(
    run: Callable[..., Any], pipeline_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(" ".join(words(1 + i % 17)) + f" {i}" for i in range(120)))
    rows = [{"text": "The goalkeeper saved it.", "labels": ["sport"]}, {"text": "A vote.", "labels": ["politics"]}]
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows * 5))
    output = tmp_path / "student"
    arguments = ["distill", pipeline_folder, tmp_path / "texts.txt", "--output", output, "--architecture", "bow",
                 "--labelled", tmp_path / "gold.jsonl", "--epochs", 1, "--multi-label", "--threshold", 0.5]  # fmt: skip
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    assert "| teacher |" in result.stdout and "| student |" in result.stdout
    assert "10 texts; agreement" in result.stderr
    assert spacy.load(output / "model-best").pipe_names == ["textcat_multilabel"]
    assert json.loads((output / "report.json").read_text())["compared_with_gold"] is True
    again = run(*arguments)
    assert again.exit_code == 1 and "[Z092]" in again.stderr


def test_labels_are_needed(run: Callable[..., Any], tmp_path: Path) -> None:
    result = run("distill", "bundled", tmp_path / "texts.txt", "--output", tmp_path / "out")
    assert result.exit_code == 1 and "[Z067]" in result.stderr
