"""Findings of `check`."""

from pathlib import Path
from typing import Any, Dict, List

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.checks import check_alike, check_config, check_pipeline, check_room, plain_form
from spacy_zeroshot.costs import costs, how_often_read

from .tiny import words


def make(folder: Path, labels: List[str], **settings: Any) -> Any:
    config = {"labels": labels, "model": {"name": str(folder), "precision": "float32"}, **settings}
    return spacy.blank("en").add_pipe("zero_shot_textcat", config=config)


def codes(findings: Any) -> List[str]:
    return [f"{finding.level} {finding.code}" for finding in findings]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Sport", "sport"),
        ("sport", "sports"),
        ("search/rescue", "search rescue"),
        ("card_arrival", "card  arrivals"),
        ("city", "Cities"),
        ("box", "boxes"),
        ("ｓｐｏｒｔ", "sport"),
    ],
)
def test_labels_that_read_alike(one: str, other: str) -> None:
    assert plain_form(one) == plain_form(other)


@pytest.mark.parametrize(("one", "other"), [("sport", "port"), ("+", "-"), ("press", "pres"), ("gas", "ga")])
def test_labels_that_do_not(one: str, other: str) -> None:
    assert plain_form(one) != plain_form(other)


@given(st.text(min_size=1, max_size=30))
def test_case_and_spacing_never_tell_labels_apart(label: str) -> None:
    assert plain_form(label) == plain_form(f" {label}  ") or not label.strip() or plain_form(label) == label
    assert plain_form(label)


def test_z070_to_z073(nli_folder: Path) -> None:
    own = [{"label": "a", "text": "One."}, {"label": "b", "text": "One."}, {"label": "c", "text": "Two."}]
    pipe = make(nli_folder, ["a", "b", "c"], hypotheses=[*own, own[2]])
    found = list(check_alike(pipe))
    assert codes(found) == ["error Z071", "warning Z072"]
    assert "['a', 'b']" in found[0].message and "'One.'" in found[0].message
    assert codes(check_alike(make(nli_folder, ["Sport", "sports", "music"]))) == ["warning Z070"]
    assert codes(check_alike(make(nli_folder, []))) == ["warning Z073"]
    assert codes(check_alike(make(nli_folder, ["sport", "music"]))) == []


def test_z074_z075_and_what_does_not_fit(nli_folder: Path) -> None:
    # 128 positions
    assert codes(check_room(make(nli_folder, ["sport"], window_overlap=16))) == []
    tokens = make(nli_folder, ["sport"]).model.shims[0].runtime.tokens
    large = " ".join(["sport"] * (90 // len(tokens.split(["sport"])[0].ids)))
    assert codes(check_room(make(nli_folder, [large], window_overlap=4))) == ["warning Z074"]
    assert codes(check_room(make(nli_folder, [" ".join(words(400))]))) == ["error Z011"]
    assert codes(check_room(make(nli_folder, ["sport"], window_overlap=64))) == ["warning Z075"]
    assert codes(check_room(make(nli_folder, ["sport"], window_overlap=125))) == ["error Z012"]
    assert codes(check_room(make(nli_folder, ["sport"], window_overlap=125, long_text="truncate"))) == []
    # what check says of an overlap, the component says, too
    with pytest.raises(ValueError, match="Z012"):
        nlp = spacy.blank("en")
        settings = {"labels": ["sport"], "window_overlap": 125, "model": {"name": str(nli_folder)}}
        nlp.add_pipe("zero_shot_textcat", config=settings)
        nlp(" ".join(words(300)))


def test_all_mistakes_of_a_config_at_once() -> None:
    block: Dict[str, Any] = {
        "factory": "zero_shot_textcat",
        "labels": ["a", "b", "a", " "],
        "hypothesis_template": ["no slot", "fine {}", "{} twice {}"],
        "hypotheses": [{"label": "x", "text": "y"}, {"label": "a"}],
        "label_thresholds": [{"label": "z", "threshold": 0.5}, {"label": "a", "threshold": 7}],
    }
    found = check_config({"components": {"zs": block, "other": {"factory": "ner"}}})
    assert [finding.code for finding in found] == ["Z004", "Z004", "Z002", "Z003", "Z005", "Z006", "Z009", "Z007"]
    assert {finding.level for finding in found} == {"error"}
    assert {finding.component for finding in found} == {"zs"}


def test_costs_of_pairs_are_those_of_scoring(nli_folder: Path) -> None:
    pipe = make(nli_folder, ["sport", "music"], window_overlap=10, hypothesis_template="{}")
    runtime = pipe.model.shims[0].runtime
    lengths = [len(pieces.ids) for pieces in runtime.tokens.split(["sport", "music"])]
    short, long = costs(pipe, [20, 300])
    # [CLS] text [SEP] hypothesis [SEP], once for each label
    assert short == (20, 1, 2, 1, 2 * (20 + 3) + sum(lengths))
    room = 128 - 3 - max(lengths)
    n_windows = 1 + -(-(300 - room) // (room - 10))
    read = 300 + 10 * (n_windows - 1)
    assert long[:3] == (300, n_windows, 2 * n_windows)
    assert long.tokens == 2 * (read + 3 * n_windows) + sum(lengths) * n_windows
    assert how_often_read(pipe) == "again for every hypothesis"


def test_costs_of_the_shared_layout(shared_folder: Path) -> None:
    pipe = make(shared_folder, ["sport", "music"], hypothesis_template="{}", window_overlap=10)
    lengths = [len(pieces.ids) for pieces in pipe.model.shims[0].runtime.tokens.split(["sport", "music"])]
    (cost,) = costs(pipe, [20])
    # [CLS] text [SEP] once, then hypothesis [SEP] for each label
    assert cost == (20, 1, 2, 1, 20 + 2 + sum(lengths) + 2)
    assert how_often_read(pipe) == "once for all labels"
    (cut,) = costs(make(shared_folder, ["sport"], long_text="truncate"), [5000])
    assert cut.windows == 1


def test_a_checkpoint_that_is_none_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "config.cfg").write_text(
        '[nlp]\nlang = "en"\npipeline = ["zs"]\n[components]\n[components.zs]\nfactory = "zero_shot_textcat"\n'
        'labels = ["a", "b"]\n[components.zs.model]\n@architectures = "spacy_zeroshot.NLIClassifier.v1"\n'
        f'name = "{tmp_path}"\n'
    )
    report = check_pipeline(str(tmp_path / "config.cfg"))
    assert codes(report.findings) == ["error Z021"]
    assert report.has_errors
