"""Tuning as a function: a development set in, the settings that serve it best out."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from spacy.language import Language

from ..component import ZeroShotTextCategorizer
from ..decisions import Rule, decide_rows
from ..errors import ZeroShotError, warn
from ..evaluation import Figures
from ..labels import LabelGroup, LabelSet, check_templates
from ..loading import find_component
from ..neighbors import mix
from ..premises import is_blank
from ..readers import LabelledText
from ..util import Track, no_progress
from .calibration import calibration_entries, marginal_biases
from .score import gold_array, score_texts
from .search import FOLDS, OWN, Candidate, Goal, Search, Trial, measure, search

# Templates that differ in what they ask; the component's own go before them
TEMPLATES = (
    "This text is about {}.",
    "The topic of this text is {}.",
    "This example is {}.",
    "This text expresses {}.",
    "{}.",
    "It is about {}.",
    "The text is related to {}.",
    "This is a text of the category {}.",
)


class Measured(NamedTuple):
    """The component on the texts, with some settings."""

    rule: Rule
    scores: np.ndarray  # (texts, labels)
    chosen: np.ndarray  # (texts, labels), bool
    figures: Figures


class TunedGroup(NamedTuple):
    """What tuning found for one group of labels."""

    label_set: LabelSet  # of this group alone, without hypotheses
    gold: np.ndarray  # (texts, labels), bool
    none: bool  # whether "no label fits" counts as a label
    candidates: list[Candidate]  # what was tried, the component as it is first
    search: Search
    before: Measured
    after: Measured  # on the texts it was fitted to

    @property
    def changed(self) -> bool:
        """Whether something was found that does better than the component as it is."""
        return self.search.best.candidate > 0

    @property
    def chosen(self) -> Candidate:
        return self.candidates[self.search.best.candidate]


class Tuned(NamedTuple):
    """What tuning found."""

    name: str  # the component's
    texts: list[str]  # those that were not blank
    groups: list[TunedGroup]  # one of a component without groups of labels
    settings: dict[str, Any]  # the component's settings that change, for apply_settings


def tune(
    nlp: Language,
    rows: Sequence[LabelledText],
    *,
    component: str | None = None,
    templates: Sequence[str] = TEMPLATES,
    goal: Goal = "macro_f1",
    none_label: str | None = None,
    folds: int = FOLDS,
    seed: int = 0,
    track: Track = no_progress,
) -> Tuned:
    """Score a development set once, with every template, and find the settings that serve it best.

    Tried are templates, label-free biases (see calibration.py), a temperature, and rules of the component's own mode:
    a threshold, and where labels are independent one for each label, or top-k. Groups of labels (label_groups) are
    tuned one by one, at the temperature they share. The pipeline is not changed; apply_settings does that with what is
    found.

    nlp (Language): The pipeline.
    rows (Sequence[LabelledText]): The development set. Labels with and without the component's key_prefix will do.
    component (str | None): The component, None for the first zero-shot one.
    templates (Sequence[str]): Candidates beside the component's own.
    goal (str): "micro_f1", "macro_f1" or "accuracy".
    none_label (str | None): A gold label that means "no label fits", None for the component's.
    folds (int): Parts of the cross-validation.
    seed (int): Of the split into folds.
    track (Track): Shows progress.
    RETURNS (Tuned): What was found. Settings stay as they are if nothing does better on the texts.
    RAISES (ZeroShotError): Z200 to Z204 for a development set nothing can be learnt from; Z001, Z004, Z062; what the
        model says of a text.
    """
    pipe = find_component(nlp, component)
    none_label = none_label or pipe.none_label
    gold = gold_array(rows, nlp, pipe, none_label)
    wordings = candidate_sets(pipe, templates)
    own_set, texts = wordings[None], [row.text for row in rows]
    # before the model runs: that may take long
    said = gold[[not is_blank(text) for text in texts]]
    if len(said) and (said == said[0]).all():
        raise ZeroShotError("Z202", count=len(said), labels=[own_set.labels[i] for i in np.flatnonzero(said[0])])
    description = f"{len(texts):,} texts, {len(wordings)} wordings"
    scored = score_texts(nlp, pipe, texts, [*wordings.values()], track, description)
    if len(scored.rows) < len(rows):
        warn("Z120", count=len(rows) - len(scored.rows), total=len(rows))
    if not len(scored.rows):
        raise ZeroShotError("Z200", reason="the development set has none")
    if never := [own_set.labels[i] for i in np.flatnonzero(~gold.any(axis=0))]:
        warn("Z121", labels=never)
    votes = None
    if pipe.examples and pipe.examples_weight:
        # a text that is an example itself does not vote on itself
        votes, known = pipe.votes(scored.texts, own_set, leave_out=True)
    alone, groups = len(own_set.groups) == 1, []
    for group, rule in zip(own_set.groups, pipe.rules(own_set)):
        columns = group.columns
        labels, right = own_set.labels[columns], gold[scored.rows, columns]
        # the logits are known, so hypotheses are not needed
        label_set = LabelSet(labels, (), (), (LabelGroup(group.name, 0, len(labels), group.exclusive),))
        biases = np.array([pipe.calibration.get(label, 0.0) for label in labels])
        vote = None
        if votes is not None:
            known_votes = {"votes": votes[:, columns], "known": known[columns], "weight": pipe.examples_weight}
            vote = partial(mix, **known_votes, label_set=label_set)
        candidates = [Candidate(OWN, scored.logits[0][:, columns], biases, pipe.temperature, rule, vote=vote)]
        # of a group without gold nothing is known: it stays as it is
        for template, logits in zip(wordings, scored.logits if alone or right.any() else ()):
            # a temperature, and a top-k, that several groups share stay
            temperature, name = None if alone else pipe.temperature, template or " + ".join(pipe.templates)
            plain = Candidate(name, logits[:, columns], biases, temperature, None, template, vote)
            candidates += variants(plain, label_set)
        none = none_label is not None and not right.any(axis=1).all()
        found = search(candidates, right, label_set, goal, none, folds, seed, keep_top_k=not alone)
        both = [_measured(candidates[t.candidate], t, label_set, right, none) for t in (found.trials[0], found.best)]
        groups.append(TunedGroup(label_set, right, none, candidates, found, *both))
    return Tuned(pipe.name, [texts[row] for row in scored.rows], groups, _settings(pipe, groups, none_label))


def candidate_sets(pipe: ZeroShotTextCategorizer, templates: Sequence[str] = TEMPLATES) -> dict[str | None, LabelSet]:
    """Labels by the template that words them; None for the component's own, which no other one may equal."""
    found: dict[str | None, LabelSet] = {None: pipe.label_set()}
    for template in check_templates(tuple(templates)) if templates else ():
        label_set = pipe.label_set(templates=template)
        if all(label_set.wordings != other.wordings for other in found.values()):
            found[template] = label_set
    return found


