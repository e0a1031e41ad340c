"""What the explorer's page shows, without a browser."""

import base64
import json
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from thinc.api import Config

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.explorer import Explorer, form_of, settings_of
from spacy_zeroshot.explorer.page import MARK, Page, make_app, serve
from spacy_zeroshot.readers import Row

from .util import LABELS, TEXTS, make_nlp

EVIL = '<script>alert(1)</script> & "quotes"'
SETTINGS = [
    {},
    {"multi_label": True, "threshold": 0.6, "none_label": "other"},
    {"hypothesis_template": ["It is {}.", "{}!"], "hypotheses": [{"label": "sport", "text": "A match = a game."}]},
    {
        "labels": [],
        "label_groups": [
            {"name": "topic", "labels": LABELS, "hypothesis_template": "The topic is {}."},
            {"name": "tone", "labels": ["good", "bad"], "multi_label": True, "threshold": 0.3, "key_prefix": "is "},
        ],
    },
]


def rows(texts: list[str], labels: list[tuple[str, ...] | None] | None = None) -> list[Row]:
    given = labels or [None] * len(texts)
    return [Row(number, text, {}, own) for number, (text, own) in enumerate(zip(texts, given), start=1)]


def make_explorer(folder: Path, texts: list[str] = TEXTS, **settings: Any) -> Explorer:
    nlp = make_nlp(folder, **settings)
    explorer = Explorer(nlp, nlp.get_pipe("zero_shot_textcat"))
    explorer.load(rows(texts))
    return explorer


@pytest.fixture
def explorer(decomposed_folder: Path) -> Explorer:
    return make_explorer(decomposed_folder)


@pytest.fixture
def page(explorer: Explorer) -> Page:
    return Page(explorer)


def direct(explorer: Explorer) -> np.ndarray:
    """The scores as the component itself gives them."""
    return np.array([found.scores for found in explorer.pipe.predict(explorer.docs)])


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("folder", ["decomposed_folder", "nli_folder"])
def test_scores_are_those_of_the_component(settings: dict[str, Any], folder: str, request: Any) -> None:
    explorer = make_explorer(request.getfixturevalue(folder), [*TEXTS, " ".join(TEXTS * 12)])
    assert len(explorer.docs) == len(TEXTS)  # the blank one is left out
    explorer.scores()
    explorer.change(settings)
    np.testing.assert_allclose(explorer.scores(), direct(explorer), atol=1e-5)
    chosen = [explorer.pipe.decide(doc).labels for doc in explorer.pipe.pipe([doc.copy() for doc in explorer.docs])]
    assert [sorted(row.chosen) for row in explorer.view().rows] == [sorted(labels) for labels in chosen]


