"""Scores equal those of transformers' zero-shot pipeline."""

import numpy as np
import pytest
import spacy

from ..tiny import FAMILIES

TEXTS = [
    "The minister resigned after losing the vote of confidence.",
    "Football!",
    "Astronomers gathered at the observatory to watch the planets align, and 42 of them stayed until the morning.",
    "이 문장은 스포츠에 관한 것입니다.",
]
LABELS = ["politics", "sport", "music or science"]
TEMPLATES = ["This text is about {}.", "{}"]


def score(folder, texts, labels=LABELS, **settings):
    model = {"name": str(folder), "precision": "float32", **settings.pop("model", {})}
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", config={"labels": labels, "model": model, **settings})
    return [doc.cats for doc in nlp.pipe(texts)]


@pytest.fixture(scope="session")
def reference():
    """transformers' own pipeline on a folder. RETURNS (Callable): Gives the scores as doc.cats would hold them."""
    from transformers import pipeline

    loaded = {}

    def run(folder, texts, labels=LABELS, template="This text is about {}.", multi_label=False):
        if folder not in loaded:
            loaded[folder] = pipeline("zero-shot-classification", model=str(folder), device="cpu")
        results = loaded[folder](list(texts), labels, hypothesis_template=template, multi_label=multi_label)
        return [dict(zip(result["labels"], result["scores"])) for result in results]

    return run


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("mode", ["single", "multi", "one label"])
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_pipeline(make_checkpoint, reference, family, mode, template):
    folder = make_checkpoint(family)
    labels = LABELS[:1] if mode == "one label" else LABELS
    multi_label = mode == "multi"
    ours = score(folder, TEXTS, labels, hypothesis_template=template, multi_label=multi_label)
    theirs = reference(folder, TEXTS, labels, template, multi_label)
    for mine, expected in zip(ours, theirs):
        assert mine == pytest.approx(expected, abs=1e-4)
    # the comparison is worth something only if scores differ between texts
    assert max(np.ptp([mine[label] for mine in ours]) for label in labels) > 0.003
