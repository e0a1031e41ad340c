"""Tiny NLI checkpoints that tests share. Built once per session, from random weights."""

import os
import shutil

# before transformers is imported: no test asks the network
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence

import pytest
from hypothesis import settings

from .tiny import CLASSES, write_checkpoint

# a busy machine is not an error
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

SHARED_PREMISE: Dict[str, Any] = {"layout": "shared_premise", "similarity": [8.0, -2.0], "decoupled_layers": 1}


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that gives the folder of a tiny checkpoint. Equal calls give the same folder: copy it to change it.

    family (str): "bert", "roberta", "distilbert", "electra", "deberta-v2", "xlm-roberta", "bart" or "modernbert".
    classes (Sequence[str]): The head's classes in order; one, two or three of them (or more, to be refused).
    tokenizer (Optional[str]): Another family's tokenizer.
    seed (int): Of the random weights.
    built_as (str): The class of transformers that makes the model.
    config: Further keys of config.json.
    """
    made: Dict[str, Path] = {}

    def make(
        family: str = "bert",
        classes: Sequence[str] = CLASSES,
        tokenizer: Optional[str] = None,
        seed: int = 0,
        built_as: str = "AutoModelForSequenceClassification",
        **config: Any,
    ) -> Path:
        key = repr((family, tuple(classes), tokenizer, seed, built_as, sorted(config.items())))
        if key not in made:
            folder = tmp_path_factory.mktemp(family)
            made[key] = write_checkpoint(folder, family, classes, tokenizer or family, config, seed, built_as)
        return made[key]

    return make


@pytest.fixture(scope="session")
def nli_folder(make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny BERT checkpoint with a three-class head."""
    return make_checkpoint()


@pytest.fixture(scope="session")
def shared_folder(make_checkpoint: Callable[..., Path]) -> Path:
    """A tiny BERT checkpoint of the shared-premise layout, with a two-class head."""
    return make_checkpoint(classes=("not_entailment", "entailment"), zero_shot=SHARED_PREMISE)


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
