"""Running commands in this process, as `python -m spacy` would."""

from pathlib import Path
from typing import Any, Callable

import pytest
import spacy
from typer.testing import CliRunner

LABELS = ["sport", "politics", "music"]


@pytest.fixture
def run() -> Callable[..., Any]:
    """A function that runs `zeroshot ARGUMENTS...` and gives exit_code, stdout and stderr."""
    from spacy.cli._util import app

    import spacy_zeroshot.cli  # noqa: F401

    def call(*arguments: Any, given: str = "") -> Any:
        result = CliRunner().invoke(app, ["zeroshot", *(str(argument) for argument in arguments)], input=given)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory, nli_folder: Path) -> Path:
    """A saved pipeline around a tiny checkpoint, with labels."""
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", config={"labels": LABELS, "model": {"name": str(nli_folder)}})
    folder = tmp_path_factory.mktemp("pipeline")
    nlp.to_disk(folder)
    return folder


@pytest.fixture(scope="session")
def plain_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved pipeline without a zero-shot component."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    folder = tmp_path_factory.mktemp("plain")
    nlp.to_disk(folder)
    return folder
