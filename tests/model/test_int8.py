"""precision = "int8": near the exact scores, the same each time, and without NNCF's telemetry."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
import transformers

from spacy_zeroshot.errors import ZeroShotError

from ..tiny import FAMILIES
from .converting import TEXTS, cats, difference, make

if find_spec("nncf") is None or find_spec("openvino") is None:
    pytest.skip("the extra 'int8' is not installed", allow_module_level=True)

# Before transformers 5, DeBERTa computes its relative positions in a branch of the graph, which NNCF does not find.
REFUSED = () if int(transformers.__version__.split(".")[0]) >= 5 else ("deberta-v2",)


def integers(cache, known):
    """How many constants of 8 bits the models have that were converted since."""
    from openvino import Core

    models = [Core().read_model(folder / "model.xml") for folder in set(cache.iterdir()) - known]
    return [
        sum(op.get_type_name() == "Constant" and op.get_element_type().to_string() == "i8" for op in model.get_ops())
        for model in models
    ]


def mean_difference(first, second):
    differences = [abs(one[label] - other[label]) for one, other in zip(first, second) for label in one]
    return sum(differences) / len(differences)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in REFUSED])
def test_stays_near(make_checkpoint, cache, family, capfd):
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


@pytest.mark.skipif(not REFUSED, reason="NNCF takes every family of this version of transformers")
def test_z035_for_a_model_that_nncf_cannot_take(make_checkpoint, cache):
    for backend in ("openvino", "auto"):
        with pytest.raises(ZeroShotError, match=r"Z035.*in 8 bits.*precision = 'auto'"):
            cats(make(make_checkpoint(REFUSED[0]), backend, "int8"))


def test_both_shared_premise_encoders(shared_folder, cache):
    known = set(cache.iterdir()) if cache.exists() else set()
    texts = [*TEXTS, " ".join(TEXTS[:3])]
    exact, rounded = (cats(make(shared_folder, *kind), texts) for kind in (("torch",), ("openvino", "int8")))
    assert 0 < mean_difference(rounded, exact) < 0.08
    # linear layers that are left of the one in which hypotheses read texts
    assert min(integers(cache, known)) == 2


def test_is_the_same_each_time(make_checkpoint, cache, tmp_path, monkeypatch):
    folder = make_checkpoint(seed=9)
    first = cats(make(folder, precision="int8"))
    known = sorted(cache.iterdir())
    assert cats(make(folder, precision="int8")) == first
    assert sorted(cache.iterdir()) == known
    monkeypatch.setenv("SPACY_ZEROSHOT_CACHE", str(tmp_path))
    assert difference(cats(make(folder, precision="int8")), first) < 1e-6
    assert {made.name for made in (tmp_path / "openvino").iterdir()} <= {made.name for made in known}


def test_other_calibration_texts_are_another_conversion(nli_folder, cache, monkeypatch):
    cats(make(nli_folder, precision="int8"))
    before = len(list(cache.iterdir()))
    monkeypatch.setattr("spacy_zeroshot.model.int8.TEXTS", ("One text.", "And another one."))
    cats(make(nli_folder, precision="int8"))
    assert len(list(cache.iterdir())) == before + 1


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
