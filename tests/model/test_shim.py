"""Sharing, training and saving: what lies between thinc and a checkpoint."""

import copy
import gc
import json
import pickle
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from thinc.api import SGD, Adam, Linear, Model

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.model.architectures import MaskedLMClassifier, NLIClassifier, SimilarityClassifier, check_model
from spacy_zeroshot.model.shim import bundled_hash, learning_rates
from spacy_zeroshot.model.types import NLIInput

from ..util import FAMILIES, edit_json, make_decomposed
from .scoring import LABELS, TEXTS

FOLDERS = ["nli_folder", "decomposed_folder"]
BATCH = NLIInput(TEXTS, [tuple(LABELS)] * len(TEXTS))


def model_of(folder: Any, trainable: bool = False, train_encoder: bool = True, **settings: Any) -> Model:
    model = NLIClassifier(str(folder), **{"precision": "float32", **settings})
    model.shims[0].set_trainable(trainable, train_encoder)
    return model


def scores(model: Model) -> np.ndarray:
    return model.predict(BATCH).logits


def module_of(model: Model) -> Any:
    return model.shims[0].runtime.checkpoint.module


def step(model: Model, optimizer: Any, batch: NLIInput = BATCH) -> None:
    output, backprop = model.begin_update(batch)
    gradient = np.zeros_like(output.logits)
    gradient[::2, 0], gradient[1::2, 0] = 1.0, -1.0
    backprop(gradient)
    model.shims[0].finish_update(optimizer)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() <= 1e-5)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model in the place of the bundled one."""
    folder = make_decomposed(tmp_path / "bundled")
    for module in ("checkpoint", "shim"):
        monkeypatch.setattr(f"spacy_zeroshot.model.{module}.BUNDLED_FOLDER", folder)
    bundled_hash.cache_clear()
    yield folder
    bundled_hash.cache_clear()


# Sharing


def test_models_of_one_checkpoint_share_its_weights(folder):
    one, other = model_of(folder), model_of(folder, max_batch_tokens=64)
    assert module_of(one) is module_of(other)
    assert same(scores(one), scores(other))


@pytest.mark.parametrize(
    "settings", [{"precision": "bfloat16"}, {"entailment": 0, "contradiction": 1}, {"use_safetensors": False}]
)
def test_other_settings_give_other_scores_or_weights(nli_folder, settings):
    one, other = model_of(nli_folder), model_of(nli_folder, **settings)
    if "entailment" in settings:
        assert module_of(one) is module_of(other)
        assert not same(scores(one), scores(other))
    else:
        assert module_of(one) is not module_of(other)


def test_a_folder_that_was_written_anew_is_loaded_anew(nli_folder, make_checkpoint, own_copy):
    folder = own_copy(nli_folder)
    one = model_of(folder)
    before = scores(one)
    shutil.rmtree(folder)
    shutil.copytree(make_checkpoint(seed=5), folder)
    other = model_of(folder)
    assert not same(scores(other), before)
    assert same(scores(one), before)


def test_weights_are_freed_with_their_last_component(nli_folder):
    import weakref

    one, other = model_of(nli_folder), model_of(nli_folder)
    module = weakref.ref(module_of(one))
    assert module_of(other) is module()
    del one
    gc.collect()
    assert module() is not None
    del other
    gc.collect()
    assert module() is None


def test_trained_weights_are_nobody_elses(folder):
    plain, trained, other = model_of(folder), model_of(folder, trainable=True), model_of(folder, trainable=True)
    before = scores(plain)
    assert len({id(module_of(model)) for model in (plain, trained, other)}) == 3
    trained.shims[0].initialize()
    step(trained, Adam(0.01))
    assert not same(scores(trained), before)
    assert same(scores(plain), before) and same(scores(other), before)


def test_a_frozen_encoder_is_shared_with_models_that_train(decomposed_folder):
    plain, trained = model_of(decomposed_folder), model_of(decomposed_folder, True, train_encoder=False)
    before = scores(plain)
    assert module_of(plain).encoder is module_of(trained).encoder
    for _ in range(3):
        step(trained, Adam(0.01))
    assert not same(scores(trained), before)
    assert same(scores(plain), before)


def test_the_bundled_encoder_is_shared_by_both_architectures(bundled):
    one, other = NLIClassifier(precision="float32"), SimilarityClassifier(precision="float32")
    assert module_of(one) is module_of(other)
    assert other.predict(BATCH).logits.shape == (12, 2)


def test_threads_load_once(folder):
    from concurrent.futures import ThreadPoolExecutor

    models = [model_of(folder) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        assert len({id(module) for module in threads.map(module_of, models * 3)}) == 1


# Learning


@pytest.mark.parametrize("family", [*FAMILIES, "decomposed"])
def test_gradients_of_parts_add_up(make_checkpoint, decomposed_folder, family):
    folder = decomposed_folder if family == "decomposed" else make_checkpoint(family)
    model = model_of(folder, trainable=True)
    shim = model.shims[0]
    gradient = np.random.default_rng(0).normal(size=scores(model).shape).astype("float32")

    def gradients_of(parts):
        for start, stop in parts:
            _, backprop = model.begin_update(NLIInput(TEXTS[start:stop], [tuple(LABELS)] * (stop - start)))
            backprop(gradient[3 * start : 3 * stop])
        found = {name: p.grad.clone() for name, p in shim.runtime.parameters.items() if p.grad is not None}
        for parameter in shim.runtime.parameters.values():
            parameter.grad = None
        return found

    whole, parts = gradients_of([(0, 4)]), gradients_of([(0, 1), (1, 4)])
    assert whole.keys() == parts.keys() and len(whole) > 10
    for name, values in whole.items():
        torch.testing.assert_close(parts[name], values, rtol=1e-3, atol=1e-4 * (1 + float(values.abs().max())))


def test_small_batches_give_the_same_gradient(folder):
    found = []
    for budget in (64, 8192):
        model = model_of(folder, trainable=True, max_batch_tokens=budget)
        output, backprop = model.begin_update(BATCH)
        backprop(np.ones_like(output.logits))
        found.append({n: p.grad for n, p in model.shims[0].runtime.parameters.items() if p.grad is not None})
    for name, values in found[0].items():
        torch.testing.assert_close(values, found[1][name], rtol=1e-3, atol=1e-3)


def test_a_step_is_made_in_place(folder):
    """New tensors around the optimizer's arrays would each hang on the one before: 25 MB an update."""
    model = model_of(folder, trainable=True)
    model.shims[0].initialize()
    optimizer = Adam(0.001)

    def alive_after(updates):
        for _ in range(updates):
            step(model, optimizer)
        gc.collect()
        return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())

    places = {name: p.data_ptr() for name, p in model.shims[0].runtime.parameters.items()}
    first = alive_after(3)
    assert alive_after(10) - first < 10
    assert {name: p.data_ptr() for name, p in model.shims[0].runtime.parameters.items()} == places


