"""Windows, equal texts, memory, threads and dropout: what a predictor does around any scorer."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.model.architectures import NLIClassifier
from spacy_zeroshot.model.predictor import set_dropout, split_windows
from spacy_zeroshot.model.types import NLIInput, WindowConfig

from ..util import FAMILIES, POSITIONS, words
from .scoring import LABELS, TEXTS, ask

LONG = " ".join(words(300))
FOLDERS = ["nli_folder", "decomposed_folder"]


def runtime_of(folder, **model):
    return NLIClassifier(str(folder), **{"precision": "float32", **model}).shims[0].runtime


def batch_of(texts=TEXTS, hypotheses=("sport", "politics", "music"), windows=WindowConfig()):  # noqa: B008
    return NLIInput(list(texts), [tuple(hypotheses)] * len(texts), windows)


# Windows


@given(st.integers(0, 2000), st.integers(1, 300), st.data())
def test_windows_cover_exactly(length, room, data):
    overlap = data.draw(st.integers(0, room - 1))
    windows = split_windows(length, room, overlap)
    assert windows[0][0] == 0 and windows[-1][1] == length
    assert all(0 <= end - start <= room for start, end in windows)
    for (_, before_end), (start, end) in pairwise(windows):
        assert before_end - start == overlap
        assert end > before_end
    # only the last one is short
    assert all(end - start == room for start, end in windows[:-1])


@given(st.integers(1, 100), st.integers(0, 50), st.integers(1, 1000))
def test_impossible_overlap_Z012(room, more, length):
    with pytest.raises(ZeroShotError, match=r"\[Z012\] window_overlap = "):
        split_windows(room + length, room, room + more)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 1000))
def test_short_text_needs_no_overlap(length, more, overlap):
    assert split_windows(length, length + more, overlap) == [(0, length)]


@pytest.mark.parametrize("family", FAMILIES)
def test_windows_equal_transformers(make_checkpoint, family):
    """Every window holds the whole hypothesis and scores as the one that transformers' tokenizer cuts."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = make_checkpoint(family)
    hypothesis = "This text is about sport."
    output = ask(folder, [LONG], [hypothesis], WindowConfig(overlap=20))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    encoded = tokenizer(
        LONG,
        hypothesis,
        truncation="only_first",
        max_length=POSITIONS,
        stride=20,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=True,
        return_tensors="pt",
    )
    offsets = encoded.pop("offset_mapping").numpy()
    encoded.pop("overflow_to_sample_mapping")
    with torch.no_grad():
        logits = model(**encoded).logits.numpy()
    assert len(logits) > 3
    # contradiction, neutral, entailment -> entailment, contradiction, neutral
    np.testing.assert_allclose(output.logits, logits[:, [2, 0, 1]], atol=1e-4)
    for i, (start, end) in enumerate(output.windows):
        own = [pair for pair, owner in zip(offsets[i], encoded.sequence_ids(i), strict=True) if owner == 0]
        assert (start, end) == (own[0][0], own[-1][1])


