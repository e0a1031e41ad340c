"""Models run by OpenVINO: the same logits, and clear refusals."""

import os
import subprocess
import sys
import threading
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.model.batching import Window
from spacy_zeroshot.model.checkpoint import load_checkpoint
from spacy_zeroshot.model.cross_encoder import CrossEncoder
from spacy_zeroshot.model.decomposed import DecomposedScorer, load_decomposed
from spacy_zeroshot.model.tokenization import PairTokenizer
from spacy_zeroshot.model.types import ModelSpec

from ..util import FAMILIES, POSITIONS, make_nlp, words

if find_spec("openvino") is None:
    pytest.skip("the extra 'openvino' is not installed", allow_module_level=True)

from spacy_zeroshot.model.int8 import quantize_weights
from spacy_zeroshot.model.openvino import Converted, import_openvino, run_by_openvino

VOCABULARY = words(40)
TEXTS = [" ".join(VOCABULARY[i : i + n]) for i, n in ((0, 10), (3, 1), (5, 14), (2, 9), (7, 4))]
HYPOTHESES = tuple(f"This text is about {' '.join(VOCABULARY[i : i + 1 + i % 5])}." for i in range(12))


def decomposed(folder):
    tokenizer = PairTokenizer(PreTrainedTokenizerFast.from_pretrained(folder))
    return DecomposedScorer(load_decomposed(folder, torch.float32), tokenizer, POSITIONS, 16)


def pairs(folder):
    checkpoint = load_checkpoint(ModelSpec(str(folder)), dtype=torch.float32)
    return CrossEncoder(checkpoint, PairTokenizer(checkpoint.tokenizer), (2, 0, 1), 8)


def score(scorer, sets=(HYPOTHESES,), budget=10_000):
    """RETURNS (Tensor): Shape (pairs, classes): of every text with one of the sets after the other."""
    found = [scorer.tokenizer.hypothesis_set(tuple(one)) for one in sets]
    windows, first = [], 0
    for number, ids in enumerate(scorer.tokenizer.encode(TEXTS)):
        windows.append(Window(ids, number % len(found), first))
        first += len(found[number % len(found)].pieces)
    logits = torch.zeros(first, scorer.classes)
    with torch.inference_mode():
        for batch in scorer.batches(windows, found, budget):
            logits[batch.pairs] = scorer.forward(batch)
    return logits


def difference(first, second):
    return float((first - second).abs().max())


