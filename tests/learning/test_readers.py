"""Corpus readers: rows in, examples out."""

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.training import Example

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.learning.readers import JsonlNLI, JsonlTextcat, Mixture, draw_per_label
from spacy_zeroshot.rows import LabelledText

from ..test_rows import write

NLP = spacy.blank("en")
TEMPLATES = {"topic": ["about {}", "{}"]}


def texts(labels: str, n: int = 1) -> List[Dict[str, Any]]:
    return [{"text": f"{label} {i}", "labels": [label]} for i in range(n) for label in labels]


def shown(examples: Any) -> List[Any]:
    return [(example.predicted.text, dict(example.reference.cats)) for example in examples]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "topics.jsonl.gz", *texts("abcdef", 4))
    pairs = [
        {"premise": f"p{i}", "hypothesis": f"h{j}", "label": "entailment" if j else "neutral", "source": "s"}
        for i in range(3)
        for j in range(2)
    ]
    write(tmp_path / "nli.jsonl", *pairs, {**pairs[0], "premise": "med", "source": "med_x"})
    return tmp_path


def test_every_label_of_the_file_is_a_key(tmp_path: Path):
    path = write(tmp_path / "rows.jsonl.gz", *texts("ba"), {"text": "none", "labels": []})
    found = shown(JsonlTextcat(path)(NLP))
    assert found == [("b 0", {"b": 1.0, "a": 0.0}), ("a 0", {"b": 0.0, "a": 1.0}), ("none", {"b": 0.0, "a": 0.0})]


def test_a_limit_keeps_the_labels_of_the_whole_file(tmp_path: Path):
    path = write(tmp_path / "rows.jsonl", *texts("ba"))
    assert shown(JsonlTextcat(path, limit=1)(NLP)) == [("b 0", {"b": 1.0, "a": 0.0})]


def test_the_registry_knows_the_readers(tmp_path: Path):
    path = write(tmp_path / "rows.jsonl", *texts("ab", 3))
    config = {"corpus": {"@readers": "spacy_zeroshot.JsonlTextcat.v1", "path": str(path), "per_label": 1, "seed": 2}}
    reader = spacy.registry.resolve(config)["corpus"]
    assert len(list(reader(NLP))) == 2
    assert shown(reader(NLP)) == shown(reader(NLP))
    for name in ("spacy_zeroshot.JsonlNLI.v1", "spacy_zeroshot.Mixture.v1"):
        assert spacy.registry.has("readers", name)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), unique=True), max_size=20), st.integers(1, 4), st.integers(0, 9))
def test_drawing_per_label(sets: List[List[str]], per_label: int, seed: int):
    rows = [LabelledText(str(i), labels) for i, labels in enumerate(sets)]
    drawn = draw_per_label(rows, per_label, seed)
    assert drawn == draw_per_label(rows, per_label, seed)
    assert len(set(row.text for row in drawn)) == len(drawn)
    for label in "abc":
        there = sum(label in row.labels for row in rows)
        got = sum(label in row.labels for row in drawn)
        assert got >= min(per_label, there)
        if all(len(row.labels) <= 1 for row in rows):
            assert got == min(per_label, there)


def test_other_seeds_draw_other_rows():
    rows = [LabelledText(str(i), ["a"]) for i in range(100)]
    assert draw_per_label(rows, 5, 1) != draw_per_label(rows, 5, 2)


def test_hypotheses_on_one_premise_come_together(folder: Path):
    reader = JsonlNLI(folder / "nli.jsonl")
    found = shown(reader(NLP))
    assert found[0] == ("p0", {"h0": 0.0, "h1": 1.0})
    assert [text for text, _ in found] == ["p0", "p1", "p2", "med"]
    assert shown(JsonlNLI(folder / "nli.jsonl", max_hypotheses=1)(NLP))[:2] == [
        ("p0", {"h0": 0.0}),
        ("p0", {"h1": 1.0}),
    ]
    assert len(shown(JsonlNLI(folder / "nli.jsonl", limit=3)(NLP))) == 2
    for example in reader(NLP):
        assert example.predicted._.zero_shot_labels == list(example.reference.cats)


