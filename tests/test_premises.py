import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.premises import Premise, is_blank, premises_of, unread

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
    assert premises_of(doc, None, "zsc") == ([] if is_blank(text) else [Premise(text, 0)])


@given(st.lists(st.sampled_from(["one", "two", " ", "\n", "x."]), min_size=1, max_size=8), st.data())
def test_premises_are_where_they_say(parts, data):
    doc = NLP.make_doc(" ".join(parts))
    cuts = data.draw(st.lists(st.tuples(st.integers(0, len(doc)), st.integers(0, len(doc))), max_size=4))
    spans = [doc[min(cut) : max(cut)] for cut in cuts]
    premises = premises_of(doc, lambda docs: [spans], "zsc")
    for premise in premises:
        assert doc.text[premise.start : premise.start + len(premise.text)] == premise.text
    read = {token.i for span in spans for token in span}
    left = [token for token in doc if token.i not in read and not is_blank(token.text)]
    assert unread(doc, premises) == (len(left) if premises or not is_blank(doc.text) else 0)


def test_an_error_of_a_span_getter_is_passed_on():
    def get_spans(docs):
        raise ValueError("my own")

    with pytest.raises(ValueError, match="my own"):
        premises_of(NLP.make_doc("a"), get_spans, "zsc")
