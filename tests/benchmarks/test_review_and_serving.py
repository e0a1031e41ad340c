"""The programs that measure review and serving run on tiny models."""

import re
from pathlib import Path

import pytest
import srsly
import typer
from typer.testing import CliRunner

from benchmarks import review, serving

pytestmark = pytest.mark.slow


def run(main: object, *arguments: object) -> str:
    app = typer.Typer()
    app.command()(main)  # type: ignore[type-var]
    done = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_review(tmp_path: Path, decomposed_folder: Path) -> None:
    rows = [{"text": f"A man plays {label} {i}.", "labels": [label]} for i in range(30) for label in ("sport", "music")]
    srsly.write_jsonl(tmp_path / "a.jsonl", rows)
    given = ["--pool", "a.jsonl", "--test", "a.jsonl", "--answers", 12, "--draws", 1, "--model", decomposed_folder]
    lines = run(review.main, tmp_path, *given).splitlines()
    assert len(lines) == 2 + 5 and sum("chosen by --review" in line for line in lines) == 2


def test_serving(decomposed_folder: Path) -> None:
    pytest.importorskip("fastapi", reason="the development extra is not installed")
    lines = run(serving.main, "--requests", 40, "--model", decomposed_folder).splitlines()
    assert [re.findall(r"\d+", line)[0] for line in lines[2:]] == ["1", "16"]
