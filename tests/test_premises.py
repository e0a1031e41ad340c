import pytest
import spacy
from hypothesis import assume, given
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_zeroshot import premises
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.premises import Premise, count_unread, is_blank, premises_of, text_of_doc, window_spans

NLP = spacy.blank("en")


@pytest.mark.parametrize(
    "text", ["", " ", "\u00a0\u2003", "\n\r\t\v", "\x00\x1f", "\u200b\u200d\ufeff", "\u202e\u200f"]
)
def test_blank(text):
    assert is_blank(text)


@pytest.mark.parametrize("text", ["a", " . ", "\x00x", "😀", "한", "ا"])
def test_not_blank(text):
    assert not is_blank(text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_the_whole_text_is_one_premise(text):
    doc = NLP.make_doc(text)
    assert premises_of(doc, None) == ([] if is_blank(text) else [Premise(text, 0)])


# spaCy numbers symbols ("ADJ", "ADP") from 0 on, and hashes all other words
@given(st.lists(st.tuples(st.sampled_from(["ADJ", "ADP", "ADV", "a", "b"]) | st.text(min_size=1), st.booleans())))
def test_a_documents_text_is_spacys(tokens):
    words, spaces = zip(*tokens) if tokens else ((), ())
    try:
        doc = Doc(NLP.vocab, list(words), list(spaces))
    except UnicodeEncodeError:
        assume(False)
    # with tokens that were not seen before, and with known ones
    assert text_of_doc(doc) == text_of_doc(doc) == doc.text


def test_not_all_tokens_of_a_stream_are_remembered(monkeypatch):
    known = dict.fromkeys(range(60_000), "")
    monkeypatch.setattr(premises, "_words", known)
    doc = NLP.make_doc("A new word.")
    assert text_of_doc(doc) == doc.text and len(known) == len(doc)
    assert text_of_doc(doc) == doc.text


@given(st.lists(st.sampled_from(["one", "two", " ", "\n", "x."]), min_size=1, max_size=8), st.data())
def test_premises_are_where_they_say(parts, data):
    doc = NLP.make_doc(" ".join(parts))
    cuts = data.draw(st.lists(st.tuples(st.integers(0, len(doc)), st.integers(0, len(doc))), max_size=4))
    spans = [doc[min(cut) : max(cut)] for cut in cuts]
    premises = premises_of(doc, lambda docs: [spans])
    for premise in premises:
        assert doc.text[premise.start : premise.start + len(premise.text)] == premise.text
    read = {token.i for span in spans for token in span}
    left = [token for token in doc if token.i not in read and not is_blank(token.text)]
    assert count_unread(doc, premises) == (len(left) if premises or not is_blank(doc.text) else 0)


def raises(error):
    def get_spans(docs):
        raise error

    return get_spans


def test_errors_of_a_span_getter():
    doc = NLP.make_doc("One. Two.")
    with pytest.raises(ValueError, match="my own"):
        premises_of(doc, raises(ValueError("my own")))
    with pytest.raises(ZeroShotError, match=r"Z010.*sentencizer"):
        premises_of(doc, lambda docs: [list(doc.sents) for doc in docs])
    with pytest.raises(ZeroShotError, match=r"Z007.*stride"):
        premises_of(doc, raises(ZeroDivisionError()))


def test_windows_are_spans_of_whole_tokens():
    doc = NLP.make_doc(" One  two, three.")
    windows = [(0, 17), (1, 4), (2, 3), (4, 9), (5, 9), (9, 16), (10, 17)]
    found = [span.text for span in window_spans(doc, windows)]
    assert found == [" One  two, three.", "One", "One", " two", " two", ", three", "three."]


@given(st.text(st.sampled_from("ab .,\n\t"), min_size=1, max_size=20), st.data())
def test_a_windows_span_has_all_that_the_window_shows(text, data):
    doc = NLP.make_doc(text)
    shown = [i for i, character in enumerate(text) if not character.isspace()]
    if shown:
        first, last = sorted(data.draw(st.sampled_from(shown)) for _ in range(2))
        (span,) = window_spans(doc, [(first, last + 1)])
        assert span.start_char <= first and last < span.end_char
        # and no token beyond
        assert span[0].idx + len(span[0]) > first and span[-1].idx <= last
