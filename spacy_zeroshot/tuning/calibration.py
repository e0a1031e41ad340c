"""Calibration: a bias per label without a single gold label, and a temperature from gold labels.

A label can be strong for no reason of the text's: its wording is frequent, or fits everything. Its mean score over many
texts shows it (Liusie et al., 2023, "Mitigating Word Bias in Zero-shot Prompt-based Classifiers", arXiv 2309.04992).
Biases are centred: they sum to zero over the labels of a group. Where labels compete that changes nothing; where each
stands on its own it takes away what differs between labels and leaves alone how readily labels are given at all.

The temperature is one number that makes scores as sure as they are right (Guo et al., 2017).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from spacy.language import Language

from ..errors import ZeroShotError
from ..labels import LabelSet
from ..loading import find_component
from ..readers import LabelledText
from ..scores import calibrate as adjust
from ..scores import sigmoid, softmax, to_scores
from ..util import Track, no_progress
from .score import gold_array, score_texts

Method = Literal["marginals", "none"]

# A share closer to 0 or 1 than this has no logarithm to work with
CERTAIN = 1e-12
# Bounds of 1 / temperature: beyond these scores are one-hot, or flat
FLATTEST, SHARPEST = 1e-3, 1e3
# Of the expected calibration error
BINS = 15


class Calibrated(NamedTuple):
    """What calibration found."""

    labels: tuple[str, ...]
    biases: np.ndarray  # (labels,): in logits
    temperature: float  # 1.0 without gold labels
    rates: tuple[np.ndarray, ...]  # (labels,) each: mean scores over the texts, without and with calibration
    errors: tuple[float, ...]  # calibration_error on the labelled texts, without and with calibration

    @property
    def settings(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The component's settings, for apply_settings."""
        return {"calibration": calibration_entries(zip(self.labels, self.biases)), "temperature": self.temperature}


def calibrate(
    nlp: Language,
    texts: Sequence[str],
    *,
    component: str | None = None,
    method: Method = "marginals",
    prior: Mapping[str, float] | None = None,
    labelled: Sequence[LabelledText] = (),
    none_label: str | None = None,
    track: Track = no_progress,
) -> Calibrated:
    """Find a bias for every label. A calibration that the pipeline has is found anew, not added to.

    The pipeline is not changed; settings.apply_settings does that with what is found.

    nlp (Language): The pipeline.
    texts (Sequence[str]): Unlabelled texts like those it is meant for.
    component (str | None): The component, None for the first zero-shot one.
    method (str): "marginals" (match the labels' mean scores over the texts) or "none".
    prior (Mapping[str, float] | None): The labels' expected shares (where they compete) or rates, for all labels; None
        for equal ones.
    labelled (Sequence[LabelledText]): Texts with gold labels, to fit the temperature to and to measure on.
    none_label (str | None): A gold label that means "no label fits", None for the component's.
    track (Track): Shows progress.
    RETURNS (Calibrated): What was found.
    RAISES (ZeroShotError): Z200 without texts, Z201, Z203 or Z204, Z007 for a prior that is none; Z001, Z062.
    """
    pipe = find_component(nlp, component)
    label_set = pipe.label_set()
    shares = None if prior is None else check_prior(prior, label_set)
    gold = gold_array(labelled, nlp, pipe, none_label or pipe.none_label)
    rows, _, (found,) = score_texts(nlp, pipe, [*texts, *(row.text for row in labelled)], [label_set], track)
    unlabelled = rows < len(texts)
    if not unlabelled.any() or (labelled and unlabelled.all()):
        raise ZeroShotError("Z200", reason="they are none, or blank")
    logits, known, right = found[unlabelled], found[~unlabelled], gold[rows[~unlabelled] - len(texts)]
    biases, temperature = np.zeros(len(label_set.labels)), 1.0
    errors: tuple[float, ...] = ()
    if method == "marginals":
        # rounded as they will stand in the config
        biases = np.round(marginal_biases(logits, label_set, shares), 4)
    if labelled:
        temperature = max(round(fit_temperature(known - biases, right, label_set), 4), 1e-4)
        both = known, adjust(known, biases, temperature)
        errors = tuple(calibration_error(to_scores(one, label_set), right, label_set) for one in both)
    rates = tuple(to_scores(one, label_set).mean(axis=0) for one in (logits, adjust(logits, biases, temperature)))
    return Calibrated(label_set.labels, biases, temperature, rates, errors)


