"""Mask filling: log-probabilities of label words as evidence."""

from pathlib import Path
from typing import Any, Callable, List, Tuple

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, pipeline

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.evidence import AGAINST, FOR, Answer, Question, Request
from spacy_zeroshot.model.masked_lm import MaskedLMClassifier
from spacy_zeroshot.model.prompt import check_prompt, read_prompt

from ..build import LABELS, make_nlp
from ..tiny import edit_json

FAMILIES = ("bert", "roberta", "distilbert", "electra", "deberta-v2", "xlm-roberta", "modernbert")
TEXTS = ["The minister resigned after losing the vote.", "A man plays football in the park."]
# pieces of every tokenizer's own vocabulary
WORDPIECE_WORDS = ("sport", "music", "park", "parliament")
PROMPT = "{text} It is about {mask}."


def ask(folder: Any, questions: List[Question], **model: Any) -> List[Answer]:
    return MaskedLMClassifier(str(folder), **{"precision": "float32", **model}).predict(Request(questions))


def by_hand(folder: Path, sentence: str, pieces: List[int]) -> np.ndarray:
    """RETURNS (np.ndarray): Shape (masks,): the log-probability of each piece at its mask, by transformers alone."""
    module = AutoModelForMaskedLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(sentence, return_tensors="pt")
    with torch.no_grad():
        logits = module(**inputs).logits[0].log_softmax(-1)
    places = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero()[:, 0]
    assert len(places) == len(pieces)
    return logits[places, torch.tensor(pieces)].numpy()


