"""Pipelines run by OpenVINO, and how far their scores are from others."""

import spacy

from .test_parity import LABELS, TEXTS


def make(folder, backend="openvino", precision="float32", trainable=False, **model):
    nlp = spacy.blank("en")
    settings = {"name": str(folder), "backend": backend, "precision": precision, **model}
    nlp.add_pipe("zero_shot_textcat", config={"labels": LABELS, "model": settings, "trainable": trainable})
    return nlp


def cats(nlp, texts=TEXTS):
    return [doc.cats for doc in nlp.pipe(texts)]


def difference(first, second):
    return max(abs(one[label] - other[label]) for one, other in zip(first, second) for label in one)


def runtime(nlp):
    """The component's model at work. RETURNS (Runtime): Loaded now, if it was not."""
    return nlp.get_pipe("zero_shot_textcat").model.shims[0].runtime
