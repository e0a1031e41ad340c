"""What every architecture keeps to behind the same component: one config block chooses it, and nothing else changes."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import pytest
import spacy
from spacy.language import Language

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.evidence import Question, Request

from .build import LABELS, TEXTS, collect_failures, make_nlp, table
from .model.test_memory import SmallGPU
from .tiny import POSITIONS, words

ARCHITECTURES = {
    "NLIClassifier": "nli_folder",
    "SimilarityClassifier": "nli_folder",
    "MaskedLMClassifier": "masked_folder",
}
Make = Callable[..., Language]


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def block(architecture: str, request: pytest.FixtureRequest) -> Dict[str, Any]:
    """The config block of a tiny checkpoint."""
    folder: Path = request.getfixturevalue(ARCHITECTURES[architecture])
    return {"@architectures": f"spacy_zeroshot.{architecture}.v1", "name": str(folder), "precision": "float32"}


@pytest.fixture
def make(block: Dict[str, Any]) -> Make:
    """A function that builds a pipeline with the architecture; settings are the component's."""

    def with_block(**settings: Any) -> Language:
        model = {**block, **settings.pop("model", {})}
        return make_nlp(**settings, model=model)

    return with_block


def scorer(nlp: Language) -> Any:
    return nlp.get_pipe("zero_shot_textcat")


def test_scores_every_label_of_every_text(make: Make) -> None:
    docs = list(make().pipe(TEXTS))
    assert all(list(doc.cats) == LABELS for doc in docs)
    scores = table(docs)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(scores[TEXTS.index("")], 1 / 3)
    # a random model is not indifferent
    assert np.ptp(scores[0]) > 1e-4
    alone = table(list(make(multi_label=True).pipe(TEXTS)))
    assert (alone[TEXTS.index("")] == 0).all() and (alone[0] > 0).all() and (alone < 1).all()


def test_a_score_does_not_depend_on_the_batch(make: Make) -> None:
    nlp = make(multi_label=True)
    together = table(list(nlp.pipe(TEXTS)))
    np.testing.assert_allclose(table([nlp(text) for text in TEXTS]), together, atol=1e-5)
    small = make(multi_label=True, model={"max_batch_tokens": 30})
    np.testing.assert_allclose(table(list(small.pipe(TEXTS))), together, atol=1e-5)
    one = make(labels=LABELS[:1], multi_label=True)
    np.testing.assert_allclose([one(TEXTS[0]).cats[LABELS[0]]], [nlp(TEXTS[0]).cats[LABELS[0]]], atol=1e-5)


def test_half_precision_is_near(make: Make) -> None:
    expected = table(list(make().pipe(TEXTS)))
    found = table(list(make(model={"precision": "bfloat16"}).pipe(TEXTS)))
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_labels_at_run_time_and_of_one_document(make: Make) -> None:
    nlp = make(labels=[])
    pipe = scorer(nlp)
    with pytest.raises(ZeroShotError, match="Z001"):
        nlp(TEXTS[0])
    pipe.set_labels(LABELS)
    pipe.add_label("science")
    assert list(nlp(TEXTS[0]).cats) == [*LABELS, "science"]
    docs = [nlp.make_doc(text) for text in TEXTS]
    docs[1]._.zero_shot_labels = ["park", "observatory"]
    scored = list(nlp.pipe(docs))
    assert list(scored[1].cats) == ["park", "observatory"]
    assert list(scored[0].cats) == [*LABELS, "science"]
    np.testing.assert_allclose(
        list(scored[1].cats.values()), list(make(labels=["park", "observatory"])(TEXTS[1]).cats.values()), atol=1e-5
    )


def test_own_wordings_are_averaged(make: Make) -> None:
    own = [{"label": "sport", "text": text} for text in ("football", "park")]
    nlp = make(labels=["sport", "music"], hypotheses=own, hypothesis_template="{}", multi_label=True)
    single = make(labels=["football", "park"], hypothesis_template="{}", multi_label=True)
    logit = {key: np.log(value / (1 - value)) for key, value in single(TEXTS[0]).cats.items()}
    wanted = 1 / (1 + np.exp(-(logit["football"] + logit["park"]) / 2))
    assert nlp(TEXTS[0]).cats["sport"] == pytest.approx(wanted, abs=1e-5)


