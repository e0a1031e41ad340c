"""Heads of one, two and three classes, in every order."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.model.checkpoint import find_head

from .scoring import LABELS, TEXTS, error_of, score, softmax

ORDERS = list(permutations(("entailment", "neutral", "contradiction")))
# where transformers' pipeline takes neutral for contradiction
GUESSED_WRONG = [("e", "c", "n"), ("n", "e", "c"), ("n", "c", "e")]
FULL = {"e": "entailment", "n": "neutral", "c": "contradiction"}


def config_of(classes):
    return BertConfig(id2label=dict(enumerate(classes)), label2id={label: i for i, label in enumerate(classes)})


def logits_by_hand(folder, text, labels):
    """Shape (labels, classes): the head's logits, pair by pair, from transformers alone."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    pairs = [tokenizer(text, f"This text is about {label}.", return_tensors="pt") for label in labels]
    with torch.no_grad():
        return np.stack([model(**pair).logits[0].numpy() for pair in pairs])


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join(name[0] for name in order))
def test_contradiction_is_the_right_class(make_checkpoint, order):
    folder = make_checkpoint(classes=order)
    for text, multi, single in zip(TEXTS, score(folder, multi_label=True), score(folder), strict=True):
        logits = logits_by_hand(folder, text, LABELS)
        for_, against = order.index("entailment"), order.index("contradiction")
        expected = softmax(logits[:, [for_, against]])[:, 0]
        assert list(multi.values()) == pytest.approx(list(expected), abs=1e-4)
        assert list(single.values()) == pytest.approx(list(softmax(logits[:, for_])), abs=1e-4)


@pytest.mark.parametrize("order", GUESSED_WRONG, ids="".join)
def test_right_where_pipeline_is_wrong(make_checkpoint, order):
    from transformers import pipeline

    folder = make_checkpoint(classes=[FULL[letter] for letter in order])
    theirs = pipeline("zero-shot-classification", model=str(folder), device="cpu")(TEXTS[0], LABELS, multi_label=True)
    [ours] = score(folder, TEXTS[:1], multi_label=True)
    wrong = dict(zip(theirs["labels"], theirs["scores"], strict=True))
    assert max(abs(ours[label] - wrong[label]) for label in LABELS) > 0.01


def test_sigmoid_head(make_checkpoint):
    folder = make_checkpoint(classes=("entailment",))
    logits = logits_by_hand(folder, TEXTS[0], LABELS)[:, 0]
    [multi], [single] = score(folder, TEXTS[:1], multi_label=True), score(folder, TEXTS[:1])
    assert list(multi.values()) == pytest.approx(list(1 / (1 + np.exp(-logits))), abs=1e-4)
    assert list(single.values()) == pytest.approx(list(softmax(logits)), abs=1e-4)


@pytest.mark.parametrize(
    "named", [{"entailment": "LABEL_1", "contradiction": "LABEL_2"}, {"entailment": 1, "contradiction": 2}]
)
def test_classes_named_by_the_user(make_checkpoint, named):
    order = ("neutral", "entailment", "contradiction")
    ours = score(make_checkpoint(classes=("LABEL_0", "LABEL_1", "LABEL_2")), multi_label=True, **named)
    assert ours == [pytest.approx(cats) for cats in score(make_checkpoint(classes=order), multi_label=True)]


NAMES = {
    "e": st.sampled_from(["entailment", "ENTAILMENT", "Entail", "entails"]),
    "n": st.sampled_from(["neutral", "NEUTRAL", "Neutral"]),
    "c": st.sampled_from(["contradiction", "CONTRADICTION", "contradicts", "no", "LABEL_9"]),
}


@given(st.permutations("enc"), st.fixed_dictionaries(NAMES))
def test_neutral_is_never_contradiction(order, names):
    head = find_head(config_of([names[letter] for letter in order]), "a model")
    assert [order[i] for i in head] == ["e", "c", "n"]


@given(st.permutations(["entailment", "other one", "other two"]))
def test_two_unknown_classes_are_not_guessed_Z025(classes):
    with pytest.raises(ZeroShotError, match=r"\[Z025\].*contradiction = <name or index>"):
        find_head(config_of(classes), "a model")


@pytest.mark.parametrize(
    "classes, expected",
    [(("entailment", "not_entailment"), (0, 1)), (("not_entailment", "entailment"), (1, 0)), (("anything",), (0,))],
)
def test_order_of_small_heads(classes, expected):
    assert find_head(config_of(classes), "a model") == expected


def test_no_class_means_entailment_Z025(make_checkpoint):
    error = error_of(make_checkpoint(classes=("LABEL_0", "LABEL_1")))
    assert error.code == "Z025" and "LABEL_0" in str(error)


@pytest.mark.parametrize("setting", [{"entailment": "entails"}, {"entailment": 3}, {"contradiction": "no"}])
def test_class_not_there_Z026(nli_folder, setting):
    error = error_of(nli_folder, **setting)
    assert error.code == "Z026" and repr(next(iter(setting.values()))) in str(error)


def test_one_class_for_both_Z007():
    with pytest.raises(ZeroShotError, match=r"\[Z007\].*contradiction = 2"):
        find_head(config_of(["contradiction", "neutral", "entailment"]), "a model", contradiction=2)


def test_four_classes_Z029(make_checkpoint):
    error = error_of(make_checkpoint(classes=("entailment", "neutral", "contradiction", "unsure")))
    assert error.code == "Z029" and "4 classes" in str(error)


def test_head_is_checked_before_weights(make_checkpoint, own_copy):
    """A large checkpoint that cannot be used is refused before its weights are fetched."""
    folder = own_copy(make_checkpoint(classes=("LABEL_0", "LABEL_1")))
    (folder / "model.safetensors").write_bytes(b"not read")
    assert error_of(folder).code == "Z025"
