"""Label-free calibration: a bias per label, in logits, found without a single gold label. Pure array work.

A label can be strong for no reason of the text's: its wording is frequent, or fits everything. What a text without
content scores shows it (Zhao et al., 2021, "Calibrate Before Use"), and so does a label's mean score over many texts
(Liusie et al., 2023, "Mitigating Word Bias in Zero-shot Prompt-based Classifiers", arXiv 2309.04992).

Biases are centred: they sum to zero over the labels. Where labels compete that changes nothing; where each stands on
its own it takes away what differs between labels and leaves alone how readily labels are given at all.
"""

from typing import Optional

import numpy as np

from ..scores import scores

# Texts that say nothing, after Zhao et al. (2021). Blank ones are not scored, so punctuation stands for them.
CONTENT_FREE = ("N/A", "[MASK]", ".", "...", "Text.", "Lorem ipsum")
ROUNDS = 500
TOLERANCE = 1e-6
# Strengths beyond this are certainty in float64
REACH = 60.0


def prior_biases(strengths: np.ndarray, compete: bool) -> np.ndarray:
    """Biases from texts without content.

    Where labels compete: the logarithm of the mean distribution over such texts, as in contextual calibration. Else
    the mean margin of each label over such texts.

    strengths (np.ndarray): Shape (texts, labels): of texts without content.
    compete (bool): Whether labels compete.
    RETURNS (np.ndarray): Shape (labels,): the biases, centred.
    """
    if compete:
        return centred(np.log(np.maximum(scores(strengths, True).mean(axis=0), 1e-12)))
    return centred(strengths.mean(axis=0))


def marginal_biases(strengths: np.ndarray, compete: bool, prior: Optional[np.ndarray] = None) -> np.ndarray:
    """Biases that match each label's mean score over unlabelled texts to a prior.

    Where labels compete: the mean distribution becomes the prior (uniform if None). Else every label's mean score
    becomes the same rate: the one that all labels have together without calibration, or the label's own of `prior`.

    strengths (np.ndarray): Shape (texts, labels): of unlabelled texts, all of them finite.
    compete (bool): Whether labels compete.
    prior (Optional[np.ndarray]): Shape (labels,): expected shares of the labels (they sum to 1) or rates.
    RETURNS (np.ndarray): Shape (labels,): the biases; centred unless rates were given.
    """
    if compete:
        return centred(_match_shares(strengths, prior))
    found = _match_rates(strengths, prior)
    return found if prior is not None else centred(found)


def centred(biases: np.ndarray) -> np.ndarray:
    """RETURNS (np.ndarray): Biases that sum to zero."""
    return biases - biases.mean()


def _match_shares(strengths: np.ndarray, prior: Optional[np.ndarray]) -> np.ndarray:
    n_labels = strengths.shape[1]
    wanted = np.full(n_labels, 1.0 / n_labels) if prior is None else np.asarray(prior, dtype="float64")
    biases = np.zeros(n_labels)
    for _ in range(ROUNDS):
        # One round of iterative scaling: a label with twice its share loses log 2.
        step = np.log(np.maximum(scores(strengths - biases, True).mean(axis=0), 1e-300) / wanted)
        biases += step
        if np.abs(step).max() < TOLERANCE:
            break
    return biases


def _match_rates(strengths: np.ndarray, prior: Optional[np.ndarray]) -> np.ndarray:
    wanted = scores(strengths, False).mean() if prior is None else np.asarray(prior, dtype="float64")
    low = strengths.min(axis=0) - REACH
    high = strengths.max(axis=0) + REACH
    for _ in range(100):
        # A label's mean score falls as its bias rises, so bisection finds the one that gives the wanted rate.
        middle = (low + high) / 2
        too_many = scores(strengths - middle, False).mean(axis=0) > wanted
        low, high = np.where(too_many, middle, low), np.where(too_many, high, middle)
    return (low + high) / 2