def test_only_new_hypotheses_are_scored(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    score = explorer.pipe.label_logits
    monkeypatch.setattr(
        explorer.pipe, "label_logits", lambda docs, labels: asked.append(labels.hypotheses) or score(docs, labels)
    )
    explorer.view()
    explorer.change({"labels": [*LABELS, "science"]})
    explorer.view()
    explorer.change({"threshold": 0.7, "labels": ["science", "sport"]})
    explorer.view()
    template = "This text is about {}."
    assert asked == [tuple(map(template.format, LABELS)), (template.format("science"),)]


def test_a_text_is_encoded_once(explorer: Explorer) -> None:
    explorer.scores()
    encoded: list[int] = []
    encoder = explorer.pipe.model.shims[0].runtime.scorer.module.encoder
    encoder.register_forward_pre_hook(lambda module, args: encoded.append(len(args[0].ids)))
    explorer.change({"labels": [*LABELS, "science"]})
    assert explorer.scores().shape == (len(explorer.docs), 4)
    # one hypothesis, and no text
    assert len(encoded) == 1 and encoded[0] < 32


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_form_says_what_the_settings_say(explorer: Explorer, settings: dict[str, Any]) -> None:
    explorer.change(settings)
    scores, keys = explorer.scores(), explorer.pipe.labels
    explorer.change(settings_of(form_of(explorer.pipe)))
    assert explorer.pipe.labels == keys
    np.testing.assert_array_equal(explorer.scores(), scores)
    for name, value in settings.items():
        if name != "label_groups":
            assert explorer.pipe.setting(name) == value


def test_settings_are_changed_all_or_none(explorer: Explorer) -> None:
    explorer.change({"label_thresholds": [{"label": "sport", "threshold": 0.9}]})
    before = explorer.pipe.setting("label_thresholds"), explorer.pipe.labels
    with pytest.raises(ZeroShotError, match="Z004"):
        explorer.change({"labels": ["sport"], "hypothesis_template": "no slot"})
    assert (explorer.pipe.setting("label_thresholds"), explorer.pipe.labels) == before
    # a label that goes takes its threshold along
    explorer.change({"labels": ["music"]})
    assert explorer.pipe.label_thresholds == {}


def test_view_counts(explorer: Explorer) -> None:
    view = explorer.view()
    assert view.figures is None and view.answered == 0
    for number, one in enumerate(view.labels):
        assert sum(one.counts) == len(explorer.docs)
        assert one.chosen == sum(row.chosen == [one.label] for row in view.rows)
        assert one.mean == pytest.approx(direct(explorer)[:, number].mean(), abs=1e-5)
    assert sum(one.chosen for one in view.labels) == len(explorer.docs)
    assert [pair.share for pair in view.overlaps] == sorted((pair.share for pair in view.overlaps), reverse=True)
    assert all(0 < pair.share < 1 for pair in view.overlaps) and len(view.overlaps) == 3
    margins = [1 - (row.scores[0][1] - row.scores[1][1]) for row in view.rows]
    assert [row.unsure for row in view.rows] == pytest.approx(margins)


def test_answers_are_counted(explorer: Explorer) -> None:
    chosen = [row.chosen for row in explorer.view().rows]
    wrong = next(label for label in LABELS if label not in chosen[1])
    explorer.correct(0, chosen[0])
    explorer.correct(1, [wrong])
    explorer.correct(2, ["a label of before"])
    view = explorer.view()
    assert view.answered == 2 and view.figures is not None and view.figures.accuracy == 0.5
    assert [row.is_right for row in view.rows] == [True, False, None, None]
    assert {pair.labels: pair.confused for pair in view.overlaps if pair.confused} == {
        tuple(label for label in LABELS if label in (wrong, chosen[1][0])): 1
    }
    assert explorer.gold[explorer.docs[1].text] == (wrong,)
    explorer.correct(1, None)
    assert explorer.view().answered == 1


def test_labels_of_texts_are_answers_and_a_limit_spreads(decomposed_folder: Path) -> None:
    nlp = make_nlp(decomposed_folder, labels=[])
    explorer = Explorer(nlp, nlp.get_pipe("zero_shot_textcat"), limit=2)
    explorer.load(rows([f"text {i}" for i in range(4)], [("b",), ("a",), ("a",), ()]))
    assert explorer.pipe.labels == ("b", "a")
    assert [doc.text for doc in explorer.docs] == ["text 0", "text 2"] and explorer.total == 4
    assert explorer.view().answered == 2


def test_tune_uses_the_answers(explorer: Explorer) -> None:
    explorer.scores()
    with pytest.raises(ZeroShotError, match="Z20"):
        explorer.tune()
    for number, label in enumerate(["politics", "sport", "music", "music"]):
        explorer.correct(number, [label])
    tuned = explorer.tune()
    assert tuned.texts == [doc.text for doc in explorer.docs]
    # what was computed of the texts is still there
    assert explorer.pipe.model.shims[0].runtime.scorer.recent_texts.limit > 0
    assert explorer.pipe.hypothesis_template == "This text is about {}."


def test_a_saved_pipeline_gives_the_same_scores(explorer: Explorer, tmp_path: Path) -> None:
    explorer.change(settings_of({**form_of(explorer.pipe), "wordings": ["sport = They play."], "none_label": "other"}))
    explorer.save(tmp_path / "saved")
    nlp = spacy.load(tmp_path / "saved")
    found = [[nlp(doc.text).cats[label] for label in LABELS] for doc in explorer.docs]
    np.testing.assert_allclose(found, explorer.scores(), atol=1e-5)
    with pytest.raises(ZeroShotError, match="Z092"):
        explorer.save(tmp_path / "saved")
    explorer.save(tmp_path / "saved", overwrite=True)


def test_the_config_makes_the_same_component(explorer: Explorer) -> None:
    wordings = [{"label": "정치", "text": 'It is "정치".'}]
    explorer.change({"labels": ["정치", "back\\slash 😀"], "multi_label": True, "hypotheses": wordings})
    text = explorer.config()
    assert "pooling" not in text and text.startswith("[components.zero_shot_textcat]")
    assert '"정치", "back\\\\slash 😀"' in text
    nlp = spacy.blank("en")
    block = Config().from_str(f"[components]\n\n{text}")["components"]["zero_shot_textcat"]
    pipe = nlp.add_pipe(block.pop("factory"), config=block)
    np.testing.assert_allclose([found.scores for found in pipe.predict(explorer.docs)], explorer.scores(), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*Z121")
def test_what_is_shown_is_escaped(page: Page) -> None:
    explorer = page.explorer
    explorer.load(rows([EVIL, " ".join([EVIL] * 60)]))
    explorer.change({"labels": [EVIL, "other"], "none_label": EVIL + "!"})
    explorer.correct(0, [EVIL])
    explorer.correct(1, [])
    whole = page.whole()
    shown = [whole, *(page.answer("show", {"number": i, "label": EVIL})[0] for i in (0, 1))]
    shown.append(page.answer("show", {"number": 0, "explain": True})[0])
    # of two labels that are both right and never chosen, tune has something to say
    explorer.change({"labels": [EVIL, "other"], "none_label": None, "multi_label": True, "threshold": 0.999})
    for number in (0, 1):
        explorer.correct(number, [EVIL, "other"])
    shown.append(page.answer("tune", {})[0])
    for html in shown:
        assert "alert(1)" in html
        assert "<script>" not in html.replace('<script src="static/page.js" defer></script>', "")
    assert "windows" in shown[2]


def test_answers_of_the_page(page: Page) -> None:
    form = form_of(page.explorer.pipe)
    assert page.answer("score", {"form": {**form, "none_label": "other"}})[1] == 200
    broken = {**form, "groups": [{**form["groups"][0], "hypothesis_template": ["no slot"]}]}
    html, status = page.answer("score", {"form": broken})
    assert status == 422 and "Z004" in html
    content = base64.b64encode(b"text,labels\none,b\ntwo,a\n").decode()
    empty = {**form, "groups": []}
    html, status = page.answer("load", {"form": empty, "name": "../x.csv", "content": content, "text_field": "text"})
    assert status == 200 and page.explorer.pipe.labels == ("b", "a") and "2 texts" in html
    html, status = page.answer("score", {"form": empty})
    assert status == 200 and "Write a few labels" in html


def test_a_port_that_is_taken_and_an_extra_that_is_missing(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ZeroShotError, match="Z060.*--port"):
        serve(page, taken.getsockname()[1], False, print)
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(ZeroShotError, match=r"Z085.*spacy-zeroshot\[explore\]"):
        serve(page, 0, False, print)


def test_the_server_answers_its_own_page_only(page: Page) -> None:
    client = pytest.importorskip("starlette.testclient", reason="the development extra is not installed").TestClient(
        make_app(page), base_url="http://127.0.0.1"
    )
    first = client.get("/")
    assert first.status_code == 200 and "default-src 'self'" in first.headers["content-security-policy"]
    for name in ("page.js", "page.css"):
        assert "://" not in client.get(f"/static/{name}").text
    assert client.post("/score", json={}).status_code == 403
    assert client.post("/score", json={}, headers={MARK: "1"}).status_code == 200
    assert client.get("/", headers={"host": "elsewhere.example"}).status_code == 400
    page.explorer.correct(0, ["sport"])
    assert json.loads(client.get("/corrections.jsonl").text) == {"text": TEXTS[0], "labels": ["sport"]}
