"""The model in the box: its folder, its size, and that it reads the languages it says it reads."""

import json
import zlib
from pathlib import Path

import pytest
import spacy
from safetensors import safe_open

import spacy_zeroshot

FOLDER = Path(spacy_zeroshot.__file__).parent / "bundled"
WHEEL = 100e6  # bytes
QUESTIONS = {
    "en": ("The striker scored twice in the final.", "sports", "politics"),
    "ko": ("선수가 결승전에서 두 골을 넣었다.", "스포츠", "정치"),
    "ja": ("選手が決勝で二得点を決めた。", "スポーツ", "政治"),
    "de": ("Der Stürmer traf im Finale zweimal.", "Sport", "Politik"),
    "ar": ("سجل المهاجم هدفين في النهائي.", "رياضة", "سياسة"),
    "ru": ("Нападающий забил два гола в финале.", "спорт", "политика"),
}


@pytest.fixture(scope="module")
def nlp() -> spacy.Language:
    nlp = spacy.blank("xx")
    model = {"@architectures": "spacy_zeroshot.NLIClassifier.v1", "name": "bundled", "precision": "float32"}
    nlp.add_pipe("zero_shot_textcat", config={"labels": ["sports", "politics"], "model": model})
    return nlp


def test_the_config_says_how_it_is_read() -> None:
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf8"))
    assert config["model_type"] == "zero_shot_decomposed"
    assert config["license"] == "mit"
    assert config["id2label"] == {"0": "not_entailment", "1": "entailment"}
    with safe_open(FOLDER / "model.safetensors", "numpy") as tensors:
        kinds = {name: tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
        codes = tensors.get_slice("encoder.embeddings.word_embeddings.codes").get_shape()
        assert codes == [config["encoder"]["vocab_size"], config["encoder"]["hidden_size"] // 2]
        assert kinds.pop("encoder.embeddings.word_embeddings.codes") == "U8" and set(kinds.values()) == {"F16"}


@pytest.mark.slow
def test_the_wheel_stays_small() -> None:
    packer, size = zlib.compressobj(6, wbits=-15), 0  # as a wheel does it
    for path in sorted(FOLDER.iterdir()):
        if path.is_file():
            size += len(packer.compress(path.read_bytes()))
    assert size + len(packer.flush()) < WHEEL - 2e6


@pytest.mark.parametrize("language", QUESTIONS)
def test_labels_in_english_and_in_the_texts_language(nlp: spacy.Language, language: str) -> None:
    text, right, wrong = QUESTIONS[language]
    pipe = nlp.get_pipe("zero_shot_textcat")
    pipe.set_labels(["sports", "politics"])
    assert nlp(text).cats["sports"] > 0.6
    pipe.set_labels([right, wrong])
    assert nlp(text).cats[right] > 0.6


def test_the_card_is_short() -> None:
    assert len((FOLDER / "README.md").read_text(encoding="utf8").splitlines()) <= 120
