"""The report: one file, whole, escaped."""

import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from spacy_zeroshot.decisions import by_rank, by_threshold, default_rule
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.scores import scores
from spacy_zeroshot.tuning.report import confusions, describe, report
from spacy_zeroshot.tuning.search import Candidate, search
from spacy_zeroshot.tuning.tune import Tuned

from ..browser import CHROMIUM, needs_browser, rendered_dom

pytest.importorskip("matplotlib", reason="the report needs the extra 'report'")

SCRIPT = "<script>document.title = 'broken'</script>"
LABELS = ("sport", SCRIPT, '$x_1$ & "more"', "politics")
VOID = {"meta", "link", "br", "img", "path", "use", "rect", "circle"}


def make(compete: bool, labels=LABELS, texts: int = 80) -> Tuned:
    state = np.random.default_rng(0)
    gold = np.zeros((texts, len(labels)), dtype=bool)
    gold[np.arange(texts), state.integers(0, len(labels), texts)] = True
    if not compete:
        gold |= state.random(gold.shape) < 0.2
    names = ["It is {}.", SCRIPT + "{}"]
    tried = [Candidate(name, state.normal(size=gold.shape) + gold, np.zeros(len(labels))) for name in names]
    found = search(tried, gold, labels, compete)
    written = [f"Text {i} {SCRIPT} & <b>bold</b>" for i in range(texts)]
    sets = [(name,) for name in names]
    before = scores(tried[0].strengths, compete)
    return Tuned("zsc", tuple(labels), compete, written, gold, sets, tried, found, default_rule(compete), before)


class Checker(HTMLParser):
    """Collects elements and attributes, and checks that they are nested."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list = []
        self.seen: list = []
        self.ids: list = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize("compete", [True, False])
def test_report_is_one_whole_escaped_file(compete):
    page = report(make(compete))
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    tags = {tag for tag, _ in checker.seen}
    assert "script" not in tags and "b" not in tags and "svg" in tags
    assert len(checker.ids) == len(set(checker.ids))
    # nothing from elsewhere
    for _, attributes in checker.seen:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "&lt;script&gt;" in page and "url(http" not in page
    assert "default-src 'none'" in page
    # figures follow the page's colours
    assert "var(--one)" in page and not re.search(r"#01020\d", page)
    for heading in ("Settings", "F1 against threshold", "Labels", "taken at their word", "Templates", "hardest"):
        assert heading in page


def test_z085_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ZeroShotError, match=r"Z085.*spacy-zeroshot\[report\]"):
        report(make(True))


def test_many_labels_get_a_list_of_mistakes():
    page = report(make(True, [f"label {i}" for i in range(30)], 300))
    assert "the most frequent mistakes" in page


def test_a_single_label():
    page = report(make(False, ["spam"]))
    assert "top-k" not in page


def test_confusions_by_hand():
    gold = np.array([[1, 0], [1, 0], [0, 1], [0, 0], [1, 1]], dtype=bool)
    chosen = np.array([[1, 0], [0, 1], [0, 0], [1, 0], [1, 1]], dtype=bool)
    counts, names = confusions(gold, chosen, ["a", "b"])
    assert names == ["a", "b", "none of these"]
    assert counts.tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 0]]
    counts, names = confusions(gold[:2], chosen[:2], ["a", "b"])
    assert names == ["a", "b"] and counts.tolist() == [[1, 1], [0, 0]]


def test_rules_in_words():
    assert describe(by_rank(1), 4) == "the best label"
    assert describe(by_rank(2, 0.25), 4) == "the 2 best labels, or none if the best score is 0.75 or less"
    assert describe(by_threshold(0.3, {"a": 0.1}), 4) == "labels that score 0.3 or more; 1 have thresholds of their own"


@needs_browser
def test_no_script_runs_in_the_browser(tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report(make(True)), encoding="utf8")
    dom = rendered_dom(path)
    assert "<title>Tuning report</title>" in dom
    assert dom.count("<svg") == 4 and "<script" not in dom
    assert CHROMIUM is not None