def test_long_texts_are_read_in_windows(make: Make) -> None:
    # words of one wordpiece each, so that spans and windows are the same
    text = " ".join(["sport", "music", "music", "park", "sport"][i * i % 5] for i in range(300))
    nlp = make(spans_key="windows", window_overlap=16, multi_label=True)
    doc = nlp(text)
    spans = doc.spans["windows"]
    assert len(spans) > 2
    assert spans[0].start == 0 and spans[-1].end == len(doc)
    # every token is read, and every window fits
    assert all(after.start <= before.end for before, after in pairwise(spans))
    assert all(len(span) < POSITIONS for span in spans)
    rows = np.asarray([[cats[label] for label in LABELS] for cats in spans.attrs["cats"]])
    np.testing.assert_allclose([doc.cats[label] for label in LABELS], rows.max(axis=0), atol=1e-6)
    # a window scores what its text does, alone
    alone = make(multi_label=True)(spans[1].text).cats
    np.testing.assert_allclose([alone[label] for label in LABELS], rows[1], atol=1e-5)
    with pytest.warns(ZeroShotWarning, match="Z101"):
        cut = make(long_text="truncate", multi_label=True)(text)
    np.testing.assert_allclose([cut.cats[label] for label in LABELS], rows[0], atol=1e-5)


def test_a_label_too_long_for_the_model_Z011(make: Make) -> None:
    nlp = make(labels=[" ".join(words(POSITIONS)), "sport"])
    with pytest.raises(ZeroShotError, match="Z011"):
        nlp(TEXTS[0])


def test_two_processes(make: Make) -> None:
    nlp = make()
    expected = table([nlp(text) for text in TEXTS * 2])
    found = list(nlp.pipe(TEXTS * 2, n_process=2, batch_size=3))
    assert [doc.text for doc in found] == TEXTS * 2
    np.testing.assert_allclose(table(found), expected, atol=1e-5)


def test_four_threads_share_a_pipe(make: Make) -> None:
    nlp = make()
    texts = [f"{text} {i}" for i in range(4) for text in TEXTS]
    expected = table([make()(text) for text in texts])

    def work(start: int) -> np.ndarray:
        order = texts[start:] + texts[:start]
        return np.roll(table(list(nlp.pipe(order, batch_size=3))), start, axis=0)

    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(work, range(4)):
            np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("way", ["disk", "bytes", "pickle", "disk then bytes"])
def test_round_trips(make: Make, block: Dict[str, Any], architecture: str, way: str, tmp_path: Path) -> None:
    nlp = make()
    scorer(nlp).set_labels([*LABELS, "science"])
    expected = table(list(nlp.pipe(TEXTS)))
    if way == "pickle":
        back = pickle.loads(pickle.dumps(nlp))
    elif way == "bytes":
        back = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    else:
        nlp.to_disk(tmp_path)
        model = tmp_path / "zero_shot_textcat" / "model"
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in model.iterdir()}
        assert (model / "1_Pooling" / "config.json").exists() == (architecture == "SimilarityClassifier")
        back = spacy.load(tmp_path)
        if way == "disk then bytes":
            back = spacy.blank("en").from_config(nlp.config).from_bytes(back.to_bytes())
    assert scorer(back).labels == (*LABELS, "science")
    np.testing.assert_allclose(table(list(back.pipe(TEXTS))), expected, atol=1e-6)


def test_a_saved_pipeline_changes_its_road_by_one_block(make: Make, block: Dict[str, Any], tmp_path: Path) -> None:
    nlp = make_nlp()
    scorer(nlp).set_labels([*LABELS, "science"])
    nlp.to_disk(tmp_path)
    back = spacy.load(tmp_path, config={"components": {"zero_shot_textcat": {"model": block}}})
    expected = make(labels=[*LABELS, "science"])(TEXTS[0]).cats
    assert back(TEXTS[0]).cats == pytest.approx(expected, abs=1e-6)


def test_the_bundled_encoder_in_place_of_a_saved_one(nli_folder: Path, tmp_path: Path) -> None:
    make_nlp(nli_folder).to_disk(tmp_path)
    bundled = {"@architectures": "spacy_zeroshot.SimilarityClassifier.v1", "name": "bundled", "precision": "float32"}
    back = spacy.load(tmp_path, config={"components": {"zero_shot_textcat": {"model": bundled}}})
    assert back(TEXTS[1]).cats == pytest.approx(make_nlp(model=bundled)(TEXTS[1]).cats, abs=1e-6)
    assert back(TEXTS[1]).cats["sport"] > 0.5
    # a reference, not a copy
    back.to_disk(tmp_path / "again")
    assert [path.name for path in (tmp_path / "again/zero_shot_textcat/model").iterdir()] == ["bundled.json"]
    again = spacy.load(tmp_path / "again")
    assert again(TEXTS[1]).cats == pytest.approx(back(TEXTS[1]).cats, abs=1e-6)
    assert len(pickle.dumps(scorer(again).model.shims[0])) < 10_000


