"""Scores equal those of transformers' zero-shot pipeline, for every family and on the way there."""

import numpy as np
import pytest

from ..tiny import FAMILIES, POSITIONS, edit_json, words
from .scoring import LABELS, TEXTS, make_nlp, score

TEMPLATES = ["This text is about {}.", "{}"]


@pytest.fixture(scope="session")
def reference():
    """RETURNS (Callable): Scores texts with transformers' own pipeline, as doc.cats would hold them."""
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
    nlp = make_nlp(folder, labels, hypothesis_template=template, multi_label=multi_label)
    expected = reference(folder, TEXTS, labels, template, multi_label)
    for theirs, batched, alone in zip(expected, nlp.pipe(TEXTS), map(nlp, TEXTS)):
        assert batched.cats == pytest.approx(theirs, abs=1e-4)
        assert alone.cats == pytest.approx(theirs, abs=1e-4)
    # the comparison is worth something only if scores differ between texts
    assert max(np.ptp([theirs[label] for theirs in expected]) for label in labels) > 0.003


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_pipeline_on_last_position(make_checkpoint, reference, family):
    folder = make_checkpoint(family)
    nlp = make_nlp(folder, multi_label=True)
    runtime = nlp.get_pipe("zero_shot_textcat").model.shims[0].runtime
    assert runtime.layout.max_length == POSITIONS
    longest = max(len(p.ids) for p in runtime.tokens.split([f"This text is about {label}." for label in LABELS]))
    room = runtime.layout.room(longest)
    text = " ".join(words(POSITIONS))
    end = runtime.tokens.split([text])[0].offsets[room - 1, 1]
    filling = text[:end]
    assert len(runtime.tokens.split([filling])[0].ids) == room
    assert len(nlp.get_pipe("zero_shot_textcat").predict([nlp.make_doc(filling)])[0].windows) == 1
    [theirs] = reference(folder, [filling], multi_label=True)
    assert nlp(filling).cats == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("classes", [("entailment", "not_entailment"), ("not_entailment", "entailment")])
@pytest.mark.parametrize("multi_label", [True, False])
def test_equals_pipeline_with_two_classes(make_checkpoint, reference, classes, multi_label):
    folder = make_checkpoint(classes=classes)
    ours = score(folder, TEXTS, multi_label=multi_label)
    assert ours == [pytest.approx(theirs, abs=1e-4) for theirs in reference(folder, TEXTS, multi_label=multi_label)]


def test_tokenizer_emits_types_that_the_model_lacks(make_checkpoint):
    """A BERT tokenizer on a RoBERTa body, as the Korean KLUE models: the pipeline fails with an IndexError."""
    folder = make_checkpoint("roberta", tokenizer="bert")
    values = score(folder, TEXTS)
    assert all(sum(cats.values()) == pytest.approx(1.0) for cats in values)


def test_types_dropped_equal_pipeline_without_them(make_checkpoint, own_copy, reference):
    folder = make_checkpoint("roberta", tokenizer="bert")
    told = own_copy(folder)
    edit_json(told / "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])
    theirs = reference(told, TEXTS, multi_label=True)
    assert score(folder, TEXTS, multi_label=True) == [pytest.approx(cats, abs=1e-4) for cats in theirs]


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "deberta-v2", "bart"])
def test_unbounded_model_max_length(make_checkpoint, own_copy, family):
    folder = own_copy(make_checkpoint(family))
    edit_json(folder / "tokenizer_config.json", model_max_length=int(1e30))
    text = " ".join(words(300))
    [bounded], [unbounded] = score(make_checkpoint(family), [text]), score(folder, [text])
    assert unbounded == pytest.approx(bounded, abs=1e-6)
