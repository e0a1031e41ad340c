"""project/adapt: a checkpoint stays what it was, and its encoder learns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoTokenizer

from project.adapt import adapt

from ..util import SENTENCES

TEXTS = [" ".join(SENTENCES[i % 3 : i % 3 + 2]) for i in range(40)]
OPTIONS: dict[str, Any] = {"steps": 5, "batch_size": 4, "learning_rate": 1e-2, "mask_share": 0.15, "seed": 0}


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    srsly.write_jsonl(path, [{"text": text} for text in [*TEXTS, " "]])
    return path


def run(model: Path, texts: Path, output: Path, steps: int = 5) -> Path:
    adapt.main(str(model), texts, output, steps, 4, 1e-2, 0.15, 32, "text", 0)
    return output


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "model.safetensors")


def test_a_classifier_keeps_its_head_and_learns_in_its_encoder(
    nli_folder: Path, texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = run(nli_folder, texts, tmp_path / "adapted")
    before, after = weights(nli_folder), weights(output)
    assert set(before) == set(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any(name.startswith("classifier") for name in changed)
    assert "written after 5 steps on 120 pieces" in capsys.readouterr().out
    assert not (tmp_path / "adapted.checkpoints").exists()
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", config={"labels": ["sport", "music"], "model": {"name": str(output)}})
    assert sum(nlp(SENTENCES[0]).cats.values()) == pytest.approx(1.0)


def test_a_masked_language_model_stays_one(masked_folder: Path, texts: Path, tmp_path: Path) -> None:
    assert not adapt.load(str(masked_folder), 0).fresh_head
    output = run(masked_folder, texts, tmp_path / "adapted")
    assert AutoConfig.from_pretrained(output).architectures == ["BertForMaskedLM"]
    head = "cls.predictions.transform.dense.weight"
    assert not torch.equal(weights(masked_folder)[head], weights(output)[head])


def test_a_sentence_embedding_model_keeps_its_pooling(
    nli_folder: Path, own_copy: Callable[[Path], Path], texts: Path, tmp_path: Path
) -> None:
    folder = own_copy(nli_folder)
    AutoModel.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    (folder / "modules.json").write_text("[]", encoding="utf8")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}', encoding="utf8")
    output = run(folder, texts, tmp_path / "adapted")
    assert AutoConfig.from_pretrained(output).architectures == ["BertModel"]
    for name in ("modules.json", "1_Pooling/config.json"):
        assert (folder / name).read_bytes() == (output / name).read_bytes()


def test_a_new_head_shares_the_word_embeddings_and_learns_before_the_encoder(nli_folder: Path, tmp_path: Path) -> None:
    learner = adapt.load(str(nli_folder), 0)
    assert learner.fresh_head
    words = learner.kept.base_model.embeddings.word_embeddings.weight
    assert learner.masked.get_output_embeddings().weight is words
    optimizer, schedule = adapt.optimizer_of(learner, 10, 1e-2)
    rates = []
    for _ in range(10):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert [encoder > 0 for encoder, _ in rates] == [False] * 2 + [True] * 8
    assert all(head > 0 for _, head in rates)


def test_a_stopped_run_goes_on(nli_folder: Path, texts: Path, tmp_path: Path) -> None:
    learner = adapt.load(str(nli_folder), 0)
    checkpoints = tmp_path / "adapted.checkpoints"
    pieces = adapt.cut(learner.tokenizer, TEXTS, 32)
    # as if it had been killed after the third of five steps
    adapt.train(learner, pieces, checkpoints, {**OPTIONS, "steps": 3})
    assert (checkpoints / "checkpoint-3").is_dir()
    losses = adapt.train(adapt.load(str(nli_folder), 0), pieces, checkpoints, OPTIONS)
    assert len(losses) == 5


def test_the_loss_falls(nli_folder: Path, tmp_path: Path) -> None:
    learner = adapt.load(str(nli_folder), 0)
    pieces = adapt.cut(learner.tokenizer, TEXTS, 32)
    losses = adapt.train(learner, pieces, tmp_path / "checkpoints", {**OPTIONS, "steps": 60, "batch_size": 8})
    assert losses[-1] < losses[0]


def test_long_texts_become_pieces(nli_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(nli_folder)
    pieces = adapt.cut(tokenizer, [" ".join(SENTENCES * 3), "  ", "A."], 16)
    assert all(len(piece["input_ids"]) <= 16 for piece in pieces) and len(pieces) > 5


def test_models_that_guess_no_words(
    make_checkpoint: Callable[..., Path], nli_folder: Path, own_copy: Callable[[Path], Path]
) -> None:
    with pytest.raises(ValueError, match="bart"):
        adapt.load(str(make_checkpoint("bart")), 0)
    folder = own_copy(nli_folder)
    path = folder / "tokenizer_config.json"
    changes = {"mask_token": None, "tokenizer_class": "PreTrainedTokenizerFast"}
    srsly.write_json(path, {**srsly.read_json(path), **changes})
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    with pytest.raises(ValueError, match="mask token"):
        adapt.load(str(folder), 0)


@pytest.mark.parametrize("name", ["adapt", "learning_curves"])
def test_projects_name_commands_that_are_there(name: str) -> None:
    folder = Path(adapt.__file__).parent.parent / name
    project = srsly.read_yaml(folder / "project.yml")
    commands = {command["name"]: command for command in project["commands"]}
    assert all(step in commands for steps in project["workflows"].values() for step in steps)
    # weasel takes no workflow with a command's name
    assert not set(project["workflows"]) & set(commands)
    for command in commands.values():
        script = command["script"][0].split()[1]
        assert script == "-c" or (folder / script).exists()
