"""Mask filling: log-probabilities of label words as evidence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.model.architectures import MaskedLMClassifier, check_prompt
from spacy_zeroshot.model.masked_lm import read_prompt
from spacy_zeroshot.model.types import CONTRADICTION, ENTAILMENT, NLIInput

from ..util import LABELS, edit_json, make_nlp, words
from .scoring import ask

FAMILIES = ("bert", "roberta", "distilbert", "electra", "deberta-v2", "xlm-roberta", "modernbert")
TEXTS = ["The minister resigned after losing the vote.", "A man plays football in the park."]
# pieces of every tokenizer's own vocabulary
WORDPIECE_WORDS = ("sport", "music", "park", "parliament")
PROMPT = "{text} It is about {mask}."


def logits_of(folder: Any, texts: list[str], labels: list[str], **model: Any) -> np.ndarray:
    """Shape (texts, labels, 2)."""
    output = ask(folder, texts, labels, architecture=MaskedLMClassifier, **model)
    return output.logits.reshape(len(texts), len(labels), 2)


def by_hand(folder: Path, sentence: str, pieces: list[int]) -> np.ndarray:
    """Shape (masks,): the log-probability of each piece at its mask, by transformers alone."""
    module = AutoModelForMaskedLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(sentence, return_tensors="pt")
    with torch.no_grad():
        logits = module(**inputs).logits[0].log_softmax(-1)
    places = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero()[:, 0]
    assert len(places) == len(pieces)
    return logits[places, torch.tensor(pieces)].numpy()


@pytest.mark.parametrize("family", ["bert", "distilbert", "electra", "deberta-v2", "xlm-roberta"])
def test_equals_the_fill_mask_pipeline(make_checkpoint, family):
    folder = make_checkpoint(family, built_as="AutoModelForMaskedLM")
    ours = MaskedLMClassifier(str(folder), PROMPT, precision="float32").shims[0].runtime.tokenizer
    pieces = dict(zip(WORDPIECE_WORDS, ours.hypothesis_set(WORDPIECE_WORDS).pieces, strict=True))
    known = [word for word, ids in pieces.items() if len(ids) == 1]
    assert len(known) > 2
    tokenizer = AutoTokenizer.from_pretrained(folder)
    targets = [tokenizer.convert_ids_to_tokens(int(pieces[word][0])) for word in known]
    fill = pipeline("fill-mask", model=AutoModelForMaskedLM.from_pretrained(folder), tokenizer=tokenizer, device="cpu")
    for text, logits in zip(TEXTS, logits_of(folder, TEXTS, known, prompt=PROMPT), strict=True):
        rows = fill(f"{text} It is about {tokenizer.mask_token}.", targets=targets)
        wanted = {row["token"]: row["score"] for row in rows}
        ids = tokenizer.convert_tokens_to_ids(targets)
        np.testing.assert_allclose(np.exp(logits[:, ENTAILMENT]), [wanted[i] for i in ids], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_label_of_several_pieces_has_as_many_masks(make_checkpoint, family):
    folder = make_checkpoint(family, built_as="AutoModelForMaskedLM")
    label = "sports politics"
    ours = MaskedLMClassifier(str(folder), PROMPT, precision="float32").shims[0].runtime.tokenizer
    pieces = ours.hypothesis_set((label,)).pieces[0].tolist()
    assert len(pieces) > 1
    masks = AutoTokenizer.from_pretrained(folder).mask_token * len(pieces)
    logits = logits_of(folder, TEXTS[:1], ["sport", label], prompt=PROMPT)
    wanted = by_hand(folder, f"{TEXTS[0]} It is about {masks}.", pieces).mean()
    assert logits[0, 1, ENTAILMENT] == pytest.approx(wanted, abs=1e-4)


def test_the_evidence_against_is_the_prompt_without_a_text(masked_folder):
    tokenizer = AutoTokenizer.from_pretrained(masked_folder)
    labels = ["sport", "music"]
    logits = logits_of(masked_folder, TEXTS, labels, max_batch_tokens=20)
    for number, word in enumerate(labels):
        prior = by_hand(masked_folder, "It is about [MASK].", [tokenizer.convert_tokens_to_ids(word)])[0]
        assert logits[:, number, CONTRADICTION] == pytest.approx(prior, abs=1e-4)


@pytest.mark.parametrize(
    "prompt, sentence",
    [
        ("{mask} : {text}", "[MASK] : TEXT"),
        ("Topic: {mask}. Text: {text}", "Topic: [MASK]. Text: TEXT"),
        ("A text: {text} ({mask})", "A text: TEXT ([MASK])"),
        ("{text}{mask}", "TEXT [MASK]"),
    ],
)
def test_prompts_of_any_order(masked_folder, prompt, sentence):
    tokenizer = AutoTokenizer.from_pretrained(masked_folder)
    logits = logits_of(masked_folder, TEXTS[1:], ["music"], prompt=prompt)
    wanted = by_hand(masked_folder, sentence.replace("TEXT", TEXTS[1]), [tokenizer.convert_tokens_to_ids("music")])
    assert logits[0, 0, ENTAILMENT] == pytest.approx(wanted[0], abs=1e-4)


def test_byte_level_words_keep_the_space_before_them(make_checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(make_checkpoint("roberta", built_as="AutoModelForMaskedLM"))
    prompt = read_prompt("Text: {text} It is about {mask}.", tokenizer, "x")
    assert (prompt.text_lead, prompt.word_lead) == (" ", " ")
    assert tokenizer.decode(prompt.left) == "Text:"
    glued = read_prompt("{text}#{mask}", tokenizer, "x")
    assert (glued.text_lead, glued.word_lead) == ("", "")
    ids, start = prompt.fill(np.asarray([7, 8]), 3)
    assert ids[start : start + 3].tolist() == [tokenizer.mask_token_id] * 3
    assert len(ids) == len(prompt.left) + len(prompt.right) - 1 + 2 + 3


def test_neither_batches_nor_other_labels_change_a_score(masked_folder, monkeypatch):
    texts = [f"{text} {i}" for i in range(4) for text in TEXTS]
    labels = ["sport", "music", "the park", "minister"]
    whole = logits_of(masked_folder, texts, labels)
    alone = np.concatenate([logits_of(masked_folder, texts, [label]) for label in labels], axis=1)
    np.testing.assert_allclose(alone, whole, rtol=1e-5, atol=1e-5)
    # a large vocabulary
    monkeypatch.setattr("spacy_zeroshot.model.masked_lm.LARGEST_LOGITS", 900)
    np.testing.assert_allclose(
        logits_of(masked_folder, texts, labels, max_batch_tokens=64), whole, rtol=1e-5, atol=1e-5
    )


def test_each_text_may_have_its_own_labels(masked_folder):
    model = MaskedLMClassifier(str(masked_folder), precision="float32")
    sets = [("sport", "the park"), ("music",)]
    found = model.predict(NLIInput(TEXTS, sets)).logits
    expected = [logits_of(masked_folder, [text], list(labels))[0] for text, labels in zip(TEXTS, sets, strict=True)]
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-5, atol=1e-5)


def test_a_default_dtype_of_float64_changes_nothing(masked_folder):
    expected = logits_of(masked_folder, TEXTS, LABELS)
    torch.set_default_dtype(torch.float64)
    try:
        found = logits_of(masked_folder, TEXTS, LABELS)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_long_texts_are_cut_and_the_prompt_is_not(masked_folder):
    output = ask(masked_folder, [" ".join(words(200))], ["sport", "music"], architecture=MaskedLMClassifier)
    assert output.n_windows[0] > 1 and len(output.logits) == 2 * output.n_windows[0]


def test_models_share_a_module_and_its_hook(masked_folder):
    models = [MaskedLMClassifier(str(masked_folder), precision="float32") for _ in range(3)]
    modules = {id(model.shims[0].runtime.checkpoint.module) for model in models}
    base = models[0].shims[0].runtime.checkpoint.module.base_model
    assert len(modules) == 1 and len(base._forward_hooks) == 1
    # run by itself, the encoder still gives all of its states
    assert models[0].shims[0].runtime.embed(TEXTS).shape == (2, 32)


@pytest.mark.parametrize(
    "prompt",
    [
        "It is about {mask}.",
        "{text}",
        "",
        "{text} {text} {mask}",
        "{text} {mask} {mask}",
        "{text} {mask} {}",
        "{text.__class__} {mask}",
        "{text!r} {mask}",
        "{{text}} {mask}",
        "{text} {mask",
    ],
)
def test_bad_prompts_Z242(prompt):
    with pytest.raises(ZeroShotError, match=r"^\[Z242\] "):
        MaskedLMClassifier("x", prompt)


def test_prompts_that_a_config_would_change_Z008():
    with pytest.raises(ZeroShotError, match=r"^\[Z008\].*prompt"):
        check_prompt("{text} costs $ {mask}")


def test_a_prompt_that_names_the_mask_itself_Z242(masked_folder):
    with pytest.raises(ZeroShotError, match="Z242"):
        logits_of(masked_folder, ["A text."], ["sport"], prompt="{text} [MASK] {mask}")


def test_a_tokenizer_without_a_mask_Z243(masked_folder, own_copy):
    folder = own_copy(masked_folder)
    edit_json(folder / "tokenizer_config.json", mask_token=None, tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(ZeroShotError, match=r"^\[Z243\].*checkpoint"):
        logits_of(folder, ["A text."], ["sport"])


def test_a_word_nobody_knows_Z244(masked_folder):
    with pytest.raises(ZeroShotError, match=r"^\[Z244\].*☃"):
        logits_of(masked_folder, ["A text."], ["sport", "☃"])


def test_a_checkpoint_without_the_head_Z245(nli_folder, decomposed_folder):
    for folder in (nli_folder, decomposed_folder, "bundled"):
        with pytest.raises(ZeroShotError, match=r"^\[Z245\] "):
            logits_of(folder, ["A text."], ["sport"])


def test_saved_and_loaded(masked_folder, tmp_path):
    model = MaskedLMClassifier(str(masked_folder), precision="float32")
    expected = model.predict(NLIInput(TEXTS, [("sport", "music")] * 2)).logits
    model.shims[0].save(tmp_path)
    np.testing.assert_array_equal(logits_of(tmp_path, TEXTS, ["sport", "music"]).reshape(-1, 2), expected)


def test_templates_are_not_used_and_own_ones_warned_of_z105(masked_folder):
    block = {"@architectures": "spacy_zeroshot.MaskedLMClassifier.v1"}
    plain = make_nlp(masked_folder, hypothesis_template="{}", model=block)
    default = make_nlp(masked_folder, model=block)
    assert default.get_pipe("zero_shot_textcat").label_set().hypotheses == tuple(LABELS)
    assert default(TEXTS[0]).cats == plain(TEXTS[0]).cats
    with pytest.warns(ZeroShotWarning, match="Z105"):
        warned = make_nlp(masked_folder, hypothesis_template="This review is {}.", model=block)
    assert warned.get_pipe("zero_shot_textcat").templates == ("{}",)
