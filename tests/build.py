"""Pipelines that tests share."""

from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
import spacy
from spacy.language import Language
from spacy.tokens import Doc

LABELS = ["sport", "politics", "music"]
TEXTS = [
    "The minister resigned after losing the vote of confidence.",
    "A man plays football in the park.",
    "",
    "Astronomers gathered at the observatory to watch the planets align.",
    "Music!",
]


def make_nlp(folder: Optional[Path] = None, name: str = "zero_shot_textcat", **settings: Any) -> Language:
    """A blank English pipeline with the component.

    folder (Optional[Path]): A checkpoint; None for the bundled one.
    name (str): The component's name.
    settings: Of the component; labels are LABELS unless given.
    RETURNS (Language): The pipeline.
    """
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", name=name, config=settings_for(folder, **settings))
    return nlp


def settings_for(folder: Optional[Path] = None, **settings: Any) -> Dict[str, Any]:
    """RETURNS (Dict[str, Any]): The component's config, in float32 and for `folder`."""
    model = {"precision": "float32", **({} if folder is None else {"name": str(folder)}), **settings.pop("model", {})}
    return {"labels": LABELS, **settings, "model": model}


def table(docs: List[Doc]) -> np.ndarray:
    """RETURNS (np.ndarray): Shape (docs, labels): the scores, keys sorted."""
    return np.array([[doc.cats[key] for key in sorted(doc.cats)] for doc in docs])


def collect_failures(nlp: Language) -> List[Any]:
    """Set an error handler that keeps what it gets. RETURNS (List[Any]): (name, texts, error) of each call."""
    seen: List[Any] = []
    nlp.set_error_handler(lambda name, proc, docs, error: seen.append((name, [doc.text for doc in docs], error)))
    return seen