def calibration_entries(biases: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    """The setting `calibration`, without biases of zero."""
    return [{"label": label, "bias": round(float(bias), 4)} for label, bias in biases if bias]


def check_prior(prior: Mapping[str, float], label_set: LabelSet) -> np.ndarray:
    """The labels' expected shares (where they compete; of a sum of 1) or rates, shape (labels,)."""
    labels, highest = label_set.labels, np.inf if label_set.exclusive else 1.0
    if set(prior) != set(labels) or not all(0.0 < value < highest for value in prior.values()):
        reason = f"it must give a number above 0 {'' if label_set.exclusive else 'and below 1 '}for each of the labels"
        raise ZeroShotError("Z007", setting="prior", value=dict(prior), reason=f"{reason} {list(labels)}")
    shares = np.array([prior[label] for label in labels], dtype="float64")
    for group in label_set.groups:
        if group.exclusive:
            shares[group.columns] /= shares[group.columns].sum()
    return shares


def marginal_biases(logits: np.ndarray, label_set: LabelSet, prior: np.ndarray | None = None) -> np.ndarray:
    """Biases that match each label's mean score over unlabelled texts to a prior, shape (labels,) both. Where labels
    compete, the mean distribution becomes the prior (uniform if None). Else every label's mean score becomes the same
    rate: the one that all labels have together without calibration, or the label's own of `prior`."""
    biases = np.zeros(logits.shape[1])
    for group in label_set.groups:
        own, values, to_shares = biases[group.columns], logits[:, group.columns], sigmoid
        wanted = sigmoid(values).mean()
        if group.exclusive:
            to_shares, wanted = softmax, 1.0 / values.shape[1]
        wanted = np.clip(wanted if prior is None else prior[group.columns], CERTAIN, 1.0 - CERTAIN)
        for _ in range(500):
            found = np.clip(to_shares(values - own).mean(axis=0), CERTAIN, 1.0 - CERTAIN)
            # iterative scaling: a label with twice its share, or twice its odds, loses log 2
            step = np.log(found / wanted)
            if not group.exclusive:
                step -= np.log((1.0 - found) / (1.0 - wanted))
            own += step
            if np.abs(step).max() < 1e-6:
                break
        if group.exclusive or prior is None:
            own -= own.mean()
    return biases


def fit_temperature(logits: np.ndarray, gold: np.ndarray, label_set: LabelSet) -> float:
    """The temperature with the least negative log-likelihood of the gold labels; 1.0 if nothing can be learnt. Where
    labels compete, a text with several right labels counts as evenly divided among them, one without says nothing."""
    parts = []
    for group in label_set.groups:
        values, targets = logits[:, group.columns], gold[:, group.columns].astype("float64")
        if group.exclusive:
            known = targets.any(axis=1)
            values, targets = values[known], targets[known] / targets[known].sum(axis=1, keepdims=True)
            values = values - values.mean(axis=1, keepdims=True)
        parts.append((values, targets, group.exclusive))
    # The loss is convex in the sharpness (1 / temperature), so its slope has one zero
    low, high = FLATTEST, SHARPEST
    for _ in range(24):
        sharpness = float(np.sqrt(low * high))
        slope = sum(
            (((softmax if exclusive else sigmoid)(sharpness * values) - targets) * values).sum()
            for values, targets, exclusive in parts
        )
        if slope == 0.0:
            break
        low, high = (sharpness, high) if slope < 0 else (low, sharpness)
    return 1.0 / sharpness


def calibration_error(scores: np.ndarray, gold: np.ndarray, label_set: LabelSet) -> float:
    """The expected calibration error (Guo et al., 2017): how far scores, in BINS bins, are from how often they
    are right. Where labels compete the score of each text's best label counts, else every one."""
    distances, bins = [], []
    for group in label_set.groups:
        values, targets = scores[:, group.columns], gold[:, group.columns]
        if group.exclusive:
            best = values.argmax(axis=1)[:, None]
            values, targets = (np.take_along_axis(array, best, axis=1) for array in (values, targets))
        distances.append((values - targets).ravel())
        bins.append(np.minimum((values * BINS).astype(int), BINS - 1).ravel())
    of_bins = np.bincount(np.concatenate(bins), np.concatenate(distances), BINS)
    return float(np.abs(of_bins).sum() / max(sum(map(len, bins)), 1))
