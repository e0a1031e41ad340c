"""From gold doc.cats to NLI pairs, and the losses of fine-tuning with their gradients, in numpy."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example
from thinc.types import Floats2d, Floats3d, Ints1d

from .errors import ZeroShotError
from .labels import LabelSet
from .model.types import CONTRADICTION, ENTAILMENT, NLIOutput, Wording
from .premises import Premise
from .scores import softmax


class NLIExample(NamedTuple):
    """A document's premises, hypotheses, and the right answer to each."""

    premises: Sequence[Premise]  # at least one: the whole text, or the spans that scoring reads
    hypotheses: tuple[Wording, ...]
    targets: Ints1d  # shape (hypotheses,): ENTAILMENT or CONTRADICTION


def draw_examples(
    examples: Iterable[Example],
    read: Callable[[Doc], Sequence[Premise]],
    word: Callable[[Sequence[str]], LabelSet],
    gold: Callable[[Mapping[str, float]], Mapping[str, float]],
    max_negatives: int,
) -> list[NLIExample]:
    """Draw NLI pairs from the examples that have gold cats and a text: right labels are entailed, sampled wrong ones
    are not. read, word, gold: Give a document's premises, label sets, and the component's own part of gold cats."""
    drawn = []
    for example in examples:
        cats = gold(example.reference.cats)
        if any(value not in (0.0, 1.0) for value in cats.values()):
            raise ZeroShotError("Z040", cats=dict(cats))
        premises = read(example.predicted) if cats else []
        if not premises:
            continue
        right = [label for label, value in cats.items() if value == 1.0]
        wrong = [label for label, value in cats.items() if value == 0.0]
        # spaCy seeds it
        sampled = random.sample(wrong, min(max_negatives, len(wrong)))
        worded = word([*right, *sampled])
        targets = np.repeat([ENTAILMENT] * len(right) + [CONTRADICTION] * len(sampled), worded.counts)
        drawn.append(NLIExample(premises, worded.wordings, targets))
    return drawn


def loss_of(drawn: Sequence[NLIExample], output: NLIOutput, pooling: str) -> tuple[float, Floats2d]:
    """The mean loss of an example, and the gradient of the sum, of the shape of output.logits: gradients of a batch in
    parts add up to those of the whole."""
    gradient = np.zeros_like(output.logits)
    ends = np.cumsum(output.n_windows * output.n_hypotheses)
    total, start, premise = 0.0, 0, 0
    for example in drawn:
        premise += len(example.premises)
        pairs = slice(start, start := int(ends[premise - 1]))
        logits = output.logits[pairs].reshape(-1, len(example.hypotheses), output.logits.shape[1])
        value, d_logits = cross_entropy(logits, example.targets, pooling)
        total += value
        gradient[pairs] = d_logits.reshape(-1, output.logits.shape[1])
    return total / max(len(drawn), 1), gradient


def cross_entropy(logits: Floats3d, targets: Ints1d, pooling: str) -> tuple[float, Floats3d]:
    """Cross-entropy on the head's classes, mean over the hypotheses of one text, and its gradient. Shapes: (windows,
    hypotheses, classes) and (hypotheses,)."""
    shares = window_shares(logits, pooling)
    gradient = softmax((logits * shares[:, :, None]).sum(axis=0))
    rows = np.arange(len(targets))
    loss = float(-np.log(np.maximum(gradient[rows, targets], 1e-12)).mean())
    gradient[rows, targets] -= 1.0
    return loss, (shares[:, :, None] * gradient / len(targets)).astype("float32")


def window_shares(logits: Floats3d, pooling: str) -> np.ndarray:
    """Each window's share in the pooled logits, shape (windows, hypotheses); columns sum to 1. "max" takes, for each
    hypothesis, the window that supports it most."""
    n_windows, n_hypotheses, _ = logits.shape
    if pooling == "mean":
        return np.full((n_windows, n_hypotheses), 1.0 / n_windows, dtype="float32")
    chosen = np.zeros(n_hypotheses, dtype="int64")
    if pooling == "max":
        chosen = (logits[:, :, ENTAILMENT] - logits[:, :, CONTRADICTION]).argmax(axis=0)
    return np.eye(n_windows, dtype="float32")[:, chosen]
