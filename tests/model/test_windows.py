"""Windows: exact in wordpieces, the same as transformers' tokenizers make them."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.evidence import Question, Reading
from spacy_zeroshot.model.windows import split_windows

from ..tiny import FAMILIES, POSITIONS, words
from .scoring import ask, make_nlp

LONG = " ".join(words(300))


@given(st.integers(0, 2000), st.integers(1, 300), st.data())
def test_windows_cover_exactly(length, room, data):
    overlap = data.draw(st.integers(0, room - 1))
    windows = split_windows(length, room, overlap, "c")
    assert windows[0][0] == 0 and windows[-1][1] == length
    assert all(0 <= end - start <= room for start, end in windows)
    for (_, before_end), (start, end) in pairwise(windows):
        assert before_end - start == overlap
        assert end > before_end
    # only the last one is short
    assert all(end - start == room for start, end in windows[:-1])


@given(st.integers(1, 100), st.integers(0, 50), st.integers(1, 1000))
def test_impossible_overlap_Z012(room, more, length):
    with pytest.raises(ZeroShotError, match=r"\[Z012\] c: window_overlap = "):
        split_windows(room + length, room, room + more, "c")


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 1000))
def test_short_text_needs_no_overlap(length, more, overlap):
    assert split_windows(length, length + more, overlap, "c") == [(0, length)]


@pytest.mark.parametrize("family", FAMILIES)
def test_windows_equal_transformers(make_checkpoint, family):
    """Every window holds the whole hypothesis and scores as the one that transformers' tokenizer cuts."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = make_checkpoint(family)
    hypothesis = "This text is about sport."
    [answer] = ask(folder, [Question(LONG, (hypothesis,))], Reading(window_overlap=20))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    encoded = tokenizer(
        LONG,
        hypothesis,
        truncation="only_first",
        max_length=POSITIONS,
        stride=20,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=True,
        return_tensors="pt",
    )
    offsets = encoded.pop("offset_mapping").numpy()
    encoded.pop("overflow_to_sample_mapping")
    with torch.no_grad():
        logits = model(**encoded).logits.numpy()
    assert len(logits) > 3
    # contradiction, neutral, entailment -> entailment, contradiction, neutral
    np.testing.assert_allclose(answer.logits[:, 0], logits[:, [2, 0, 1]], atol=1e-4)
    for i, (start, end) in enumerate(answer.windows):
        own = [pair for pair, owner in zip(offsets[i], encoded.sequence_ids(i)) if owner == 0]
        assert (start, end) == (own[0][0], own[-1][1])


def test_last_window_reaches_the_end(nli_folder):
    text = LONG + "   \n"
    [answer] = ask(nli_folder, [Question(text, ("sport",))])
    assert answer.windows[0][0] == 0 and answer.windows[-1][1] == len(text)


def test_truncate_warns_once_Z101(nli_folder):
    nlp = make_nlp(nli_folder, long_text="truncate", multi_label=True)
    with pytest.warns(ZeroShotWarning, match=r"\[Z101\] zero_shot_textcat: .* wordpieces was cut to"):
        cut = nlp(LONG).cats
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert nlp(LONG + " More.").cats == pytest.approx(cut)
    first = make_nlp(nli_folder, pooling="first", multi_label=True)
    assert first(LONG).cats == pytest.approx(cut)


def test_windows_do_not_warn(nli_folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_nlp(nli_folder)(LONG)


@pytest.mark.parametrize("long_text", ["windows", "truncate"])
def test_hypothesis_too_long_Z011(nli_folder, long_text):
    nlp = make_nlp(nli_folder, ["sport", " ".join(words(600))], long_text=long_text)
    with pytest.raises(ZeroShotError, match=r"\[Z011\] zero_shot_textcat: .*Shorten the label"):
        nlp("A text.")


def test_overlap_too_large_for_the_model_Z012(nli_folder):
    nlp = make_nlp(nli_folder, window_overlap=POSITIONS)
    assert nlp("A short text needs no window.").cats
    with pytest.raises(ZeroShotError, match=r"\[Z012\] zero_shot_textcat: window_overlap = 128"):
        nlp(LONG)


def test_hypothesis_is_never_cut(nli_folder):
    """The room for the text is what the longest hypothesis leaves, so a longer label makes more windows."""
    long_label = " ".join(words(15))
    [few] = ask(nli_folder, [Question(LONG, ("sport",))])
    [many] = ask(nli_folder, [Question(LONG, ("sport", long_label))])
    assert len(many.windows) > len(few.windows)