@pytest.mark.parametrize(
    "family", [family if family == "bert" else pytest.param(family, marks=pytest.mark.slow) for family in FAMILIES]
)
def test_pairs_equal_torch(make_checkpoint, family):
    scorer = pairs(make_checkpoint(family))
    expected = score(scorer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        converted = run_by_openvino(scorer, torch.float32, "tiny")
    assert difference(score(converted), expected) < 1e-3
    assert expected.std() > 0.05
    # the scorer it was made from still runs in torch
    assert difference(score(scorer), expected) == 0.0


def test_decomposed_equals_torch(decomposed_folder):
    scorer = decomposed(decomposed_folder)
    converted = run_by_openvino(decomposed(decomposed_folder), torch.float32, "tiny")
    for sets in ([HYPOTHESES], [HYPOTHESES[:7], HYPOTHESES[4:5]]):
        for budget in (10_000, 100, 1):
            assert difference(score(converted, sets, budget), score(scorer, sets, budget)) < 1e-4


@pytest.mark.skipif("ONEDNN_MAX_CPU_ISA" in os.environ, reason="OpenVINO goes by what the CPU has, not by the limit")
def test_bfloat16_stays_near(nli_folder, decomposed_folder):
    for scorer in (pairs(nli_folder), decomposed(decomposed_folder)):
        exact = score(scorer)
        assert 0 < difference(score(run_by_openvino(scorer, torch.bfloat16, "tiny")), exact) < 0.3


@pytest.mark.parametrize(
    "family", [family if family == "bert" else pytest.param(family, marks=pytest.mark.slow) for family in FAMILIES]
)
def test_pairs_in_int8_stay_near(make_checkpoint, family):
    scorer = pairs(make_checkpoint(family))
    exact = score(scorer)
    change = score(run_by_openvino(scorer, torch.int8, "tiny")) - exact
    # of 32 random values each, so rounding says more than in a model of real width
    assert 0 < float(change.square().mean().sqrt() / exact.std()) < 0.2


def test_the_bundled_model_in_int8_does_not_depend_on_the_batch():
    """At its real width: what is rounded together never goes beyond one token."""
    pipe = make_nlp("bundled", model={"backend": "openvino", "precision": "int8"}).get_pipe("zero_shot_textcat")
    exact = make_nlp("bundled", model={"precision": "float32"})
    texts = ["The striker scored twice.", "Parliament passed the budget at night. " * 9, "선수가 두 골을 넣었다."]
    alone = [pipe(exact.make_doc(text)).cats for text in texts]
    together = [doc.cats for doc in pipe.pipe(map(exact.make_doc, texts))]
    changes = []
    for text, one, other in zip(texts, alone, together):
        assert one == pytest.approx(other, abs=1e-5)
        changes += [abs(one[label] - score) for label, score in exact(text).cats.items()]
    assert 1e-5 < max(changes) < 0.05


@pytest.mark.parametrize("faster", ["torch", "openvino"])
def test_auto_takes_int8_only_where_it_is_faster(nli_folder, monkeypatch, faster):
    pick = {"torch": lambda torchs, openvinos: torchs, "openvino": lambda torchs, openvinos: openvinos}[faster]
    monkeypatch.setattr("spacy_zeroshot.model.predictor.faster_of", pick)
    expected = {"backend": "torch", "precision": "auto"} if faster == "torch" else {"backend": "openvino"}
    model = {"precision": "int8", "backend": "auto"}
    scores = make_nlp(nli_folder, model=model)(TEXTS[0]).cats
    assert scores == make_nlp(nli_folder, model={**model, **expected})(TEXTS[0]).cats


@pytest.mark.parametrize("transposed", [True, False])
def test_weights_are_rounded_by_one_scale_for_each_output(transposed):
    ov = import_openvino()
    from openvino import opset13 as ops

    weights = np.random.default_rng(0).normal(size=(3, 256)).astype("float32")
    weights[1] = 0.0
    weights[2] *= 1e-3
    inputs = ops.parameter([-1, 256], np.float32)
    model = ov.Model([ops.matmul(inputs, weights if transposed else weights.T, False, transposed)], [inputs], "linear")
    quantize_weights(model)
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    got = compiled(np.eye(256, dtype="float32"))[0].T
    steps = np.abs(weights).max(axis=1, keepdims=True) / 127
    assert np.all(np.abs(got - weights) <= steps * 0.51) and not np.allclose(got, weights, atol=0, rtol=1e-6)


def test_threads_share_a_model(decomposed_folder):
    scorer = run_by_openvino(decomposed(decomposed_folder), torch.float32, "tiny")
    expected = score(scorer)
    found = {}

    def work(number):
        found[number] = [score(scorer) for _ in range(3)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(difference(scores, expected) < 1e-6 for runs in found.values() for scores in runs)


@pytest.mark.slow
def test_processes(nli_folder):
    """In a process of its own: a deadlock after the fork must not stop the tests."""
    program = f"""
import spacy
nlp = spacy.blank("en")
model = {{"name": {str(nli_folder)!r}, "backend": "openvino", "precision": "float32"}}
nlp.add_pipe("zero_shot_textcat", config={{"labels": ["sport", "music"], "model": model}})
texts = {TEXTS!r} * 3
alone = [doc.cats for doc in nlp.pipe(texts)]
several = [doc.cats for doc in nlp.pipe(texts, n_process=2, batch_size=2)]
assert max(abs(a[k] - b[k]) for a, b in zip(alone, several) for k in a) < 1e-5
print("done")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert result.stdout.strip() == "done", result.stderr


@pytest.mark.slow
def test_importing_does_not_report():
    program = "from spacy_zeroshot.model.openvino import import_openvino; import_openvino(); import sys; "
    program += "print(sys.modules['openvino_telemetry'])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert result.stdout.strip() == "None", result.stderr


def test_z034_without_the_package(nli_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ZeroShotError, match=r"Z034.*spacy-zeroshot\[openvino\]"):
        run_by_openvino(pairs(nli_folder), torch.float32, "tiny")


def test_z035_for_a_module_that_cannot_be_converted():
    class Branching(torch.nn.Module):
        def forward(self, x):
            # a branch on values, which tracing freezes
            return x + 1 if float(x.sum()) > 0 else x * 3

    examples = [(torch.ones(2, 2),), (-torch.ones(3, 2),)]
    with pytest.raises(ZeroShotError, match=r"Z035.*tiny.*differ"):
        Converted(Branching(), examples, torch.float32, "tiny")


def test_z035_for_another_architecture(nli_folder):
    with pytest.raises(ZeroShotError, match=r"Z035.*tiny.*torch only"):
        run_by_openvino(object(), torch.float32, "tiny")


def test_z111_auto_takes_torch_where_the_results_differ(make_checkpoint, monkeypatch):
    # no difference is small enough
    monkeypatch.setattr("spacy_zeroshot.model.openvino.TOLERANCE", -1.0)
    nlp = make_nlp(make_checkpoint("electra"), model={"backend": "auto"})
    with pytest.warns(ZeroShotWarning, match=r"Z111.*differ"):
        scores = nlp(TEXTS[0]).cats
    assert scores == pytest.approx(make_nlp(make_checkpoint("electra"))(TEXTS[0]).cats, abs=1e-5)
