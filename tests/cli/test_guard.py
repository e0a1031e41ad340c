"""How commands end."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Callable

import pytest
import typer

from spacy_zeroshot.cli.guard import guarded
from spacy_zeroshot.errors import ZeroShotError, warn


def test_help_of_every_command_has_an_example(run: Callable[..., Any]) -> None:
    listed = run("--help").stdout
    for command in ("classify", "evaluate", "check"):
        assert command in listed
        result = run(command, "--help")
        assert result.exit_code == 0
        assert f"Example: python -m spacy zeroshot {command}" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["classify", "text", "--no-such-option"],
        ["classify", "text", "--labels", "a,b", "--top-k", "0"],
        ["classify", "text", "--labels", "a,b", "--threshold", "1.5"],
        ["evaluate"],
        ["no-such-command"],
    ],
)
def test_usage_errors_are_one_line_and_exit_code_1(run: Callable[..., Any], arguments: list) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")
    assert "--help" in result.stderr


@pytest.mark.parametrize(
    "error",
    [
        ZeroShotError("Z066", "classify"),
        FileNotFoundError(2, "No such file or directory", "missing.jsonl"),
        ValueError("[E088] Text of length 1000001 exceeds maximum.\nSee the docs."),
    ],
)
def test_expected_errors_are_one_line(capsys: pytest.CaptureFixture, error: Exception) -> None:
    with pytest.raises(typer.Exit) as ended, guarded():
        raise error
    assert ended.value.exit_code == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("a bug"), BrokenPipeError()])
def test_bugs_keep_their_traceback(error: Exception) -> None:
    with pytest.raises(type(error)), guarded():
        raise error


def test_warnings_of_ours_are_one_line(capsys: pytest.CaptureFixture) -> None:
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with guarded():
            warn("Z101", length=900, room=500)
    assert capsys.readouterr().err.startswith("warning: [Z101] zero_shot_textcat: ")
    assert warnings.showwarning is before


def test_a_new_user_without_a_model_or_labels() -> None:
    command = [sys.executable, "-m", "spacy", "zeroshot", "classify"]
    result = subprocess.run([*command, "A text."], capture_output=True, text=True, timeout=300, cwd=Path.home())
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith("error: [Z067]")
