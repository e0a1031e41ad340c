"""What every architecture keeps to behind the same component: one config block chooses it, and nothing else changes."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import spacy

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.model.types import NLIInput

from .model.test_predictor import SmallGPU
from .util import LABELS, POSITIONS, TEXTS, collect_failures, make_nlp, run_cli, table, words

# The bundled layout beside the pairs of a cross-encoder
ARCHITECTURES = {
    "NLIClassifier": "nli_folder",
    "NLIClassifier, decomposed": "decomposed_folder",
    "SimilarityClassifier": "nli_folder",
    "SimilarityClassifier, decomposed": "decomposed_folder",
    "MaskedLMClassifier": "masked_folder",
}


@pytest.fixture(params=ARCHITECTURES)
def block(request):
    """The config block of a tiny checkpoint."""
    folder = request.getfixturevalue(ARCHITECTURES[request.param])
    architecture = request.param.split(",")[0]
    return {"@architectures": f"spacy_zeroshot.{architecture}.v1", "name": str(folder), "precision": "float32"}


@pytest.fixture
def make(block):
    """A function that builds a pipeline with the architecture; settings are the component's."""

    def with_block(model=None, **settings):
        return make_nlp(**settings, model={**block, **(model or {})})

    return with_block


def component(nlp):
    return nlp.get_pipe("zero_shot_textcat")


def is_nli(block):
    return "NLIClassifier" in block["@architectures"]


def test_scores_every_label_of_every_text(make):
    docs = list(make().pipe(TEXTS))
    assert all(list(doc.cats) == LABELS for doc in docs)
    scores = table(docs)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(scores[TEXTS.index("")], 1 / 3)
    # a random model is not indifferent
    assert np.ptp(scores[0]) > 1e-4
    alone = table(list(make(multi_label=True).pipe(TEXTS)))
    assert (alone[TEXTS.index("")] == 0).all() and (alone[0] > 0).all() and (alone < 1).all()


def test_a_score_does_not_depend_on_the_batch(make):
    nlp = make(multi_label=True)
    together = table(list(nlp.pipe(TEXTS)))
    np.testing.assert_allclose(table([nlp(text) for text in TEXTS]), together, atol=1e-5)
    small = make(multi_label=True, model={"max_batch_tokens": 30})
    np.testing.assert_allclose(table(list(small.pipe(TEXTS))), together, atol=1e-5)
    one = make(labels=LABELS[:1], multi_label=True)
    np.testing.assert_allclose([one(TEXTS[0]).cats[LABELS[0]]], [nlp(TEXTS[0]).cats[LABELS[0]]], atol=1e-5)


def test_half_precision_is_near(make):
    expected = table(list(make().pipe(TEXTS)))
    found = table(list(make(model={"precision": "bfloat16"}).pipe(TEXTS)))
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_labels_at_run_time_and_of_one_document(make):
    nlp = make(labels=[])
    pipe = component(nlp)
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
    expected = make(labels=["park", "observatory"])(TEXTS[1]).cats
    np.testing.assert_allclose(list(scored[1].cats.values()), list(expected.values()), atol=1e-5)


def test_own_wordings_are_averaged(make):
    own = [{"label": "sport", "text": text} for text in ("football", "park")]
    nlp = make(labels=["sport", "music"], hypotheses=own, hypothesis_template="{}", multi_label=True)
    single = make(labels=["football", "park"], hypothesis_template="{}", multi_label=True)
    logit = {key: np.log(value / (1 - value)) for key, value in single(TEXTS[0]).cats.items()}
    wanted = 1 / (1 + np.exp(-(logit["football"] + logit["park"]) / 2))
    assert nlp(TEXTS[0]).cats["sport"] == pytest.approx(wanted, abs=1e-5)


def test_long_texts_are_read_in_windows(make):
    # words of one wordpiece each, so that spans and windows are the same
    nlp = make(spans_key="windows", window_overlap=16, multi_label=True)
    candidates = sorted(set(words(30)))
    pieces = component(nlp).model.shims[0].runtime.tokenizer.encode([f"a {word}" for word in candidates])
    known = [word for word, ids in zip(candidates, pieces) if len(ids) == 2]
    text = " ".join(known[i * i % len(known)] for i in range(300))
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


def test_a_label_too_long_for_the_model_z011(make):
    nlp = make(labels=[" ".join(words(POSITIONS)), "sport"])
    with pytest.raises(ZeroShotError, match="Z011"):
        nlp(TEXTS[0])


def test_two_processes(make):
    nlp = make()
    expected = table([nlp(text) for text in TEXTS * 2])
    found = list(nlp.pipe(TEXTS * 2, n_process=2, batch_size=3))
    assert [doc.text for doc in found] == TEXTS * 2
    np.testing.assert_allclose(table(found), expected, atol=1e-5)


def test_four_threads_share_a_pipe(make):
    nlp, alone = make(), make()
    texts = [f"{text} {i}" for i in range(4) for text in TEXTS]
    expected = table([alone(text) for text in texts])

    def work(start):
        order = texts[start:] + texts[:start]
        return np.roll(table(list(nlp.pipe(order, batch_size=3))), start, axis=0)

    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(work, range(4)):
            np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("way", ["disk", "bytes", "pickle", "disk then bytes"])
def test_round_trips(make, way, tmp_path):
    nlp = make()
    component(nlp).set_labels([*LABELS, "science"])
    expected = table(list(nlp.pipe(TEXTS)))
    if way == "pickle":
        back = pickle.loads(pickle.dumps(nlp))
    elif way == "bytes":
        back = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    else:
        nlp.to_disk(tmp_path)
        model = tmp_path / "zero_shot_textcat" / "model"
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in model.iterdir()}
        back = spacy.load(tmp_path)
        if way == "disk then bytes":
            back = spacy.blank("en").from_config(nlp.config).from_bytes(back.to_bytes())
    assert component(back).labels == (*LABELS, "science")
    np.testing.assert_allclose(table(list(back.pipe(TEXTS))), expected, atol=1e-6)


