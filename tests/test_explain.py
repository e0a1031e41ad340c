"""Why a text has a label's score."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from spacy.tokens import Doc

from spacy_zeroshot import display
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.explain import explain

from .util import LABELS, TEXTS, make_nlp, run_cli

TEXT = "The minister resigned. A man plays football in the park; the goalkeeper saved a late penalty. Music!"
KOREAN = "이 문장은 스포츠에 관한 것입니다. 오늘 경기는 정말 재미있었다!"
ARABIC = "استقال الوزير أمس. فاز الفريق بالمباراة؟ نعم."
CHINESE = "昨天中国队赢得了比赛，球迷们欢呼。部长辞职了。"


@pytest.fixture(scope="module")
def nlp(decomposed_folder: Path) -> Any:
    return make_nlp(decomposed_folder)


def pipe_of(nlp: Any) -> Any:
    return nlp.get_pipe("zero_shot_textcat")


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("text", [TEXT, KOREAN, ARABIC, CHINESE])
def test_a_parts_score_is_that_of_the_text_without_it(decomposed_folder: Path, text: str, multi_label: bool) -> None:
    nlp = make_nlp(decomposed_folder, multi_label=multi_label)
    found = pipe_of(nlp).explain(nlp.make_doc(text), "politics")
    assert found.label == "politics" and found.score == pytest.approx(nlp(text).cats["politics"], abs=1e-6)
    assert len(found.sentences) > 1 and len(found.words) > 3
    for part in (*found.sentences, *found.words):
        assert text[part.start : part.end] == part.text
        rest = text[: part.start] + text[part.end :].removeprefix(" ")
        assert part.score == pytest.approx(nlp(rest.rstrip()).cats["politics"], abs=1e-5)
        odds = [score / (1 - score) for score in (found.score, part.score)]
        assert part.weight == pytest.approx(np.log(odds[0] / odds[1]), abs=1e-6)


def test_the_cost_is_what_it_says(nlp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[str] = []
    predict = type(pipe_of(nlp)).predict

    def count(self: Any, docs: Any, label_set: Any = None) -> Any:
        scored.extend(doc.text for doc in docs)
        return predict(self, docs, label_set)

    monkeypatch.setattr(type(pipe_of(nlp)), "predict", count)
    found = explain(pipe_of(nlp), nlp.make_doc(TEXT), n_sentences=1)
    assert found.n_texts == len(scored) == 1 + len(found.sentences) + len(found.words)
    strongest = max(found.sentences, key=lambda part: abs(part.weight))
    assert all(strongest.start <= word.start and word.end <= strongest.end for word in found.words)


def test_sentences_of_any_script(nlp: Any) -> None:
    for text, n in [(KOREAN, 2), (ARABIC, 3), (CHINESE, 2), (TEXT, 3)]:
        assert len(explain(pipe_of(nlp), nlp.make_doc(text)).sentences) == n


def test_chinese_without_its_tokenizer_is_cut_into_characters(nlp: Any) -> None:
    doc = nlp.make_doc(CHINESE)
    assert len(doc) < 6
    words = explain(pipe_of(nlp), doc).words
    assert {len(word.text) for word in words} == {1} and "，" not in {word.text for word in words}
    assert [token.text for token in doc] == [token.text for token in nlp.make_doc(CHINESE)]


def test_sentences_and_entities_of_the_document_are_used(decomposed_folder: Path) -> None:
    nlp = make_nlp(
        decomposed_folder, get_spans={"@span_getters": "spacy-transformers.sent_spans.v1"}, spans_key="sentences"
    )
    nlp.add_pipe("sentencizer", first=True, config={"punct_chars": [";"]})
    found = explain(pipe_of(nlp), nlp(TEXT), "sport")
    assert [part.text.split()[0] for part in found.sentences] == ["The", "the"]
    doc = Doc(nlp.vocab, ["A", "球迷们", "wins", "."], sent_starts=[True, False, True, False])
    assert [part.text for part in explain(pipe_of(nlp), doc, "sport").sentences] == ["A 球迷们", "wins ."]


def test_prefix_and_own_labels(decomposed_folder: Path) -> None:
    nlp = make_nlp(decomposed_folder, key_prefix="topic_")
    doc = nlp(TEXT)
    assert explain(pipe_of(nlp), doc, "topic_sport") == explain(pipe_of(nlp), doc, "sport")
    assert "topic_" + explain(pipe_of(nlp), doc).label == max(doc.cats, key=lambda key: doc.cats[key])
    doc._.zero_shot_labels = ["science", "weather"]
    assert explain(pipe_of(nlp), doc, "weather").label == "weather"
    with pytest.raises(ZeroShotError, match="Z209"):
        explain(pipe_of(nlp), doc, "sport")


def test_long_texts_are_taken_in_larger_parts(nlp: Any) -> None:
    found = explain(pipe_of(nlp), nlp.make_doc("A man plays football. " * 20), max_parts=6)
    assert len(found.sentences) == 5 and len(found.words) <= 6
    assert found.sentences[0].text.count("football") == 4
    assert explain(pipe_of(nlp), nlp.make_doc("word " * 20), max_parts=5).n_texts == 6


@pytest.mark.parametrize("text", ["", " \n", "\u200b"])
def test_a_blank_text_has_no_parts(nlp: Any, text: str) -> None:
    found = explain(pipe_of(nlp), nlp.make_doc(text), "music")
    assert found == ("music", pytest.approx(1 / 3), (), (), 1)


def test_what_leaves_nothing_is_left_out(nlp: Any) -> None:
    assert explain(pipe_of(nlp), nlp.make_doc("Music"), "music").words == ()
    doc = nlp.make_doc("Music. ")
    assert [word.text for word in explain(pipe_of(nlp), doc, "music").words] == ["Music"]


def test_the_bundled_model_finds_the_reason() -> None:
    nlp = make_nlp(None, labels=["politics", "sport", "cooking"])
    doc = nlp.make_doc("The minister resigned on Monday. The goalkeeper saved a late penalty. Tea was served.")
    found = explain(pipe_of(nlp), doc, "sport")
    assert max(found.sentences, key=lambda part: part.weight).text == "The goalkeeper saved a late penalty."
    assert min(found.sentences, key=lambda part: part.weight).text == "The minister resigned on Monday."
    assert max(found.words, key=lambda part: part.weight).text in ("goalkeeper", "penalty")


def test_documents_and_settings_stay_as_they_are(nlp: Any) -> None:
    doc = nlp(TEXTS[0])
    before = dict(doc.cats), doc.to_bytes(), pipe_of(nlp).labels
    explain(pipe_of(nlp), doc)
    assert (dict(doc.cats), doc.to_bytes(), pipe_of(nlp).labels) == before and before[2] == tuple(LABELS)
    assert not doc.has_annotation("SENT_START")


def test_display_marks_for_and_against_without_colour_alone(nlp: Any) -> None:
    doc = nlp("A man <b>plays</b> football & more. The minister resigned.")
    found = pipe_of(nlp).explain(doc, "sport")
    html = display.render(doc, explanation=found, jupyter=False)
    assert html is not None and "<b>" not in html
    marks = re.findall(r'<mark class="(\w+)" style="--zsc-tint: (\d+)%" title="([+-][\d.]+)">', html)
    assert len(marks) == len(found.words)
    assert [css for css, _, _ in marks] == ["for" if word.weight > 0 else "against" for word in found.words]
    assert max(int(tint) for _, tint, _ in marks) == 50
    assert html.count("<li>") == 2 and "Dashed: speaks against it" in html and f"{found.n_texts} texts" in html
    # as everything was drawn in order, nothing of the text is lost
    text = re.sub(r"<[^>]*>", "", html[html.index('<p class="text">') : html.index('<div class="labels">')])
    assert unescape(text).strip() == doc.text


def test_display_of_a_document_that_was_not_scored(nlp: Any) -> None:
    doc = nlp.make_doc(TEXT)
    html = display.render(doc, explanation=pipe_of(nlp).explain(doc, "music"), jupyter=False)
    assert html is not None and re.findall(r'class="label best">(\w+)<', html) == ["music"]
    with pytest.raises(ZeroShotError, match="Z219"):
        display.render([doc, nlp.make_doc("Another.")], explanation=pipe_of(nlp).explain(doc, "music"), jupyter=False)


def test_classify_explains(decomposed_folder: Path) -> None:
    text = "A man plays football. The minister resigned."
    given = ["classify", text, "", "--model", decomposed_folder, "--labels", "sport,music", "--explain"]
    shown = run_cli(*given)
    assert shown.exit_code == 0, shown.stderr
    assert re.search(r"words (for|against) \w+: \w+ \([+-]\d", shown.stdout)
    assert "found by scoring 10 texts" in shown.stdout
    rows = [json.loads(line) for line in run_cli(*given, "--json").stdout.splitlines()]
    why = rows[0]["explanation"]
    assert why["label"] == rows[0]["labels"][0] and len(why["words"]) + len(why["sentences"]) + 1 == why["n_texts"]
    assert rows[1]["explanation"]["words"] == []
