"""backend = "openvino": the same scores, conversions kept on disk, and clear refusals."""

import os
import subprocess
import sys
import threading
import warnings
from importlib.util import find_spec

import pytest
import spacy
import torch
import transformers

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning

from ..tiny import FAMILIES
from .test_parity import LABELS, TEXTS

if find_spec("openvino") is None:
    pytest.skip("the extra 'openvino' is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A folder for the conversions of this file's tests."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("SPACY_ZEROSHOT_CACHE")
    os.environ["SPACY_ZEROSHOT_CACHE"] = str(folder)
    yield folder / "openvino"
    if before is None:
        del os.environ["SPACY_ZEROSHOT_CACHE"]
    else:
        os.environ["SPACY_ZEROSHOT_CACHE"] = before


def make(folder, backend="openvino", precision="float32", trainable=False, **model):
    nlp = spacy.blank("en")
    settings = {"name": str(folder), "backend": backend, "precision": precision, **model}
    nlp.add_pipe("zero_shot_textcat", config={"labels": LABELS, "model": settings, "trainable": trainable})
    return nlp


def cats(nlp, texts=TEXTS):
    return [doc.cats for doc in nlp.pipe(texts)]


def difference(first, second):
    return max(abs(one[label] - other[label]) for one, other in zip(first, second) for label in one)


@pytest.mark.parametrize("family", FAMILIES)
def test_pair_scores_equal_torch(make_checkpoint, cache, family):
    folder = make_checkpoint(family)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        converted = cats(make(folder))
    expected = cats(make(folder, "torch"))
    assert difference(converted, expected) < 1e-4
    assert max(c[LABELS[0]] for c in converted) - min(c[LABELS[0]] for c in converted) > 0.01


def test_shared_premise_scores_equal_torch(shared_folder, cache):
    texts = [*TEXTS, " ".join(TEXTS[:3])]
    converted = make(shared_folder)
    assert difference(cats(converted, texts), cats(make(shared_folder, "torch"), texts)) < 1e-4
    many = [f"label {i}" for i in range(40)]
    for nlp in (converted, plain := make(shared_folder, "torch")):
        nlp.get_pipe("zero_shot_textcat").set_labels(many)
    assert difference(cats(converted), cats(plain)) < 1e-4


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_lower_precision_stays_near(nli_folder, cache, precision):
    exact = cats(make(nli_folder, "torch"))
    rounded = cats(make(nli_folder, precision=precision))
    assert 0 < difference(rounded, exact) < 0.1


needs_nncf = pytest.mark.skipif(find_spec("nncf") is None, reason="the extra 'int8' is not installed")


def integers(cache, known):
    """How many constants of 8 bits the models have that were converted since."""
    from openvino import Core

    models = [Core().read_model(folder / "model.xml") for folder in set(cache.iterdir()) - known]
    return [
        sum(op.get_type_name() == "Constant" and op.get_element_type().to_string() == "i8" for op in model.get_ops())
        for model in models
    ]


# Before transformers 5, DeBERTa computes its relative positions in a branch of the graph, which NNCF does not find.
REFUSED = () if int(transformers.__version__.split(".")[0]) >= 5 else ("deberta-v2",)


def mean_difference(first, second):
    differences = [abs(one[label] - other[label]) for one, other in zip(first, second) for label in one]
    return sum(differences) / len(differences)


@needs_nncf
@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in REFUSED])
def test_int8_stays_near(make_checkpoint, cache, family, capfd):
    folder = make_checkpoint(family)
    exact = cats(make(folder, "torch"))
    known = set(cache.iterdir()) if cache.exists() else set()
    capfd.readouterr()
    rounded = cats(make(folder, precision="int8"))
    assert "%" not in "".join(capfd.readouterr())
    # random weights are more sensitive to rounding than trained ones: single scores of a few draws move by .2
    assert 0 < mean_difference(rounded, exact) < 0.08
    (found,) = integers(cache, known)
    assert found >= 8


@needs_nncf
@pytest.mark.skipif(not REFUSED, reason="NNCF takes every family of this version of transformers")
def test_z035_for_a_model_that_nncf_cannot_take(make_checkpoint, cache):
    with pytest.raises(ZeroShotError, match=r"Z035.*in 8 bits"):
        cats(make(make_checkpoint(REFUSED[0]), precision="int8"))