def test_a_saved_pipeline_changes_its_architecture_by_one_block(make, block, nli_folder, make_checkpoint, tmp_path):
    nlp = make_nlp(make_checkpoint(seed=9))
    component(nlp).set_labels([*LABELS, "science"])
    nlp.to_disk(tmp_path)
    back = spacy.load(tmp_path, config={"components": {"zero_shot_textcat": {"model": block}}})
    expected = make(labels=[*LABELS, "science"])(TEXTS[0]).cats
    assert back(TEXTS[0]).cats == pytest.approx(expected, abs=1e-6)
    back.to_disk(tmp_path / "again")
    assert spacy.load(tmp_path / "again")(TEXTS[0]).cats == pytest.approx(expected, abs=1e-6)


def test_the_bundled_encoder_in_place_of_a_saved_one(nli_folder, tmp_path):
    make_nlp(nli_folder).to_disk(tmp_path)
    bundled = {"@architectures": "spacy_zeroshot.SimilarityClassifier.v1", "name": "bundled", "precision": "float32"}
    back = spacy.load(tmp_path, config={"components": {"zero_shot_textcat": {"model": bundled}}})
    assert back(TEXTS[1]).cats == pytest.approx(make_nlp(model=bundled)(TEXTS[1]).cats, abs=1e-6)
    assert max(back(TEXTS[1]).cats, key=back(TEXTS[1]).cats.get) == "sport"
    # a reference, not a copy
    back.to_disk(tmp_path / "again")
    assert [path.name for path in (tmp_path / "again/zero_shot_textcat/model").iterdir()] == ["bundled.json"]
    again = spacy.load(tmp_path / "again")
    assert again(TEXTS[1]).cats == pytest.approx(back(TEXTS[1]).cats, abs=1e-6)
    assert len(pickle.dumps(component(again).model.shims[0])) < 10_000


def test_goes_on_with_half_the_tokens_where_a_gpu_is_full_z103(make):
    nlp = make(multi_label=True, model={"max_batch_tokens": 8192})
    texts = [f"{text} {i}" for i in range(4) for text in TEXTS]
    expected = table(list(nlp.pipe(texts)))
    runtime = component(nlp).model.shims[0].runtime
    runtime.scorer = SmallGPU(runtime.scorer, most=12)
    with pytest.warns(ZeroShotWarning, match="Z103") as caught:
        found = table(list(nlp.pipe(texts)))
    assert len(caught) == 1 and runtime.budget < 8192
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_bad_documents_fail_alone(make):
    nlp = make()
    seen = collect_failures(nlp)
    docs = [nlp.make_doc(text) for text in TEXTS]
    docs[1]._.zero_shot_labels = ["sport", "sport"]
    docs[3]._.zero_shot_labels = []
    assert [doc.text for doc in nlp.pipe(docs)] == [TEXTS[0], TEXTS[2], TEXTS[4]]
    assert [(texts, error.code) for _, texts, error in seen] == [([TEXTS[1]], "Z002"), ([TEXTS[3]], "Z001")]


@pytest.mark.parametrize("text", ["\u2603 \U0001f600", "[MASK] [SEP] [CLS]", "{text} {mask} {}", "a" * 500])
def test_odd_texts_score(make, text):
    scores = list(make()(text).cats.values())
    assert np.isfinite(scores).all() and sum(scores) == pytest.approx(1.0)


def test_a_folder_that_is_no_checkpoint_z021(make, tmp_path):
    with pytest.raises(ZeroShotError, match=r"^\[Z021\] zero_shot_textcat: "):
        make(model={"name": str(tmp_path)})(TEXTS[0])


@pytest.mark.parametrize(("settings", "code"), [({"max_batch_tokens": 0}, "Z007"), ({"device": "none"}, "Z033")])
def test_bad_settings_have_codes(make, settings, code):
    with pytest.raises(ZeroShotError, match=code):
        make(model=settings)(TEXTS[0])


def test_equal_premises_have_equal_logits(make):
    texts = [TEXTS[0], TEXTS[1], TEXTS[0]]
    output = component(make()).model.predict(NLIInput(texts, [tuple(LABELS)] * 3))
    first, other, again = output.logits.reshape(3, 3, -1)
    assert output.n_windows.tolist() == [1, 1, 1] and output.n_hypotheses.tolist() == [3, 3, 3]
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4


def test_embeds_texts(make):
    found = component(make()).embed(["One.", "Two, and more.", "One."])
    assert found.shape == (3, 32) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(found[0], found[2])


def test_only_nli_trains_z241(make, block):
    if is_nli(block):
        assert component(make(trainable=True)).is_trainable
        return
    with pytest.raises(ZeroShotError, match=r"^\[Z241\] zero_shot_textcat: "):
        make(trainable=True)
    nlp = make()
    nlp.initialize()
    assert nlp.update([], losses={}) == {}


@pytest.mark.slow
def test_commands_take_any_architecture(make, tmp_path):
    make().to_disk(tmp_path / "pipeline")
    rows = [{"text": f"{text} {i}", "labels": [LABELS[i % 3]]} for i in range(4) for text in TEXTS if text]
    dev = tmp_path / "dev.jsonl"
    dev.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "in.txt").write_text("\n".join(TEXTS))

    def run(*arguments):
        result = run_cli(*arguments)
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
