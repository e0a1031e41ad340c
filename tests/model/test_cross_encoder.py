"""Scores equal those of transformers' zero-shot pipeline, for every family and on the way there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spacy_zeroshot.model.architectures import NLIClassifier
from spacy_zeroshot.model.types import NLIInput

from ..util import FAMILIES, POSITIONS, edit_json, words
from .scoring import LABELS, TEXTS, ask, score


@pytest.fixture(scope="session")
def reference() -> Callable[..., list[dict[str, float]]]:
    """A function that scores texts with transformers' own pipeline."""
    from transformers import pipeline

    loaded: dict[Path, Any] = {}

    def run(folder, texts=TEXTS, labels=LABELS, template="This text is about {}.", multi_label=False):
        if folder not in loaded:
            loaded[folder] = pipeline("zero-shot-classification", model=str(folder), device="cpu")
        results = loaded[folder](list(texts), labels, hypothesis_template=template, multi_label=multi_label)
        return [dict(zip(result["labels"], result["scores"], strict=True)) for result in results]

    return run


@pytest.mark.parametrize("template", ["This text is about {}.", "{}"])
@pytest.mark.parametrize("mode", ["single", "multi", "one label"])
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_pipeline(make_checkpoint, reference, family, mode, template):
    folder = make_checkpoint(family)
    labels = LABELS[:1] if mode == "one label" else LABELS
    expected = reference(folder, TEXTS, labels, template, mode == "multi")
    batched = score(folder, TEXTS, labels, template, mode == "multi")
    alone = [score(folder, [text], labels, template, mode == "multi")[0] for text in TEXTS]
    for theirs, one, other in zip(expected, batched, alone, strict=True):
        assert one == pytest.approx(theirs, abs=1e-4)
        assert other == pytest.approx(one, abs=1e-5)
    # the comparison is worth something only if scores differ between texts
    assert max(np.ptp([theirs[label] for theirs in expected]) for label in labels) > 0.003


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_pipeline_on_last_position(make_checkpoint, reference, family):
    folder = make_checkpoint(family)
    runtime = NLIClassifier(str(folder), precision="float32").shims[0].runtime
    assert runtime.scorer.max_length == POSITIONS
    hypotheses = runtime.tokenizer.hypothesis_set(tuple(f"This text is about {label}." for label in LABELS))
    room = runtime.scorer.max_premise_tokens(max(map(len, hypotheses.pieces)))
    text = " ".join(words(POSITIONS))
    filling = text[: runtime.tokenizer.offsets(text)[room - 1, 1]]
    assert len(runtime.tokenizer.encode([filling])[0]) == room
    [theirs] = reference(folder, [filling], multi_label=True)
    assert score(folder, [filling], multi_label=True) == [pytest.approx(theirs, abs=1e-4)]


@pytest.mark.parametrize("family", FAMILIES)
def test_neither_batch_size_nor_other_labels_change_a_score(make_checkpoint, family):
    folder = make_checkpoint(family)
    texts = [" ".join(words(n)) for n in (3, 8, 15, 5, 1, 12)]
    whole = ask(folder, texts, LABELS)
    for budget in (1, 150, 700):
        found = ask(folder, texts, LABELS, max_batch_tokens=budget).logits
        np.testing.assert_allclose(found, whole.logits, rtol=1e-5, atol=1e-5)
    alone = np.stack([ask(folder, texts, [label]).logits for label in LABELS], axis=1)
    np.testing.assert_allclose(alone.reshape(whole.logits.shape), whole.logits, rtol=1e-5, atol=1e-5)


def test_each_premise_may_have_its_own_hypotheses(nli_folder):
    model = NLIClassifier(str(nli_folder), precision="float32", max_batch_tokens=100)
    sets = [("a man plays", "music"), ("sport",), ("a man plays", "music"), ("the vote", "music", "sport")]
    output = model.predict(NLIInput(TEXTS, sets))
    assert output.n_hypotheses.tolist() == [2, 1, 2, 3]
    expected = [ask(nli_folder, [text], hypotheses).logits for text, hypotheses in zip(TEXTS, sets, strict=True)]
    np.testing.assert_allclose(output.logits, np.concatenate(expected), atol=1e-5)


@pytest.mark.parametrize("classes", [("entailment", "not_entailment"), ("not_entailment", "entailment")])
@pytest.mark.parametrize("multi_label", [True, False])
def test_equals_pipeline_with_two_classes(make_checkpoint, reference, classes, multi_label):
    folder = make_checkpoint(classes=classes)
    ours = score(folder, multi_label=multi_label)
    assert ours == [pytest.approx(theirs, abs=1e-4) for theirs in reference(folder, multi_label=multi_label)]


def test_types_that_the_model_lacks_are_dropped(make_checkpoint, own_copy, reference):
    """A BERT tokenizer on a RoBERTa body, as the Korean KLUE models: transformers fails with an IndexError."""
    folder = make_checkpoint("roberta", tokenizer="bert")
    told = own_copy(folder)
    edit_json(told / "tokenizer_config.json", model_input_names=["input_ids", "attention_mask"])
    theirs = reference(told, multi_label=True)
    assert score(folder, multi_label=True) == [pytest.approx(cats, abs=1e-4) for cats in theirs]


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "deberta-v2", "bart"])
def test_unbounded_model_max_length(make_checkpoint, own_copy, family):
    folder = own_copy(make_checkpoint(family))
    edit_json(folder / "tokenizer_config.json", model_max_length=int(1e30))
    text = " ".join(words(300))
    bounded, unbounded = ask(make_checkpoint(family), [text], LABELS), ask(folder, [text], LABELS)
    np.testing.assert_allclose(unbounded.logits, bounded.logits, atol=1e-6)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "bart"])
def test_embeddings_are_the_mean_of_the_last_states(make_checkpoint, family):
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = make_checkpoint(family)
    tokenizer, module = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = [module(**tokenizer(t, return_tensors="pt")).last_hidden_state[0].mean(0).numpy() for t in TEXTS]
    found = (
        NLIClassifier(str(folder), precision="float32", max_batch_tokens=40).shims[0].runtime.embed([*TEXTS, TEXTS[0]])
    )
    np.testing.assert_allclose(found[:4], [v / np.linalg.norm(v) for v in expected], atol=1e-5)
    np.testing.assert_array_equal(found[4], found[0])


def test_an_encoder_decoder_has_no_embeddings_Z240(make_checkpoint):
    with pytest.raises(ValueError, match=r"^\[Z240\].*decoder"):
        NLIClassifier(str(make_checkpoint("bart"))).shims[0].runtime.embed(["a"])


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_half_precision_gives_nearly_the_same_scores(nli_folder, precision):
    half, full = score(nli_folder, precision=precision, device="cpu"), score(nli_folder)
    for one, other in zip(half, full, strict=True):
        assert one == pytest.approx(other, abs=0.05)
