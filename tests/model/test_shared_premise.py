"""The shared-premise layout: exact, label by label, however it is cut into rows and passes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_zeroshot.evidence import Question, Request
from spacy_zeroshot.model.architecture import NLIClassifier
from spacy_zeroshot.model.flat_rows import filled_size

from ..tiny import words
from .scoring import TEXTS, ask

VOCABULARY = words(30)
HYPOTHESES = tuple(f"This text is about {' '.join(VOCABULARY[i : i + 1 + i % 5])}." for i in range(25))
SCALE, OFFSET = 8.0, -2.0
FAMILIES = ("bert", "roberta", "xlm-roberta")


@pytest.fixture(scope="module")
def shared(make_checkpoint):
    """RETURNS (Callable): The folder of a shared-premise checkpoint of a family."""
    declared = {"layout": "shared_premise", "similarity": [SCALE, OFFSET], "decoupled_layers": 1}

    def get(family, zero_shot=declared):
        return make_checkpoint(family, ("not_entailment", "entailment"), zero_shot=zero_shot)

    return get


@pytest.fixture(scope="module")
def classifier(shared):
    return NLIClassifier(str(shared("bert")), precision="float32")


def by_hand(folder, premise, hypotheses, decoupled, similarity=True):
    """The layout in plain transformers: one row, a mask in the upper layers, positions that restart.

    RETURNS (np.ndarray): Shape (hypotheses, 2): for and against.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    text = tokenizer(premise)["input_ids"]
    pieces = [tokenizer(h, add_special_tokens=False)["input_ids"] + [tokenizer.sep_token_id] for h in hypotheses]
    owner = np.repeat(np.arange(-1, len(pieces)), [len(text), *map(len, pieces)])
    sees = torch.tensor((owner[None, :] == -1) | (owner[:, None] == owner[None, :]))
    sees[torch.tensor(owner == -1)] = torch.tensor(owner == -1)
    mask = torch.where(sees[None, None], 0.0, torch.finfo(torch.float32).min)

    def states_of(ids, kind, layer):
        inputs = {"input_ids": torch.tensor([ids]), "token_type_ids": torch.full((1, len(ids)), kind)}
        return model.bert(**inputs, output_hidden_states=True).hidden_states[layer]

    def embed(ids):
        states = states_of(ids, 0, -1)[0].mean(0)
        return states / states.norm()

    with torch.no_grad():
        alone = [states_of(text, 0, decoupled), *(states_of(piece, 1, decoupled) for piece in pieces)]
        states = torch.cat(alone, dim=1)
        for layer in model.bert.encoder.layer[decoupled:]:
            states = layer(states, attention_mask=mask)
            # transformers 5 gives the states alone
            states = states[0] if isinstance(states, tuple) else states
        rows = []
        for i, piece in enumerate(pieces):
            pooled = states[0, torch.tensor(owner == i)].mean(0)
            against, for_ = model.classifier(model.bert.pooler(pooled[None, None]))[0]
            cosine = SCALE * embed(text) @ embed([tokenizer.cls_token_id, *piece]) + OFFSET
            half = cosine / 2 if similarity else 0.0
            rows.append([float(for_ + half), float(against - half)])
    return np.asarray(rows)


@pytest.mark.parametrize("similarity", [True, False])
@pytest.mark.parametrize("decoupled", [0, 1])
def test_equals_plain_bert_with_a_mask(shared, decoupled, similarity):
    declared = {"layout": "shared_premise", "decoupled_layers": decoupled}
    folder = shared("bert", declared | ({"similarity": [SCALE, OFFSET]} if similarity else {}))
    hypotheses = HYPOTHESES[:6]
    for text, answer in zip(TEXTS, ask(folder, [Question(text, hypotheses) for text in TEXTS])):
        np.testing.assert_allclose(
            answer.logits[0], by_hand(folder, text, hypotheses, decoupled, similarity), atol=1e-4
        )


@settings(max_examples=25, deadline=None)
@given(chosen=st.lists(st.sampled_from(HYPOTHESES), min_size=1, max_size=12, unique=True), text=st.sampled_from(TEXTS))
def test_a_label_does_not_feel_the_others(classifier, chosen, text):
    [together] = classifier.predict(Request([Question(text, tuple(chosen))]))
    for hypothesis, logits in zip(chosen, together.logits[0]):
        [alone] = classifier.predict(Request([Question(text, (hypothesis,))]))
        np.testing.assert_allclose(alone.logits[0, 0], logits, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(12)))
def test_order_of_labels_does_not_matter(classifier, order):
    [straight] = classifier.predict(Request([Question(TEXTS[0], HYPOTHESES[:12])]))
    [mixed] = classifier.predict(Request([Question(TEXTS[0], tuple(HYPOTHESES[i] for i in order))]))
    np.testing.assert_allclose(mixed.logits[0], straight.logits[0][list(order)], atol=1e-5)


@pytest.mark.parametrize("budget", [1, 40, 150, 1000])
@pytest.mark.parametrize("family", FAMILIES)
def test_budget_does_not_change_scores(shared, family, budget):
    questions = [Question(text, HYPOTHESES) for text in [*TEXTS, " ".join(words(300))]]
    whole = ask(shared(family), questions, max_batch_tokens=100_000)
    for many, few in zip(whole, ask(shared(family), questions, max_batch_tokens=budget)):
        assert many.windows == few.windows
        np.testing.assert_allclose(few.logits, many.logits, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_company_in_a_batch_does_not_change_scores(shared, family):
    questions = [Question(text, HYPOTHESES[i : i + 7]) for i, text in enumerate(TEXTS)]
    for question, answer in zip(questions, ask(shared(family), questions)):
        [alone] = ask(shared(family), [question])
        np.testing.assert_allclose(alone.logits, answer.logits, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_full_to_the_last_position(shared, family):
    classifier = NLIClassifier(str(shared(family)), precision="float32")
    long = Question(" ".join(words(300)), HYPOTHESES)
    [answer] = classifier.predict(Request([long]))
    assert len(answer.windows) > 1 and np.isfinite(answer.logits).all()


def test_checkpoint_is_a_plain_one(shared):
    from transformers import AutoModelForSequenceClassification

    model, info = AutoModelForSequenceClassification.from_pretrained(shared("bert"), output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert model.config.zero_shot["layout"] == "shared_premise"


@given(st.integers(1, 20_000))
def test_few_sizes(total):
    size = filled_size(total)
    # hardly more than half as much again, and the size of a size is itself
    assert total <= size < max(total + 16, 1.5 * total + 1)
    assert filled_size(size) == size
    assert filled_size(total + 1) >= size