@pytest.mark.parametrize("folder", FOLDERS)
def test_last_window_reaches_the_end(folder, request):
    text = LONG + "   \n"
    output = ask(request.getfixturevalue(folder), ["Short.", text], ["sport"], WindowConfig(overlap=8))
    assert output.n_windows[0] == 1 and output.n_windows[1] == len(output.windows) - 1 > 1
    assert output.windows[0].tolist() == [0, 6]
    assert output.windows[1, 0] == 0 and output.windows[-1, 1] == len(text)


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
@pytest.mark.parametrize(("text", "label"), [("Привет мир", "A text."), ("A man plays football.", "спорт")])
def test_a_script_without_wordpieces_is_told_once_Z102(make_checkpoint, family, text, label):
    model = NLIClassifier(str(make_checkpoint(family)), precision="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(NLIInput(["A man plays football. 😀"], [("A man plays football.",)]))
    with pytest.warns(ZeroShotWarning, match=f"Z102.*{label if text.startswith('A') else text}") as caught:
        for _ in range(2):
            model.predict(NLIInput([text], [(label,)]))
    assert len(caught) == 1


def test_truncate_warns_once_Z101(nli_folder):
    model = NLIClassifier(str(nli_folder), precision="float32")
    truncate = WindowConfig("truncate")
    with pytest.warns(ZeroShotWarning, match=r"\[Z101\] .* wordpieces was cut to"):
        cut = model.predict(batch_of([LONG], windows=truncate))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = model.predict(batch_of([LONG + " More."], windows=truncate))
        windows = model.predict(batch_of([LONG]))
    assert cut.windows[0, 1] < len(LONG)
    np.testing.assert_allclose(again.logits, cut.logits, atol=1e-5)
    np.testing.assert_allclose(windows.logits[:3], cut.logits, atol=1e-5)


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("long_text", ["windows", "truncate"])
def test_hypothesis_too_long_Z011(folder, long_text, request):
    with pytest.raises(ZeroShotError, match=r"\[Z011\] .*Shorten the label"):
        hypotheses = ["sport", " ".join(words(600))]
        ask(request.getfixturevalue(folder), ["A text."], hypotheses, WindowConfig(long_text))


def test_overlap_too_large_for_the_model_Z012(nli_folder):
    windows = WindowConfig(overlap=POSITIONS)
    assert len(ask(nli_folder, ["A short text needs no window."], ["sport"], windows).logits)
    with pytest.raises(ZeroShotError, match=r"\[Z012\] window_overlap = 128"):
        ask(nli_folder, [LONG], ["sport"], windows)


def test_hypothesis_is_never_cut(nli_folder):
    """The room for the text is what the longest hypothesis leaves, so a longer label makes more windows."""
    few = ask(nli_folder, [LONG], ["sport"])
    assert len(ask(nli_folder, [LONG], ["sport", " ".join(words(15))]).windows) > len(few.windows)


# Arrays


@pytest.mark.parametrize("folder", FOLDERS)
def test_equal_texts_are_scored_once(folder, request):
    runtime = runtime_of(request.getfixturevalue(folder))
    n_tokens = []
    forward = runtime.scorer.forward
    runtime.scorer.forward = lambda batch: (n_tokens.append(batch.n_tokens), forward(batch))[1]
    hypotheses, others = ("sport", "music"), ("politics",)
    texts = ["Football!", LONG, "Football!", "Football!", LONG]
    sets = [hypotheses, hypotheses, tuple(list(hypotheses)), others, hypotheses]
    windows = WindowConfig(overlap=8)
    found = runtime.predict(NLIInput(texts, sets, windows))
    spent, n_tokens[:] = sum(n_tokens), []
    first = runtime.predict(NLIInput(texts[:2] + texts[3:4], sets[:2] + sets[3:4], windows))
    assert spent == sum(n_tokens)
    n = int(first.n_windows[1])
    assert n > 1 and found.n_windows.tolist() == [1, n, 1, 1, n]
    assert found.n_hypotheses.tolist() == [2, 2, 2, 1, 2]
    one, long, other = np.split(first.logits, [2, 2 + 2 * n])
    np.testing.assert_allclose(found.logits, np.concatenate([one, long, one, other, long]), rtol=1e-5, atol=1e-5)
    spans = first.windows
    np.testing.assert_array_equal(found.windows, spans[[0, *range(1, n + 1), 0, n + 1, *range(1, n + 1)]])


def test_nothing_to_score(nli_folder):
    output = NLIClassifier(str(nli_folder)).predict(NLIInput([], []))
    assert output.logits.shape == (0, 3) and output.windows.shape == (0, 2)
    assert len(output.n_windows) == len(output.n_hypotheses) == 0


def test_offsets_are_made_for_cut_texts_only(nli_folder):
    runtime = runtime_of(nli_folder)
    asked = []
    offsets = runtime.tokenizer.offsets
    runtime.tokenizer.offsets = lambda text: (asked.append(text), offsets(text))[1]
    runtime.predict(batch_of([*TEXTS, LONG]))
    assert asked == [LONG]


def test_infinite_weights_Z013(nli_folder, own_copy):
    from safetensors.torch import load_file, save_file

    folder = own_copy(nli_folder)
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"\[Z013\].* overflows in float32"):
        ask(folder, TEXTS, LABELS)


