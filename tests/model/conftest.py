"""What several tests of models share."""

import os
from pathlib import Path
from typing import Iterator

import pytest


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the conversions of this file's tests."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("SPACY_ZEROSHOT_CACHE")
    os.environ["SPACY_ZEROSHOT_CACHE"] = str(folder)
    yield folder / "openvino"
    if before is None:
        del os.environ["SPACY_ZEROSHOT_CACHE"]
    else:
        os.environ["SPACY_ZEROSHOT_CACHE"] = before
