import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.premises import Premise, count_unread, is_blank, premises_of

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
