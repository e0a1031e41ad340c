"""Bars and tinted texts."""

import re
import threading
import urllib.request
from http.server import ThreadingHTTPServer

import pytest
import spacy

from spacy_zeroshot.display import page_handler, pieces, render, serve
from spacy_zeroshot.errors import ZeroShotError

from .browser import needs_browser, rendered_dom

SCRIPT = "<script>document.title = 'broken'</script>"


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
    nlp = spacy.blank("en")
    config = {"labels": ["sport", "music"], "spans_key": "windows", "model": {"name": str(nli_folder)}}
    config["get_spans"] = {"@span_getters": "spacy-transformers.sent_spans.v1"}
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("zero_shot_textcat", config=config)
    doc = nlp("A man plays football. The minister resigned.")
    html = render(doc, spans_key="windows", label="music", jupyter=False)
    support = [f"{cats['music']:.3f}" for cats in doc.spans["windows"].attrs["cats"]]
    assert re.findall(r'<mark [^>]* title="([\d.]+)">', html) == support
    assert "supports music" in html
    best = max(doc.cats, key=doc.cats.get)
    assert f"supports {best}" in render(doc, spans_key="windows", jupyter=False)


def test_pieces_by_hand():
    doc = spacy.blank("en")("one two three")
    found = pieces(doc, [(0, 7), (4, 13)], [0.2, 0.9])
    assert found == [("one ", 0.2), ("two", 0.9), (" three", 0.9)]
    assert pieces(doc, [(4, 7)], [0.5]) == [("one ", None), ("two", 0.5), (" three", None)]
    assert "".join(piece.text for piece in found) == doc.text


def test_page_and_minify(doc):
    page = render([doc, doc], page=True, jupyter=False)
    assert page.startswith("<!DOCTYPE html>") and page.count("<article") == 2
    small = render([doc, doc], page=True, minify=True, jupyter=False)
    assert len(small) < len(page)
    # the text's own line break stays
    assert "more.\nA vote." in small


def test_z205_no_scores():
    with pytest.raises(ZeroShotError, match=r"Z205.*document 1"):
        nlp = spacy.blank("en")
        first = nlp("One.")
        first.cats = {"a": 1.0}
        render([first, nlp("Two.")])


def test_z206_no_spans(doc):
    for key in ("windows", "empty"):
        doc.spans["empty"] = []
        with pytest.raises(ZeroShotError, match="Z206"):
            render(doc, spans_key=key)


def test_server(doc):
    body = render(doc, page=True, jupyter=False).encode("utf8")
    with ThreadingHTTPServer(("127.0.0.1", 0), page_handler(body)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/") as answer:
            assert answer.read() == body
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        with pytest.raises(ZeroShotError, match=r"Z060.*port"):
            serve(doc, port=server.server_port)
        server.shutdown()


@needs_browser
def test_no_script_runs_in_the_browser(doc, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(render(doc, page=True, jupyter=False), encoding="utf8")
    dom = rendered_dom(path)
    assert "<title>Zero-shot scores</title>" in dom and "<script" not in dom
