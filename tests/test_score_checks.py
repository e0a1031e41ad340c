"""What `check` finds by scoring sample texts."""

import numpy as np
import pytest
import spacy

from spacy_zeroshot.costs import costs, costs_of_labels
from spacy_zeroshot.score_checks import alike, barely, check_scores, without_effect

from .tiny import SENTENCES


def build(folder, labels, **settings):
    nlp = spacy.blank("en")
    config = {"labels": labels, "model": {"name": str(folder), "precision": "float32"}, **settings}
    return nlp, nlp.add_pipe("zero_shot_textcat", config=config)


def test_alike_by_hand():
    base = np.random.default_rng(0).normal(size=(30, 4))
    assert alike(base) == []
    # strong everywhere for no reason of the label's: no finding
    assert alike(base + 10 * np.random.default_rng(1).normal(size=(30, 1))) == []
    twins = np.column_stack([base, base[:, 1] + 3])
    assert [(i, j) for i, j, _ in alike(twins)] == [(1, 4)]
    assert alike(twins[:2]) == [] and alike(twins[:, [1, 4]]) == []


def test_barely_by_hand():
    strengths = np.tile([2.0, 2.1, -3.0], (10, 1))
    strengths[:5, 0] += 1
    assert [i for i, _ in barely(strengths)] == [2]
    strengths[0, 2] = 9.0
    assert barely(strengths) == []


def test_without_effect_by_hand():
    state = np.random.default_rng(0)
    strong, weak, other = (state.normal(size=(200, 3)) * scale for scale in (5, 0.001, 5))
    assert [i for i, _ in without_effect([strong, weak, other])] == [1]
    assert without_effect([strong]) == []


def test_z076_labels_that_are_read_alike(nli_folder):
    # two labels, one wording but for a sign the tiny tokenizer does not know apart
    own = [{"label": "a", "text": "It is sport."}, {"label": "b", "text": "It is SPORT."}]
    nlp, pipe = build(nli_folder, ["a", "b", "music", "politics"], hypotheses=own)
    found = list(check_scores(nlp, pipe))
    assert [f.code for f in found if "['a', 'b']" in f.message] == ["Z076"]
    assert all(f.level == "warning" and f.component == pipe.name for f in found)


def test_z078_templates_without_effect(nli_folder):
    templates = ["This text is about {}.", "This text is about {} .", "This text is about {}."]
    nlp, pipe = build(nli_folder, ["sport", "music", "politics"], hypothesis_template=templates)
    codes = {finding.code for finding in check_scores(nlp, pipe, SENTENCES)}
    # the templates say the same, so each can be left out
    assert "Z078" in codes
    assert "Z078" not in {finding.code for finding in check_scores(nlp, pipe)}


def test_z077_labels_that_barely_fit(nli_folder, monkeypatch):
    # the tiny model gives all labels like scores: move the line
    monkeypatch.setattr("spacy_zeroshot.score_checks.BARELY", 2.0)
    labels = ["sport", "music", "politics", "vote", "penalty", "planets", "park", "parliament"]
    nlp, pipe = build(nli_folder, labels, hypothesis_template="{}")
    scored = np.array([list(doc.cats.values()) for doc in nlp.pipe(SENTENCES)])
    never = {label for i, label in enumerate(labels) if i not in scored.argmax(axis=1)}
    found = [finding.message for finding in check_scores(nlp, pipe, SENTENCES) if finding.code == "Z077"]
    assert never and len(found) == len(never)
    assert all(any(f"label {label!r}" in message for message in found) for label in never)
    assert "Z077" not in [finding.code for finding in check_scores(nlp, pipe)]


@pytest.mark.parametrize("folder", ["nli_folder", "shared_folder"])
def test_costs_of_labels_are_those_of_such_a_component(folder, request):
    path = request.getfixturevalue(folder)
    _, pipe = build(path, [f"label {i % 10}" + " " * (i // 10) + "x" for i in range(10)], window_overlap=8)
    ten, hundred = costs_of_labels(pipe, (10, 100), 60)
    assert ten == costs(pipe, (60,))[0]
    assert hundred.pairs == 10 * ten.pairs and hundred.tokens > ten.tokens
