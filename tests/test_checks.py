"""What `check` finds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.checks import (
    TEMPLATES,
    alike,
    check_keys,
    check_labels_of,
    check_language,
    check_pipeline,
    check_room,
    check_scores,
    costs,
    language_of,
    plain_form,
    wordpieces,
)
from spacy_zeroshot.tuning.score import predictor_of

from .util import make_nlp, words


def make(folder: Path, labels: list[str], **settings: Any) -> Any:
    return make_nlp(folder, labels=labels, **settings).get_pipe("zero_shot_textcat")


def codes(issues: Any) -> list[str]:
    return [f"{issue.level} {issue.code}" for issue in issues]


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
    found = list(check_labels_of(pipe))
    assert codes(found) == ["error Z071", "warning Z072"]
    assert "['a', 'b']" in found[0].message and "'One.'" in found[0].message
    assert found[0].component == "zero_shot_textcat" and not found[0].message.startswith("[")
    assert codes(check_labels_of(make(nli_folder, ["Sport", "sports", "music"]))) == ["warning Z070"]
    assert codes(check_labels_of(make(nli_folder, []))) == ["warning Z073"]
    assert codes(check_labels_of(make(nli_folder, ["sport", "music"]))) == []
    # two questions may have like answers
    groups = [{"name": "one", "labels": ["other", "sport"]}, {"name": "two", "labels": ["Other", "music"]}]
    pipe = make_nlp(nli_folder, labels=[], label_groups=groups).get_pipe("zero_shot_textcat")
    assert codes(check_labels_of(pipe)) == []


def test_z079_equal_keys(nli_folder: Path) -> None:
    nlp = make_nlp(nli_folder, name="one")
    assert codes(check_keys(nlp)) == []
    textcat = nlp.add_pipe("textcat")
    textcat.add_label("sport")
    textcat.add_label("spam")
    (found,) = check_keys(nlp)
    assert (found.code, found.component) == ("Z079", "textcat")
    assert "['one', 'textcat']" in found.message and "['sport']" in found.message and "key_prefix" in found.message
    nlp = make_nlp(nli_folder, name="one")
    nlp.add_pipe("zero_shot_textcat", name="two", config={"labels": ["music", "art"]})
    assert "['one', 'two']" in next(check_keys(nlp)).message
    nlp.get_pipe("two").key_prefix = "two_"
    assert codes(check_keys(nlp)) == []


@pytest.mark.parametrize(
    ("labels", "lang", "proposed"),
    [
        (["정치", "스포츠", "IT"], "en", "ko"),
        (["スポーツ", "政治"], "en", "ja"),
        (["政治", "体育"], "en", "zh"),
        (["政治", "経済"], "ja", "ja"),
        (["спорт", "политика"], "en", "ru"),
        (["رياضة"], "en", "ar"),
        (["खेल"], "en", "hi"),
        (["sport", "politics"], "en", None),
        (["Fußball", "Politik"], "de", None),
        (["+", "1"], "en", None),
    ],
)
def test_z230_a_template_in_the_language_of_the_labels(
    nli_folder: Path, labels: list[str], lang: str, proposed: str | None
) -> None:
    found = list(check_language(make(nli_folder, labels), lang))
    assert codes(found) == (["warning Z230"] if proposed else [])
    if proposed:
        assert repr(TEMPLATES[proposed]) in found[0].message
        # what is proposed is no issue itself
        assert not list(check_language(make(nli_folder, labels, hypothesis_template=TEMPLATES[proposed]), lang))
    assert not list(check_language(make(nli_folder, labels, hypothesis_template="{}"), lang))


def test_labels_in_latin_letters_and_another_template(nli_folder: Path) -> None:
    (found,) = check_language(make(nli_folder, ["Sport", "Politik"], hypothesis_template=TEMPLATES["ko"]), "de")
    assert repr(TEMPLATES["de"]) in found.message
    # own wordings have no template
    own = [{"label": "정치", "text": "정치에 관한 글이다."}]
    assert not list(check_language(make(nli_folder, ["정치"], hypotheses=own)))
    groups = [
        {"name": "g", "labels": ["정치", "경제"], "hypothesis_template": TEMPLATES["ko"]},
        {"name": "h", "labels": ["좋다"]},
    ]
    pipe = make_nlp(nli_folder, labels=[], label_groups=groups).get_pipe("zero_shot_textcat")
    assert [issue.message.split("]")[0] for issue in check_language(pipe)] == ["the labels ['좋다'"]


def test_templates_are_in_the_scripts_of_their_languages() -> None:
    assert len(TEMPLATES) == 15
    for lang, template in TEMPLATES.items():
        assert template.count("{}") == 1
        assert language_of(template) == (lang if lang in ("ko", "ja", "zh", "ru", "ar", "hi") else "en")


def test_z074_z075_and_what_does_not_fit(nli_folder: Path) -> None:
    # 128 positions
    assert codes(check_room(make(nli_folder, ["sport"], window_overlap=16))) == []
    large = " ".join(["sport"] * (90 // wordpieces(make(nli_folder, ["sport"]), ["sport"])[0]))
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


def test_costs_of_pairs_are_those_of_scoring(nli_folder: Path) -> None:
    pipe = make(nli_folder, ["sport", "music"], window_overlap=10, hypothesis_template="{}")
    lengths = wordpieces(pipe, ["sport", "music"])
    short, long = costs(pipe, [20, 300], [])
    # [CLS] text [SEP] hypothesis [SEP], once for each label
    assert short == (20, 2, 1, 2, 1, 2 * (20 + 3) + sum(lengths))
    room = 128 - 3 - max(lengths)
    n_windows = 1 + -(-(300 - room) // (room - 10))
    read = 300 + 10 * (n_windows - 1)
    assert long[:4] == (300, 2, n_windows, 2 * n_windows)
    assert long.tokens == 2 * (read + 3 * n_windows) + sum(lengths) * n_windows
    (cut,) = costs(make(nli_folder, ["sport"], long_text="truncate"), [5000], [])
    assert cut.windows == 1


def test_costs_of_the_bundled_layout(decomposed_folder: Path) -> None:
    pipe = make(decomposed_folder, ["sport", "music"], hypothesis_template="{}", window_overlap=10)
    one, more = costs(pipe, [20], [200])
    assert one[:4] == (20, 2, 1, 2) and more[:4] == (20, 200, 1, 200)
    # the text is read once, however many labels there are
    assert one.tokens < 2 * 20 + 20
    assert predictor_of(pipe).scorer.text_passes == "once for all labels"


@pytest.mark.parametrize("family", ["nli_folder", "decomposed_folder"])
def test_costs_of_labels_are_those_of_such_a_component(family: str, request: pytest.FixtureRequest) -> None:
    labels = [f"label {i % 10}" + " " * (i // 10) + "x" for i in range(10)]
    pipe = make(request.getfixturevalue(family), labels, window_overlap=8)
    own, ten, hundred = costs(pipe, [60], [10, 100])
    assert ten == own
    assert hundred.pairs == 10 * ten.pairs and hundred.tokens > ten.tokens


def test_a_checkpoint_that_is_none_is_an_issue(tmp_path: Path) -> None:
    (tmp_path / "config.cfg").write_text(
        '[nlp]\nlang = "en"\npipeline = ["zs"]\n[components]\n[components.zs]\nfactory = "zero_shot_textcat"\n'
        'labels = ["a", "b"]\n[components.zs.model]\n@architectures = "spacy_zeroshot.NLIClassifier.v1"\n'
        f'name = "{tmp_path}"\n'
    )
    issues, _ = check_pipeline(str(tmp_path / "config.cfg"))
    assert codes(issues) == ["error Z021"]
    assert issues[0].component == "zs"


def test_a_config_with_a_component_that_is_to_be_trained(nli_folder: Path, tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("textcat")
    nlp.add_pipe("zero_shot_textcat", config={"labels": ["a", "b"], "model": {"name": str(nli_folder)}})
    nlp.config.to_disk(tmp_path / "config.cfg")
    issues, pipes = check_pipeline(str(tmp_path / "config.cfg"), {"components.zero_shot_textcat.window_overlap": 16})
    assert not issues and len(pipes) == 1


def test_a_pipeline_with_two_writers(nli_folder: Path, tmp_path: Path) -> None:
    nlp = make_nlp(nli_folder, name="one", window_overlap=16)
    nlp.add_pipe(
        "zero_shot_textcat", name="two", config={"labels": ["music", "art"], "model": {"name": str(nli_folder)}}
    )
    nlp.to_disk(tmp_path)
    issues, pipes = check_pipeline(str(tmp_path), {"components.two.window_overlap": 16})
    assert codes(issues) == ["warning Z079"] and [pipe.name for pipe in pipes] == ["one", "two"]


# What is found by scoring sample texts


def test_alike_by_hand():
    base = np.random.default_rng(0).normal(size=(30, 4))
    assert alike(base) == []
    # strong everywhere for no reason of the label's: no issue
    assert alike(base + 10 * np.random.default_rng(1).normal(size=(30, 1))) == []
    twins = np.column_stack([base, base[:, 1] + 3])
    assert [(i, j) for i, j, _ in alike(twins)] == [(1, 4)]
    assert alike(twins[:2]) == [] and alike(twins[:, [1, 4]]) == []


def test_z076_labels_that_are_read_alike(nli_folder):
    # two labels, one wording but for a sign the tiny tokenizer does not know apart
    own = [{"label": "a", "text": "It is sport."}, {"label": "b", "text": "It is SPORT."}]
    nlp = make_nlp(nli_folder, labels=["a", "b", "music", "politics"], hypotheses=own)
    pipe = nlp.get_pipe("zero_shot_textcat")
    found = list(check_scores(nlp, pipe))
    assert [f.code for f in found if "['a', 'b']" in f.message] == ["Z076"]
    assert all(f.level == "warning" and f.component == pipe.name for f in found)
