"""Checkpoints that cannot be loaded: a coded error in one line, fast, and no code of theirs is run."""

import json
import logging
import time

import pytest
import torch

from spacy_zeroshot.evidence import Question
from spacy_zeroshot.model.checkpoint import load_checkpoint
from spacy_zeroshot.model.source import Source

from ..tiny import edit_json
from .scoring import LABELS, TEXTS, ask, error_of, score

MALICIOUS = "from pathlib import Path\nPath(__file__).with_name('was_run').touch()\n"


@pytest.fixture
def folder(nli_folder, own_copy):
    return own_copy(nli_folder)


def with_pickle(folder):
    """Turn a checkpoint into an old one, with pickled weights only."""
    from safetensors.torch import load_file

    weights = folder / "model.safetensors"
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()


def test_unknown_name_without_network_Z020():
    start = time.monotonic()
    error = error_of("nobody/no-such-model", local_files_only=True)
    assert error.code == "Z020" and "Check the name, or the network" in str(error)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("name", ["no/such/folder", "./missing", "not a name!"])
def test_impossible_name_Z020(name):
    assert error_of(name, local_files_only=True).code == "Z020"


def test_empty_folder_Z021(tmp_path):
    error = error_of(tmp_path)
    assert error.code == "Z021" and "config.json" in str(error)


@pytest.mark.parametrize("content", ["{not json", "[]", "{}"])
def test_config_that_is_none_Z021(folder, content):
    (folder / "config.json").write_text(content, encoding="utf8")
    assert error_of(folder).code == "Z021"


def test_no_weights_Z021(folder):
    (folder / "model.safetensors").unlink()
    (folder / "training_args.bin").write_bytes(b"")
    error = error_of(folder)
    assert error.code == "Z021" and "model.safetensors" in str(error)


def test_unknown_architecture_Z020(folder):
    edit_json(folder / "config.json", model_type="no_such_type")
    error = error_of(folder)
    assert error.code == "Z020" and "no_such_type" in str(error)


def test_not_a_text_classifier_Z020(folder):
    edit_json(folder / "config.json", model_type="vit", id2label={"0": "contradiction", "1": "entailment"})
    assert error_of(folder).code == "Z020"


def test_no_tokenizer_Z022(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    assert error_of(folder).code == "Z022"


@pytest.mark.parametrize("content", ["", "{}", '{"version": "1.0", "model": {"type": "Nothing"}}'])
def test_damaged_tokenizer_Z022(folder, content):
    (folder / "tokenizer.json").write_text(content, encoding="utf8")
    assert error_of(folder).code == "Z022"


def test_pickle_is_refused_Z023(folder):
    with_pickle(folder)
    error = error_of(folder)
    assert error.code == "Z023"
    assert "pytorch_model.bin" in str(error) and "use_safetensors = false" in str(error)


def test_pickle_is_read_when_asked_for(folder, nli_folder):
    with_pickle(folder)
    ours = score(folder, TEXTS, model={"use_safetensors": False})
    assert ours == [pytest.approx(cats) for cats in score(nli_folder, TEXTS)]


def test_malicious_pickle_is_not_run_Z024(folder, tmp_path):
    """Even where pickles are allowed, only tensors are read from them."""

    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    (folder / "model.safetensors").unlink()
    torch.save({"classifier.weight": Malicious()}, folder / "pytorch_model.bin")
    assert error_of(folder, use_safetensors=False).code in ("Z020", "Z024")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("size", [0, 4, 200, 20_000])
def test_truncated_safetensors_Z024(folder, size):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    assert error_of(folder).code == "Z024"


def test_weights_of_another_head_Z024(folder, make_checkpoint):
    other = make_checkpoint(classes=("not_entailment", "entailment"))
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    error = error_of(folder)
    assert error.code == "Z024" and "there is a classifier.bias of another size" in str(error)


def test_weights_without_head_Z024(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith("classifier")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    error = error_of(folder)
    assert error.code == "Z024" and "there is no classifier.bias, no classifier.weight" in str(error)


@pytest.mark.parametrize("part", ["AutoConfig", "AutoModelForSequenceClassification", "AutoTokenizer"])
def test_remote_code_is_never_run_Z027(folder, part):
    (folder / "custom.py").write_text(MALICIOUS, encoding="utf8")
    model_type = {"AutoConfig": "their_own"}.get(part, "vit")
    reference = ["custom.Theirs", None] if part == "AutoTokenizer" else "custom.Theirs"
    edit_json(folder / "config.json", auto_map={part: reference}, model_type=model_type)
    if part == "AutoTokenizer":
        edit_json(folder / "tokenizer_config.json", auto_map={part: reference}, tokenizer_class="TheirTokenizer")
    assert error_of(folder).code == "Z027"
    assert not (folder / "was_run").exists()


def test_code_beside_a_known_architecture_is_not_run(folder, nli_folder):
    (folder / "custom.py").write_text(MALICIOUS, encoding="utf8")
    auto_map = {"AutoConfig": "custom.C", "AutoModelForSequenceClassification": "custom.M"}
    edit_json(folder / "config.json", auto_map=auto_map)
    assert score(folder, TEXTS) == score(nli_folder, TEXTS)
    assert not (folder / "was_run").exists()


def test_slow_tokenizer_Z028(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps({"<unk>": 0, "a</w>": 1}), encoding="utf8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CTRLTokenizer"}), encoding="utf8")
    assert error_of(folder).code == "Z028"


