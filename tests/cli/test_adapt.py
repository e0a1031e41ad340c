from pathlib import Path
from typing import Any, Callable

import pytest

from ..tiny import SENTENCES

pytest.importorskip("accelerate", reason="the extra adapt is not installed")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(SENTENCES * 8), encoding="utf8")
    return path


def test_adapt_writes_a_checkpoint_that_classify_takes(
    run: Callable[..., Any], nli_folder: Path, texts: Path, tmp_path: Path
) -> None:
    output = tmp_path / "adapted"
    result = run("adapt", nli_folder, texts, "--output", output, "--steps", 4, "--batch-size", 4, "--max-length", 32)
    assert result.exit_code == 0, result.stderr
    assert "written after 4 steps" in result.stderr and "loss on texts set aside" in result.stderr
    scored = run("classify", SENTENCES[0], "--labels", "sport,music", "--model", output)
    assert scored.exit_code == 0 and "sport" in scored.stdout
    again = run("adapt", nli_folder, texts, "--output", output)
    assert again.exit_code == 1 and "Z092" in again.stderr


@pytest.mark.parametrize(
    ("options", "code"),
    [(["--steps", "0"], "Z007"), (["--gpu-id", "99"], "Z063"), (["--text-field", "body"], "Z042")],
)
def test_wrong_options(options: list, code: str, run: Callable[..., Any], nli_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "a"}\n', encoding="utf8")
    result = run("adapt", nli_folder, path, "--output", tmp_path / "adapted", *options)
    assert result.exit_code == 1 and code in result.stderr


def test_help_has_an_example(run: Callable[..., Any]) -> None:
    assert "Example: python -m spacy zeroshot adapt" in " ".join(run("adapt", "--help").stdout.split())
