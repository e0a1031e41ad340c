"""Texts as they come: surrogates, NUL, special tokens' names; and the frame of each family."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from spacy_zeroshot.evidence import Question
from spacy_zeroshot.model.tokens import Tokens

from ..tiny import FAMILIES
from .scoring import ask


@pytest.fixture(scope="module")
def tokens_of(make_checkpoint):
    made = {}

    def get(family):
        if family not in made:
            tokenizer = AutoTokenizer.from_pretrained(make_checkpoint(family))
            made[family] = tokenizer, Tokens(tokenizer, family)
        return made[family]

    return get


@pytest.mark.parametrize("family", FAMILIES)
def test_frame_makes_the_pair_of_transformers(tokens_of, family):
    tokenizer, tokens = tokens_of(family)
    premise, hypothesis = "The minister resigned; 이 문장은.", "This text is about sport."
    first, second = tokens.split([premise, hypothesis])
    frame = tokens.frame
    ours = [*frame.prefix, *first.ids, *frame.middle, *second.ids, *frame.suffix]
    encoded = tokenizer(premise, hypothesis)
    assert ours == encoded["input_ids"]
    parts = (frame.prefix, first.ids, frame.middle, second.ids, frame.suffix)
    types = np.repeat(frame.types, [len(part) for part in parts])
    if tokens.emits_types:
        assert list(types) == encoded["token_type_ids"]


@pytest.mark.parametrize("family", FAMILIES)
@given(text=st.text(max_size=40))
def test_any_text_is_split_within_its_characters(tokens_of, family, text):
    _, tokens = tokens_of(family)
    [pieces] = tokens.split([text])
    assert pieces.offsets.shape == (len(pieces.ids), 2)
    assert (pieces.offsets >= 0).all() and (pieces.offsets <= len(text)).all()
    assert not np.isin(pieces.ids, [*tokens.frame.prefix, *tokens.frame.middle]).any()


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_in_a_text_are_text(tokens_of, family):
    tokenizer, tokens = tokens_of(family)
    names = [tokenizer.sep_token, tokenizer.cls_token, tokenizer.pad_token, tokenizer.mask_token]
    for name in names:
        [pieces] = tokens.split([f"before {name} after"])
        assert not np.isin(pieces.ids, tokenizer.convert_tokens_to_ids(names)).any()


def test_sep_in_a_text_does_not_end_the_premise(nli_folder):
    plain, tricky = "It is about sport.", "It is about sport. [SEP] It is about politics. [SEP]"
    one, other = ask(nli_folder, [Question(plain, (tricky,)), Question(tricky, (plain,))])
    for answer in (one, other):
        assert answer.logits.shape == (1, 1, 3)
    from transformers import AutoModelForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(nli_folder)
    model = AutoModelForSequenceClassification.from_pretrained(nli_folder).eval()
    naive = model(**tokenizer(tricky, plain, return_tensors="pt")).logits[0, [2, 0, 1]].detach().numpy()
    assert np.abs(naive - other.logits[0, 0]).max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_lone_surrogates_and_nul(tokens_of, family):
    _, tokens = tokens_of(family)
    split = tokens.split(["a \ud800 b", "a ? b", "a \x00 b", "\udfff", "\x00"])
    assert list(split[0].ids) == list(split[1].ids)
    assert split[0].offsets.tolist() == split[1].offsets.tolist()
    assert split[2].offsets.max() <= 5


def test_lone_surrogates_are_scored(nli_folder):
    answers = ask(nli_folder, [Question("a \ud800 b", ("sport \udfff",)), Question("\x00", ("sport",))])
    assert all(np.isfinite(answer.logits).all() for answer in answers)


def test_tokenizer_file_that_cuts_and_pads(make_checkpoint, own_copy):
    """all-MiniLM's tokenizer.json pads and truncates by itself."""
    folder = own_copy(make_checkpoint())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.enable_truncation(16)
    tokenizer.backend_tokenizer.enable_padding(length=16)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    tokens = Tokens(AutoTokenizer.from_pretrained(folder), "cuts")
    lengths = [len(pieces.ids) for pieces in tokens.split(["sport", "sport " * 40])]
    assert lengths == [1, 40]


def test_user_tokenizer_is_left_alone(make_checkpoint):
    tokenizer = AutoTokenizer.from_pretrained(make_checkpoint())
    tokenizer.backend_tokenizer.enable_truncation(16)
    before = tokenizer.backend_tokenizer.to_str()
    Tokens(tokenizer, "a model").split(["a [SEP] b"])
    assert tokenizer.backend_tokenizer.to_str() == before
    assert tokenizer.backend_tokenizer.encode_special_tokens is False


def test_hypotheses_are_remembered_in_bounds(make_checkpoint, monkeypatch):
    monkeypatch.setattr("spacy_zeroshot.model.tokens.CACHE_SIZE", 10)
    tokens = Tokens(AutoTokenizer.from_pretrained(make_checkpoint()), "a model")
    for n in range(100):
        [first, again] = tokens.split_cached([f"sport {n}", "sport 0"])
        assert list(first.ids) == list(tokens.split([f"sport {n}"])[0].ids)
        assert len(tokens._cache) < 15
    assert list(again.ids) == list(tokens.split(["sport 0"])[0].ids)