# Embeddings


@pytest.mark.parametrize("folder", FOLDERS)
def test_embeddings_of_long_texts_are_the_mean_of_their_windows(folder, request):
    runtime = runtime_of(request.getfixturevalue(folder))
    short, long = "A man plays football.", " ".join(words(150))
    found = runtime.embed([short, long, short])
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(found[0], found[2])
    [ids] = runtime.tokenizer.encode([long])
    most = runtime.scorer.encoder.max_tokens
    parts = [ids[a:b] for a, b in split_windows(len(ids), most, min(64, most // 2))]
    assert len(parts) > 1
    with torch.inference_mode():
        mean = np.mean([runtime.scorer.encoder.embed_batch([part])[0].numpy() for part in parts], axis=0)
    np.testing.assert_allclose(found[1], mean / np.linalg.norm(mean), atol=1e-5)
    assert runtime.embed([]).shape == (0, found.shape[1])


# Memory


class SmallGPU:
    """Raises torch's out-of-memory error for batches of more than `most` pairs."""

    def __init__(self, scorer, most):
        self._scorer = scorer
        self._most = most
        self.tried = []

    def __getattr__(self, name):
        return getattr(self._scorer, name)

    def forward(self, batch):
        self.tried.append(len(batch.pairs))
        if len(batch.pairs) > self._most:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return self._scorer.forward(batch)


@pytest.mark.parametrize("folder", FOLDERS)
def test_halves_the_budget_and_warns_once_Z103(folder, request):
    runtime = runtime_of(request.getfixturevalue(folder), max_batch_tokens=4096)
    batch = batch_of([f"The game number {i} was won by the team." for i in range(8)])
    wanted = runtime.predict(batch)
    runtime.scorer = SmallGPU(runtime.scorer, most=6)
    with pytest.warns(ZeroShotWarning, match="Z103") as caught:
        found = runtime.predict(batch)
    assert len(caught) == 1
    assert max(runtime.scorer.tried) > 6 and runtime.budget < 4096
    np.testing.assert_allclose(found.logits, wanted.logits, rtol=1e-5, atol=1e-5)


def test_gives_up_where_nothing_fits(nli_folder):
    runtime = runtime_of(nli_folder)
    runtime.scorer = SmallGPU(runtime.scorer, most=0)
    with pytest.warns(ZeroShotWarning, match="Z103"), pytest.raises(torch.cuda.OutOfMemoryError):
        runtime.predict(batch_of())


@pytest.mark.parametrize("wanted, used", [(None, 1024), (32, 32), (8192, 8192)])
def test_the_budget_of_a_cpu(nli_folder, wanted, used):
    assert runtime_of(nli_folder, max_batch_tokens=wanted, device="cpu").budget == used


# Threads and modes


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("used", [False, True])
def test_four_threads_share_a_model(folder, used, request):
    model = NLIClassifier(str(request.getfixturevalue(folder)), precision="float32")
    texts = [f"{text} {i}" for i in range(10) for text in TEXTS]
    expected = NLIClassifier(model.shims[0].spec.name, precision="float32").predict(batch_of(texts)).logits
    if used:
        model.predict(batch_of())

    def work(start):
        order = texts[start:] + texts[:start]
        parts = [model.predict(batch_of(order[i : i + 7])).logits for i in range(0, len(order), 7)]
        return np.roll(np.concatenate(parts), 3 * start, axis=0)

    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(work, [0, 11, 22, 33]):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", [*FAMILIES, "decomposed"])
def test_a_default_dtype_of_float64_changes_nothing(make_checkpoint, decomposed_folder, family):
    folder = decomposed_folder if family == "decomposed" else make_checkpoint(family)
    expected = ask(folder, TEXTS, LABELS).logits
    torch.set_default_dtype(torch.float64)
    try:
        found = ask(folder, TEXTS, LABELS)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.logits.dtype == np.float32
    np.testing.assert_allclose(found.logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("folder", FOLDERS)
def test_first_used_in_inference_mode(folder, request):
    model = NLIClassifier(str(request.getfixturevalue(folder)), precision="float32")
    model.shims[0].set_trainable(True, train_encoder=True)
    with torch.inference_mode():
        before = model.predict(batch_of()).logits
        assert not any(p.is_inference() for p in model.shims[0].runtime.parameters.values())
    output, backprop = model.begin_update(batch_of())
    np.testing.assert_allclose(output.logits, before, rtol=1e-4, atol=1e-4)
    backprop(np.ones_like(output.logits))
    assert all(p.grad is not None for n, p in model.shims[0].runtime.parameters.items() if "classifier" in n)


# Dropout


@pytest.mark.parametrize("family", [*FAMILIES, "decomposed"])
def test_the_dropout_rate_reaches_every_part(make_checkpoint, decomposed_folder, family):
    """At a rate of 1 everything is dropped, also the weights of attention: what is left does not know the text."""
    folder: Path = decomposed_folder if family == "decomposed" else make_checkpoint(family)
    model = NLIClassifier(str(folder), precision="float32")
    model.shims[0].set_trainable(True, train_encoder=True)
    runtime = model.shims[0].runtime
    before = model.predict(batch_of()).logits

    def train(rate):
        model.attrs["dropout_rate"] = rate
        return model.begin_update(batch_of())[0].logits

    np.testing.assert_allclose(train(0.0), before, rtol=1e-4, atol=1e-4)
    assert np.abs(train(0.5) - train(0.5)).max() > 1e-3
    np.testing.assert_allclose(model.predict(batch_of()).logits, before, rtol=1e-5, atol=1e-5)
    rates = {
        float(value)
        for part in runtime.checkpoint.module.modules()
        for name, value in vars(part).items()
        if isinstance(value, float) and "drop" in name and "layerdrop" not in name
    }
    assert rates <= {0.5}
    assert {part.p for part in runtime.checkpoint.module.modules() if isinstance(part, torch.nn.Dropout)} <= {0.5}


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_is_drawn_in_attention(make_checkpoint, family):
    """Only the parts named attention drop: outputs still differ from one pass to the next."""
    runtime = runtime_of(make_checkpoint(family))
    module = runtime.checkpoint.module
    for name, part in module.named_modules():
        part.train("attn" in name or "attention" in name)
    with torch.no_grad():
        set_dropout(module, 0.5)
        batch = next(iter(runtime.scorer.batches(*plan_of(runtime), 1000)))
        one, other = runtime.scorer.forward(batch), runtime.scorer.forward(batch)
    module.eval()
    assert (one - other).abs().max() > 1e-3


def plan_of(runtime):
    return runtime._plan(NLIInput(["A man plays football in the park."], [("sport",)]))[:2]


def test_a_failed_update_leaves_no_dropout_behind(nli_folder):
    model = NLIClassifier(str(nli_folder), precision="float32")
    model.shims[0].set_trainable(True)
    before = model.predict(batch_of()).logits
    model.attrs["dropout_rate"] = 0.5
    with pytest.raises(ZeroShotError, match="Z011"):
        model.begin_update(batch_of(hypotheses=["sport " * 600]))
    np.testing.assert_array_equal(model.predict(batch_of()).logits, before)
