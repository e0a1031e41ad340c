"""What examples are turned into before a model sees them, and the losses: by hand and against finite differences."""

import random

import numpy as np
import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.training import Example

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.labels import Question, make_label_set, own_gold
from spacy_zeroshot.model.types import CONTRADICTION, ENTAILMENT, NLIOutput
from spacy_zeroshot.premises import Premise, premises_of
from spacy_zeroshot.training import NLIExample, cross_entropy, draw_examples, loss_of, window_shares

NLP = spacy.blank("en")
POOLINGS = ("max", "mean", "first")


def draw(cats, text="A text.", max_negatives=5, prefix="", templates=("about {}",)):
    return draw_examples(
        [Example.from_dict(NLP.make_doc(text), {"cats": each}) for each in cats],
        lambda doc: premises_of(doc, None),
        lambda labels: make_label_set([Question("", tuple(labels), templates)], {}),
        lambda gold: own_gold(gold, (), prefix, ["y:b"]),
        max_negatives,
    )


def texts(drawn):
    return tuple(wording.text for wording in drawn.hypotheses)


# Drawing


def test_right_labels_come_first_and_wrong_ones_follow():
    (drawn,) = draw([{"a": 0.0, "b": 1.0}])
    assert drawn.premises == [Premise("A text.", 0)]
    assert texts(drawn) == ("about b", "about a")
    assert drawn.targets.tolist() == [ENTAILMENT, CONTRADICTION]


def test_every_example_brings_its_own_labels():
    first, second = draw([{"a": 1.0, "b": 0.0}, {"c": 1.0}])
    assert set(texts(first)) == {"about a", "about b"}
    assert texts(second) == ("about c",)


def test_every_template_is_a_hypothesis():
    (drawn,) = draw([{"a": 1.0, "b": 0.0}], templates=("about {}", "{}"))
    assert texts(drawn) == ("about a", "a", "about b", "b")
    assert drawn.targets.tolist() == [ENTAILMENT, ENTAILMENT, CONTRADICTION, CONTRADICTION]


def test_several_right_labels_do_not_compete():
    (drawn,) = draw([{"a": 1.0, "b": 1.0, "c": 0.0}])
    assert drawn.targets.tolist() == [ENTAILMENT, ENTAILMENT, CONTRADICTION]


def test_no_right_label_still_teaches_what_is_wrong():
    (drawn,) = draw([{"a": 0.0}])
    assert drawn.targets.tolist() == [CONTRADICTION]


def test_examples_without_cats_and_blank_texts_are_left_out():
    assert draw([{}]) == []
    assert draw([{"a": 1.0}], text="  \n ") == draw([{"a": 1.0}], text="") == []
    assert len(draw([{}, {"a": 1.0}])) == 1


@pytest.mark.parametrize("cats", [{"x:a": 1.0, "y:b": 0.5, "x:c": 0.0}, {"a": 1.0, "y:b": 0.5, "c": 0.0}])
def test_gold_is_read_with_the_prefix_and_without(cats):
    (drawn,) = draw([cats], prefix="x:")
    assert texts(drawn) == ("about a", "about c")


@pytest.mark.parametrize("value", [0.5, -1.0, 2.0, float("nan")])
def test_gold_cats_that_are_not_0_or_1_z040(value):
    with pytest.raises(ZeroShotError, match="Z040"):
        draw([{"a": 1.0}, {"a": value}])


@settings(max_examples=50)
@given(
    values=st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([0.0, 1.0]), min_size=1),
    max_negatives=st.integers(1, 10),
)
def test_drawing(values, max_negatives):
    (drawn,) = draw([values], max_negatives=max_negatives)
    n_right = sum(value == 1.0 for value in values.values())
    assert len(set(drawn.hypotheses)) == len(drawn.hypotheses)
    assert (drawn.targets == ENTAILMENT).sum() == n_right
    assert (drawn.targets == CONTRADICTION).sum() == min(max_negatives, len(values) - n_right)
    for hypothesis, target in zip(texts(drawn), drawn.targets):
        assert values[hypothesis.removeprefix("about ")] == (1.0 if target == ENTAILMENT else 0.0)


def test_wrong_labels_are_drawn_anew_and_by_pythons_seed():
    cats = {"right": 1.0, **{str(i): 0.0 for i in range(50)}}
    random.seed(3)
    first, second = draw([cats])[0].hypotheses, draw([cats])[0].hypotheses
    random.seed(3)
    assert draw([cats])[0].hypotheses == first
    assert first != second


# Losses


