"""backend = "openvino": the same scores, conversions kept on disk, and clear refusals."""

import subprocess
import sys
import threading
import warnings
from importlib.util import find_spec

import pytest
import spacy
import torch

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning

from ..tiny import FAMILIES
from .converting import LABELS, TEXTS, cats, difference, make, runtime

if find_spec("openvino") is None:
    pytest.skip("the extra 'openvino' is not installed", allow_module_level=True)


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
        runtime(make(nli_folder))


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
        runtime(make(nli_folder, **settings))


@pytest.mark.parametrize("backend, precision", [("torch", "int8"), ("openvino", "float16")])
def test_z032_for_a_precision_the_backend_lacks(nli_folder, backend, precision):
    with pytest.raises(ZeroShotError, match="Z032"):
        runtime(make(nli_folder, backend, precision))


def test_z110_where_nothing_can_be_kept(nli_folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", encoding="utf8")
    monkeypatch.setenv("SPACY_ZEROSHOT_CACHE", str(tmp_path / "file"))
    with pytest.warns(ZeroShotWarning, match="Z110"):
        scores = cats(make(nli_folder))
    assert difference(scores, cats(make(nli_folder, "torch"))) < 1e-4


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


def test_z034_without_nncf(nli_folder, cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ZeroShotError, match=r"Z034.*int8.*nncf.*spacy-zeroshot\[int8\]"):
        runtime(make(nli_folder, precision="int8"))
    # "auto" means another precision, whatever is installed
    assert runtime(make(nli_folder, "auto", "auto")).kernel in ("float32", "bfloat16")
