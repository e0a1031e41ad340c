"""Every config of configs/ is filled, and run on a tiny checkpoint as its first comment says."""

from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.cli import app
from spacy.cli.init_config import fill_config
from spacy.cli.train import train
from spacy.tokens import DocBin, Span
from spacy.util import load_config
from typer.testing import CliRunner

FOLDER = Path(__file__).parent.parent / "configs"
CONFIGS = ["single_label", "multi_label", "with_ner", "fine_tune"]
MODEL = "components.zero_shot_textcat.model"
TOY = [
    ("A man plays football in the park.", "sport"),
    ("The minister resigned after losing the vote.", "politics"),
    ("The planets align over the observatory.", "science"),
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of tiny data for all of them."""
    srsly.write_gzip_jsonl(tmp_path / "texts.jsonl.gz", [{"text": text, "labels": [label]} for text, label in TOY])
    blank = spacy.blank("en")
    docs = [blank(text) for text, _ in TOY]
    for doc in docs:
        doc.ents = [Span(doc, 0, 2, label="THING")]
    DocBin(docs=docs).to_disk(tmp_path / "ents.spacy")
    return tmp_path


def run_training(name: str, output: Path, **overrides: Any) -> spacy.Language:
    settings = {"training.max_steps": 2, "training.eval_frequency": 1, "training.patience": 0}
    train(FOLDER / f"{name}.cfg", output, overrides={**settings, **overrides})
    return spacy.load(output / "model-last")


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_are_short_and_fill(name: str, tmp_path: Path) -> None:
    path = FOLDER / f"{name}.cfg"
    assert len(path.read_text(encoding="utf8").splitlines()) <= 60
    fill_config(tmp_path / "filled.cfg", path, silent=True)
    filled = load_config(tmp_path / "filled.cfg")
    assert filled["components"]["zero_shot_textcat"]["pooling"] == "max"
    assert "max_batch_tokens" in filled["components"]["zero_shot_textcat"]["model"]


def test_every_config_is_tested() -> None:
    assert sorted(CONFIGS) == sorted(path.stem for path in FOLDER.glob("*.cfg"))


@pytest.mark.parametrize("name", ["single_label", "multi_label"])
def test_assembled(name: str, tmp_path: Path, nli_folder: Path) -> None:
    settings = load_config(FOLDER / f"{name}.cfg")["components"]["zero_shot_textcat"]
    arguments = [FOLDER / f"{name}.cfg", tmp_path / "pipeline", f"--{MODEL}.name", nli_folder]
    result = CliRunner().invoke(app, ["assemble", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    nlp = spacy.load(tmp_path / "pipeline")
    cats = nlp("The goalkeeper saved a late penalty.").cats
    assert list(cats) == settings["labels"]
    assert (sum(cats.values()) == pytest.approx(1.0)) == (name == "single_label")


@pytest.mark.slow
def test_with_ner(tmp_path: Path, data: Path, nli_folder: Path) -> None:
    paths = {f"paths.{part}": str(data / "ents.spacy") for part in ("train", "dev")}
    nlp = run_training("with_ner", tmp_path / "out", **{f"{MODEL}.name": str(nli_folder)}, **paths)
    doc = nlp("The planets align. A man plays football.")
    assert nlp.pipe_names == ["sentencizer", "ner", "zero_shot_textcat"]
    assert "THING" in nlp.get_pipe("ner").labels  # type: ignore[attr-defined]
    assert len(doc.cats) == 4
    assert [span.text for span in doc.spans["sentences"]] == [sentence.text for sentence in doc.sents]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["stock", "bundled"])
def test_fine_tune(layout: str, tmp_path: Path, data: Path, nli_folder: Path, decomposed_folder: Path) -> None:
    folder = nli_folder if layout == "stock" else decomposed_folder
    paths = {f"paths.{part}": str(data / "texts.jsonl.gz") for part in ("train", "dev")}
    nlp = run_training("fine_tune", tmp_path / "out", **{f"{MODEL}.name": str(folder)}, **paths)
    assert nlp.get_pipe("zero_shot_textcat").labels == ("sport", "politics", "science")  # type: ignore[attr-defined]
    assert nlp.meta["performance"]["cats_macro_f"] >= 0
    assert nlp.meta["performance"]["zero_shot_textcat_loss"] > 0
    assert (tmp_path / "out" / "model-best" / "zero_shot_textcat" / "model" / "model.safetensors").exists()
