"""Examples: how they are read and how they vote; then in the pipeline, what doc.cats holds and what is saved."""

import copy
import gzip
import json
import pickle
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import srsly
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Adam

from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.labels import Question, make_label_set
from spacy_zeroshot.neighbors import ExampleStore, check_examples, mix, read_examples, vote
from spacy_zeroshot.readers import LabelledText

from .util import SENTENCES, make_nlp, words

SHARES = arrays(float, (3, 4), elements=st.floats(0.0, 1.0)).map(lambda a: (a + 1e-3) / (a + 1e-3).sum(1)[:, None])
KNOWN = arrays(bool, 4)
EXPECTED = (LabelledText("a goal", ("sport",)), LabelledText("a vote in the stadium", ("politics", "sport")))
NOTHING = LabelledText("nothing", ())

# Votes


def carried(*rows):
    """The labels "a" and "b" of each example."""
    return np.array([[label in row for label in "ab"] for row in rows])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 99])
def test_labels_get_their_share_of_the_weights(count):
    found = vote(np.array([[-0.2, 0.7, 0.9, 0.8]]), carried("c", "a", "a", "b"), count)
    near, next_, far, none = 1.0, np.exp(-1.0), np.exp(-2.0), np.exp(-11.0)
    two, three, four = near + next_, near + next_ + far, near + next_ + far + none
    last = [(near + far) / four, next_ / four]
    expected = [[1, 0], [near / two, next_ / two], [(near + far) / three, next_ / three], last]
    np.testing.assert_allclose(found, [expected[min(count, 4) - 1]])


def test_neighbours_that_are_equally_far_have_equal_votes():
    found = vote(np.array([[0.9, 0.9], [-0.4, -0.4]]), carried("a", "b"), 2)
    np.testing.assert_allclose(found, [[0.5, 0.5], [0.5, 0.5]])
    # of equal ones the earlier is asked first
    np.testing.assert_allclose(vote(np.array([[0.9, 0.9]]), carried("a", "b"), 1), [[1.0, 0.0]])


@pytest.mark.parametrize("count", [1, 2])
def test_an_example_that_is_left_out_does_not_vote(count):
    found = vote(np.array([[-np.inf, 0.5], [-np.inf, -np.inf]]), carried("a", "b"), count)
    np.testing.assert_allclose(found, [[0, 1], [0, 0]])


def asked(*labels, **settings):
    return make_label_set([Question("", labels, ("{}",), **settings)], {})


@given(values=SHARES, votes=SHARES, known=KNOWN, weight=st.floats(0.0, 1.0))
def test_scores_of_labels_that_compete_still_sum_to_one(values, votes, known, weight):
    votes = np.where(known, votes, 0.0)
    votes = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1e-12)
    found = mix(values, votes, known, weight, asked(*"abcd"))
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert (found >= 0.0).all()
    np.testing.assert_allclose(found[:, ~known], values[:, ~known])


@given(values=SHARES, votes=SHARES)
def test_the_ends_of_the_weight(values, votes):
    everything = np.ones(4, dtype=bool)
    for multi_label in (True, False):
        label_set = asked(*"abcd", multi_label=multi_label)
        np.testing.assert_allclose(mix(values, votes, everything, 0.0, label_set), values)
        np.testing.assert_allclose(mix(values, votes, everything, 1.0, label_set), votes)
        middle = mix(values, votes, everything, 0.25, label_set)
        np.testing.assert_allclose(middle, 0.75 * values + 0.25 * votes)


def test_neighbours_are_the_nearest_by_cosine():
    cosines = np.random.default_rng(0).uniform(-1, 1, size=(5, 50)).astype("float32")
    found = vote(cosines, np.eye(50, dtype=bool), 3)
    np.testing.assert_array_equal(np.argsort(-found, axis=1)[:, :3], np.argsort(-cosines, axis=1)[:, :3])
    assert ((found > 0.0).sum(axis=1) == 3).all()


def by_first_letter(texts):
    """Embeddings: one direction for each first letter."""
    return np.eye(26, dtype="float32")[[ord(text[0]) - ord("a") for text in texts]]


