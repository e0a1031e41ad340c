import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.hypotheses import check_hypotheses, check_labels, check_template, fill_template, word_labels

PLAIN = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]))


@given(PLAIN, PLAIN, st.text())
def test_a_label_appears_as_it_is(before, after, label):
    template = check_template(before + "{}" + after, "zsc")
    assert fill_template(template, label) == before + label + after


@given(st.text(alphabet="{}a.!:[]0 "))
def test_a_template_has_one_slot_and_no_other_brace(template):
    allowed = template.count("{") == template.count("}") == template.count("{}") == 1
    if allowed:
        assert check_template(template, "zsc") == template
    else:
        with pytest.raises(ZeroShotError, match="Z004"):
            check_template(template, "zsc")


@pytest.mark.parametrize("label", ["{}", "{0}", "{.__class__}", "%s", "${x}", "{label!r}"])
def test_labels_are_never_evaluated(label):
    wording = word_labels([label], ["It is {}."], {}, "zsc")
    assert wording.hypotheses == (f"It is {label}.",)


def test_wording_written_out():
    wording = word_labels(["a", "b"], ["{}?", "{}!"], {"b": ["own"]}, "zsc")
    assert wording.labels == ("a", "b")
    assert wording.hypotheses == ("a?", "a!", "own")
    assert wording.counts == (2, 1)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True), st.integers(1, 3))
def test_counts_cover_all_hypotheses(labels, templates):
    wording = word_labels(labels, ["{}"] * templates, {}, "zsc")
    assert wording.counts == (templates,) * len(labels)
    assert len(wording.hypotheses) == sum(wording.counts)


@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=5))
def test_labels_are_unique(labels):
    if len(set(labels)) == len(labels):
        assert check_labels(labels, "zsc") == tuple(labels)
    else:
        with pytest.raises(ZeroShotError, match="Z002"):
            check_labels(labels, "zsc")


@pytest.mark.parametrize("template", [None, 5, "half \ud800 {}"])
def test_templates_that_are_no_text_z004(template):
    with pytest.raises(ZeroShotError, match="Z004"):
        check_template(template, "zsc")


def test_own_wordings_keep_their_order():
    entries = [{"label": "a", "text": "2"}, {"label": "b", "text": "x"}, {"label": "a", "text": "1"}]
    assert check_hypotheses(entries, "zsc") == {"a": ("2", "1"), "b": ("x",)}


@pytest.mark.parametrize("entry", ["a", {"label": "a", "text": 5}, {"label": "a", "text": "half \ud800"}])
def test_own_wordings_of_another_form_z006(entry):
    with pytest.raises(ZeroShotError, match="Z006"):
        check_hypotheses([entry], "zsc")
