import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
import spacy
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer

from spacy_zeroshot.adaptation.adapt import adapt
from spacy_zeroshot.adaptation.models import load_learner
from spacy_zeroshot.adaptation.pieces import cut_pieces
from spacy_zeroshot.adaptation.training import HiddenWords, Recipe, last_checkpoint
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.model.checkpoint import declaration
from spacy_zeroshot.model.source import Source

from ..tiny import FAMILIES, SENTENCES, edit_json

pytest.importorskip("accelerate", reason="the extra adapt is not installed")

TEXTS = [" ".join(SENTENCES[i % 3 : i % 3 + 2]) for i in range(40)]
QUICK = Recipe(steps=5, batch_size=4, learning_rate=1e-2, max_length=32)


def weights(folder: Path) -> Dict[str, Any]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "bart"])
def test_a_classifier_keeps_its_head_and_learns_in_its_encoder(
    family: str, make_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_checkpoint(family)
    done = adapt(str(folder), TEXTS, tmp_path / "adapted", QUICK)
    before, after = weights(folder), weights(done.folder)
    assert set(before) == set(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any(name.startswith(("classifier", "classification_head")) for name in changed)
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", config={"labels": ["sport", "music"], "model": {"name": str(done.folder)}})
    assert sum(nlp(SENTENCES[0]).cats.values()) == pytest.approx(1.0)


def test_a_declared_layout_is_kept(shared_folder: Path, tmp_path: Path) -> None:
    done = adapt(str(shared_folder), TEXTS, tmp_path / "adapted", QUICK)
    config = AutoConfig.from_pretrained(done.folder)
    assert declaration(config) == declaration(AutoConfig.from_pretrained(shared_folder)) != {}
    assert config.architectures == ["BertForSequenceClassification"]


def test_a_precision_is_kept(nli_folder: Path, own_copy: Callable[[Path], Path], tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = own_copy(nli_folder)
    AutoModelForSequenceClassification.from_pretrained(folder).half().save_pretrained(folder)
    done = adapt(str(folder), TEXTS, tmp_path / "adapted", QUICK)
    assert {values.dtype for values in weights(done.folder).values()} == {torch.float16}


def test_the_loss_falls(nli_folder: Path, tmp_path: Path) -> None:
    done = adapt(str(nli_folder), TEXTS, tmp_path / "adapted", Recipe(60, 8, 1e-2, max_length=32))
    assert [step for step, _ in done.losses] == [12, 24, 36, 48, 60]
    assert done.losses[-1][1] < done.losses[0][1]


def test_a_masked_language_model_stays_one(nli_folder: Path, own_copy: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = own_copy(nli_folder)
    AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    assert not load_learner(Source(str(folder)), 0).fresh_head
    done = adapt(str(folder), TEXTS, tmp_path / "adapted", QUICK)
    assert AutoConfig.from_pretrained(done.folder).architectures == ["BertForMaskedLM"]
    before, after = weights(folder), weights(done.folder)
    head = "cls.predictions.transform.dense.weight"
    assert not torch.equal(before[head], after[head])


def test_a_sentence_embedding_model_stays_one(
    nli_folder: Path, own_copy: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = own_copy(nli_folder)
    AutoModel.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    (folder / "modules.json").write_text("[]", encoding="utf8")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}', encoding="utf8")
    done = adapt(str(folder), TEXTS, tmp_path / "adapted", QUICK)
    assert AutoConfig.from_pretrained(done.folder).architectures == ["BertModel"]
    assert set(weights(folder)) == set(weights(done.folder))
    for name in ("modules.json", "1_Pooling/config.json"):
        assert (folder / name).read_bytes() == (done.folder / name).read_bytes()


def test_a_new_head_is_tied_to_the_word_embeddings(nli_folder: Path) -> None:
    learner = load_learner(Source(str(nli_folder)), 0)
    assert learner.fresh_head
    words = learner.kept.base_model.embeddings.word_embeddings.weight
    assert learner.masked.get_output_embeddings().weight is words
    again = load_learner(Source(str(nli_folder)), 0)
    head = learner.masked.cls.predictions.transform.dense.weight
    assert torch.equal(head, again.masked.cls.predictions.transform.dense.weight)


def test_a_new_head_learns_before_the_encoder(nli_folder: Path, tmp_path: Path) -> None:
    # one step of five is the head's own
    seen: List[Any] = []
    with pytest.raises(KeyboardInterrupt):
        adapt(str(nli_folder), TEXTS, tmp_path / "adapted", QUICK, watch=stop_at(2, seen))
    checkpoints = tmp_path / "adapted.checkpoints"
    first = load_file(checkpoints / "checkpoint-1" / "model.safetensors")
    name = "bert.encoder.layer.0.output.dense.weight"
    assert torch.equal(first[name], weights(nli_folder)[name])


def stop_at(step: int, seen: List[Any]) -> Callable[..., None]:
    def watch(done: int, loss: Any) -> None:
        seen.append((done, loss))
        if done == step:
            raise KeyboardInterrupt

    return watch


def test_a_stopped_run_goes_on(nli_folder: Path, tmp_path: Path) -> None:
    seen: List[Any] = []
    output = tmp_path / "adapted"
    with pytest.raises(KeyboardInterrupt):
        adapt(str(nli_folder), TEXTS, output, QUICK, watch=stop_at(4, seen))
    assert not output.exists()
    with pytest.raises(ZeroShotError, match="Z081.*steps: 5, now 6"):
        adapt(str(nli_folder), TEXTS, output, QUICK._replace(steps=6))
    with pytest.raises(ZeroShotError, match="Z081.*texts"):
        adapt(str(nli_folder), TEXTS[1:], output, QUICK)
    seen.clear()
    done = adapt(str(nli_folder), TEXTS, output, QUICK, watch=lambda step, loss: seen.append((step, loss)))
    assert done.resumed == 3
    assert [step for step, loss in seen if loss is None] == [4, 5]
    assert [step for step, _ in done.losses] == [1, 2, 3, 4, 5]
    assert [path.name for path in tmp_path.iterdir()] == ["adapted"]


def test_a_checkpoint_that_is_not_complete_is_left_out(tmp_path: Path) -> None:
    for step, name in ((9, "trainer_state.json"), (10, "trainer_state.json"), (11, "model.safetensors")):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / name).touch()
    found = last_checkpoint(tmp_path)
    assert found is not None and found.name == "checkpoint-10"
    assert last_checkpoint(tmp_path / "missing") is None


def test_overwrite_starts_over(nli_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "adapted"
    with pytest.raises(KeyboardInterrupt):
        adapt(str(nli_folder), TEXTS, output, QUICK, watch=stop_at(2, []))
    assert adapt(str(nli_folder), TEXTS, output, QUICK._replace(steps=2), overwrite=True).resumed == 0
    with pytest.raises(ZeroShotError, match="Z092"):
        adapt(str(nli_folder), TEXTS, output, QUICK)


def test_equal_seeds_give_equal_weights(nli_folder: Path, tmp_path: Path) -> None:
    one, same, other = (
        weights(adapt(str(nli_folder), TEXTS, tmp_path / name, QUICK._replace(seed=seed)).folder)
        for name, seed in (("one", 1), ("same", 1), ("other", 2))
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_nothing_of_a_long_text_is_cut_off(nli_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(nli_folder)
    text = " ".join(SENTENCES[:4])
    pieces = cut_pieces(tokenizer, [text, "", " \n"], 16, 0)
    assert len(pieces.train) > 2 and not pieces.held_out
    assert all(len(piece["input_ids"]) <= 16 for piece in pieces.train)
    found = sorted(i for piece in pieces.train for i in piece["input_ids"] if i not in tokenizer.all_special_ids)
    whole = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert found == sorted(i for i in whole if i not in tokenizer.all_special_ids)


def test_one_piece_in_twenty_is_held_out(nli_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(nli_folder)
    pieces = cut_pieces(tokenizer, [f"{i} text" for i in range(60)], 16, 0)
    assert (len(pieces.train), len(pieces.held_out)) == (57, 3)


def test_the_loss_is_that_of_the_whole_model(nli_folder: Path) -> None:
    masked = load_learner(Source(str(nli_folder)), 0).masked.eval()
    ids = torch.arange(30, 54).reshape(2, 12)
    labels = torch.full_like(ids, -100)
    labels[0, 3], labels[1, 5:8] = 40, 41
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    with torch.no_grad():
        expected = masked(**inputs).loss
        hidden = HiddenWords(masked.base_model)
        narrowed = masked(**hidden.only(inputs))
        hidden.remove()
    assert narrowed.logits.shape[:2] == (1, 4)
    assert float(narrowed.loss) == pytest.approx(float(expected), abs=1e-5)
    assert masked(**inputs).logits.shape[:2] == (2, 12)


def test_texts_that_are_all_blank(nli_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroShotError, match="Z200"):
        adapt(str(nli_folder), ["", " "], tmp_path / "adapted", QUICK)


def test_a_tokenizer_without_a_mask(nli_folder: Path, own_copy: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = own_copy(nli_folder)
    edit_json(folder / "tokenizer_config.json", mask_token=None, tokenizer_class="PreTrainedTokenizerFast")
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    with pytest.raises(ZeroShotError, match="Z210"):
        adapt(str(folder), TEXTS, tmp_path / "adapted", QUICK)


def test_an_architecture_without_masked_words(
    nli_folder: Path, own_copy: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = own_copy(nli_folder)
    edit_json(folder / "config.json", model_type="gpt2", architectures=["GPT2ForSequenceClassification"])
    with pytest.raises(ZeroShotError, match=r"Z211.*gpt2"):
        adapt(str(folder), TEXTS, tmp_path / "adapted", QUICK)


def test_an_architecture_with_a_decoder(make_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ZeroShotError, match=r"Z211.*bart"):
        adapt(str(make_checkpoint("bart")), TEXTS, tmp_path / "adapted", QUICK)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"mask_share": 1.0}, {"max_length": 2}]
)
def test_impossible_recipes(wrong: Dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ZeroShotError, match=f"Z007.*{next(iter(wrong))}"):
        adapt("bundled", TEXTS, tmp_path / "adapted", QUICK._replace(**wrong))
    assert not list(tmp_path.iterdir())


def test_a_name_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(ZeroShotError, match=r"Z020.*nobody/nothing"):
        adapt("nobody/nothing", TEXTS, tmp_path / "adapted", QUICK)
    assert not list(tmp_path.iterdir())


def test_without_accelerate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ZeroShotError, match=r"Z085.*spacy-zeroshot\[adapt\]"):
        adapt("bundled", TEXTS, tmp_path / "adapted", QUICK)