@needs_nncf
def test_int8_of_both_shared_premise_encoders(shared_folder, cache):
    known = set(cache.iterdir()) if cache.exists() else set()
    texts = [*TEXTS, " ".join(TEXTS[:3])]
    exact, rounded = (cats(make(shared_folder, *kind), texts) for kind in (("torch",), ("openvino", "int8")))
    assert 0 < difference(rounded, exact) < 0.1
    assert min(integers(cache, known)) >= 8


@needs_nncf
def test_int8_is_the_same_each_time(make_checkpoint, cache, tmp_path, monkeypatch):
    folder = make_checkpoint(seed=9)
    first = cats(make(folder, precision="int8"))
    known = sorted(cache.iterdir())
    assert cats(make(folder, precision="int8")) == first
    assert sorted(cache.iterdir()) == known
    monkeypatch.setenv("SPACY_ZEROSHOT_CACHE", str(tmp_path))
    assert difference(cats(make(folder, precision="int8")), first) < 1e-6
    assert {made.name for made in (tmp_path / "openvino").iterdir()} <= {made.name for made in known}


@needs_nncf
def test_other_calibration_texts_are_another_conversion(nli_folder, cache, monkeypatch):
    cats(make(nli_folder, precision="int8"))
    before = len(list(cache.iterdir()))
    monkeypatch.setattr("spacy_zeroshot.model.int8.TEXTS", ("One text.", "And another one."))
    cats(make(nli_folder, precision="int8"))
    assert len(list(cache.iterdir())) == before + 1


@needs_nncf
def test_nncf_does_not_report_and_leaves_logging_alone():
    program = """
import logging, sys
from spacy_zeroshot.model.int8 import _import_nncf
nncf = _import_nncf()
from nncf.telemetry import telemetry
from nncf.telemetry.wrapper import NNCFTelemetry
assert not isinstance(telemetry, NNCFTelemetry)
assert "openvino_telemetry" not in sys.modules and logging.getLoggerClass() is logging.Logger
print("done")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert result.stdout.strip() == "done", result.stderr


def test_z034_without_nncf(nli_folder, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ZeroShotError, match=r"Z034.*int8.*nncf.*spacy-zeroshot\[int8\]"):
        runtime(make(nli_folder, precision="int8"))
    # "auto" means another precision, whatever is installed
    assert runtime(make(nli_folder, "auto", "auto")).kernel in ("float32", "bfloat16")


def test_conversion_is_kept(nli_folder, cache, monkeypatch):
    first = cats(make(nli_folder))
    kept = sorted(folder.name for folder in cache.iterdir())
    assert not [name for name in kept if name.startswith(".draft")]

    def refuse(*arguments):
        raise AssertionError("converted again")

    monkeypatch.setattr("spacy_zeroshot.model.openvino._convert", refuse)
    assert cats(make(nli_folder)) == first
    assert sorted(folder.name for folder in cache.iterdir()) == kept


def test_other_weights_are_converted_anew(make_checkpoint, nli_folder, cache):
    cats(make(nli_folder))
    before = len(list(cache.iterdir()))
    cats(make(make_checkpoint(seed=7)))
    assert len(list(cache.iterdir())) == before + 1


def test_damaged_conversion_is_replaced(make_checkpoint, cache):
    folder = make_checkpoint(seed=8)
    known = set(cache.iterdir()) if cache.exists() else set()
    expected = cats(make(folder))
    (made,) = set(cache.iterdir()) - known
    (made / "model.xml").write_text("<net", encoding="utf8")
    assert difference(cats(make(folder)), expected) < 1e-6


def test_threads_share_a_model(nli_folder, cache):
    nlp = make(nli_folder)
    expected = cats(nlp)
    found = {}

    def work(number):
        found[number] = [cats(nlp) for _ in range(3)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(difference(scores, expected) < 1e-6 for runs in found.values() for scores in runs)
    assert len(found) == 4


def test_processes(nli_folder, cache):
    """In a process of its own: a deadlock after the fork must not stop the tests."""
    program = f"""