def test_cross_entropy_by_hand():
    logits = np.log(np.asarray([[[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]]))
    loss, gradient = cross_entropy(logits, np.asarray([ENTAILMENT, CONTRADICTION]), "max")
    assert loss == pytest.approx((-np.log(0.5) - np.log(0.2)) / 2)
    np.testing.assert_allclose(gradient, [[[-0.25, 0.125, 0.125], [0.1, -0.4, 0.3]]], atol=1e-6)


def test_cross_entropy_of_one_logit_is_that_of_a_sigmoid():
    logits = np.asarray([[[2.0, 0.0], [-1.0, 0.0]]])
    loss, _ = cross_entropy(logits, np.asarray([ENTAILMENT, CONTRADICTION]), "max")
    assert loss == pytest.approx((np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0))) / 2)


def test_shares_by_hand():
    # the first hypothesis is supported by window 1, the second by window 0
    logits = np.asarray([[[0.0, 1.0], [5.0, 0.0]], [[2.0, 1.0], [6.0, 9.0]]])
    np.testing.assert_array_equal(window_shares(logits, "max"), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(window_shares(logits, "first"), [[1, 1], [0, 0]])
    np.testing.assert_array_equal(window_shares(logits, "mean"), [[0.5, 0.5], [0.5, 0.5]])


def test_confident_and_wrong_is_finite():
    loss, gradient = cross_entropy(np.asarray([[[1e4, -1e4]]]), np.asarray([CONTRADICTION]), "max")
    assert np.isfinite(loss) and loss > 20
    assert np.isfinite(gradient).all()


@settings(max_examples=40)
@given(
    pooling=st.sampled_from(POOLINGS),
    windows=st.integers(1, 3),
    hypotheses=st.integers(1, 4),
    classes=st.integers(2, 3),
    seed=st.integers(0, 1000),
)
def test_gradients_are_those_of_finite_differences(pooling, windows, hypotheses, classes, seed):
    state = np.random.default_rng(seed)
    logits = state.normal(size=(windows, hypotheses, classes))
    targets = state.integers(0, 2, size=hypotheses)
    targets[0] = ENTAILMENT
    _, gradient = cross_entropy(logits, targets, pooling)
    step = 1e-5
    for place in np.ndindex(*logits.shape):
        above, below = logits.copy(), logits.copy()
        above[place] += step
        below[place] -= step
        slope = (cross_entropy(above, targets, pooling)[0] - cross_entropy(below, targets, pooling)[0]) / (2 * step)
        assert gradient[place] == pytest.approx(slope, abs=1e-4)


@settings(max_examples=40)
@given(pooling=st.sampled_from(POOLINGS), seed=st.integers(0, 1000), shift=st.floats(-50, 50))
def test_losses_do_not_change_when_all_logits_shift(pooling, seed, shift):
    logits = np.random.default_rng(seed).normal(size=(2, 3, 3))
    targets = np.asarray([ENTAILMENT, CONTRADICTION, CONTRADICTION])
    value, gradient = cross_entropy(logits, targets, pooling)
    moved, moved_gradient = cross_entropy(logits + shift, targets, pooling)
    assert moved == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(moved_gradient, gradient, atol=1e-5)
    assert value >= 0


def batch(n_premises, n_windows, n_hypotheses, seed=0):
    """Examples as drawn and what a model might say: premises of each, windows of each premise, hypotheses of each."""
    state = np.random.default_rng(seed)
    drawn, premises, hypotheses = [], [], []
    for count, size in zip(n_premises, n_hypotheses):
        targets = np.array([ENTAILMENT] + [CONTRADICTION] * (size - 1))
        drawn.append(NLIExample((Premise("a", 0),) * count, tuple(map(str, range(size))), targets))
        premises += [n_windows[len(premises) + i] for i in range(count)]
        hypotheses += [size] * count
    n_windows, n_hypotheses = np.array(premises), np.array(hypotheses)
    logits = state.normal(size=(int((n_windows * n_hypotheses).sum()), 3)).astype("float32")
    return drawn, NLIOutput(logits, np.zeros((int(n_windows.sum()), 2), dtype=int), n_windows, n_hypotheses)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_batch_is_the_sum_of_its_examples(pooling):
    # an example's premises are pooled as windows are
    drawn, output = batch([2, 1, 1], [1, 3, 2, 1], [2, 3, 1])
    loss, gradient = loss_of(drawn, output, pooling)
    total, parts = 0.0, []
    for one, rows in zip(drawn, np.split(output.logits, np.cumsum([8, 6]))):
        logits = rows.reshape(-1, len(one.hypotheses), 3)
        value, part = cross_entropy(logits, one.targets, pooling)
        total += value
        parts.append(part.reshape(-1, 3))
    assert loss == pytest.approx(total / 3)
    np.testing.assert_allclose(gradient, np.concatenate(parts), atol=1e-6)
    assert gradient.shape == output.logits.shape and gradient.dtype == np.float32
