"""Bars and tinted texts."""

import re
from html.parser import HTMLParser

import pytest
import spacy

from spacy_zeroshot.display import cut_at, render
from spacy_zeroshot.errors import ZeroShotError

from .util import make_nlp, settings_for

SCRIPT = "<script>document.title = 'broken'</script>"
SENTS = {"@span_getters": "spacy-transformers.sent_spans.v1"}


class Reader(HTMLParser):
    """What a browser makes of a page: its elements and the text in them."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def doc():
    doc = spacy.blank("en")(f"A penalty. {SCRIPT} & more.\nA vote.")
    doc.cats = {"sport": 0.25, SCRIPT: 0.75, "<b>": 0.0}
    doc.user_data["title"] = SCRIPT
    return doc


def test_bars(doc):
    html = render(doc, jupyter=False)
    assert SCRIPT not in html and "<b>" not in html
    # the best label first, and each bar as wide as its score
    assert re.findall(r"width: ([\d.]+)%", html) == ["75.0", "25.0", "0.0"]
    assert html.index("0.750") < html.index("0.250")
    assert html.count('class="label best"') == 1


def test_many_labels_are_counted(doc):
    doc.cats = {f"label {i}": i / 20 for i in range(20)}
    assert "and 8 more" in render(doc, jupyter=False)


def test_windows_are_tinted_by_their_support(nli_folder):
    nlp = make_nlp(nli_folder, labels=["sport", "music"], spans_key="windows", get_spans=SENTS)
    nlp.add_pipe("sentencizer", first=True)
    doc = nlp("A man plays football. The minister resigned.")
    html = render(doc, spans_key="windows", label="music", jupyter=False)
    support = [f"{cats['music']:.3f}" for cats in doc.spans["windows"].attrs["cats"]]
    assert re.findall(r'<mark [^>]* title="([\d.]+)">', html) == support
    assert "supports music" in html
    best = max(doc.cats, key=doc.cats.get)
    assert f"supports {best}" in render(doc, spans_key="windows", jupyter=False)


def test_components_are_shown_apart(nli_folder):
    nlp = make_nlp(nli_folder, name="topic", labels=["sport", "music"], key_prefix="topic:", spans_key="windows")
    mood = settings_for(nli_folder, labels=["glad"], key_prefix="mood:", multi_label=True, spans_key="moods")
    nlp.add_pipe("zero_shot_textcat", name="mood", config=mood)
    doc = nlp("A man plays football.")
    # of another component, and surer than both
    doc.cats["spam"] = 1.0
    html = render(doc, jupyter=False)
    assert html.count('class="label best"') == 2 and "spam" not in html
    best = max(("topic:sport", "topic:music"), key=doc.cats.get)
    assert f"supports {best}" in render(doc, spans_key="windows", jupyter=False)
    assert "supports mood:glad" in render(doc, spans_key="moods", label="mood:glad", jupyter=False)


def test_pieces_by_hand():
    doc = spacy.blank("en")("one two three")
    found = cut_at(doc.text, [(0, 7), (4, 13)], [0.2, 0.9])
    assert found == [("one ", 0.2), ("two", 0.9), (" three", 0.9)]
    assert cut_at(doc.text, [(4, 7)], [0.5]) == [("one ", None), ("two", 0.5), (" three", None)]


def test_page(doc):
    page = render([doc, doc], page=True, jupyter=False)
    assert page.startswith("<!DOCTYPE html>") and page.count("<article") == 2
    assert "more.\nA vote." in page


def test_a_text_stays_a_text(doc):
    page = Reader(render([doc, doc], page=True, jupyter=False))
    assert "script" not in page.elements and "b" not in page.elements
    assert page.text.count(doc.text) == 2 and page.text.count(SCRIPT) == 6


def test_no_scores_z205():
    nlp = spacy.blank("en")
    first = nlp("One.")
    first.cats = {"a": 1.0}
    with pytest.raises(ZeroShotError, match=r"^\[Z205\] display: document 1"):
        render([first, nlp("Two.")])


def test_no_spans_z206(doc):
    for key in ("windows", "empty"):
        doc.spans["empty"] = []
        with pytest.raises(ZeroShotError, match="Z206"):
            render(doc, spans_key=key)