import spacy
nlp = spacy.blank("en")
model = {{"name": {str(nli_folder)!r}, "backend": "openvino", "precision": "float32"}}
nlp.add_pipe("zero_shot_textcat", config={{"labels": {LABELS!r}, "model": model}})
texts = {TEXTS!r} * 3
alone = [doc.cats for doc in nlp.pipe(texts)]
several = [doc.cats for doc in nlp.pipe(texts, n_process=2, batch_size=2)]
assert max(abs(a[k] - b[k]) for a, b in zip(alone, several) for k in a) < 1e-5
print("done")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert result.stdout.strip() == "done", result.stderr


def test_saved_pipeline_keeps_its_own_precision(nli_folder, cache, tmp_path):
    nlp = make(nli_folder)
    expected = cats(nlp)
    nlp.to_disk(tmp_path / "saved")
    assert difference(cats(spacy.load(tmp_path / "saved")), expected) < 1e-6
    assert difference(cats(spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())), expected) < 1e-6


def test_importing_does_not_report(cache):
    program = "from spacy_zeroshot.model.openvino import import_openvino; import_openvino(); import sys; "
    program += "print(sys.modules['openvino_telemetry'])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert result.stdout.strip() == "None", result.stderr


def test_z034_without_the_package(nli_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ZeroShotError, match=r"Z034.*spacy-zeroshot\[openvino\]"):
        make(nli_folder).get_pipe("zero_shot_textcat").model.shims[0].runtime.layout  # noqa: B018


def test_z035_for_a_module_that_cannot_be_converted(cache):
    from spacy_zeroshot.model.openvino import Converted

    class Branching(torch.nn.Module):
        def forward(self, x):
            # a branch on values, which tracing freezes
            return x + 1 if float(x.sum()) > 0 else x * 3

    examples = [(torch.ones(2, 2),), (-torch.ones(3, 2),)]
    with pytest.raises(ZeroShotError, match=r"Z035.*tiny.*differ"):
        Converted(Branching(), examples, "branching", "float32", "tiny")


@pytest.mark.parametrize("settings", [{"trainable": True}, {"device": "meta"}])
def test_z036_for_training_or_another_device(nli_folder, settings):
    with pytest.raises(ZeroShotError, match="Z036"):
        make(nli_folder, **settings).get_pipe("zero_shot_textcat").model.shims[0].runtime.layout  # noqa: B018


@pytest.mark.parametrize("backend, precision", [("torch", "int8"), ("openvino", "float16")])
def test_z032_for_a_precision_the_backend_lacks(nli_folder, backend, precision):
    with pytest.raises(ZeroShotError, match="Z032"):
        make(nli_folder, backend, precision).get_pipe("zero_shot_textcat").model.shims[0].runtime.layout  # noqa: B018


def test_z110_where_nothing_can_be_kept(nli_folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", encoding="utf8")
    monkeypatch.setenv("SPACY_ZEROSHOT_CACHE", str(tmp_path / "file"))
    with pytest.warns(ZeroShotWarning, match="Z110"):
        scores = cats(make(nli_folder))
    assert difference(scores, cats(make(nli_folder, "torch"))) < 1e-4


def runtime(nlp):
    return nlp.get_pipe("zero_shot_textcat").model.shims[0].runtime


def test_auto_takes_openvino_where_it_can(nli_folder, cache, monkeypatch):
    chosen = make(nli_folder, "auto")
    assert runtime(chosen).kernel == "float32"
    assert difference(cats(chosen), cats(make(nli_folder, "torch"))) < 1e-4
    assert runtime(make(nli_folder, "auto", trainable=True)).kernel is None
    assert runtime(make(nli_folder, "auto", device="meta")).kernel is None
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert runtime(make(nli_folder, "auto")).kernel is None


def test_z111_auto_takes_torch_where_scores_differ(make_checkpoint, tmp_path, monkeypatch):
    # nothing was converted before, and no difference is small enough
    monkeypatch.setenv("SPACY_ZEROSHOT_CACHE", str(tmp_path))
    monkeypatch.setattr("spacy_zeroshot.model.openvino.TOLERANCE", -1.0)
    with pytest.warns(ZeroShotWarning, match=r"Z111.*differ"):
        assert runtime(make(make_checkpoint("electra"), "auto")).kernel is None
