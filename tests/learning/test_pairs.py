"""What examples are turned into before a model sees them."""

import random
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.training import Example

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.evidence import AGAINST, FOR, Answer
from spacy_zeroshot.hypotheses import Wording, word_labels
from spacy_zeroshot.learning.pairs import Lines, draw_lines, gather, gold_labels, scatter
from spacy_zeroshot.premises import Premise, premises_of

NLP = spacy.blank("en")


def draw(
    cats: Sequence[Dict[str, float]],
    text: str = "A text.",
    max_negatives: int = 5,
    prefix: str = "",
    templates: Sequence[str] = ("about {}",),
) -> List[Lines]:
    def word(labels: Optional[Sequence[str]]) -> Wording:
        assert labels is not None
        return word_labels(labels, templates, {}, "textcat")

    examples = [Example.from_dict(NLP.make_doc(text), {"cats": each}) for each in cats]
    return draw_lines(examples, lambda doc: premises_of(doc, None, "textcat"), word, max_negatives, prefix, "textcat")


def test_right_labels_come_first_and_wrong_ones_follow():
    (lines,) = draw([{"a": 0.0, "b": 1.0}])
    assert lines.premises == (Premise("A text.", 0),)
    assert lines.hypotheses == ("about b", "about a")
    assert lines.targets.tolist() == [FOR, AGAINST]
    assert lines.compete


def test_every_example_brings_its_own_labels():
    first, second = draw([{"a": 1.0, "b": 0.0}, {"c": 1.0}])
    assert set(first.hypotheses) == {"about a", "about b"}
    assert second.hypotheses == ("about c",)
    assert not second.compete


def test_every_template_is_a_hypothesis():
    (lines,) = draw([{"a": 1.0, "b": 0.0}], templates=("about {}", "{}"))
    assert lines.hypotheses == ("about a", "a", "about b", "b")
    assert lines.targets.tolist() == [FOR, FOR, AGAINST, AGAINST]


def test_nli_pairs_are_examples():
    (lines,) = draw([{"A man sleeps.": 0.0, "A man plays.": 1.0}], text="A man plays.", templates=("{}",))
    assert lines.hypotheses == ("A man plays.", "A man sleeps.")


def test_several_right_labels_do_not_compete():
    (lines,) = draw([{"a": 1.0, "b": 1.0, "c": 0.0}])
    assert lines.targets.tolist() == [FOR, FOR, AGAINST]
    assert not lines.compete


def test_no_right_label_still_teaches_what_is_wrong():
    (lines,) = draw([{"a": 0.0}])
    assert lines.targets.tolist() == [AGAINST]


def test_examples_without_cats_and_blank_texts_are_left_out():
    assert draw([{}]) == []
    assert draw([{"a": 1.0}], text="  \n ") == []
    assert draw([{"a": 1.0}], text="") == []
    assert len(draw([{}, {"a": 1.0}])) == 1


def test_other_components_keys_are_left_out():
    (lines,) = draw([{"x:a": 1.0, "y:b": 0.0, "x:c": 0.0}], prefix="x:")
    assert lines.hypotheses == ("about a", "about c")
    assert draw([{"y:b": 1.0}], prefix="x:") == []


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0, float("nan")])
def test_z040_gold_cats_that_are_not_0_or_1(value: float):
    with pytest.raises(ZeroShotError, match="Z040"):
        draw([{"a": 1.0}, {"a": value}])


def test_other_components_may_have_soft_cats():
    (lines,) = draw([{"x:a": 1.0, "y:b": 0.5}], prefix="x:")
    assert lines.hypotheses == ("about a",)


@settings(max_examples=50, deadline=None)
@given(
    values=st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([0.0, 1.0]), min_size=1),
    max_negatives=st.integers(1, 10),
)
def test_drawing(values: Dict[str, float], max_negatives: int):
    (lines,) = draw([values], max_negatives=max_negatives)
    n_right = sum(value == 1.0 for value in values.values())
    n_wrong = len(values) - n_right
    assert len(set(lines.hypotheses)) == len(lines.hypotheses)
    assert (lines.targets == FOR).sum() == n_right
    assert (lines.targets == AGAINST).sum() == min(max_negatives, n_wrong)
    for hypothesis, target in zip(lines.hypotheses, lines.targets):
        assert values[hypothesis[len("about ") :]] == (1.0 if target == FOR else 0.0)


def test_wrong_labels_are_drawn_anew_and_by_pythons_seed():
    cats = {"right": 1.0, **{str(i): 0.0 for i in range(50)}}
    random.seed(3)
    first, second = draw([cats])[0].hypotheses, draw([cats])[0].hypotheses
    random.seed(3)
    assert draw([cats])[0].hypotheses == first
    assert first != second


def test_gather_and_scatter_join_and_cut():
    def answer(n_windows: int) -> Answer:
        return Answer(
            [(i, i + 1) for i in range(n_windows)], np.random.default_rng(n_windows).normal(size=(n_windows, 2, 3))
        )

    def lines(n_premises: int) -> Lines:
        premises = tuple(Premise("text", 10 * i) for i in range(n_premises))
        return Lines(premises, ("a", "b"), np.asarray([FOR, AGAINST]), True)

    answers: List[Any] = [answer(1), answer(3), answer(2)]
    joined = gather([lines(2), lines(1)], answers)
    assert [len(each.logits) for each in joined] == [4, 2]
    assert joined[0].windows == [(0, 1), (10, 11), (11, 12), (12, 13)]
    cut = scatter([each.logits for each in joined], answers)
    assert len(cut) == len(answers)
    for gradient, each in zip(cut, answers):
        np.testing.assert_array_equal(gradient, each.logits)


def test_gold_labels_keep_their_order():
    examples = [Example.from_dict(NLP.make_doc("x"), {"cats": c}) for c in ({"x:b": 1, "y": 0}, {"x:a": 0, "x:b": 1})]
    assert gold_labels(examples, "x:") == ["b", "a"]