def variants(plain: Candidate, label_set: LabelSet) -> list[Candidate]:
    """The candidates that one template gives: with the component's own biases, and with label-free ones, which match
    the labels' mean scores over the very texts and see no gold label."""
    if len(label_set.labels) == 1:
        return [plain]
    biases = np.round(marginal_biases(plain.logits, label_set), 4)
    return [plain, plain._replace(name=f"{plain.name} (with a bias for each label)", biases=biases)]


def _measured(candidate: Candidate, trial: Trial, label_set: LabelSet, gold: np.ndarray, none: bool) -> Measured:
    scores = candidate.scores(trial.temperature, label_set)
    chosen = decide_rows(scores, label_set.labels, trial.rule)
    return Measured(trial.rule, scores, chosen, measure(gold, chosen, none))


def _settings(pipe: ZeroShotTextCategorizer, groups: Sequence[TunedGroup], none_label: str | None) -> dict[str, Any]:
    settings: dict[str, Any] = {} if none_label == pipe.none_label else {"none_label": none_label}
    changed = [group for group in groups if group.changed]
    if not changed:
        return settings
    # labels of groups that stay keep what they have
    renewed = {label for group in changed for label in group.label_set.labels}
    thresholds = {label: value for label, value in pipe.label_thresholds.items() if label not in renewed}
    biases = {label: value for label, value in pipe.calibration.items() if label not in renewed}
    for group in changed:
        thresholds.update(group.after.rule.label_thresholds)
        biases.update(zip(group.label_set.labels, group.chosen.biases.tolist()))
    settings["label_thresholds"] = [{"label": label, "threshold": value} for label, value in thresholds.items()]
    settings["calibration"] = calibration_entries(biases.items())
    own: list[dict[str, Any]] = [dict(entry) for entry in pipe.label_groups] or [settings]
    for entry, group in zip(own, groups):
        if group.changed:
            entry["threshold"] = group.after.rule.threshold
            if group.chosen.template is not None:
                entry["hypothesis_template"] = group.chosen.template
    if pipe.label_groups:
        # a threshold of null would be the component's
        return {**settings, "label_groups": own}
    exclusive, rule = groups[0].label_set.exclusive, groups[0].after.rule
    # where labels compete, null is the same as 0.0 and 1
    settings["threshold"] = None if exclusive and not rule.threshold else rule.threshold
    settings["top_k"] = None if exclusive else rule.top_k
    settings["temperature"] = groups[0].search.best.temperature
    return settings
