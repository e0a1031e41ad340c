"""Helpers of the model tests."""

from pathlib import Path
from typing import Any, Dict, List, Sequence

import spacy
from spacy.language import Language

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.evidence import Answer, Question, Reading, Request
from spacy_zeroshot.model.architecture import NLIClassifier

AS_IS = Reading()
LABELS = ["politics", "sport", "music or science"]
TEXTS = [
    "The minister resigned after losing the vote of confidence.",
    "Football!",
    "Astronomers gathered at the observatory to watch the planets align, and 42 of them stayed until the morning.",
    "이 문장은 스포츠에 관한 것입니다.",
]


def make_nlp(folder: Any, labels: Sequence[str] = LABELS, **settings: Any) -> Language:
    """RETURNS (Language): A pipeline of zero_shot_textcat with a checkpoint, in float32."""
    model: Dict[str, Any] = {"name": str(folder), "precision": "float32", **settings.pop("model", {})}
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", config={"labels": list(labels), "model": model, **settings})
    return nlp


def score(folder: Any, texts: Sequence[str], labels: Sequence[str] = LABELS, **settings: Any) -> List[Dict[str, float]]:
    """RETURNS (List[Dict[str, float]]): The doc.cats of texts."""
    return [doc.cats for doc in make_nlp(folder, labels, **settings).pipe(texts)]


def ask(folder: Any, questions: Sequence[Question], reading: Reading = AS_IS, **model: Any) -> List[Answer]:
    """RETURNS (List[Answer]): What the architecture answers, in float32."""
    classifier = NLIClassifier(str(folder), **{"precision": "float32", **model})
    return classifier.predict(Request(list(questions), reading))


def error_of(folder: Any, **model: Any) -> ZeroShotError:
    """RETURNS (ZeroShotError): What loading a checkpoint raises; one line that names it."""
    try:
        ask(folder, [Question("A text.", ("A hypothesis.",))], **model)
    except ZeroShotError as error:
        assert "\n" not in str(error)
        assert str(folder) in str(error) or Path(str(folder)).name in str(error)
        return error
    raise AssertionError(f"{folder} was loaded")
