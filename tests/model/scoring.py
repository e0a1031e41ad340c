"""Helpers of the model tests: scores straight from an architecture, without the component."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.model.architectures import NLIClassifier
from spacy_zeroshot.model.types import NLIInput, NLIOutput, WindowConfig

TEMPLATE = "This text is about {}."
LABELS = ["politics", "sport", "music or science"]
TEXTS = [
    "The minister resigned after losing the vote of confidence.",
    "Football!",
    "Astronomers gathered at the observatory to watch the planets align, and 42 of them stayed until the morning.",
    "이 문장은 스포츠에 관한 것입니다.",
]


def ask(
    folder: Any,
    texts: Sequence[str],
    hypotheses: Sequence[str],
    windows: WindowConfig = WindowConfig(),  # noqa: B008
    architecture: Callable[..., Any] = NLIClassifier,
    **model: Any,
) -> NLIOutput:
    """What an architecture says, in float32 unless told otherwise."""
    classifier = architecture(str(folder), **{"precision": "float32", **model})
    return classifier.predict(NLIInput(list(texts), [tuple(hypotheses)] * len(texts), windows))


def softmax(values: np.ndarray) -> np.ndarray:
    exponents = np.exp(values - values.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def score(
    folder: Any,
    texts: Sequence[str] = TEXTS,
    labels: Sequence[str] = LABELS,
    template: str = TEMPLATE,
    multi_label: bool = False,
    **model: Any,
) -> list[dict[str, float]]:
    """The scores of short texts, as doc.cats would hold them."""
    output = ask(folder, texts, [template.replace("{}", label) for label in labels], **model)
    assert output.n_windows.tolist() == [1] * len(texts)
    logits = output.logits.reshape(len(texts), len(labels), -1)
    scores = softmax(logits[..., :2])[..., 0] if multi_label or len(labels) == 1 else softmax(logits[..., 0])
    return [dict(zip(labels, row.tolist(), strict=True)) for row in scores]


def error_of(folder: Any, **model: Any) -> ZeroShotError:
    """What loading a checkpoint raises: one line that names it, and no architecture."""
    try:
        ask(folder, ["A text."], ["A hypothesis."], **model)
    except ZeroShotError as error:
        assert "\n" not in str(error)
        assert str(folder) in str(error) or Path(str(folder)).name in str(error)
        assert "NLIClassifier" not in str(error)
        return error
    raise AssertionError(f"{folder} was loaded")