def mixture(folder: Path, seed: int = 0, **entry: Any) -> Any:
    sets = [{"file": "topics.jsonl.gz", "templates": "topic", **entry}, {"file": "nli.jsonl", "skip_sources": ["med"]}]
    return Mixture(folder, sets, TEMPLATES, seed)


def test_a_mixture_words_labels_and_mixes_files(folder: Path):
    found = shown(mixture(folder, max_negatives=2)(NLP))
    assert sorted(text for text, _ in found if text.startswith("p")) == ["p0", "p1", "p2"]
    assert not any(text == "med" for text, _ in found)
    topics = [(text, cats) for text, cats in found if not text.startswith("p")]
    assert len(topics) == 24
    for text, cats in topics:
        right = [key for key, value in cats.items() if value]
        assert right in ([f"about {text[0]}"], [text[0]])
        assert len(cats) == 3
        assert len({key.startswith("about ") for key in cats}) == 1
    # shuffled across files
    assert [text for text, _ in found] != sorted((text for text, _ in found), key=lambda text: text.startswith("p"))


def test_a_mixture_gives_texts_other_labels(folder: Path):
    letters = sorted({text[0] for text, _ in shown(mixture(folder)(NLP)) if not text.startswith("p")})
    groups = [{"first": letters[:1], "second": letters[1:2]}]
    found = [
        (text, {key.removeprefix("about "): value for key, value in cats.items()})
        for epoch in range(4)
        for text, cats in shown(mixture(folder, seed=epoch, groups=groups)(NLP))
        if not text.startswith("p")
    ]
    grouped = [(text, cats) for text, cats in found if "first" in cats]
    assert 0 < len(grouped) < len(found)
    for text, cats in grouped:
        assert cats == {"first": float(text[0] == letters[0]), "second": float(text[0] == letters[1])}
    # a text whose label is in no group keeps its own labels
    assert {text[0] for text, _ in found} == set(letters) and len(letters) > 2
    assert all(text[0] in letters[:2] for text, _ in grouped)


def test_a_mixture_is_reproduced_by_its_seed_and_drawn_anew_each_epoch(folder: Path):
    first, second = mixture(folder, seed=1), mixture(folder, seed=1)
    epochs = [shown(first(NLP)) for _ in range(2)]
    assert epochs == [shown(second(NLP)) for _ in range(2)]
    assert epochs[0] != epochs[1]
    assert shown(mixture(folder, seed=2)(NLP)) != epochs[0]


def test_a_mixture_is_limited_per_epoch(folder: Path):
    reader = mixture(folder, limit=5)
    drawn = [sorted(text for text, _ in shown(reader(NLP)) if not text.startswith("p")) for _ in range(3)]
    assert [len(each) for each in drawn] == [5, 5, 5]
    assert drawn[0] != drawn[1]


def test_a_mixture_makes_documents_one_by_one(folder: Path):
    made = []

    class Counting(spacy.lang.en.English):
        def make_doc(self, text: str) -> Any:
            made.append(text)
            return super().make_doc(text)

    stream = iter(mixture(folder)(Counting()))
    assert isinstance(next(stream), Example)
    assert len(made) == 1


@pytest.mark.parametrize("entry", [{}, {"file": "x", "limits": 3}, {"file": "x", "templates": "none"}])
def test_z006_entries_of_another_form(tmp_path: Path, entry: Dict[str, Any]):
    with pytest.raises(ZeroShotError, match="Z006"):
        Mixture(tmp_path, [entry], TEMPLATES)


def test_z004_templates_without_a_slot(tmp_path: Path):
    with pytest.raises(ZeroShotError, match="Z004"):
        Mixture(tmp_path, [], {"topic": ["about"]})


@pytest.mark.parametrize("make", [JsonlTextcat, JsonlNLI])
def test_z042_z043_z060_reach_the_user(tmp_path: Path, make: Any):
    path = write(tmp_path / "rows.jsonl", json.dumps({"a": 1}))
    with pytest.raises(ZeroShotError, match=r"Z042.*line 1"):
        list(make(path)(NLP))
    with pytest.raises(ZeroShotError, match="Z043"):
        list(make(write(tmp_path / "empty.jsonl"))(NLP))
    with pytest.raises(ZeroShotError, match="Z060"):
        list(make(tmp_path / "missing.jsonl")(NLP))