def test_examples_that_nothing_fits_speak_against_all_labels_unless_they_compete():
    store = ExampleStore([{"label": "sport", "text": "ab"}])
    store.take_rows([["ab", ["sport"]], ["ac", []], ["ad", []], ["ae", []]])
    shares, known = store.vote(["a"], asked("sport", "art", multi_label=True), by_first_letter, "w", 4)
    assert shares.tolist() == [[0.25, 0.0]] and known.tolist() == [True, False]
    shares, _ = store.vote(["a"], asked("sport", "art"), by_first_letter, "w", 4)
    assert shares.tolist() == [[1.0, 0.0]]


def test_a_text_is_not_its_own_neighbour():
    store = ExampleStore([{"label": "x", "text": "ab"}, {"label": "y", "text": "ac"}])
    label_set = asked("x", "y")
    shares, _ = store.vote(["ab", "unseen"], label_set, by_first_letter, "w", 2, leave_out=True)
    assert shares[0].tolist() == [0.0, 1.0] and shares[1].tolist() == [0.5, 0.5]


def test_embeddings_are_made_once_for_the_same_weights():
    calls = []

    def embed(texts):
        calls.append(len(texts))
        return by_first_letter(texts)

    store = ExampleStore([{"label": "x", "text": text} for text in ("aa", "bb", "cc")])
    for weights in ("one", "one", "two", "two"):
        store.vote(["a"], asked("x"), embed, weights, 1)
    assert [count for count in calls if count == 3] == [3, 3]


# Reading


def write(path: Path, *rows: object) -> Path:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def test_a_list_of_entries():
    entries = [
        {"label": "sport", "text": "a goal"},
        {"label": "politics", "text": "a vote in the stadium"},
        {"label": "sport", "text": "a vote in the stadium"},
        {"label": "sport", "text": "a goal"},
    ]
    assert check_examples(entries) == EXPECTED
    assert check_examples([]) == ()


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_lines_of_any_form(name, tmp_path):
    path = write(
        tmp_path / name,
        {"labels": ["sport"], "text": "a goal"},
        {"labels": ["politics", "sport"], "text": "a vote in the stadium"},
        {"labels": [], "text": "nothing"},
        {"labels": ["sport"], "text": " "},
    )
    # "nothing" says that no label fits
    assert read_examples(path) == (*EXPECTED, NOTHING)


def test_a_docbin(tmp_path):
    nlp = spacy.blank("en")
    packed = DocBin()
    for text, cats in (
        ("a goal", {"x_sport": 1.0, "x_politics": 0.0}),
        ("a vote in the stadium", {"x_politics": 1.0, "x_sport": 1.0}),
        ("nothing", {"x_sport": 0.0}),
    ):
        doc = nlp.make_doc(text)
        doc.cats = cats
        packed.add(doc)
    packed.to_disk(tmp_path / "docs.spacy")
    assert read_examples(tmp_path / "docs.spacy", "x_") == (*EXPECTED, NOTHING)


def test_rejected_annotations_never_vote(tmp_path):
    path = write(
        tmp_path / "prodigy.jsonl",
        {"text": "a goal", "label": "sport", "answer": "accept"},
        {"text": "a goal", "label": "politics", "answer": "reject"},
        {"text": "a vote", "label": "sport", "answer": "reject"},
        {"text": "a song", "label": "sport", "answer": "ignore"},
        {"text": "a bill", "accept": ["politics"], "answer": "accept"},
    )
    # of "a vote" only a wrong label is known: that says nothing of the others
    assert read_examples(path) == (LabelledText("a goal", ("sport",)), LabelledText("a bill", ("politics",)))


@pytest.mark.parametrize(
    "entry", [{"label": "a"}, {"label": "a", "text": " "}, {"label": "a", "text": "b", "more": "c"}, ["a", "b"]]
)
def test_entries_of_another_form_z006(entry):
    with pytest.raises(ZeroShotError, match=r"Z006.*examples"):
        check_examples([entry])


