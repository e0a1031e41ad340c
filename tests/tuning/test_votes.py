"""Tuning a pipeline that has examples."""

import numpy as np
import pytest
import spacy

from spacy_zeroshot.rows import LabelledText
from spacy_zeroshot.tuning.report import report
from spacy_zeroshot.tuning.search import Candidate, Votes, search
from spacy_zeroshot.tuning.settings import apply_settings
from spacy_zeroshot.tuning.tune import tune
from spacy_zeroshot.tuning.votes import COUNTS, WEIGHTS, with_votes

from ..tiny import SENTENCES
from .test_tune import LABELS, ROWS, build

pytest.importorskip("sklearn", reason="the extra examples is not installed")

# the label is the sentence's: neighbours know it, and the random weights of the model do not
LEARNABLE = [LabelledText(f"{SENTENCES[i % 3]} {j}", [LABELS[i % 3]]) for i in range(3) for j in range(6)]
EXAMPLES = [{"label": row.labels[0], "text": row.text} for row in LEARNABLE[::2]]


@pytest.mark.parametrize("multi_label", [False, True])
def test_neighbours_that_know_are_chosen_and_come_back_from_disk(nli_folder, tmp_path, multi_label):
    nlp, pipe = build(nli_folder, multi_label=multi_label, examples=EXAMPLES)
    tuned = tune(nlp, LEARNABLE[1::2], templates=())
    assert tuned.chosen.votes is not None and tuned.search.held_out > 0.9
    assert tuned.settings["n_neighbors"] == tuned.chosen.votes.n_neighbors
    assert tuned.settings["examples_weight"] == tuned.chosen.votes.weight
    # 9 examples: 8 neighbours, the component's own number, is the most that is tried
    counts = {c.votes.n_neighbors for c in tuned.candidates if c.votes is not None}
    assert counts == {count for count in COUNTS if count <= 9}
    assert len(tuned.candidates) == len(tuned.templates) == 2 * (1 + len(counts) * len(WEIGHTS))
    apply_settings(nlp, pipe.name, tuned.settings)
    nlp.to_disk(tmp_path / "tuned")
    again = spacy.load(tmp_path / "tuned")
    for text, expected in zip(tuned.texts, tuned.values):
        assert list(again(text).cats.values()) == pytest.approx(expected.tolist(), abs=1e-4)


def test_scores_before_have_the_votes_of_the_settings(nli_folder):
    nlp, _ = build(nli_folder, examples=EXAMPLES, n_neighbors=3, examples_weight=0.4)
    tuned = tune(nlp, LEARNABLE[1::2], templates=())
    expected = [list(nlp(text).cats.values()) for text in tuned.texts]
    np.testing.assert_allclose(tuned.before_values, expected, atol=1e-5)


def test_an_example_does_not_vote_on_itself(nli_folder):
    alone = [{"label": "sport", "text": SENTENCES[0]}, {"label": "politics", "text": SENTENCES[1]}]
    nlp, _ = build(nli_folder, labels=["sport", "politics"], examples=alone, n_neighbors=1, examples_weight=1.0)
    rows = [LabelledText(entry["text"], [entry["label"]]) for entry in alone]
    tuned = tune(nlp, rows, templates=())
    # each is left to the other one, which is wrong
    assert tuned.before.accuracy == 0.0
    assert [nlp(row.text).cats[row.labels[0]] for row in rows] == pytest.approx([1.0, 1.0])


def test_examples_that_are_of_no_use_get_no_weight(nli_folder):
    wrong = {"sport": "politics", "politics": "music", "music": "sport"}
    examples = [{"label": wrong[row.labels[0]], "text": row.text} for row in LEARNABLE]
    _, pipe = build(nli_folder, labels=LABELS, examples=examples)
    rows = [LabelledText(f"{row.text} more", row.labels) for row in LEARNABLE]
    gold = np.array([[label in row.labels for label in LABELS] for row in rows])
    strengths = gold * 8.0
    shares, known = pipe.examples.vote([row.text for row in rows], LABELS, True, pipe.embed, [4])
    votes = Votes(shares[0], known, 4, 0.75)
    tried = with_votes([Candidate("zero-shot", strengths, np.zeros(3))], [votes])
    assert [c.name for c in tried] == ["zero-shot", "zero-shot + 4 neighbours, weight 0.75"]
    assert tried[search(tried, gold, LABELS, True).best.candidate].votes is None


def test_without_examples_the_settings_say_nothing_of_them(nli_folder):
    nlp, _ = build(nli_folder)
    tuned = tune(nlp, ROWS, templates=())
    assert "n_neighbors" not in tuned.settings and "examples_weight" not in tuned.settings


def test_the_report_shows_what_was_chosen(nli_folder):
    pytest.importorskip("matplotlib", reason="the extra report is not installed")
    nlp, _ = build(nli_folder, examples=EXAMPLES)
    page = report(tune(nlp, LEARNABLE[1::2], templates=()))
    assert "examples_weight" in page and "n_neighbors" in page and "neighbour" in page
    assert "the 40 best of" not in page or page.count("neighbours, weight") <= 41
