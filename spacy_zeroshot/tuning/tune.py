"""Tuning as a function: a development set in, the settings that serve it best out."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from spacy.language import Language

from ..component import ZeroShotTextCategorizer
from ..decisions import Rule, decide_rows
from ..errors import ZeroShotError, warn
from ..metrics import Figures, figures
from ..opening import zero_shot_names
from ..rows import LabelledText
from ..scores import adjust, scores
from .calibration import marginal_biases
from .families import as_settings
from .passes import TEMPLATES, Watch, candidate_templates, competes, read_texts, score_templates, unwatched
from .search import COMMAND, FOLDS, Candidate, Search, search
from .settings import calibration_entries, check_plain
from .texts import gold_array
from .votes import count_votes, own_scores, with_votes


@dataclass(frozen=True)
class Tuned:
    """What tuning found.

    pipe (str): The component's name.
    labels (Tuple[str, ...]): Its labels.
    compete (bool): Whether they compete.
    texts (List[str]): The texts that were not blank.
    gold (np.ndarray): Shape (texts, labels), bool.
    templates (List[Tuple[str, ...]]): Every candidate's templates.
    candidates (List[Candidate]): What was tried, the component as it is first.
    search (Search): What was tried and what is best.
    before_rule (Rule): How the component chose labels before.
    before_values (np.ndarray): Shape (texts, labels): its scores before.
    """

    pipe: str
    labels: Tuple[str, ...]
    compete: bool
    texts: List[str]
    gold: np.ndarray
    templates: List[Tuple[str, ...]]
    candidates: List[Candidate]
    search: Search
    before_rule: Rule
    before_values: np.ndarray

    @property
    def rule(self) -> Rule:
        """RETURNS (Rule): The tuned rule."""
        return self.search.best.final.rule

    @property
    def values(self) -> np.ndarray:
        """RETURNS (np.ndarray): Shape (texts, labels): the tuned scores."""
        return self.chosen.values(self.search.best.temperature, self.compete)

    @property
    def chosen(self) -> Candidate:
        """RETURNS (Candidate): The best candidate."""
        return self.candidates[self.search.best.candidate]

    @property
    def before(self) -> Figures:
        """RETURNS (Figures): How well the component did before."""
        return figures(self.gold, decide_rows(self.before_values, self.labels, self.before_rule))

    @property
    def after(self) -> Figures:
        """RETURNS (Figures): How well the tuned one does on the texts it was fitted to."""
        return figures(self.gold, decide_rows(self.values, self.labels, self.rule))

    @property
    def settings(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The component's settings, for settings.apply_settings."""
        best = self.search.best
        template = self.templates[best.candidate]
        return {
            "hypothesis_template": template[0] if len(template) == 1 else list(template),
            **as_settings(self.rule, self.compete, len(self.labels)),
            "calibration": calibration_entries(self.labels, self.chosen.biases),
            "temperature": best.temperature,
            "calibrated": True,
            **self._votes,
        }

    @property
    def _votes(self) -> Dict[str, Any]:
        """The settings of a component with examples."""
        if self.chosen.votes is not None:
            return {"n_neighbors": self.chosen.votes.n_neighbors, "examples_weight": self.chosen.votes.weight}
        return {"examples_weight": 0.0} if any(each.votes is not None for each in self.candidates) else {}