@pytest.mark.parametrize(
    ("family", "declared", "reason"),
    [
        ("bert", {"layout": "spiral"}, "it is not known"),
        ("distilbert", {"layout": "shared_premise"}, "an encoder of the type distilbert cannot take it"),
        ("bert", {"layout": "shared_premise", "decoupled_layers": 2}, "decoupled_layers = 2 is not a number from 0"),
        ("bert", {"layout": "shared_premise", "decoupled_layers": "a"}, "decoupled_layers = 'a' is not a number"),
    ],
)
def test_layout_that_cannot_be_run_Z030(make_checkpoint, family, declared, reason):
    error = error_of(make_checkpoint(family, zero_shot=declared))
    assert error.code == "Z030" and repr(declared["layout"]) in str(error) and reason in str(error)


def test_float16_on_a_cpu_Z032(nli_folder):
    with pytest.raises(ValueError, match=r"\[Z032\] NLIClassifier: precision = 'float16'"):
        ask(nli_folder, [Question("a", ("b",))], precision="float16", device="cpu")


@pytest.mark.parametrize("device", ["cuda:99", "no such device"])
def test_device_that_is_not_there_Z033(nli_folder, device):
    with pytest.raises(ValueError, match=rf"\[Z033\] NLIClassifier: device = '{device}'"):
        ask(nli_folder, [Question("a", ("b",))], device=device)


def test_infinite_weights_Z013(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"\[Z013\] zero_shot_textcat"):
        score(folder, TEXTS)


def test_loading_is_silent(folder, capfd, caplog):
    """Neither a new head, nor weights left over, nor a progress bar is reported; the user's settings stay."""
    from safetensors.torch import load_file, save_file
    from transformers.utils import logging as verbosity

    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"], weights["classifier.bias"]
    save_file({**weights, "left.over": torch.zeros(2)}, folder / "model.safetensors", metadata={"format": "pt"})
    before = verbosity.get_verbosity(), verbosity.is_progress_bar_enabled()
    with caplog.at_level(logging.WARNING):
        load_checkpoint(Source(str(folder)), {"layout": "shared_premise"})
    assert (verbosity.get_verbosity(), verbosity.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert logging.getLogger("transformers.modeling_utils").filters == []


def test_new_head_scores_nothing_at_first(folder):
    checkpoint = load_checkpoint(Source(str(folder)), {"layout": "shared_premise"})
    assert checkpoint.config.id2label == {0: "not_entailment", 1: "entailment"}
    assert checkpoint.config.zero_shot == {"layout": "shared_premise"}
    assert not checkpoint.module.classifier.weight.any()


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_half_precision_is_scored_in_float32(make_checkpoint, tmp_path, stored):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    nli = make_checkpoint()
    AutoModelForSequenceClassification.from_pretrained(nli).to(stored).save_pretrained(tmp_path / "half")
    AutoTokenizer.from_pretrained(nli).save_pretrained(tmp_path / "half")
    for half, full in zip(score(tmp_path / "half", TEXTS), score(nli, TEXTS)):
        assert half == pytest.approx(full, abs=0.05)
        assert set(half) == set(LABELS)