def test_goes_on_with_half_the_tokens_where_a_gpu_is_full_Z103(make: Make) -> None:
    nlp = make(multi_label=True)
    texts = [f"{text} {i}" for i in range(4) for text in TEXTS]
    expected = table(list(nlp.pipe(texts)))
    runtime = scorer(nlp).model.shims[0].runtime
    runtime.layout = SmallGPU(runtime.layout, most=12)
    with pytest.warns(ZeroShotWarning, match="Z103") as caught:
        found = table(list(nlp.pipe(texts)))
    assert len(caught) == 1 and runtime.budget < 8192
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_bad_documents_fail_alone(make: Make) -> None:
    nlp = make()
    seen = collect_failures(nlp)
    docs = [nlp.make_doc(text) for text in TEXTS]
    docs[1]._.zero_shot_labels = ["sport", "sport"]
    docs[3]._.zero_shot_labels = []
    assert [doc.text for doc in nlp.pipe(docs)] == [TEXTS[0], TEXTS[2], TEXTS[4]]
    assert [(texts, error.code) for _, texts, error in seen] == [([TEXTS[1]], "Z002"), ([TEXTS[3]], "Z001")]


@pytest.mark.parametrize("text", ["\u2603 \U0001f600", "[MASK] [SEP] [CLS]", "{text} {mask} {}", "a" * 500])
def test_odd_texts_score(make: Make, text: str) -> None:
    scores = list(make()(text).cats.values())
    assert np.isfinite(scores).all() and sum(scores) == pytest.approx(1.0)


def test_a_folder_that_is_no_checkpoint_Z021(make: Make, architecture: str, tmp_path: Path) -> None:
    nlp = make(model={"name": str(tmp_path)})
    with pytest.raises(ZeroShotError, match=rf"^\[Z021\] {architecture}: "):
        nlp(TEXTS[0])


@pytest.mark.parametrize("settings", [{"max_batch_tokens": 0}, {"precision": "int8"}])
def test_bad_settings_have_codes(make: Make, settings: Dict[str, Any]) -> None:
    with pytest.raises(ZeroShotError, match="Z007|Z032"):
        make(model=settings)(TEXTS[0])


def test_equal_questions_have_equal_answers(make: Make) -> None:
    pipe = scorer(make())
    question = Question(TEXTS[0], tuple(LABELS))
    first, other, again = pipe.model.predict(Request([question, Question(TEXTS[1], tuple(LABELS)), question]))
    assert first.logits.shape[:2] == (1, 3) and first.logits.shape[2] >= 2
    np.testing.assert_array_equal(first.logits, again.logits)
    assert np.abs(first.logits - other.logits).max() > 1e-4


def test_only_nli_trains_Z241(make: Make, architecture: str) -> None:
    if architecture == "NLIClassifier":
        assert scorer(make(trainable=True)).is_trainable
        return
    with pytest.raises(ZeroShotError, match=rf"^\[Z241\] {architecture}: "):
        make(trainable=True)
    nlp = make()
    nlp.initialize()
    assert nlp.update([], losses={}) == {}


def test_commands_take_any_architecture(make: Make, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from spacy_zeroshot.cli import zeroshot

    make().to_disk(tmp_path / "pipeline")
    rows = [{"text": f"{text} {i}", "labels": [LABELS[i % 3]]} for i in range(4) for text in TEXTS if text]
    dev = tmp_path / "dev.jsonl"
    dev.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "in.txt").write_text("\n".join(TEXTS))

    def run(*arguments: Any) -> str:
        result = CliRunner().invoke(zeroshot, [str(argument) for argument in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "the text is read" in run("check", tmp_path / "pipeline")
    run("tune", tmp_path / "pipeline", dev, "-o", tmp_path / "tuned", "--no-report")
    run("calibrate", tmp_path / "tuned", dev, "-o", tmp_path / "calibrated")
    run("annotate", tmp_path / "in.txt", tmp_path / "out.jsonl", "--pipeline", tmp_path / "calibrated")
    assert "dev" in run("evaluate", tmp_path / "calibrated", dev)
    annotated = [json.loads(line)["cats"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    nlp = spacy.load(tmp_path / "calibrated")
    assert annotated[0] == pytest.approx(nlp(TEXTS[0]).cats, abs=1e-3)