def test_initialize_goes_back_to_the_checkpoint(folder, tmp_path):
    model = model_of(folder, trainable=True)
    shim = model.shims[0]
    before, key = scores(model), shim.weights_key()
    for _ in range(2):
        shim.initialize()
        assert same(scores(model), before) and shim.weights_key() == key
        step(model, Adam(0.01))
        assert not same(scores(model), before)
        assert shim.weights_key() != key
    # that of a saved pipeline is the one it was saved with
    shim.save(tmp_path / "model")
    trained = scores(model)
    loaded = model_of("elsewhere", trainable=True)
    loaded.shims[0].restore(tmp_path / "model")
    assert same(scores(loaded), trained)
    step(loaded, Adam(0.01))
    loaded.shims[0].initialize()
    assert same(scores(loaded), trained)


# Factors on the rate with layer_decay = 0.5, head_rate = 4: one weight of the lowest layer, of the top one, of the
# embeddings, and of the head
RATES: dict[str, dict[str, float]] = {
    "bert": {
        "bert.encoder.layer.0.output.dense.bias": 0.5,
        "bert.encoder.layer.1.output.dense.bias": 1.0,
        "bert.embeddings.LayerNorm.bias": 0.25,
        "bert.pooler.dense.bias": 4.0,
        "classifier.bias": 4.0,
    },
    "distilbert": {
        "distilbert.transformer.layer.0.ffn.lin1.bias": 0.5,
        "distilbert.transformer.layer.1.ffn.lin1.bias": 1.0,
        "distilbert.embeddings.word_embeddings.weight": 0.25,
        "pre_classifier.bias": 4.0,
    },
    "bart": {
        "model.encoder.layers.0.fc1.bias": 0.5,
        "model.decoder.layers.0.fc1.bias": 1.0,
        "model.shared.weight": 0.25,
        "model.decoder.embed_positions.weight": 0.25,
        "classification_head.dense.bias": 4.0,
    },
    "modernbert": {
        "model.layers.0.mlp.Wi.weight": 0.5,
        "model.layers.1.mlp.Wi.weight": 1.0,
        "model.embeddings.tok_embeddings.weight": 0.25,
        "model.final_norm.weight": 1.0,
        "head.dense.weight": 4.0,
        "classifier.bias": 4.0,
    },
    "deberta-v2": {
        "deberta.encoder.layer.0.output.dense.bias": 0.5,
        "deberta.encoder.layer.1.output.dense.bias": 1.0,
        "deberta.encoder.rel_embeddings.weight": 0.25,
        "pooler.dense.bias": 4.0,
    },
    # five layers: three of the encoder, two above them
    "decomposed": {
        "encoder.embeddings.LayerNorm.bias": 0.5**5,
        "encoder.layer.0.norm.bias": 0.5**4,
        "encoder.layer.2.norm.bias": 0.5**2,
        "interaction.0.norm.bias": 0.5,
        "interaction.1.norm.bias": 1.0,
        "pooler.bias": 4.0,
        "classifier.bias": 4.0,
        "similarity": 400.0,
    },
}