def tune(
    nlp: Language,
    rows: Sequence[LabelledText],
    *,
    pipe_name: Optional[str] = None,
    templates: Sequence[str] = TEMPLATES,
    goal: str = "macro_f1",
    none_label: Optional[str] = None,
    folds: int = FOLDS,
    seed: int = 0,
    watch: Watch = unwatched,
) -> Tuned:
    """Score a development set once for every template, and find the settings that serve it best.

    The pipeline is not changed; settings.apply_settings does that with what is found.

    nlp (Language): The pipeline.
    rows (Sequence[LabelledText]): The development set.
    pipe_name (Optional[str]): The component, None for the first zero-shot one.
    templates (Sequence[str]): Candidates beside the component's own.
    goal (str): "micro_f1", "macro_f1" or "accuracy".
    none_label (Optional[str]): A gold label that means "no label fits".
    folds (int): Parts of the cross-validation.
    seed (int): Of the split into folds.
    watch (Watch): Shows progress.
    RETURNS (Tuned): What was found.
    RAISES (ZeroShotError): Z200 to Z204 for a development set nothing can be learnt from; Z001, Z004, Z008,
        Z062; what the model says of a text.
    """
    pipe = get_zero_shot(nlp, pipe_name)
    check_plain("label_thresholds", pipe.labels, pipe.name)
    check_plain("hypothesis_template", templates, pipe.name)
    sets = candidate_templates(pipe, templates)
    gold = gold_array(rows, pipe.labels, none_label, COMMAND)
    readable = read_texts(nlp, pipe, [row.text for row in rows], COMMAND)
    if not len(readable.rows):
        raise ZeroShotError("Z200", COMMAND, reason="the development set has none")
    gold = gold[readable.rows]
    # before the passes: they may take long
    check_variety(gold, pipe.labels)
    strengths = score_templates(pipe, readable.premises, sets, watch)
    biases = np.array([pipe.biases.get(label, 0.0) if pipe.calibrated else 0.0 for label in pipe.labels])
    compete = competes(pipe)
    votes = count_votes(pipe, readable.premises)
    plain, worn = [], []
    for chosen, found in zip(sets, strengths):
        for candidate in variants(" + ".join(chosen), found, biases, compete):
            plain.append(candidate)
            worn.append(chosen)
    candidates = with_votes(plain, votes)
    worn += [chosen for chosen in worn for _ in votes]
    result = search(candidates, gold, pipe.labels, compete, goal, folds, seed)
    own = adjust(strengths[0], biases, pipe.temperature if pipe.calibrated else 1.0)
    texts = [rows[i].text for i in readable.rows]
    before = own_scores(scores(own, compete), pipe, votes)
    return Tuned(pipe.name, pipe.labels, compete, texts, gold, worn, candidates, result, pipe.rule, before)


def variants(name: str, strengths: np.ndarray, biases: np.ndarray, compete: bool) -> List[Candidate]:
    """The candidates that one scoring pass gives: with the component's own biases, and with label-free ones.

    The latter match the labels' marginals over the very texts (see calibration.py), which no gold label enters.

    name (str): The templates' name.
    strengths (np.ndarray): Shape (texts, labels).
    biases (np.ndarray): Shape (labels,): the component's own.
    compete (bool): Whether labels compete.
    RETURNS (List[Candidate]): Two, or one if there is but one label.
    """
    plain = Candidate(name, strengths, biases)
    if strengths.shape[1] == 1 or not np.isfinite(strengths).all():
        return [plain]
    return [plain, Candidate(f"{name} (calibrated)", strengths, np.round(marginal_biases(strengths, compete), 4))]


def get_zero_shot(nlp: Language, name: Optional[str] = None, command: str = COMMAND) -> ZeroShotTextCategorizer:
    """Find the zero-shot component of a pipeline.

    nlp (Language): The pipeline.
    name (Optional[str]): Its name, None for the first.
    command (str): The command's name, for errors.
    RETURNS (ZeroShotTextCategorizer): The component.
    RAISES (ZeroShotError): Z062 if there is none, or none of that name.
    """
    found = zero_shot_names(nlp)
    if not found or (name is not None and name not in found):
        raise ZeroShotError("Z062", command, name=name or "the pipeline", pipes=nlp.pipe_names)
    return nlp.get_pipe(name or found[0])  # type: ignore[return-value]


def check_variety(gold: np.ndarray, labels: Sequence[str]) -> None:
    """Check that gold labels differ, and warn of labels without a right text.

    gold (np.ndarray): Shape (texts, labels), bool.
    labels (Sequence[str]): The labels.
    RAISES (ZeroShotError): Z202 if all texts have the same.
    """
    if (gold == gold[0]).all():
        found = [label for label, right in zip(labels, gold[0]) if right]
        raise ZeroShotError("Z202", COMMAND, count=len(gold), labels=found)
    never = [label for i, label in enumerate(labels) if not gold[:, i].any()]
    if never:
        warn("Z121", COMMAND, labels=never)
