"""Label-free calibration as a function: unlabelled texts in, a bias per label out; with gold labels a temperature."""

from dataclasses import dataclass
from typing import Any, Dict, Literal, Mapping, Optional, Sequence, Tuple

import numpy as np
from spacy.language import Language

from ..component import ZeroShotTextCategorizer
from ..errors import ZeroShotError
from ..rows import LabelledText
from ..scores import adjust, scores
from .calibration import CONTENT_FREE, marginal_biases, prior_biases
from .passes import Watch, competes, read_texts, score_templates, unwatched
from .reliability import Reliability, reliability
from .search import Candidate, check_finite
from .settings import calibration_entries, check_plain
from .temperature import fit_temperature
from .texts import gold_array
from .tune import get_zero_shot

COMMAND = "calibrate"
Method = Literal["marginals", "content-free", "none"]
DEFAULT_METHOD: Method = "marginals"


@dataclass(frozen=True)
class Calibrated:
    """What calibration found.

    pipe (str): The component's name.
    labels (Tuple[str, ...]): Its labels.
    method (str): Where the biases come from.
    biases (np.ndarray): Shape (labels,): in logits.
    temperature (float): 1.0 without gold labels.
    rates (Tuple[np.ndarray, np.ndarray]): Shape (labels,) each: every label's mean score over the unlabelled texts,
        without and with calibration.
    reliability (Optional[Tuple[Reliability, Reliability]]): On the labelled texts, without and with calibration.
    """

    pipe: str
    labels: Tuple[str, ...]
    method: str
    biases: np.ndarray
    temperature: float
    rates: Tuple[np.ndarray, np.ndarray]
    reliability: Optional[Tuple[Reliability, Reliability]]

    @property
    def settings(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The component's settings, for settings.apply_settings."""
        return {
            "calibration": calibration_entries(self.labels, self.biases),
            "temperature": self.temperature,
            "calibrated": True,
        }


def calibrate(
    nlp: Language,
    texts: Sequence[str],
    *,
    method: Method = DEFAULT_METHOD,
    prior: Optional[Mapping[str, float]] = None,
    labelled: Sequence[LabelledText] = (),
    none_label: Optional[str] = None,
    pipe_name: Optional[str] = None,
    watch: Watch = unwatched,
) -> Calibrated:
    """Find a bias for every label. A calibration that the pipeline has is found anew, not added to.

    The pipeline is not changed; settings.apply_settings does that with what is found.

    nlp (Language): The pipeline.
    texts (Sequence[str]): Unlabelled texts like those it is meant for.
    method (str): "marginals" (match the labels' mean scores over the texts), "content-free" (the labels' prior on
        texts without content) or "none".
    prior (Optional[Mapping[str, float]]): With "marginals": the labels' expected shares (where they compete) or
        rates, for all labels; None for equal ones.
    labelled (Sequence[LabelledText]): Texts with gold labels, to fit the temperature to and to measure on.
    none_label (Optional[str]): A gold label that means "no label fits".
    pipe_name (Optional[str]): The component, None for the first zero-shot one.
    watch (Watch): Shows progress.
    RETURNS (Calibrated): What was found.
    RAISES (ZeroShotError): Z200 without texts, Z201, Z203 or Z204, Z007 for a prior that is none; Z001, Z008, Z062.
    """
    pipe = get_zero_shot(nlp, pipe_name, COMMAND)
    check_plain("calibration", pipe.labels, pipe.name)
    shares = None if prior is None else check_prior(prior, pipe.labels, competes(pipe))
    gold = gold_array(labelled, pipe.labels, none_label, COMMAND)
    strengths, _ = _score(nlp, pipe, texts, watch, "the texts")
    compete = competes(pipe)
    if method == "marginals":
        biases = marginal_biases(strengths, compete, shares)
    elif method == "content-free":
        biases = prior_biases(_score(nlp, pipe, CONTENT_FREE, unwatched, "texts without content")[0], compete)
    else:
        biases = np.zeros(len(pipe.labels))
    # rounded as they will stand in the config
    biases = np.round(biases, 4)
    temperature, measured = 1.0, None
    if len(labelled):
        known, rows = _score(nlp, pipe, [row.text for row in labelled], watch, "the labelled texts")
        temperature = max(round(fit_temperature(known - biases, gold[rows], compete), 4), 1e-4)
        before, after = scores(known, compete), scores(adjust(known, biases, temperature), compete)
        measured = reliability(before, gold[rows], compete), reliability(after, gold[rows], compete)
    rates = (
        scores(strengths, compete).mean(axis=0),
        scores(adjust(strengths, biases, temperature), compete).mean(axis=0),
    )
    return Calibrated(pipe.name, pipe.labels, method, biases, temperature, rates, measured)


def check_prior(prior: Mapping[str, float], labels: Sequence[str], compete: bool) -> np.ndarray:
    """Read the labels' expected shares or rates.

    prior (Mapping[str, float]): Numbers by label.
    labels (Sequence[str]): The labels.
    compete (bool): Whether they compete: shares, brought to a sum of 1; else rates between 0 and 1.
    RETURNS (np.ndarray): Shape (labels,).
    RAISES (ZeroShotError): Z007 if a label is missing or unknown, or a number is not possible.
    """
    reason = None
    if set(prior) != set(labels):
        reason = f"it must give a number for each of the labels {list(labels)}, and for no others"
    elif not all(0.0 < value < (np.inf if compete else 1.0) for value in prior.values()):
        reason = "every number must be above 0" + ("" if compete else " and below 1")
    if reason is not None:
        raise ZeroShotError("Z007", COMMAND, setting="prior", value=dict(prior), reason=reason)
    shares = np.array([prior[label] for label in labels], dtype="float64")
    return shares / shares.sum() if compete else shares


def _score(
    nlp: Language, pipe: ZeroShotTextCategorizer, texts: Sequence[str], watch: Watch, name: str
) -> "tuple[np.ndarray, np.ndarray]":
    """Strengths of the texts that are not blank, and their places."""
    readable = read_texts(nlp, pipe, texts, COMMAND)
    if not len(readable.rows):
        raise ZeroShotError("Z200", COMMAND, reason=f"{name} are none, or blank")
    strengths = score_templates(pipe, readable.premises, [pipe.templates], watch)[0]
    check_finite([Candidate(name, strengths, np.zeros(strengths.shape[1]))])
    return strengths, readable.rows
