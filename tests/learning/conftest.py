"""Small pipelines that learn."""

from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
import spacy
from spacy.language import Language
from spacy.training import Example

ARCHITECTURE = "spacy_zeroshot.NLIClassifier.v1"
TOY = [
    ("A man plays football in the park.", "sport"),
    ("The goalkeeper saved a late penalty.", "sport"),
    ("The minister resigned after losing the vote.", "politics"),
    ("The vote of confidence in parliament.", "politics"),
    ("Astronomers gathered at the observatory.", "science"),
    ("The planets align.", "science"),
]
LABELS = ["sport", "politics", "science"]


@pytest.fixture
def make_nlp() -> Callable[..., Language]:
    """A function that gives a pipeline with a trainable component on a checkpoint folder, in float32."""

    def make(folder: Path, precision: str = "float32", **settings: Any) -> Language:
        model = {"@architectures": ARCHITECTURE, "name": str(folder), "precision": precision}
        nlp = spacy.blank("en")
        nlp.add_pipe("zero_shot_textcat", config={"trainable": True, "labels": LABELS, **settings, "model": model})
        return nlp

    return make


@pytest.fixture
def make_example() -> Callable[..., Example]:
    """A function that gives an example with gold cats."""

    def make(nlp: Language, text: str, cats: Dict[str, float]) -> Example:
        return Example.from_dict(nlp.make_doc(text), {"cats": cats})

    return make


@pytest.fixture
def make_toy(make_example: Callable[..., Example]) -> Callable[[Language], List[Example]]:
    """A function that gives six examples, two of each label."""

    def make(nlp: Language) -> List[Example]:
        return [make_example(nlp, text, {label: float(label == right) for label in LABELS}) for text, right in TOY]

    return make
