"""Every config of configs/ is filled, and run on a tiny checkpoint as its first comment says."""

import json
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
import spacy
from spacy.cli import app
from spacy.cli.init_config import fill_config
from spacy.cli.train import train
from spacy.tokens import DocBin, Span
from spacy.util import load_config
from typer.testing import CliRunner

from .learning.conftest import TOY
from .test_rows import write

FOLDER = Path(__file__).parent.parent / "configs"
CONFIGS = ["single_label", "multi_label", "with_ner", "fine_tune", "bundled"]
MODEL = "components.zero_shot_textcat.model"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of tiny data for all of them."""
    rows = [{"text": text, "labels": [label]} for text, label in TOY]
    write(tmp_path / "texts.jsonl.gz", *rows)
    blank = spacy.blank("en")
    docs = [blank(text) for text, _ in TOY]
    for doc in docs:
        doc.ents = [Span(doc, 0, 2, label="THING")]
    DocBin(docs=docs).to_disk(tmp_path / "ents.spacy")
    pairs = [{"premise": text, "hypothesis": label, "label": "entailment"} for text, label in TOY]
    sets = load_config(FOLDER / "bundled.cfg")["corpora"]["train"]["sets"]
    for path in [*(entry["file"] for entry in sets), "nli/mnli_dev_matched.jsonl.gz"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / path, *(pairs if path.startswith("nli") else rows))
    return tmp_path


def run_training(name: str, output: Path, **overrides: Any) -> spacy.Language:
    settings = {"training.max_steps": 2, "training.eval_frequency": 1, "training.patience": 0}
    train(FOLDER / f"{name}.cfg", output, overrides={**settings, **overrides})
    return spacy.load(output / "model-last")


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_are_short_and_fill(name: str, tmp_path: Path):
    path = FOLDER / f"{name}.cfg"
    assert len(path.read_text(encoding="utf8").splitlines()) < 50
    # bundled.cfg needs to be told where its data are
    paths = {"paths.data": "data", "paths.base": "base"} if name == "bundled" else {}
    load_config(path, overrides=paths).to_disk(tmp_path / "given.cfg")
    fill_config(tmp_path / "filled.cfg", tmp_path / "given.cfg", silent=True)
    filled = load_config(tmp_path / "filled.cfg")
    assert filled["components"]["zero_shot_textcat"]["pooling"] == "max"
    assert "max_batch_tokens" in filled["components"]["zero_shot_textcat"]["model"]


def test_every_config_is_tested():
    assert sorted(CONFIGS) == sorted(path.stem for path in FOLDER.glob("*.cfg"))


@pytest.mark.parametrize("name", ["single_label", "multi_label"])
def test_assembled(name: str, tmp_path: Path, nli_folder: Path):
    settings = load_config(FOLDER / f"{name}.cfg")["components"]["zero_shot_textcat"]
    arguments = [FOLDER / f"{name}.cfg", tmp_path / "pipeline", f"--{MODEL}.name", nli_folder]
    result = CliRunner().invoke(app, ["assemble", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    nlp = spacy.load(tmp_path / "pipeline")
    cats = nlp("The goalkeeper saved a late penalty.").cats
    assert list(cats) == settings["labels"]
    assert (sum(cats.values()) == pytest.approx(1.0)) == (name == "single_label")


def test_with_ner(tmp_path: Path, data: Path, nli_folder: Path):
    paths = {f"paths.{part}": str(data / "ents.spacy") for part in ("train", "dev")}
    nlp = run_training("with_ner", tmp_path / "out", **{f"{MODEL}.name": str(nli_folder)}, **paths)
    doc = nlp("The planets align. A man plays football.")
    assert nlp.pipe_names == ["sentencizer", "ner", "zero_shot_textcat"]
    assert "THING" in nlp.get_pipe("ner").labels
    assert len(doc.cats) == 4
    assert [span.text for span in doc.spans["sentences"]] == [sentence.text for sentence in doc.sents]


def test_fine_tune(tmp_path: Path, data: Path, nli_folder: Path):
    paths = {f"paths.{part}": str(data / "texts.jsonl.gz") for part in ("train", "dev")}
    nlp = run_training("fine_tune", tmp_path / "out", **{f"{MODEL}.name": str(nli_folder)}, **paths)
    assert nlp.get_pipe("zero_shot_textcat").labels == ("sport", "politics", "science")
    assert nlp.meta["performance"]["cats_macro_f"] >= 0
    assert nlp.meta["performance"]["zero_shot_textcat_loss"] > 0
    assert (tmp_path / "out" / "model-best" / "zero_shot_textcat" / "model" / "model.safetensors").exists()


def test_bundled(tmp_path: Path, data: Path, make_checkpoint: Callable[..., Path]):
    # one layer more than those in which hypotheses are read on their own
    encoder = make_checkpoint(num_hidden_layers=4)
    overrides: Dict[str, Any] = {"paths.data": str(data), "paths.base": str(encoder)}
    run_training("bundled", tmp_path / "out", **overrides)
    checkpoint = tmp_path / "out" / "model-last" / "zero_shot_textcat" / "model"
    declared = json.loads((checkpoint / "config.json").read_text(encoding="utf8"))["zero_shot"]
    assert declared["layout"] == "shared_premise" and declared["decoupled_layers"] == 3
    # resumed as its comment says: the head is not made anew
    overrides.update({"paths.base": str(checkpoint), "training.seed": 2})
    nlp = run_training("bundled", tmp_path / "more", **overrides)
    assert nlp("The planets align.").cats.keys() == {"entailed"}
