"""The kinds of evidence in the bundled model's logit."""

import numpy as np
import pytest

from spacy_zeroshot.evidence import AGAINST, FOR, Question, Request
from spacy_zeroshot.recipe.evidence_study import both, cosine_alone, entailment_alone

QUESTION = Question("The keeper saved a penalty.", ("This text is about sport.", "This text is about law."))


def margins(judge):
    (answer,) = judge.pipe.model.predict(Request([QUESTION]))
    return answer.logits[0, :, FOR] - answer.logits[0, :, AGAINST]


def test_both_kinds_add_up():
    whole = both()
    scale, offset = whole.pipe.model.shims[0].runtime.layout.similarity.detach().numpy()[:2]
    similarity = cosine_alone("bundled")
    settings = similarity.pipe.model.shims[0]
    # evidence by similarity is the cosine over a temperature, less a midpoint
    spread = np.diff(margins(similarity)) * settings.comparison.temperature
    added = np.diff(margins(whole)) - np.diff(margins(entailment_alone()))
    assert added == pytest.approx(scale * spread, abs=0.1)
    assert offset < 0