@pytest.mark.parametrize("family", ["bert", "distilbert", "electra", "deberta-v2", "xlm-roberta"])
def test_equals_the_fill_mask_pipeline(make_checkpoint: Callable[..., Path], family: str) -> None:
    folder = make_checkpoint(family, built_as="AutoModelForMaskedLM")
    model = MaskedLMClassifier(str(folder), PROMPT, precision="float32")
    tokens = model.shims[0].runtime.tokens
    words = [word for word in WORDPIECE_WORDS if len(tokens.split_cached([word])[0].ids) == 1]
    assert len(words) > 2
    tokenizer = AutoTokenizer.from_pretrained(folder)
    targets = [tokenizer.convert_ids_to_tokens(int(tokens.split_cached([word])[0].ids[0])) for word in words]
    fill = pipeline("fill-mask", model=AutoModelForMaskedLM.from_pretrained(folder), tokenizer=tokenizer, device="cpu")
    answers = model.predict(Request([Question(text, tuple(words)) for text in TEXTS]))
    for text, answer in zip(TEXTS, answers):
        rows = fill(f"{text} It is about {tokenizer.mask_token}.", targets=targets)
        wanted = {row["token"]: row["score"] for row in rows}
        ids = tokenizer.convert_tokens_to_ids(targets)
        np.testing.assert_allclose(np.exp(answer.logits[0, :, FOR]), [wanted[i] for i in ids], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_label_of_several_pieces_has_as_many_masks(make_checkpoint: Callable[..., Path], family: str) -> None:
    folder = make_checkpoint(family, built_as="AutoModelForMaskedLM")
    model = MaskedLMClassifier(str(folder), PROMPT, precision="float32")
    label = "sports politics"
    pieces = model.shims[0].runtime.tokens.split_cached([label])[0].ids.tolist()
    assert len(pieces) > 1
    tokenizer = AutoTokenizer.from_pretrained(folder)
    masks = tokenizer.mask_token * len(pieces)
    (answer,) = model.predict(Request([Question(TEXTS[0], ("sport", label))]))
    wanted = by_hand(folder, f"{TEXTS[0]} It is about {masks}.", pieces).mean()
    assert answer.logits[0, 1, FOR] == pytest.approx(wanted, abs=1e-4)


def test_the_evidence_against_is_the_prompt_without_a_text(masked_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(masked_folder)
    words = ["sport", "music"]
    answers = ask(masked_folder, [Question(text, tuple(words)) for text in TEXTS], max_batch_tokens=20)
    for number, word in enumerate(words):
        prior = by_hand(masked_folder, "It is about [MASK].", [tokenizer.convert_tokens_to_ids(word)])[0]
        for answer in answers:
            assert answer.logits[0, number, AGAINST] == pytest.approx(prior, abs=1e-4)


@pytest.mark.parametrize(
    "prompt, sentence",
    [
        ("{mask} : {text}", "[MASK] : TEXT"),
        ("Topic: {mask}. Text: {text}", "Topic: [MASK]. Text: TEXT"),
        ("A text: {text} ({mask})", "A text: TEXT ([MASK])"),
        ("{text}{mask}", "TEXT [MASK]"),
    ],
)
def test_prompts_of_any_order(masked_folder: Path, prompt: str, sentence: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(masked_folder)
    (answer,) = ask(masked_folder, [Question(TEXTS[1], ("music",))], prompt=prompt)
    wanted = by_hand(masked_folder, sentence.replace("TEXT", TEXTS[1]), [tokenizer.convert_tokens_to_ids("music")])
    assert answer.logits[0, 0, FOR] == pytest.approx(wanted[0], abs=1e-4)


def test_byte_level_words_keep_the_space_before_them(make_checkpoint: Callable[..., Path]) -> None:
    folder = make_checkpoint("roberta", built_as="AutoModelForMaskedLM")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = read_prompt("Text: {text} It is about {mask}.", tokenizer, "x", "MaskedLMClassifier")
    assert (prompt.text_lead, prompt.word_lead) == (" ", " ")
    assert tokenizer.decode(prompt.left) == "Text:"
    glued = read_prompt("{text}#{mask}", tokenizer, "x", "MaskedLMClassifier")
    assert (glued.text_lead, glued.word_lead) == ("", "")
    found: Tuple[Any, int] = prompt.row(np.asarray([7, 8]), 3)
    assert found[0][found[1] : found[1] + 3].tolist() == [tokenizer.mask_token_id] * 3
    assert len(found[0]) == len(prompt) + 2 + 3


def test_a_large_vocabulary_is_cut_into_passes(masked_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [Question(f"{text} {i}", ("sport", "music", "the park")) for i in range(4) for text in TEXTS]
    whole = ask(masked_folder, questions)
    monkeypatch.setattr("spacy_zeroshot.model.masked_layout.LARGEST_LOGITS", 900)
    for one, other in zip(whole, ask(masked_folder, questions)):
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-4)


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
def test_bad_prompts_Z242(prompt: str) -> None:
    with pytest.raises(ZeroShotError, match=r"^\[Z242\] MaskedLMClassifier: "):
        MaskedLMClassifier("x", prompt)


def test_prompts_that_a_config_would_change_Z008() -> None:
    with pytest.raises(ZeroShotError, match=r"^\[Z008\].*prompt"):
        check_prompt("{text} costs $ {mask}", "MaskedLMClassifier")


def test_a_prompt_that_names_the_mask_itself_Z242(masked_folder: Path) -> None:
    with pytest.raises(ZeroShotError, match="Z242"):
        ask(masked_folder, [Question("A text.", ("sport",))], prompt="{text} [MASK] {mask}")


def test_a_tokenizer_without_a_mask_Z243(masked_folder: Path, own_copy: Callable[[Path], Path]) -> None:
    folder = own_copy(masked_folder)
    edit_json(folder / "tokenizer_config.json", mask_token=None, tokenizer_class="PreTrainedTokenizerFast")
    with pytest.raises(ZeroShotError, match=r"^\[Z243\].*checkpoint"):
        ask(folder, [Question("A text.", ("sport",))])


def test_a_word_nobody_knows_Z244(masked_folder: Path) -> None:
    with pytest.raises(ZeroShotError, match=r"^\[Z244\].*☃"):
        ask(masked_folder, [Question("A text.", ("sport", "☃"))])


def test_a_checkpoint_without_the_head_Z245(nli_folder: Path) -> None:
    with pytest.raises(ZeroShotError, match=r"^\[Z245\] MaskedLMClassifier: "):
        ask(nli_folder, [Question("A text.", ("sport",))])
    with pytest.raises(ZeroShotError, match=r"^\[Z245\] MaskedLMClassifier: 'bundled'"):
        ask("bundled", [Question("A text.", ("sport",))])


def test_templates_are_not_used_and_own_ones_warned_of_Z105(masked_folder: Path) -> None:
    block = {"@architectures": "spacy_zeroshot.MaskedLMClassifier.v1"}
    plain = make_nlp(masked_folder, hypothesis_template="{}", model=block)
    default = make_nlp(masked_folder, model=block)
    assert default.get_pipe("zero_shot_textcat").wording().hypotheses == tuple(LABELS)
    assert default(TEXTS[0]).cats == plain(TEXTS[0]).cats
    with pytest.warns(ZeroShotWarning, match="Z105"):
        warned = make_nlp(masked_folder, hypothesis_template="This review is {}.", model=block)
    pipe = warned.get_pipe("zero_shot_textcat")
    assert pipe.templates == ("{}",) and pipe.unused_templates == ("This review is {}.",)


def test_check_reports_an_unused_template_Z105(masked_folder: Path, tmp_path: Path) -> None:
    from spacy_zeroshot.checks import check_pipeline

    block = {"@architectures": "spacy_zeroshot.MaskedLMClassifier.v1"}
    with pytest.warns(ZeroShotWarning, match="Z105"):
        make_nlp(masked_folder, hypothesis_template="It is {}.", model=block).to_disk(tmp_path)
    assert "Z105" in {found.code for found in check_pipeline(str(tmp_path)).findings}