@pytest.mark.parametrize("family", RATES)
def test_layer_decay_and_head_rate(make_checkpoint, decomposed_folder, family):
    model = model_of(decomposed_folder if family == "decomposed" else make_checkpoint(family))
    names, prefix = list(model.shims[0].runtime.parameters), next(iter(RATES[family])).split(".")[0]
    found = learning_rates(names, prefix, layer_decay=0.5, head_rate=4.0)
    assert {name: found[name] for name in RATES[family]} == RATES[family]
    assert set(learning_rates(names, prefix, 1.0, 1.0).values()) <= {1.0, 100.0}


@pytest.mark.parametrize("family", ["bert", "bart", "modernbert"])
def test_the_rates_scale_the_steps(make_checkpoint, family):
    model = model_of(make_checkpoint(family), trainable=True)
    model.shims[0].initialize(layer_decay=0.5, head_rate=4.0)
    parameters = model.shims[0].runtime.parameters
    before = {name: p.detach().clone() for name, p in parameters.items()}
    # Adam's first step is as long as the rate, whatever the gradient
    step(model, Adam(0.01, L2=0.0, grad_clip=0.0))
    for name, rate in RATES[family].items():
        longest = float((parameters[name] - before[name]).abs().max())
        if longest:
            assert longest == pytest.approx(0.01 * rate, rel=0.02)