def test_a_blank_label_z003():
    with pytest.raises(ZeroShotError, match="Z003"):
        check_examples([{"label": " ", "text": "a"}])


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"text": "a"}, "Z088"),
        ({"label": "a"}, "Z088"),
        ({"text": "a", "labels": [" "]}, "Z042"),
        ({"text": "a", "labels": 5}, "Z042"),
        ({"text": "a", "labels": []}, "Z220"),
    ],
)
def test_rows_of_another_form(row, code, tmp_path):
    with pytest.raises(ZeroShotError, match=code):
        read_examples(write(tmp_path / "rows.jsonl", row))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ZeroShotError, match=r"Z060.*no such file"):
        read_examples(tmp_path / "missing.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(ZeroShotError, match="Z043"):
        read_examples(tmp_path / "empty.jsonl")
    (tmp_path / "docs.spacy").write_bytes(b"none")
    with pytest.raises(ZeroShotError, match="Z080"):
        read_examples(tmp_path / "docs.spacy")


# In the pipeline

LABELS = ["sport", "politics"]
EXAMPLES = [
    {"label": "politics", "text": SENTENCES[1]},
    {"label": "sport", "text": SENTENCES[2]},
    {"label": "sport", "text": "A late penalty; it costs $5."},
]
TEXTS = [*SENTENCES, " ".join(words(300)), ""]


def build(folder: Path, **settings: Any) -> Any:
    return make_nlp(folder, **{"labels": LABELS, **settings})


def component(nlp: Any) -> Any:
    return nlp.get_pipe("zero_shot_textcat")


def cats(nlp: Any, texts: list[str] = TEXTS) -> list[dict[str, float]]:
    return [doc.cats for doc in nlp.pipe(texts)]


def close(one: list[dict[str, float]], other: list[dict[str, float]]) -> bool:
    return all(a.keys() == b.keys() and a == pytest.approx(b, abs=1e-5) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("multi_label", [False, True])
def test_scores_are_the_mix_of_zero_shot_and_votes(nli_folder, multi_label):
    plain = build(nli_folder, multi_label=multi_label)
    mixed = build(nli_folder, multi_label=multi_label, examples=EXAMPLES, n_neighbors=2, examples_weight=0.3)
    pipe = component(mixed)
    votes, known = pipe.votes(TEXTS[:-1], pipe.label_set())
    assert known.all()
    zero_shot = np.array([[doc[label] for label in LABELS] for doc in cats(plain)[:-1]])
    expected = mix(zero_shot, votes, known, 0.3, pipe.label_set())
    found = np.array([[doc[label] for label in LABELS] for doc in cats(mixed)])
    np.testing.assert_allclose(found[:-1], expected, atol=1e-5)
    # a blank text has no neighbours
    assert cats(mixed)[-1] == cats(plain)[-1]
    assert close(cats(mixed), [mixed(text).cats for text in TEXTS])


@pytest.mark.parametrize(
    ("architecture", "fixture"),
    [
        ("NLIClassifier", "decomposed_folder"),
        ("SimilarityClassifier", "nli_folder"),
        ("MaskedLMClassifier", "masked_folder"),
    ],
)
def test_every_architecture_takes_examples(architecture, fixture, tmp_path, request):
    folder = request.getfixturevalue(fixture)
    model = {"@architectures": f"spacy_zeroshot.{architecture}.v1"}
    settings = {"model": model, "n_neighbors": 1, "examples_weight": 1.0}
    nlp = build(folder, examples=EXAMPLES, **settings)
    # an example is its own nearest neighbour
    for entry in EXAMPLES:
        assert nlp(entry["text"]).cats[entry["label"]] == pytest.approx(1.0)
    nlp.to_disk(tmp_path / "saved")
    assert close(cats(spacy.load(tmp_path / "saved")), cats(nlp))
    assert close(cats(build(folder, **settings).from_bytes(nlp.to_bytes())), cats(nlp))


def test_without_examples_or_weight_nothing_changes(nli_folder):
    expected = cats(build(nli_folder))
    assert cats(build(nli_folder, examples=[], examples_weight=1.0)) == expected
    assert cats(build(nli_folder, examples=EXAMPLES, examples_weight=0.0)) == expected


def test_a_label_without_examples_keeps_its_score(nli_folder):
    labels = [*LABELS, "music"]
    plain = cats(build(nli_folder, labels=labels))
    found = cats(build(nli_folder, labels=labels, examples=EXAMPLES, examples_weight=1.0))
    for one, other in zip(plain, found):
        assert one["music"] == pytest.approx(other["music"], abs=1e-6)
        assert sum(other.values()) == pytest.approx(1.0)
    assert not close(plain, found)


def test_labels_come_from_the_examples(nli_folder, tmp_path):
    # what stands for no label is none
    examples = [*EXAMPLES, {"label": "other", "text": "nothing"}]
    settings = {"labels": [], "none_label": "other"}
    assert component(build(nli_folder, **settings, examples=examples)).labels == ("politics", "sport")
    srsly.write_jsonl(tmp_path / "shots.jsonl", examples)
    nlp = build(nli_folder, **settings, examples=str(tmp_path / "shots.jsonl"))
    # nothing is read before it is needed
    assert component(nlp).labels == ()
    assert list(nlp(SENTENCES[0]).cats) == ["politics", "sport"]
    assert component(nlp).labels == ("politics", "sport")


def test_labels_at_run_time_and_of_one_document(nli_folder):
    nlp = build(nli_folder, examples=EXAMPLES, examples_weight=1.0, n_neighbors=1)
    plain = build(nli_folder)

    def score(pipeline, labels):
        doc = pipeline.make_doc(SENTENCES[2])
        doc._.zero_shot_labels = labels
        return pipeline(doc).cats

    # only one of these labels has examples: there is nothing to divide
    labels = ["music", "politics", "science"]
    assert score(nlp, labels) == pytest.approx(score(plain, labels), abs=1e-6)
    both = score(nlp, ["politics", "sport", "science"])
    assert both["politics"] == pytest.approx(0.0) and sum(both.values()) == pytest.approx(1.0)
    with pytest.warns(ZeroShotWarning, match=r"Z122.*politics"):
        component(nlp).set_labels(["sport", "science"])
        nlp(SENTENCES[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(nlp(SENTENCES[0]).cats) == {"sport", "science"}


def test_examples_assigned_later_vote_from_the_next_document_on(nli_folder, tmp_path):
    nlp = build(nli_folder)
    component(nlp).examples = EXAMPLES
    assert close(cats(nlp), cats(build(nli_folder, examples=EXAMPLES)))
    srsly.write_jsonl(tmp_path / "shots.jsonl", EXAMPLES[:2])
    component(nlp).examples = str(tmp_path / "shots.jsonl")
    assert close(cats(nlp), cats(build(nli_folder, examples=EXAMPLES[:2])))
    with pytest.raises(ZeroShotError, match="Z006"):
        component(nlp).examples = ["none"]
    assert len(component(nlp).examples.rows) == 2


def test_parts_of_a_document_keep_their_own_scores(nli_folder):
    spans = {"get_spans": {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 6, "stride": 6}}
    plain = build(nli_folder, spans_key="parts", **spans)
    mixed = build(nli_folder, spans_key="parts", examples=EXAMPLES, **spans)
    one, other = plain(SENTENCES[1]), mixed(SENTENCES[1])
    assert one.spans["parts"].attrs["cats"] == other.spans["parts"].attrs["cats"]
    assert one.cats != other.cats


def test_processes_and_threads_agree(nli_folder):
    nlp = build(nli_folder, examples=EXAMPLES)
    expected = cats(nlp)
    assert close(expected, [doc.cats for doc in nlp.pipe(TEXTS, n_process=2, batch_size=3)])
    fresh = build(nli_folder, examples=EXAMPLES)
    found: list[Any] = [None] * 4

    def score(i: int) -> None:
        found[i] = cats(fresh)

    threads = [threading.Thread(target=score, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(close(expected, each) for each in found)


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("form", ["entries", "a file"])
def test_round_trips(nli_folder, tmp_path, form, used):
    srsly.write_jsonl(tmp_path / "shots.jsonl", EXAMPLES)
    expected = cats(build(nli_folder, examples=EXAMPLES))
    nlp = build(nli_folder, examples=EXAMPLES if form == "entries" else str(tmp_path / "shots.jsonl"))
    if used:
        cats(nlp)
    nlp.to_disk(tmp_path / "saved")
    loaded = spacy.load(tmp_path / "saved")
    assert close(cats(loaded), expected)
    assert close(cats(build(nli_folder).from_bytes(nlp.to_bytes())), expected)
    pipe = pickle.loads(pickle.dumps(component(nlp)))
    assert close([pipe(nlp.make_doc(text)).cats for text in TEXTS], expected)
    assert close(cats(copy.deepcopy(nlp)), expected)


def test_the_file_of_examples_may_go_once_the_pipeline_is_saved(nli_folder, tmp_path):
    srsly.write_jsonl(tmp_path / "shots.jsonl", EXAMPLES)
    nlp = build(nli_folder, labels=[], examples=str(tmp_path / "shots.jsonl"))
    nlp.to_disk(tmp_path / "saved")
    (tmp_path / "shots.jsonl").unlink()
    loaded = spacy.load(tmp_path / "saved")
    assert close(cats(loaded), cats(build(nli_folder, labels=["politics", "sport"], examples=EXAMPLES)))


def test_other_examples_named_by_the_user_win(nli_folder, tmp_path):
    nlp = build(nli_folder, examples=EXAMPLES)
    cats(nlp)
    nlp.to_disk(tmp_path)
    others = [{"label": "sport", "text": SENTENCES[1]}, {"label": "politics", "text": SENTENCES[2]}]
    loaded = spacy.load(tmp_path, config={"components": {"zero_shot_textcat": {"examples": others}}})
    assert close(cats(loaded), cats(build(nli_folder, examples=others)))


def train(nlp: Any, optimizer: Any, steps: int, apart: bool = False) -> None:
    """Updates on the examples. apart: gradients and step apart, as spaCy's training loop has them."""
    gold = [
        Example.from_dict(nlp.make_doc(e["text"]), {"cats": {label: float(label == e["label"]) for label in LABELS}})
        for e in EXAMPLES
    ]
    for _ in range(steps):
        nlp.update(gold, sgd=False if apart else optimizer, annotates=["zero_shot_textcat"])
        if apart:
            component(nlp).finish_update(optimizer)


def drift(nlp: Any) -> float:
    """How far scores are from those with embeddings made anew."""
    held = cats(nlp)
    component(nlp).examples = EXAMPLES[:1]
    component(nlp).examples = EXAMPLES
    return max(abs(one["sport"] - other["sport"]) for one, other in zip(held, cats(nlp)))


@pytest.mark.parametrize("apart", [False, True])
def test_embeddings_follow_the_weights(nli_folder, apart):
    nlp = build(nli_folder, examples=EXAMPLES, examples_weight=1.0, n_neighbors=3, trainable=True)
    nlp.initialize()
    before = cats(nlp)
    train(nlp, Adam(0.01, L2=0.0), 3, apart)
    assert not close(cats(nlp), before)
    assert drift(nlp) < 1e-6


def test_embeddings_follow_averaged_weights(nli_folder):
    nlp = build(nli_folder, examples=EXAMPLES, examples_weight=1.0, n_neighbors=3, trainable=True)
    nlp.initialize()
    optimizer = Adam(0.01, L2=0.0, use_averages=True)
    train(nlp, optimizer, 8)
    trained = cats(nlp)
    with nlp.use_params(optimizer.averages):
        assert not close(cats(nlp), trained)
        assert drift(nlp) < 1e-6
    assert close(cats(nlp), trained)
    assert drift(nlp) < 1e-6


def test_initialize_forgets_what_was_learnt(nli_folder):
    nlp = build(nli_folder, examples=EXAMPLES, examples_weight=1.0, n_neighbors=3, trainable=True)
    nlp.initialize()
    before = cats(nlp)
    train(nlp, Adam(0.01, L2=0.0), 3)
    nlp.initialize()
    assert close(cats(nlp), before)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"n_neighbors": 0}, "Z007"),
        ({"examples_weight": 1.5}, "Z007"),
        ({"examples": [{"label": "a"}]}, "Z006"),
        ({"examples": [{"label": "a", "text": "${b}"}]}, "Z008"),
    ],
)
def test_settings_that_are_not_possible(settings, code, nli_folder):
    with pytest.raises(ZeroShotError, match=code):
        build(nli_folder, **settings)


def test_a_file_that_is_not_there_is_told_at_first_use_z060(nli_folder, tmp_path):
    nlp = build(nli_folder, examples=str(tmp_path / "missing.jsonl"))
    with pytest.raises(ZeroShotError, match=r"Z060.*missing.jsonl"):
        nlp(SENTENCES[0])
