"""What is learned stays: on disk, in bytes, in a further training, and in spaCy's own commands."""

from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
import spacy
from spacy.cli.evaluate import evaluate
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Adam

from .conftest import LABELS, TOY

BUNDLED = Path(spacy.util.get_package_path("spacy_zeroshot")) / "bundled" / "model.safetensors"


def learn(nlp: Language, examples: List[Example], steps: int = 5, rate: float = 0.003) -> List[float]:
    optimizer = Adam(rate, L2=0.0)
    return [nlp.update(examples, sgd=optimizer)["zero_shot_textcat"] for _ in range(steps)]


def scores(nlp: Language) -> List[Dict[str, float]]:
    return [dict(doc.cats) for doc in nlp.pipe(text for text, _ in TOY)]


def check_same(found: List[Dict[str, float]], expected: List[Dict[str, float]]) -> None:
    for one, other in zip(found, expected):
        assert one == pytest.approx(other, abs=1e-6)


@pytest.fixture(params=["pair", "shared"])
def trained(request: Any, make_nlp: Callable, make_toy: Callable, nli_folder: Path, shared_folder: Path) -> Language:
    nlp = make_nlp(nli_folder if request.param == "pair" else shared_folder)
    nlp.initialize()
    before = scores(nlp)
    learn(nlp, make_toy(nlp))
    assert scores(nlp) != before
    return nlp


def test_saved_and_loaded_with_the_same_scores(trained: Language, make_nlp: Callable, tmp_path: Path):
    expected = scores(trained)
    trained.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    check_same(scores(loaded), expected)
    data = trained.to_bytes()
    other = spacy.blank("en").from_config(trained.config)
    check_same(scores(other.from_bytes(data)), expected)


def test_training_goes_on_from_a_saved_pipeline(trained: Language, make_toy: Callable, tmp_path: Path):
    trained.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    optimizer = loaded.resume_training()
    optimizer.learn_rate = 0.003
    examples = make_toy(loaded)
    losses = [loaded.update(examples, sgd=optimizer)["zero_shot_textcat"] for _ in range(15)]
    assert losses[-1] < 0.7 * losses[0]
    expected = scores(loaded)
    loaded.to_disk(tmp_path / "again")
    check_same(scores(spacy.load(tmp_path / "again")), expected)


def test_training_goes_on_from_a_sourced_component(trained: Language, make_toy: Callable):
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", source=trained)
    check_same(scores(nlp), scores(trained))
    losses = learn(nlp, make_toy(nlp), 15)
    assert losses[-1] < 0.7 * losses[0]


def test_the_saved_checkpoint_is_a_model_of_its_own(trained: Language, make_nlp: Callable, tmp_path: Path):
    trained.to_disk(tmp_path)
    nlp = make_nlp(tmp_path / "zero_shot_textcat" / "model", trainable=False)
    check_same(scores(nlp), scores(trained))


def test_learns_in_bfloat16(make_nlp: Callable, make_toy: Callable, shared_folder: Path, tmp_path: Path):
    import torch

    nlp = make_nlp(shared_folder, precision="bfloat16")
    nlp.initialize()
    losses = learn(nlp, make_toy(nlp), 20)
    assert losses[-1] < 0.6 * losses[0]
    parameters = nlp.get_pipe("zero_shot_textcat").model.shims[0].runtime.parameters
    # autocast: what is computed is rounded, what is learned is not
    assert {parameter.dtype for parameter in parameters.values()} == {torch.float32}
    nlp.to_disk(tmp_path)
    for one, other in zip(scores(spacy.load(tmp_path)), scores(nlp)):
        assert one == pytest.approx(other, abs=0.02)


@pytest.mark.skipif(not BUNDLED.exists(), reason="the bundled weights are not here")
def test_learns_from_the_bundled_model(make_nlp: Callable, make_toy: Callable, tmp_path: Path):
    nlp = make_nlp(Path("bundled"))
    nlp.initialize()
    losses = learn(nlp, make_toy(nlp)[::2], 6, rate=1e-4)
    assert losses[-1] < losses[0]
    expected = scores(nlp)
    nlp.to_disk(tmp_path)
    # changed weights are saved as such, not as a reference
    assert (tmp_path / "zero_shot_textcat" / "model" / "model.safetensors").exists()
    check_same(scores(spacy.load(tmp_path)), expected)


def test_spacy_evaluate(trained: Language, make_toy: Callable, tmp_path: Path):
    examples = make_toy(trained)
    DocBin(docs=[example.reference for example in examples]).to_disk(tmp_path / "dev.spacy")
    trained.to_disk(tmp_path / "pipeline")
    found = evaluate(str(tmp_path / "pipeline"), tmp_path / "dev.spacy", silent=True)
    expected = trained.evaluate(examples)
    assert found["cats_macro_f"] == pytest.approx(expected["cats_macro_f"])
    assert set(found["cats_f_per_type"]) == set(LABELS)
