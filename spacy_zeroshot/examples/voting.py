"""From neighbours to votes, and from votes to scores. Pure array work."""

from typing import Sequence

import numpy as np
from thinc.types import Floats2d, Ints2d

# A neighbour whose cosine is a tenth less has about a third of the weight
SHARPNESS = 0.1


def vote(similarities: Floats2d, neighbours: Ints2d, carried: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Let neighbours vote: each label's share of their weights, exp(cosine / 0.1) as in matching networks (Vinyals et
    al., 2016). So a near one counts for more than many far ones.

    similarities (Floats2d): Shape (texts, most): cosines of each text's neighbours, the nearest first. NaN where a
        text has no further neighbour.
    neighbours (Ints2d): Shape (texts, most): their numbers.
    carried (np.ndarray): Shape (examples, labels), bool: the labels of every example.
    counts (Sequence[int]): How many neighbours are asked; several numbers give several votes.
    RETURNS (np.ndarray): Shape (counts, texts, labels): shares between 0 and 1. Where an example has one label they
        sum to 1. A text without neighbours has none.
    """
    there = ~np.isnan(similarities)
    # the nearest comes first, with a weight of 1
    distances = np.nan_to_num((similarities[:, :1] - similarities) / SHARPNESS)
    weights = np.where(there, np.exp(-distances), 0.0)
    # summed up from the nearest on, so that every count is one row of it
    carried_weights = weights[:, :, None] * carried[neighbours]
    totals = np.cumsum(weights, axis=1)[:, :, None]
    shares = np.cumsum(carried_weights, axis=1) / np.where(totals > 0.0, totals, 1.0)
    places = np.minimum(np.asarray(counts), similarities.shape[1]) - 1
    return shares[:, places].transpose(1, 0, 2)


def mix(values: np.ndarray, votes: np.ndarray, known: np.ndarray, weight: float, compete: bool) -> np.ndarray:
    """Mix zero-shot scores with votes.

    Of a label without any example the neighbours know nothing, so it keeps its zero-shot score. Where labels compete,
    the labels with examples keep, all together, what zero-shot gives them: the votes divide it anew. So scores that
    sum to 1 still do, and with examples for every label this is (1 - weight) * zero-shot + weight * vote.

    values (np.ndarray): Shape (..., labels): zero-shot scores.
    votes (np.ndarray): Shape (..., labels): the neighbours' votes.
    known (np.ndarray): Shape (labels,), bool: the labels that any example has.
    weight (float): Share of the votes: 0 for zero-shot only, 1 for neighbours only.
    compete (bool): Whether labels compete.
    RETURNS (np.ndarray): Shape (..., labels): scores between 0 and 1.
    """
    mass = (values * known).sum(axis=-1, keepdims=True) if compete else 1.0
    return np.where(known, (1.0 - weight) * values + weight * mass * votes, values)


def carried_labels(example_labels: Sequence[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    """Which example carries which label.

    example_labels (Sequence[Sequence[str]]): The labels of every example.
    labels (Sequence[str]): The labels that are asked for.
    RETURNS (np.ndarray): Shape (examples, labels), bool.
    """
    place = {label: i for i, label in enumerate(labels)}
    carried = np.zeros((len(example_labels), len(labels)), dtype=bool)
    for row, own in enumerate(example_labels):
        carried[row, [place[label] for label in own if label in place]] = True
    return carried
