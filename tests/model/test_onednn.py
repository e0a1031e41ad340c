"""Linear layers by oneDNN: other code, the same products."""

import contextlib

import numpy as np
import pytest
import spacy
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_zeroshot.model import onednn
from spacy_zeroshot.model.onednn import LinearByOneDNN, linear_by_onednn

CPU = torch.device("cpu")
operator = onednn._operator()
pytestmark = pytest.mark.skipif(operator is None, reason="this torch has no oneDNN operator for linear layers")


@pytest.fixture
def calls(monkeypatch):
    """The shapes that reach oneDNN."""
    shapes = []

    def count(inputs, *rest):
        shapes.append(tuple(inputs.shape))
        return operator(inputs, *rest)

    monkeypatch.setattr(onednn, "_operator", lambda: count)
    return shapes


def layer(width, outputs, bias=True):
    torch.manual_seed(width + outputs)
    return torch.nn.Linear(width, outputs, bias=bias).requires_grad_(False)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(1, 48), st.integers(1, 48), st.booleans())
def test_products_are_those_of_torch(shape, width, outputs, bias):
    module, inputs = layer(width, outputs, bias), torch.randn(*shape, width)
    expected = module(inputs)
    with torch.inference_mode(), LinearByOneDNN():
        found = module(inputs)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_few_numbers_of_rows_reach_onednn(calls):
    module = layer(16, 8)
    with torch.inference_mode(), LinearByOneDNN():
        for rows in range(1, 200):
            assert module(torch.randn(rows, 16)).shape == (rows, 8)
        module(torch.randn(2, 2500, 16))
    assert {rows for rows, _ in calls} == {64, 128, 192, 256, 5120}


def test_only_float32_in_inference_is_changed(calls):
    module, inputs = layer(16, 8), torch.randn(4, 16)
    module(inputs)
    with LinearByOneDNN():
        module(inputs)
    with torch.inference_mode(), LinearByOneDNN():
        module.bfloat16()(inputs.bfloat16())
        F.linear(torch.randn(0, 16), torch.randn(8, 16))
    with torch.inference_mode():
        module.float()(inputs)
    assert calls == []


@pytest.mark.parametrize("device, dtype", [(torch.device("cuda"), torch.float32), (CPU, torch.bfloat16)])
def test_gpus_and_bfloat16_stay_as_they_are(device, dtype, monkeypatch):
    monkeypatch.setattr(onednn, "is_faster", lambda: True)
    assert isinstance(linear_by_onednn(device, dtype), contextlib.nullcontext)
    assert isinstance(linear_by_onednn(CPU, torch.float32), LinearByOneDNN)


@pytest.mark.parametrize("family", ["bert", "deberta-v2"])
def test_scores_are_the_same(family, make_checkpoint, calls, monkeypatch):
    texts = ["the quick fox", "a dog", "the quick fox jumps over a lazy dog"]

    def scores():
        model = {"name": str(make_checkpoint(family)), "precision": "float32"}
        nlp = spacy.blank("en")
        nlp.add_pipe("zero_shot_textcat", config={"labels": ["fox", "dog", "bird"], "model": model})
        return np.array([list(doc.cats.values()) for doc in nlp.pipe(texts)])

    monkeypatch.setattr(onednn, "is_faster", lambda: False)
    expected = scores()
    assert calls == []
    monkeypatch.setattr(onednn, "is_faster", lambda: True)
    np.testing.assert_allclose(scores(), expected, atol=1e-5)
    assert calls
