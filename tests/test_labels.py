import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_zeroshot.component import register_extensions
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.labels import (
    LabelGroup,
    Question,
    check_groups,
    check_hypotheses,
    check_labels,
    check_templates,
    make_label_set,
    own_labels,
)
from spacy_zeroshot.model.types import Wording

PLAIN = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]))


def question(labels, *templates, **settings):
    return Question(settings.pop("name", ""), tuple(labels), templates or ("{}",), **settings)


@given(PLAIN, PLAIN, st.text())
def test_a_label_appears_as_it_is(before, after, label):
    templates = check_templates(before + "{}" + after)
    [wording] = make_label_set([question([label], *templates)], {}).wordings
    assert wording.text == before + label + after
    assert wording.text[slice(*wording.span)] == label


@given(st.text(alphabet="{}a.!:[]0 "))
def test_a_template_has_one_slot_and_no_other_brace(template):
    if template.count("{") == template.count("}") == template.count("{}") == 1:
        assert check_templates(template) == (template,)
    else:
        with pytest.raises(ZeroShotError, match="Z004"):
            check_templates(template)
        with pytest.raises(ZeroShotError, match="Z004"):
            check_templates(["{}", template])


@pytest.mark.parametrize("label", ["{}", "{0}", "{.__class__}", "%s", "${x}", "{label!r}"])
def test_labels_are_never_evaluated(label):
    assert make_label_set([question([label], "It is {}.")], {}).hypotheses == (f"It is {label}.",)


def test_a_label_set_written_out():
    found = make_label_set([question("ab", "{}?", "{}!")], {"b": [Wording("{}", "own")]})
    assert found.labels == ("a", "b")
    assert found.hypotheses == ("a?", "a!", "own")
    assert found.counts == (2, 1)
    assert found.groups == (LabelGroup("", 0, 2, True),) and found.exclusive
    assert found.wordings_of(0) == (Wording("{}?", "a"), Wording("{}!", "a"))
    assert found.wordings_of(1) == (Wording("{}", "own"),)


def test_groups_are_columns_of_one_label_set():
    found = make_label_set(
        [
            question("ab", "about {}", name="topic"),
            question("xy", "{}?", name="mood", multi_label=True, key_prefix="m:"),
            question("c", name="one"),
        ],
        {"m:y": [Wording("{}", "why")]},
    )
    assert found.labels == ("a", "b", "m:x", "m:y", "c")
    # the prefix is of the key, not of the words
    assert found.hypotheses == ("about a", "about b", "x?", "why", "c")
    # a single label has no rival
    assert found.groups == (
        LabelGroup("topic", 0, 2, True),
        LabelGroup("mood", 2, 4, False),
        LabelGroup("one", 4, 5, False),
    )
    assert not found.exclusive


def test_no_labels_z001():
    with pytest.raises(ZeroShotError, match="Z001"):
        make_label_set([question([])], {})


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True), st.integers(1, 3))
def test_counts_cover_all_hypotheses(labels, templates):
    found = make_label_set([question(labels, *["{}"] * templates)], {})
    assert found.counts == (templates,) * len(labels)
    assert len(found.hypotheses) == sum(found.counts)


@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=5))
def test_labels_are_unique(labels):
    if len(set(labels)) == len(labels):
        assert check_labels(labels) == tuple(labels)
    else:
        with pytest.raises(ZeroShotError, match="Z002"):
            check_labels(labels)


@pytest.mark.parametrize("label", ["", " ", "\n\t", "\u200b", "\x00", "half \ud800", 5, None, ["a"]])
def test_labels_that_cannot_be_seen_or_kept_z003(label):
    with pytest.raises(ZeroShotError, match="Z003"):
        check_labels(["a", label])


@pytest.mark.parametrize("labels", ["abc", None, {"a": 1}, 5])
def test_labels_are_a_list_z007(labels):
    with pytest.raises(ZeroShotError, match="Z007"):
        check_labels(labels)


@pytest.mark.parametrize("template", [5, "half \ud800 {}"])
def test_templates_that_are_no_text_z004(template):
    with pytest.raises(ZeroShotError, match="Z004"):
        check_templates([template])


def test_no_template_z007():
    with pytest.raises(ZeroShotError, match="Z007"):
        check_templates([])


def test_own_wordings_keep_their_order():
    entries = [{"label": "a", "text": "2"}, {"label": "b", "text": "x"}, {"label": "a", "text": "1"}]
    found = check_hypotheses(entries, None)
    assert found == check_hypotheses(entries, ["a", "b"])
    assert {label: [one.text for one in own] for label, own in found.items()} == {"a": ["2", "1"], "b": ["x"]}
    with pytest.raises(ZeroShotError, match="Z005"):
        check_hypotheses(entries, ["a"])


@pytest.mark.parametrize(
    "entry",
    [
        "a",
        {"label": "a"},
        {"text": "x"},
        {"label": "a", "text": " "},
        {"label": "a", "text": 5},
        {"label": "a", "text": "half \ud800"},
        {"label": "a", "text": "b", "c": "d"},
    ],
)
def test_own_wordings_of_another_form_z006(entry):
    with pytest.raises(ZeroShotError, match="Z006"):
        check_hypotheses([entry], None)


def test_groups_inherit_templates_and_have_their_own():
    entries = [
        {"name": "topic", "labels": ["a"]},
        {
            "name": "mood",
            "labels": ["a"],
            "multi_label": True,
            "threshold": 0.3,
            "hypothesis_template": ["{}!", "{}?"],
            "key_prefix": "m:",
        },
    ]
    assert check_groups(entries, ("about {}",)) == (
        Question("topic", ("a",), ("about {}",)),
        Question("mood", ("a",), ("{}!", "{}?"), True, 0.3, "m:"),
    )


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("a", "Z006"),
        ({"name": "b"}, "Z006"),
        ({"name": " ", "labels": ["x"]}, "Z006"),
        ({"name": "b", "labels": []}, "Z006"),
        ({"name": "b", "labels": "x"}, "Z006"),
        ({"name": "b", "labels": ["x"], "colour": "red"}, "Z006"),
        ({"name": "b", "labels": ["x"], "multi_label": "yes"}, "Z006"),
        ({"name": "b", "labels": ["x"], "key_prefix": None}, "Z006"),
        ({"name": "b", "labels": ["x"], "threshold": 1.5}, "Z007"),
        ({"name": "b", "labels": ["x"], "threshold": True}, "Z007"),
        ({"name": "b", "labels": ["x"], "hypothesis_template": "none"}, "Z004"),
        ({"name": "b", "labels": ["x", "x"]}, "Z002"),
        ({"name": "a", "labels": ["x"]}, "Z002"),
        ({"name": "b", "labels": ["p"]}, "Z002"),
        ({"name": "b", "labels": [" "]}, "Z003"),
    ],
)
def test_groups_of_another_form(entry, code):
    with pytest.raises(ZeroShotError, match=code):
        check_groups([{"name": "a", "labels": ["p"]}, entry], ("{}",))


def test_a_documents_labels_are_found_while_the_extension_is_gone():
    doc = spacy.blank("en").make_doc("text")
    assert own_labels(doc) is None
    doc._.zero_shot_labels = ["a", "b"]
    Doc.remove_extension("zero_shot_labels")
    assert own_labels(doc) == ["a", "b"]
    register_extensions()
    register_extensions()
    assert doc._.zero_shot_labels == ["a", "b"]
