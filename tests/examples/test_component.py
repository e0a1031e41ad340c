"""Examples in the pipeline: what doc.cats holds, and what comes back from disk."""

import copy
import pickle
import sys
import threading
import warnings
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
import spacy
import srsly
from spacy.training import Example

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.examples.voting import mix

from ..tiny import SENTENCES, words

pytest.importorskip("sklearn", reason="the extra examples is not installed")

LABELS = ["sport", "politics"]
EXAMPLES = [
    {"label": "politics", "text": SENTENCES[1]},
    {"label": "sport", "text": SENTENCES[2]},
    {"label": "sport", "text": "A late penalty; it costs $5."},
]
TEXTS = [*SENTENCES, " ".join(words(300)), ""]


def build(folder: Path, **config: Any) -> Any:
    nlp = spacy.blank("en")
    model = {"name": str(folder), "precision": "float32"}
    nlp.add_pipe("zero_shot_textcat", config={"labels": LABELS, "model": model, **config})
    return nlp


def cats(nlp: Any, texts: List[str] = TEXTS) -> List[Dict[str, float]]:
    return [doc.cats for doc in nlp.pipe(texts)]


def close(one: List[Dict[str, float]], other: List[Dict[str, float]]) -> bool:
    return all(a.keys() == b.keys() and a == pytest.approx(b, abs=1e-5) for a, b in zip(one, other))


@pytest.mark.parametrize("multi_label", [False, True])
def test_scores_are_the_mix_of_zero_shot_and_votes(nli_folder: Path, multi_label: bool) -> None:
    plain = build(nli_folder, multi_label=multi_label)
    mixed = build(nli_folder, multi_label=multi_label, examples=EXAMPLES, n_neighbors=2, examples_weight=0.3)
    pipe = mixed.get_pipe("zero_shot_textcat")
    votes, known = pipe.examples.vote(TEXTS[:-1], LABELS, not multi_label, pipe.embed)
    assert known.all()
    zero_shot = np.array([[doc[label] for label in LABELS] for doc in cats(plain)[:-1]])
    expected = mix(zero_shot, votes[0], known, 0.3, not multi_label)
    found = np.array([[doc[label] for label in LABELS] for doc in cats(mixed)])
    np.testing.assert_allclose(found[:-1], expected, atol=1e-5)
    # a blank text has no neighbours
    assert cats(mixed)[-1] == cats(plain)[-1]
    assert close(cats(mixed), [mixed(text).cats for text in TEXTS])


