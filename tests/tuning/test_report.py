"""The report: one file, whole, escaped."""

import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from spacy_zeroshot.decisions import Rule, default_rule
from spacy_zeroshot.labels import LabelGroup, LabelSet
from spacy_zeroshot.tuning.report import describe, mistakes, report
from spacy_zeroshot.tuning.search import Candidate, search
from spacy_zeroshot.tuning.tune import Tuned, TunedGroup, _measured

SCRIPT = "<script>document.title = 'broken'</script>"
LABELS = ("sport", SCRIPT, '$x_1$ & "more"', "politics")
VOID = {"meta", "link", "br", "img", "line", "polyline"}


def make(exclusive: bool, labels=LABELS, texts: int = 80, names=("",)) -> Tuned:
    state = np.random.default_rng(0)
    groups = []
    for name in names:
        gold = np.zeros((texts, len(labels)), dtype=bool)
        gold[np.arange(texts), state.integers(0, len(labels), texts)] = True
        if not exclusive:
            gold |= state.random(gold.shape) < 0.2
        label_set = LabelSet(
            tuple(labels), tuple(labels), (1,) * len(labels), (LabelGroup(name, 0, len(labels), exclusive),)
        )
        templates = ["It is {}.", SCRIPT + "{}"]
        tried = [Candidate(t, state.normal(size=gold.shape) + gold, np.zeros(len(labels))) for t in templates]
        own = tried[0]._replace(name="as it is", temperature=1.0, rule=default_rule(exclusive))
        found = search([own, *tried], gold, label_set)
        every = [own, *tried]
        measured = [_measured(every[t.candidate], t, label_set, gold, False) for t in (found.trials[0], found.best)]
        groups.append(TunedGroup(label_set, gold, False, every, found, *measured))
    written = [f"Text {i} {SCRIPT} & <b>bold</b>" for i in range(texts)]
    return Tuned("zsc", written, groups, {"hypothesis_template": SCRIPT + "{}"})


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


def check_page(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    assert not {"script", "b", "link", "img"} & {tag for tag, _ in checker.seen}
    assert len(checker.ids) == len(set(checker.ids))
    # nothing from elsewhere
    for _, attributes in checker.seen:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "&lt;script&gt;" in page and "url(http" not in page
    assert "default-src 'none'" in page
    for heading in ("Settings", "Thresholds", "Labels", "calibration error", "hardest"):
        assert heading in page
    # every line of every chart lies inside of it
    for tag, attributes in checker.seen:
        if tag == "polyline":
            points = [float(number) for pair in attributes["points"].split() for number in pair.split(",")]
            assert points and min(points) >= 9.9 and max(points) <= 440.1
    return checker


@pytest.mark.parametrize("exclusive", [True, False])
def test_report_is_one_whole_escaped_file(exclusive):
    page = report(make(exclusive))
    assert "svg" in {tag for tag, _ in check_page(page).seen}
    assert "The most frequent mistakes" in page


def test_groups_have_a_section_each():
    page = report(make(True, names=("topic", "tone & mood")))
    check_page(page)
    assert "<h2>topic</h2>" in page and "<h2>tone &amp; mood</h2>" in page


def test_no_other_package_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert report(make(True)).count("<svg") == report(make(False)).count("<svg") == 1


def test_a_single_label():
    assert "&lt;script&gt;" in report(make(False, [SCRIPT]))


def test_nothing_better_is_said():
    tuned = make(True)
    group = tuned.groups[0]
    stays = group._replace(search=group.search._replace(best=group.search.trials[0]), after=group.before)
    page = report(Tuned("zsc", tuned.texts, [stays], {}))
    assert "the settings stay" in page and "as they were" in page


def test_mistakes_by_hand():
    gold = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 0], [1, 1]], dtype=bool)
    chosen = np.array([[1, 0], [0, 1], [0, 1], [0, 0], [1, 0], [1, 1]], dtype=bool)
    none = "none of these"
    assert mistakes(gold, chosen, ("a", "b")) == [("a", "b", 2), ("b", none, 1), (none, "a", 1)]
    assert mistakes(gold, gold, ("a", "b")) == []


def test_rules_in_words():
    assert describe(Rule(0.0, top_k=1), 4) == "the best label"
    assert describe(Rule(0.25, top_k=1), 4) == "the best label, or none below a score of 0.25"
    assert describe(Rule(0.0, top_k=2), 4) == "the 2 best labels"
    assert describe(Rule(0.3, {"a": 0.1}), 4) == "labels that score 0.3 or more; 1 have their own threshold"
