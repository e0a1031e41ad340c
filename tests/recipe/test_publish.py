"""From a trained pipeline to the folder of the bundled model."""

import json

import numpy as np
import pytest
import spacy

from spacy_zeroshot.evidence import AGAINST, FOR, Question, Request
from spacy_zeroshot.model.shim import NLIShim, Placement
from spacy_zeroshot.model.source import Source
from spacy_zeroshot.recipe.publish import balanced_scale, entailment_logits, publish

from ..tiny import words

LABELS = words(4)
TEXTS = [" ".join(words(12)[i : i + 3]) for i in range(8)]


@pytest.fixture
def pipeline(make_checkpoint, tmp_path):
    declared = {"layout": "shared_premise", "similarity": [3.0, -1.0]}
    folder = make_checkpoint("bert", ("not_entailment", "entailment"), zero_shot=declared)
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", config={"labels": LABELS, "model": {"name": str(folder)}})
    nlp.to_disk(tmp_path / "pipeline")
    return tmp_path / "pipeline"


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    found = [{"text": text, "labels": [LABELS[i % 4]]} for i, text in enumerate(TEXTS)]
    path.write_text("\n".join(json.dumps(row) for row in found), encoding="utf8")
    return path


def load(folder):
    return NLIShim(Source(str(folder), local_files_only=True), Placement(precision="float32", device="cpu")).runtime


def ask(runtime):
    request = Request([Question(text, tuple(LABELS)) for text in TEXTS])
    return np.concatenate([answer.logits for answer in runtime.predict(request)])


def test_published_folder_gives_the_same_margins(pipeline, rows, tmp_path):
    publish(pipeline, tmp_path / "published", balance=[rows], confidence=[rows])
    declared = json.loads((tmp_path / "published" / "config.json").read_text(encoding="utf8"))["zero_shot"]
    assert declared["similarity"][:2] == [3.0, -1.0]
    before, after = load(pipeline / "zero_shot_textcat" / "model"), load(tmp_path / "published")
    assert after.checkpoint.module.dtype.itemsize in (2, 4)
    first, second = ask(before), ask(after)
    # the margin is what multi-label scores are made of; stored weights have 11 bits
    margins = [logits[:, :, FOR] - logits[:, :, AGAINST] for logits in (first, second)]
    assert np.abs(margins[0] - margins[1]).max() < 0.02
    # both kinds of evidence spread alike where labels compete
    scale = balanced_scale(before, [rows])
    assert declared["similarity"][2] == pytest.approx(scale - 1.5, abs=0.1)


def test_competition_is_divided_by_the_declared_temperature(pipeline, rows, tmp_path):
    runtime = load(pipeline / "zero_shot_textcat" / "model")
    before = ask(runtime)
    runtime.competition_temperature = 4.0
    after = ask(runtime)
    np.testing.assert_allclose(after[:, :, FOR], before[:, :, FOR] / 4.0, atol=1e-5)
    margin = before[:, :, FOR] - before[:, :, AGAINST]
    np.testing.assert_allclose(after[:, :, FOR] - after[:, :, AGAINST], margin, atol=1e-5)


def test_texts_of_other_labels_are_left_out(pipeline, rows):
    runtime = load(pipeline / "zero_shot_textcat" / "model")
    measured = entailment_logits(runtime, rows, most_labels=2)
    assert measured.logits.shape == (4, 2)
    assert measured.gold.tolist() == [0, 1, 0, 1]