def test_use_params_leaves_no_trace(folder):
    model = model_of(folder, trainable=True)
    shim = model.shims[0]
    optimizer = Adam(0.01, use_averages=True)
    for _ in range(4):
        step(model, optimizer)
    trained, key = scores(model), shim.weights_key()
    with model.use_params(optimizer.averages):
        assert not same(scores(model), trained)
        assert shim.weights_key() != key
        vectors = shim.runtime.embed(TEXTS)
    assert np.array_equal(scores(model), trained) and shim.weights_key() == key
    assert not same(shim.runtime.embed(TEXTS), vectors)


def test_weights_key_follows_the_weights(folder):
    model = model_of(folder, trainable=True)
    keys = [model.shims[0].weights_key()]
    for _ in range(3):
        step(model, SGD(0.01))
        keys.append(model.shims[0].weights_key())
    assert len(set(keys)) == 4
    assert model_of(folder).shims[0].weights_key() == keys[0] == "own:0"


@pytest.mark.parametrize("train_encoder", [False, True])
def test_learns_in_bfloat16(folder, train_encoder):
    model = model_of(folder, trainable=True, train_encoder=train_encoder, precision="bfloat16", device="cpu")
    before = scores(model)
    for _ in range(2):
        step(model, Adam(0.01))
    assert not same(scores(model), before)
    # autocast: what is computed is rounded, what is learned is not
    assert {p.dtype for p in model.shims[0].runtime.parameters.values()} == {torch.float32}


@pytest.mark.parametrize("architecture", [SimilarityClassifier, MaskedLMClassifier])
def test_other_architectures_only_score_Z241(architecture):
    shim = architecture("a name").shims[0]
    shim.set_trainable(False)
    with pytest.raises(ZeroShotError, match=rf"\[Z241\].* {architecture.__name__} only scores"):
        shim.set_trainable(True)


def test_what_was_learned_stays_when_training_is_switched_off(folder):
    model = model_of(folder, trainable=True)
    step(model, Adam(0.01))
    trained = scores(model)
    model.shims[0].set_trainable(False)
    assert same(scores(model), trained)
    model.shims[0].set_trainable(True)
    assert same(scores(model), trained)
    step(model, Adam(0.01))
    assert not same(scores(model), trained)


# Saving


def test_a_saved_folder_is_what_was_saved(folder, tmp_path):
    model = model_of(folder)
    model.shims[0].save(tmp_path / "unused")
    before = scores(model)
    model.shims[0].save(tmp_path / "used")
    assert files(tmp_path / "unused") == files(tmp_path / "used")
    for name in ("unused", "used"):
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(files(tmp_path / name))
        assert same(scores(model_of(tmp_path / name)), before)


def test_saved_again_untouched_the_files_are_the_same(folder, tmp_path):
    model_of(folder).shims[0].save(tmp_path / "first")
    for used in (False, True):
        loaded = model_of("not used")
        loaded.shims[0].restore(tmp_path / "first")
        if used:
            scores(loaded)
        loaded.shims[0].save(tmp_path / "second")
        assert files(tmp_path / "second") == files(tmp_path / "first")
        data = loaded.shims[0].to_bytes()
        other = model_of("not used")
        assert other.shims[0].from_bytes(data).to_bytes() == data
        if used:
            scores(other)
        assert other.shims[0].to_bytes() == data


@pytest.mark.parametrize("trained", [False, True])
def test_files_have_ordinary_permissions(folder, tmp_path, trained):
    model = model_of(folder, trainable=trained)
    if trained:
        step(model, SGD(0.01))
    (tmp_path / "ordinary").write_text("", encoding="utf8")
    ordinary = stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)
    model.shims[0].save(tmp_path / "model")
    loaded = model_of("not used")
    loaded.shims[0].restore(tmp_path / "model")
    loaded.shims[0].save(tmp_path / "again")
    for saved in ("model", "again"):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / saved).iterdir()}
        assert set(modes.values()) == {ordinary}


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gone", [False, True])
def test_precision_of_the_weights_is_kept(nli_folder, own_copy, tmp_path, stored, gone):
    from safetensors import safe_open
    from transformers import AutoModelForSequenceClassification

    folder = own_copy(nli_folder)
    AutoModelForSequenceClassification.from_pretrained(folder).to(stored).save_pretrained(folder)
    model = model_of(folder)
    before = scores(model)
    if gone:
        folder.rename(tmp_path / "gone")
    model.shims[0].save(tmp_path / "model")
    with safe_open(tmp_path / "model" / "model.safetensors", "pt") as weights:
        assert {weights.get_tensor(key).dtype for key in weights.keys()} == {stored}  # noqa: SIM118
    assert same(scores(model), before) and same(scores(model_of(tmp_path / "model")), before)