@pytest.mark.parametrize(
    ("architecture", "fixture"),
    [
        ("NLIClassifier", "shared_folder"),
        ("SimilarityClassifier", "nli_folder"),
        ("MaskedLMClassifier", "masked_folder"),
    ],
)
def test_every_architecture_takes_examples(
    architecture: str, fixture: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(fixture)
    model = {"@architectures": f"spacy_zeroshot.{architecture}.v1", "name": str(folder), "precision": "float32"}
    settings = {"model": model, "n_neighbors": 1, "examples_weight": 1.0}
    nlp = build(folder, examples=EXAMPLES, **settings)
    for entry in EXAMPLES:
        assert nlp(entry["text"]).cats[entry["label"]] == pytest.approx(1.0)
    nlp.to_disk(tmp_path / "saved")
    assert close(cats(spacy.load(tmp_path / "saved")), cats(nlp))
    assert close(cats(build(folder, **settings).from_bytes(nlp.to_bytes())), cats(nlp))


def test_an_example_is_its_own_nearest_neighbour(nli_folder: Path) -> None:
    nlp = build(nli_folder, examples=EXAMPLES, n_neighbors=1, examples_weight=1.0)
    for entry in EXAMPLES:
        assert nlp(entry["text"]).cats[entry["label"]] == pytest.approx(1.0)


def test_without_examples_or_weight_nothing_changes(nli_folder: Path) -> None:
    expected = cats(build(nli_folder))
    assert cats(build(nli_folder, examples=[], examples_weight=1.0)) == expected
    assert cats(build(nli_folder, examples=EXAMPLES, examples_weight=0.0)) == expected


def test_a_label_without_examples_keeps_its_score(nli_folder: Path) -> None:
    labels = [*LABELS, "music"]
    plain = cats(build(nli_folder, labels=labels))
    found = cats(build(nli_folder, labels=labels, examples=EXAMPLES, examples_weight=1.0))
    for one, other in zip(plain, found):
        assert one["music"] == pytest.approx(other["music"], abs=1e-6)
        assert sum(other.values()) == pytest.approx(1.0)
    assert not close(plain, found)


def test_labels_come_from_the_examples(nli_folder: Path, tmp_path: Path) -> None:
    assert list(build(nli_folder, labels=[], examples=EXAMPLES).get_pipe("zero_shot_textcat").labels) == [
        "politics",
        "sport",
    ]
    srsly.write_jsonl(tmp_path / "shots.jsonl", EXAMPLES)
    nlp = build(nli_folder, labels=[], examples=str(tmp_path / "shots.jsonl"))
    # nothing is read before it is needed
    assert nlp.get_pipe("zero_shot_textcat").labels == ()
    assert list(nlp(SENTENCES[0]).cats) == ["politics", "sport"]


def test_labels_at_run_time_and_of_one_document(nli_folder: Path) -> None:
    nlp = build(nli_folder, examples=EXAMPLES, examples_weight=1.0, n_neighbors=1)
    doc = nlp.make_doc(SENTENCES[2])
    doc._.zero_shot_labels = ["music", "politics", "science"]
    plain = build(nli_folder)
    same = plain.make_doc(SENTENCES[2])
    same._.zero_shot_labels = ["music", "politics", "science"]
    # only one of these labels has examples: there is nothing to divide
    assert nlp(doc).cats == pytest.approx(plain(same).cats, abs=1e-6)
    both = nlp.make_doc(SENTENCES[2])
    both._.zero_shot_labels = ["politics", "sport", "science"]
    assert nlp(both).cats["politics"] == pytest.approx(0.0) and sum(both.cats.values()) == pytest.approx(1.0)
    pipe = nlp.get_pipe("zero_shot_textcat")
    with pytest.warns(ZeroShotWarning, match=r"Z122.*politics"):
        pipe.set_labels(["sport", "science"])
        nlp(SENTENCES[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(nlp(SENTENCES[0]).cats) == {"sport", "science"}


def test_parts_of_a_document_keep_their_own_scores(nli_folder: Path) -> None:
    spans = {"get_spans": {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 6, "stride": 6}}
    plain = build(nli_folder, spans_key="parts", **spans)
    mixed = build(nli_folder, spans_key="parts", examples=EXAMPLES, **spans)
    one, other = plain(SENTENCES[1]), mixed(SENTENCES[1])
    assert one.spans["parts"].attrs["cats"] == other.spans["parts"].attrs["cats"]
    assert one.cats != other.cats


def test_processes_and_threads_agree(nli_folder: Path) -> None:
    nlp = build(nli_folder, examples=EXAMPLES)
    expected = cats(nlp)
    assert close(expected, [doc.cats for doc in nlp.pipe(TEXTS, n_process=2, batch_size=3)])
    fresh = build(nli_folder, examples=EXAMPLES)
    found: List[Any] = [None] * 4

    def score(i: int) -> None:
        found[i] = cats(fresh)

    threads = [threading.Thread(target=score, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(close(expected, each) for each in found)


@pytest.mark.parametrize("used", [False, True])
def test_round_trips(nli_folder: Path, tmp_path: Path, used: bool) -> None:
    srsly.write_jsonl(tmp_path / "shots.jsonl", EXAMPLES)
    expected = cats(build(nli_folder, examples=EXAMPLES))
    for setting in (EXAMPLES, str(tmp_path / "shots.jsonl")):
        nlp = build(nli_folder, examples=setting)
        if used:
            cats(nlp)
        nlp.to_disk(tmp_path / "saved")
        assert (tmp_path / "saved" / "zero_shot_textcat" / "examples").exists() is used
        loaded = spacy.load(tmp_path / "saved")
        assert (loaded.get_pipe("zero_shot_textcat").examples._vectors is not None) is used
        assert close(cats(loaded), expected)
        again = build(nli_folder).from_bytes(nlp.to_bytes())
        assert close(cats(again), expected)
        assert close(cats(pickle.loads(pickle.dumps(nlp.get_pipe("zero_shot_textcat"))), []), [])
        assert close(cats(copy.deepcopy(nlp)), expected)


def test_the_file_of_examples_may_go_once_the_pipeline_is_saved(nli_folder: Path, tmp_path: Path) -> None:
    srsly.write_jsonl(tmp_path / "shots.jsonl", EXAMPLES)
    nlp = build(nli_folder, labels=[], examples=str(tmp_path / "shots.jsonl"))
    nlp.to_disk(tmp_path / "saved")
    (tmp_path / "shots.jsonl").unlink()
    loaded = spacy.load(tmp_path / "saved")
    assert close(cats(loaded), cats(build(nli_folder, labels=["politics", "sport"], examples=EXAMPLES)))


def test_other_examples_named_by_the_user_win(nli_folder: Path, tmp_path: Path) -> None:
    nlp = build(nli_folder, examples=EXAMPLES)
    cats(nlp)
    nlp.to_disk(tmp_path / "saved")
    others = [{"label": "sport", "text": SENTENCES[1]}, {"label": "politics", "text": SENTENCES[2]}]
    overrides = {"components": {"zero_shot_textcat": {"examples": others}}}
    loaded = spacy.load(tmp_path / "saved", config=overrides)
    assert close(cats(loaded), cats(build(nli_folder, examples=others)))


def test_embeddings_of_another_model_are_not_taken(nli_folder: Path, shared_folder: Path, tmp_path: Path) -> None:
    nlp = build(nli_folder, examples=EXAMPLES)
    cats(nlp)
    nlp.to_disk(tmp_path / "saved")
    overrides = {"components": {"zero_shot_textcat": {"model": {"name": str(shared_folder)}}}}
    loaded = spacy.load(tmp_path / "saved", config=overrides)
    assert close(cats(loaded), cats(build(shared_folder, examples=EXAMPLES)))


def test_damaged_embeddings(nli_folder: Path, tmp_path: Path) -> None:
    nlp = build(nli_folder, examples=EXAMPLES)
    cats(nlp)
    nlp.to_disk(tmp_path / "saved")
    (tmp_path / "saved" / "zero_shot_textcat" / "examples").write_bytes(b"damaged")
    with pytest.raises(ZeroShotError, match="Z051.*embeddings"):
        spacy.load(tmp_path / "saved")


def test_fine_tuning_moves_the_examples_too(nli_folder: Path) -> None:
    nlp = build(nli_folder, examples=EXAMPLES, trainable=True)
    examples = [Example.from_dict(nlp.make_doc(e["text"]), {"cats": {e["label"]: 1.0}}) for e in EXAMPLES]
    optimizer = nlp.initialize(lambda: examples)
    pipe = nlp.get_pipe("zero_shot_textcat")
    nlp(SENTENCES[0])
    before = pipe.examples._vectors.copy()
    optimizer.learn_rate = 0.1
    nlp.update(examples, sgd=optimizer)
    nlp(SENTENCES[0])
    assert not np.allclose(before, pipe.examples._vectors, atol=1e-3)
    np.testing.assert_allclose(pipe.examples._vectors, pipe.embed([e["text"] for e in EXAMPLES]), atol=1e-5)


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"n_neighbors": 0}, "Z007"),
        ({"examples_weight": 1.5}, "Z007"),
        ({"examples": [{"label": "a"}]}, "Z006"),
        ({"examples": [{"label": "a", "text": "${b}"}]}, "Z008"),
    ],
)
def test_settings_that_are_not_possible(config: Dict[str, Any], code: str, nli_folder: Path) -> None:
    with pytest.raises(ValueError, match=code):
        build(nli_folder, **config)


def test_a_file_that_is_not_there_is_told_at_first_use(nli_folder: Path, tmp_path: Path) -> None:
    nlp = build(nli_folder, examples=str(tmp_path / "missing.jsonl"))
    with pytest.raises(ZeroShotError, match="Z060.*missing.jsonl"):
        nlp(SENTENCES[0])


def test_without_scikit_learn(nli_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.neighbors", None)
    nlp = build(nli_folder, examples=EXAMPLES)
    with pytest.raises(ZeroShotError, match=r"Z085.*spacy-zeroshot\[examples\]"):
        nlp(SENTENCES[0])
