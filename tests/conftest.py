"""Tiny checkpoints that tests share, built once per session from random weights."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# before transformers is imported: no test asks the network
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from hypothesis import settings

from . import util

# a busy machine is not an error
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """util.make_checkpoint without a folder. Equal calls give the same folder: copy it to change it."""
    made: dict[str, Path] = {}

    def make(family: str = "bert", classes: Sequence[str] = util.CLASSES, **options: Any) -> Path:
        key = repr((family, tuple(classes), sorted(options.items())))
        if key not in made:
            made[key] = util.make_checkpoint(tmp_path_factory.mktemp(family), family, classes, **options)
        return made[key]

    return make


@pytest.fixture(scope="session")
def nli_folder(make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny BERT checkpoint with a three-class head."""
    return make_checkpoint()


@pytest.fixture(scope="session")
def decomposed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of the bundled model's layout."""
    return util.make_decomposed(tmp_path_factory.mktemp("decomposed"))


@pytest.fixture(scope="session")
def masked_folder(make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny BERT checkpoint that fills masks."""
    return make_checkpoint(built_as="AutoModelForMaskedLM")


@pytest.fixture
def own_copy(tmp_path: Path) -> Callable[[Path], Path]:
    """A function that copies a checkpoint folder, for a test that changes it."""

    def copy(folder: Path) -> Path:
        return Path(shutil.copytree(folder, tmp_path / "checkpoint"))

    return copy
