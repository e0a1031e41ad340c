import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spacy_zeroshot.examples.neighbours import Neighbours
from spacy_zeroshot.examples.voting import carried_labels, mix, vote

pytest.importorskip("sklearn", reason="the extra examples is not installed")

SHARES = arrays(float, (3, 4), elements=st.floats(0.0, 1.0)).map(lambda a: (a + 1e-3) / (a + 1e-3).sum(1)[:, None])
KNOWN = arrays(bool, 4)


def test_labels_get_their_share_of_the_weights():
    carried = carried_labels([["a"], ["b"], ["a"], ["c"]], ["a", "b"])
    found = vote(np.array([[0.9, 0.8, 0.7, -0.2]]), np.array([[0, 1, 2, 3]]), carried, [1, 2, 3, 4, 99])
    assert found.shape == (5, 1, 2)
    near, next_, far, none = 1.0, np.exp(-1.0), np.exp(-2.0), np.exp(-11.0)
    two, three, four = near + next_, near + next_ + far, near + next_ + far + none
    last = [(near + far) / four, next_ / four]
    expected = [[1, 0], [near / two, next_ / two], [(near + far) / three, next_ / three], last, last]
    np.testing.assert_allclose(found[:, 0], expected)


def test_neighbours_that_are_equally_far_have_equal_votes():
    carried = carried_labels([["a"], ["b"]], ["a", "b"])
    found = vote(np.array([[0.9, 0.9], [-0.4, -0.4]]), np.array([[0, 1], [0, 1]]), carried, [2])
    np.testing.assert_allclose(found, [[[0.5, 0.5], [0.5, 0.5]]])


def test_a_missing_neighbour_does_not_vote():
    carried = carried_labels([["a"], ["b"]], ["a", "b"])
    found = vote(np.array([[0.5, np.nan], [np.nan, np.nan]]), np.array([[1, 0], [0, 1]]), carried, [1, 2])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], [[0, 1], [0, 0]])


@given(values=SHARES, votes=SHARES, known=KNOWN, weight=st.floats(0.0, 1.0))
def test_scores_of_labels_that_compete_still_sum_to_one(values, votes, known, weight):
    votes = np.where(known, votes, 0.0)
    votes = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1e-12)
    found = mix(values, votes, known, weight, True)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert (found >= 0.0).all()
    np.testing.assert_allclose(found[:, ~known], values[:, ~known])


@given(values=SHARES, votes=SHARES, known=KNOWN)
def test_the_ends_of_the_weight(values, votes, known):
    everything = np.ones(4, dtype=bool)
    for compete in (True, False):
        np.testing.assert_allclose(mix(values, votes, known, 0.0, compete), values)
        np.testing.assert_allclose(mix(values, votes, everything, 1.0, compete), votes)
        middle = mix(values, votes, everything, 0.25, compete)
        np.testing.assert_allclose(middle, 0.75 * values + 0.25 * votes)


def test_neighbours_are_the_nearest_by_cosine():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = Neighbours(vectors, [str(i) for i in range(50)], "c")
    similarities, numbers = found.nearest(vectors[:5], 3)
    cosines = vectors[:5] @ vectors.T
    np.testing.assert_array_equal(numbers, np.argsort(-cosines, axis=1)[:, :3])
    np.testing.assert_allclose(similarities, -np.sort(-cosines, axis=1)[:, :3], atol=1e-6)
    assert found.nearest(vectors[:2], 99)[1].shape == (2, 50)


def test_a_text_is_not_its_own_neighbour():
    vectors = np.eye(3)
    found = Neighbours(vectors, ["x", "y", "z"], "c")
    similarities, numbers = found.nearest(vectors[[0, 0]], 2, without=["x", "unseen"])
    assert 0 not in numbers[0] and numbers[1, 0] == 0
    assert not np.isnan(similarities).any()
    similarities, numbers = found.nearest(vectors[[0]], 3, without=["x"])
    assert np.isnan(similarities[0, 2]) and not np.isnan(similarities[0, :2]).any()