@pytest.mark.parametrize("how", ["checkpoint", "pipeline"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_after_use_no_folder_is_needed(folder, own_copy, tmp_path, how, precision):
    copied = own_copy(folder)
    if how == "checkpoint":
        model = model_of(copied, precision=precision, device="cpu")
    else:
        model = model_of("not used", precision=precision, device="cpu")
        model.shims[0].restore(copied)
    before = scores(model)
    shutil.rmtree(copied)
    shim = model.shims[0]
    shim.save(tmp_path / "model")
    loaded = model_of("not used", precision=precision, device="cpu")
    loaded.shims[0].from_bytes(shim.to_bytes())
    restored = model_of(tmp_path / "model", precision=precision, device="cpu")
    for other in (loaded, restored, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_allclose(scores(other), before, atol=1e-5)


def test_a_folder_that_goes_before_the_first_use_Z031(folder, own_copy):
    copied = own_copy(folder)
    model = model_of("not used")
    model.shims[0].restore(copied)
    shutil.rmtree(copied)
    for use in (scores, lambda model: model.shims[0].to_bytes(), pickle.dumps):
        with pytest.raises(ZeroShotError, match=r"\[Z031\]"):
            use(model)


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_pickle_and_copies(folder, used, trained):
    model = model_of(folder, trainable=trained)
    if trained:
        step(model, Adam(0.01))
    if used:
        scores(model)
    pickled, copied = pickle.loads(pickle.dumps(model)), model.copy()
    expected = scores(model)
    assert same(scores(pickled), expected) and same(scores(copied), expected)
    assert pickled.shims[0].trainable is copied.shims[0].trainable is trained
    if trained:
        step(copied, Adam(0.01))
        assert same(scores(model), expected)


def test_trained_weights_are_saved(folder, tmp_path):
    model = model_of(folder, trainable=True)
    for _ in range(2):
        step(model, Adam(0.01))
    expected = scores(model)
    model.shims[0].save(tmp_path / "model")
    assert same(scores(model_of(tmp_path / "model")), expected)
    loaded = model_of("not used")
    loaded.shims[0].from_bytes(model.shims[0].to_bytes())
    assert same(scores(loaded), expected)


def test_saving_over_the_folder_it_was_loaded_from(folder, own_copy):
    copied = own_copy(folder)
    model = model_of("not used")
    model.shims[0].restore(copied)
    before = scores(model)
    # as the component does: written beside, then put in its place
    model.shims[0].save(copied.with_name("fresh"))
    shutil.rmtree(copied)
    copied.with_name("fresh").rename(copied)
    assert same(scores(model), before) and same(scores(model_of(copied)), before)


SAVED_BY_0_1_0 = {"config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json"}


def test_a_checkpoint_of_ones_own_saved_by_0_1_0(nli_folder, tmp_path):
    """It wrote what save_pretrained writes."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    AutoModelForSequenceClassification.from_pretrained(nli_folder).save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(nli_folder).save_pretrained(tmp_path / "model")
    assert set(files(tmp_path / "model")) >= SAVED_BY_0_1_0
    loaded = model_of("bundled")
    loaded.shims[0].restore(tmp_path / "model")
    assert same(scores(loaded), scores(model_of(nli_folder)))


# The bundled model


def test_the_bundled_model_is_referred_to(bundled, tmp_path):
    model = NLIClassifier(precision="float32")
    shim = model.shims[0]
    shim.save(tmp_path / "model")
    assert files(tmp_path / "model").keys() == {"bundled.json"}
    reference = json.loads((tmp_path / "model" / "bundled.json").read_text(encoding="utf8"))
    assert reference == {"name": "bundled", "sha256": bundled_hash()} and shim.weights_key() == bundled_hash()
    assert len(shim.to_bytes()) < 1000 and len(pickle.dumps(shim)) < 10_000
    loaded = model_of("not used")
    loaded.shims[0].restore(tmp_path / "model")
    assert same(scores(loaded), scores(model))
    assert loaded.shims[0].to_bytes() == shim.to_bytes()


def test_the_trained_bundled_model_is_saved_whole(bundled, tmp_path):
    model = NLIClassifier(precision="float32")
    model.shims[0].set_trainable(True)
    step(model, Adam(0.01))
    expected = scores(model)
    model.shims[0].save(tmp_path / "model")
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert same(scores(model_of(tmp_path / "model")), expected)
    assert same(scores(pickle.loads(pickle.dumps(model))), expected)


@pytest.mark.parametrize("how", ["disk", "bytes"])
def test_another_bundled_model_is_refused_Z052(bundled, tmp_path, how):
    shim = NLIClassifier().shims[0]
    shim.save(tmp_path / "model")
    data = shim.to_bytes()
    edit_json(bundled / "config.json", competition_temperature=0.5)
    bundled_hash.cache_clear()
    fresh = NLIClassifier().shims[0]
    with pytest.raises(ZeroShotError, match=r"\[Z052\].*Create it anew.*0\.1\.0"):
        fresh.restore(tmp_path / "model") if how == "disk" else fresh.from_bytes(data)


def test_a_reference_of_0_1_0_is_refused_Z052(bundled, tmp_path):
    reference = {"name": "bundled", "sha256": "5f" * 32}
    (tmp_path / "bundled.json").write_text(json.dumps(reference), encoding="utf8")
    with pytest.raises(ZeroShotError, match=r"\[Z052\].*saved: 5f5f5f5f5f5f, installed: "):
        NLIClassifier().shims[0].restore(tmp_path)


# thinc


def test_a_model_of_another_kind_Z246():
    check_model(NLIClassifier())
    for other in (Linear(2, 3), Model("their_model.v1", lambda model, x, is_train: (x, lambda d: d))):
        with pytest.raises(ZeroShotError, match=rf"\[Z246\] model = '{other.name}'.*NLIClassifier\.v1"):
            check_model(other)


@pytest.mark.parametrize("budget", [0, -1])
@pytest.mark.parametrize("architecture", [NLIClassifier, SimilarityClassifier, MaskedLMClassifier])
def test_impossible_budget_Z007(architecture, budget):
    with pytest.raises(ZeroShotError, match=rf"\[Z007\] max_batch_tokens = {budget} "):
        architecture("a name", max_batch_tokens=budget)


@pytest.mark.slow
def test_building_a_model_imports_no_torch_of_ours():
    code = """
import builtins, sys
seen, plain = set(), builtins.__import__
def watch(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__") or ""
    if level == 0 and name.split(".")[0] in ("torch", "transformers") and importer.startswith("spacy_zeroshot"):
        seen.add(importer)
    return plain(name, globals, locals, fromlist, level)
builtins.__import__ = watch
from spacy_zeroshot.model.architectures import MaskedLMClassifier, NLIClassifier, SimilarityClassifier, check_model
for build in (NLIClassifier, SimilarityClassifier, MaskedLMClassifier):
    model = build("bundled")
    check_model(model)
    model.shims[0].set_trainable(False)
    model.copy()
print(sorted(seen))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
