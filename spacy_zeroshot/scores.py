"""From logits to scores. Pure array work, after the zero-shot pipeline of transformers (Yin et al., 2019).

A label's logit is its entailment logit where labels compete (single-label), and the margin of entailment over
contradiction where each stands on its own (multi-label, or one label). Logits are averaged over a label's hypotheses,
pooled over windows, calibrated, and only then turned into scores.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from thinc.api import NumpyOps
from thinc.types import Floats1d, Floats2d, Floats3d, Ints1d, Ints2d

from .labels import LabelSet
from .model.types import CONTRADICTION, ENTAILMENT, NLIOutput

# Over the last axis
softmax = NumpyOps().softmax


class DocScores(NamedTuple):
    """What a document's labels scored; a blank document has no window."""

    label_set: LabelSet
    scores: Floats1d  # shape (labels,)
    windows: Ints2d  # shape (windows, 2): first and past-the-last character of every window of every premise
    window_scores: Floats2d  # shape (windows, labels): each window's own scores


class WindowLogits(NamedTuple):
    """Label logits of the documents that share one label set."""

    label_set: LabelSet
    docs: Ints1d  # shape (docs,): numbers of the documents that have a window, in order
    firsts: Ints1d  # shape (docs,): each one's first window
    values: Floats2d  # shape (windows, labels)
    windows: Ints2d  # shape (windows, 2): first and past-the-last character in the document


def split_by_label_set(
    output: NLIOutput, starts: Sequence[int], owners: Sequence[int], sets: Sequence[LabelSet]
) -> Iterator[WindowLogits]:
    """Take what a model said on premises apart, one label set after the other. starts, owners: Each premise's first
    character in its document, and that document's number. sets: Each document's label set; equal ones are one object.
    """
    windows = output.windows + np.repeat(starts, output.n_windows)[:, None]
    doc_of_window = np.repeat(owners, output.n_windows)
    distinct = {id(sets[owner]): sets[owner] for owner in owners}
    for key, label_set in distinct.items():
        mine = np.array([id(sets[owner]) == key for owner in owners])
        chosen = np.repeat(mine, output.n_windows)
        logits = output.logits[np.repeat(mine, output.n_windows * output.n_hypotheses)]
        shaped = logits.reshape(-1, len(label_set.wordings), logits.shape[1])
        numbers, firsts = np.unique(doc_of_window[chosen], return_index=True)
        yield WindowLogits(label_set, numbers, firsts, label_logits(shaped, label_set), windows[chosen])


def label_logits(logits: Floats3d, label_set: LabelSet) -> Floats2d:
    """Reduce logits of shape (windows, hypotheses, classes) to (windows, labels), float64."""
    values = logits[..., ENTAILMENT].astype("float64")
    counts = np.asarray(label_set.counts)
    alone = np.concatenate([np.full(g.stop - g.start, not g.exclusive) for g in label_set.groups])
    values -= np.where(np.repeat(alone, counts), logits[..., CONTRADICTION], 0.0)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return np.add.reduceat(values, starts, axis=1) / counts


def pool_windows(values: Floats2d, firsts: Ints1d, pooling: str) -> Floats2d:
    """Pool label logits of shape (windows, labels) to (texts, labels). firsts: Each text's first window."""
    if len(values) == len(firsts) or pooling == "first":
        return values[firsts]
    if pooling == "max":
        return np.maximum.reduceat(values, firsts, axis=0)
    sizes = np.diff(np.append(firsts, len(values)))
    return np.add.reduceat(values, firsts, axis=0) / sizes[:, None]


def calibrate(values: np.ndarray, biases: np.ndarray, temperature: float) -> np.ndarray:
    """Take from label logits what they have for no reason of the text's, and divide by the temperature (Guo et al.,
    2017). Neither depends on the window, so windows may be pooled before or after. biases: Shape (labels,)."""
    return (values - biases) / temperature


def to_scores(values: np.ndarray, label_set: LabelSet) -> np.ndarray:
    """Turn label logits into scores: a softmax over labels that compete, a sigmoid for each other one."""
    scores = np.empty_like(values)
    for group in label_set.groups:
        own = values[..., group.columns]
        scores[..., group.columns] = softmax(own) if group.exclusive else sigmoid(own)
    return scores


def sigmoid(values: np.ndarray) -> np.ndarray:
    # exp of a negative number only: no overflow at either end
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


def blank_doc(label_set: LabelSet) -> DocScores:
    """What a document scored that says nothing: 1 / n for each of n labels that compete, else 0."""
    sizes = [(group.stop - group.start, group.exclusive) for group in label_set.groups]
    scores = np.concatenate([np.full(size, exclusive / size) for size, exclusive in sizes])
    return DocScores(label_set, scores, np.zeros((0, 2), dtype="int64"), np.zeros((0, len(scores))))
