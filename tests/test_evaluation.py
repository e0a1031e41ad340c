"""Evaluation of files with tiny pipelines, and figures against numbers worked out by hand."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spacy_zeroshot.component import ZeroShotTextCategorizer
from spacy_zeroshot.errors import ZeroShotError, ZeroShotWarning
from spacy_zeroshot.evaluation import entailed, evaluate, figures, spread, with_none
from spacy_zeroshot.readers import NLIPair

from .util import LABELS, SENTENCES, make_nlp


def one_hot(columns: list, n: int) -> np.ndarray:
    return np.asarray([[i == column for i in range(n)] for column in columns])


def test_single_label_by_hand() -> None:
    # gold:   a a a b b c     chosen: a a b b c a
    gold, chosen = one_hot([0, 0, 0, 1, 1, 2], 3), one_hot([0, 0, 1, 1, 2, 0], 3)
    found = figures(gold, chosen)
    # a: P 2/3, R 2/3 -> 2/3; b: P 1/2, R 1/2 -> 1/2; c: 0
    assert found.f1.tolist() == pytest.approx([2 / 3, 1 / 2, 0.0])
    assert found.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert found.micro_f1 == pytest.approx(3 / 6)
    assert found.accuracy == pytest.approx(3 / 6)


def test_multi_label_by_hand() -> None:
    gold = np.asarray([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]], dtype=bool)
    chosen = np.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 0]], dtype=bool)
    found = figures(gold, chosen)
    # a: TP 2 -> 1; b: TP 1, FP 1, FN 1 -> 1/2; the third never occurs and is not averaged
    assert found.f1.tolist() == pytest.approx([1.0, 0.5, 0.0])
    assert found.macro_f1 == pytest.approx(0.75)
    # TP 3, FP 1, FN 1
    assert found.micro_f1 == pytest.approx(6 / 8)
    # rows 2 and 3 are exactly right
    assert found.accuracy == pytest.approx(2 / 4)


def test_nothing_to_score() -> None:
    nothing = np.zeros((0, 2), dtype=bool)
    assert figures(nothing, nothing)[:3] == (0.0, 0.0, 0.0)
    empty = np.zeros((3, 2), dtype=bool)
    assert figures(empty, empty)[:3] == (0.0, 0.0, 1.0)


def test_with_none() -> None:
    rows = np.asarray([[True, False], [False, False]])
    assert with_none(rows).tolist() == [[True, False, False], [False, False, True]]


@given(st.integers(1, 6), st.data())
def test_micro_f1_is_accuracy_where_every_row_has_one_label(n: int, data: st.DataObject) -> None:
    columns = arrays(int, st.integers(1, 20), elements=st.integers(0, n - 1))
    gold = data.draw(columns)
    chosen = data.draw(arrays(int, len(gold), elements=st.integers(0, n - 1)))
    found = figures(one_hot(list(gold), n), one_hot(list(chosen), n))
    assert found.micro_f1 == pytest.approx(found.accuracy)
    assert found.accuracy == pytest.approx(float((gold == chosen).mean()))


# Files. The model is random, so what is expected is worked out from its own scores.


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(lines)
    return path


def rows_of(*labels: Sequence[str]) -> list[dict[str, Any]]:
    return [{"text": f"{SENTENCES[i % 4]} {i}", "labels": list(one)} for i, one in enumerate(labels)]


ONE_EACH = rows_of(*[[LABELS[i % 3]] for i in range(12)])


def expected(nlp: Any, rows: Sequence[dict[str, Any]], labels: Sequence[str] = LABELS) -> tuple[Any, Any]:
    """Gold and decisions by the component's own `decide`."""
    pipe = nlp.get_pipe("zero_shot_textcat")
    chosen = [pipe.decide(nlp(row["text"])).labels for row in rows]
    as_array = [
        [[label in one for label in labels] for one in lists] for lists in ([r["labels"] for r in rows], chosen)
    ]
    return np.array(as_array[0]), np.array(as_array[1])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"threshold": 0.36},
        {"multi_label": True},
        {"multi_label": True, "threshold": 0.5, "label_thresholds": [{"label": "music", "threshold": 0.1}]},
        {"multi_label": True, "top_k": 2, "threshold": 0.0},
        {"temperature": 3.0, "calibration": [{"label": "sport", "bias": 1.0}]},
        {"key_prefix": "t_"},
    ],
)
def test_a_pipeline_with_labels_is_measured_as_it_decides(nli_folder: Path, tmp_path: Path, settings: dict) -> None:
    nlp = make_nlp(nli_folder, **settings)
    (found,) = evaluate(nlp, [write(tmp_path / "news.jsonl.gz", ONE_EACH)])
    gold, chosen = expected(nlp, ONE_EACH)
    assert found[:4] == ("news", "multi-label" if "multi_label" in settings else "single-label", 12, 3)
    assert (found.macro_f1, found.micro_f1, found.accuracy) == pytest.approx(figures(gold, chosen)[:3])
    assert found.f1 == pytest.approx(dict(zip(LABELS, figures(gold, chosen).f1, strict=True)))


def test_votes_of_examples_count(nli_folder: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "labels": [label]} for text, label in zip(SENTENCES, LABELS, strict=False)]
    examples = [{"label": row["labels"][0], "text": row["text"]} for row in rows]
    nlp = make_nlp(nli_folder, examples=examples, examples_weight=1.0, n_neighbors=1)
    (found,) = evaluate(nlp, [write(tmp_path / "x.jsonl", rows)])
    assert found.accuracy == 1.0


def test_labels_the_pipeline_does_not_have_z207(nli_folder: Path, tmp_path: Path) -> None:
    nlp = make_nlp(nli_folder)
    path = write(tmp_path / "x.jsonl", [*ONE_EACH, {"text": "A text.", "labels": ["sprot"]}])
    with pytest.raises(ZeroShotError, match=r"Z207.*\['sprot'\].*--labels-from-data.*--none-label"):
        evaluate(nlp, [path])
    (found,) = evaluate(nlp, [path], labels_from_data=True)
    assert set(found.f1) == {*LABELS, "sprot"}
    (found,) = evaluate(nlp, [path], none_label="sprot")
    assert set(found.f1) == {*LABELS, "sprot"} and found.labels == 4


def test_labels_of_other_components_are_theirs(nli_folder: Path, tmp_path: Path) -> None:
    nlp = make_nlp(nli_folder, key_prefix="t_")
    nlp.add_pipe("textcat").add_label("spam")
    rows = [{"text": row["text"], "labels": [f"t_{row['labels'][0]}", "spam"]} for row in ONE_EACH]
    (found,) = evaluate(nlp, [write(tmp_path / "x.jsonl", rows)])
    (plain,) = evaluate(nlp, [write(tmp_path / "y.jsonl", ONE_EACH)])
    assert found[1:] == plain[1:]
    # with the prefix in the file, labels without it are the textcat's, also in rows that have no other
    nlp.get_pipe("textcat").add_label(LABELS[0])
    more = [*rows, {"text": "A text.", "labels": [LABELS[0]]}]
    (without,) = evaluate(nlp, [write(tmp_path / "x.jsonl", [*rows, {"text": "A text.", "labels": []}])])
    assert evaluate(nlp, [write(tmp_path / "x.jsonl", more)]) == [without]


def test_a_pipeline_without_labels_takes_those_of_each_file(nli_folder: Path, tmp_path: Path) -> None:
    nlp = make_nlp(nli_folder, labels=[])
    several = rows_of(["a", "b"], ["a"], [])
    paths = [write(tmp_path / "one.jsonl", rows_of(["a"], ["b"])), write(tmp_path / "two.jsonl", several)]
    one, two = evaluate(nlp, paths)
    assert (one.mode, two.mode) == ("single-label", "multi-label")
    assert set(one.f1) == set(two.f1) == {"a", "b"}
    assert nlp.get_pipe("zero_shot_textcat").labels == ()
    (single,) = evaluate(nlp, [paths[1]], multi_label=False)
    assert single.mode == "single-label"


def test_other_settings_are_passed_not_set(nli_folder: Path, tmp_path: Path) -> None:
    """As a pipeline made with these settings would decide; and the pipeline at hand is the same before and after."""
    nlp = make_nlp(nli_folder, key_prefix="z_")
    before = nlp.config.to_str()
    path = write(tmp_path / "x.jsonl", ONE_EACH)
    for multi_label in (False, True):
        other = make_nlp(nli_folder, hypothesis_template="The topic is {}.", multi_label=multi_label, threshold=0.35)
        (found,) = evaluate(nlp, [path], templates=["The topic is {}."], multi_label=multi_label, threshold=0.35)
        assert found.accuracy == pytest.approx(figures(*expected(other, ONE_EACH)).accuracy)
    assert nlp.config.to_str() == before


def test_none_label_is_no_hypothesis(nli_folder: Path, tmp_path: Path) -> None:
    rows = [
        *rows_of(*[[label] for label in LABELS]),
        {"text": "Nothing.", "labels": ["none"]},
        {"text": "", "labels": []},
    ]
    nlp = make_nlp(nli_folder, multi_label=True, threshold=1.0)
    (found,) = evaluate(nlp, [write(tmp_path / "x.jsonl", rows)], none_label="none")
    # nothing reaches 1.0, so "none" is said of all five: P 2/5, R 1
    assert found.f1 == pytest.approx({"sport": 0.0, "politics": 0.0, "music": 0.0, "none": 4 / 7})
    assert found.accuracy == pytest.approx(2 / 5)
    # the component's own setting counts as the option does
    nlp.get_pipe("zero_shot_textcat").none_label = "none"
    assert evaluate(nlp, [tmp_path / "x.jsonl"]) == [found]


def test_none_where_a_files_labels_compete(nli_folder: Path, tmp_path: Path) -> None:
    """Without a threshold 0.5 counts, or "none" would never be said."""
    nlp = make_nlp(nli_folder, labels=[], temperature=1000.0)
    rows = [*rows_of(["a"], ["b"], ["c"]), {"text": "Nothing.", "labels": ["none"]}]
    (found,) = evaluate(nlp, [write(tmp_path / "x.jsonl", rows)], none_label="none")
    assert found.mode == "single-label" and found.f1["none"] == pytest.approx(2 / 5)


def test_blank_texts_are_decided_nothing(nli_folder: Path, tmp_path: Path) -> None:
    rows = [
        {"text": " ", "labels": ["sport"]},
        {"text": "Music!", "labels": ["music"]},
        {"text": "Vote!", "labels": []},
    ]
    nlp = make_nlp(nli_folder, threshold=0.0)
    (found,) = evaluate(nlp, [write(tmp_path / "x.jsonl", rows)])
    assert found.f1["sport"] == 0.0 or nlp(rows[1]["text"]).cats["sport"] > 1 / 3


def test_several_right_labels_where_one_is_chosen_z123(nli_folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", rows_of(["sport", "music"], ["music"]))
    with pytest.warns(ZeroShotWarning, match=r"Z123.*1 rows.*--multi-label"):
        evaluate(make_nlp(nli_folder), [path])


def test_groups_are_evaluated_one_by_one(nli_folder: Path, tmp_path: Path) -> None:
    groups = [{"name": "topic", "labels": LABELS}, {"name": "tone", "labels": ["late", "early"], "multi_label": True}]
    nlp = make_nlp(nli_folder, labels=[], label_groups=groups)
    rows = [{"text": row["text"], "labels": [*row["labels"], "late"]} for row in ONE_EACH]
    topic, tone = evaluate(nlp, [write(tmp_path / "x.jsonl", rows)])
    assert (topic.data, topic.mode, set(topic.f1)) == ("x: topic", "single-label", set(LABELS))
    assert (tone.data, tone.mode, set(tone.f1)) == ("x: tone", "multi-label", {"late", "early"})
    alone = make_nlp(nli_folder)
    (same,) = evaluate(alone, [write(tmp_path / "y.jsonl", ONE_EACH)])
    assert same[1:] == topic[1:]
    # of a group without gold nothing is known
    assert evaluate(nlp, [write(tmp_path / "x.jsonl", ONE_EACH)]) == [topic]


def test_nli(nli_folder: Path, tmp_path: Path) -> None:
    pairs = [("A man plays.", "entailment"), ("It is late.", "neutral"), ("Nobody plays.", "contradiction")]
    rows = [{"premise": SENTENCES[2], "hypothesis": h, "label": label} for h, label in pairs]
    nlp = make_nlp(nli_folder, labels=[])
    (found,) = evaluate(nlp, [write(tmp_path / "x.jsonl", rows)])
    assert found[:4] == ("x", "nli", 3, 2) and set(found.f1) == {"entailment", "the rest"}
    said = dict(entailed(nlp.get_pipe("zero_shot_textcat"), [NLIPair(SENTENCES[2], h, True) for h, _ in pairs], 128))
    assert found.accuracy == pytest.approx(
        np.mean([said[i] == (label == "entailment") for i, (_, label) in enumerate(pairs)])
    )


def test_entailment_has_to_be_the_strongest_of_all_classes(nli_folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    pipe = make_nlp(nli_folder, labels=[]).get_pipe("zero_shot_textcat")
    premises = ["The minister resigned.", "A man plays football.", "The minister resigned."] * 4
    hypotheses = [f"This is about {word}." for word in ["sport", "music", "park", "the", "late", "observatory"] * 2]
    pairs = [NLIPair(premise, hypothesis, True) for premise, hypothesis in zip(premises, hypotheses, strict=True)]
    found = dict(entailed(pipe, pairs, 2))
    tokenizer = AutoTokenizer.from_pretrained(nli_folder)
    module = AutoModelForSequenceClassification.from_pretrained(nli_folder).eval()
    with torch.inference_mode():
        logits = module(**tokenizer(premises, hypotheses, padding=True, return_tensors="pt")).logits
    assert [found[i] for i in range(len(pairs))] == (logits.argmax(-1) == 2).tolist()


def test_other_formats_and_fields(nli_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "news.csv"
    path.write_text("title,topic\n" + "".join(f'"{row["text"]}",{row["labels"][0]}\n' for row in ONE_EACH))
    nlp = make_nlp(nli_folder)
    (found,) = evaluate(nlp, [path], text_field="title", label_field="topic")
    (same,) = evaluate(nlp, [write(tmp_path / "news.jsonl", ONE_EACH)])
    assert found == same
    with pytest.raises(ZeroShotError, match="Z088"):
        evaluate(nlp, [path])


def test_rejected_answers_do_not_count_as_right(nli_folder: Path, tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": row["labels"][0], "answer": "accept"} for row in ONE_EACH]
    rows += [{"text": "A text.", "label": "sport", "answer": "reject"}]
    (found,) = evaluate(make_nlp(nli_folder), [write(tmp_path / "x.jsonl", rows)])
    assert found.rows == len(ONE_EACH)


def test_limit_keeps_the_labels_of_the_whole_file(nli_folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", rows_of(*[[label] for label in "aaaabbbbc"]))
    (found,) = evaluate(make_nlp(nli_folder, labels=[]), [path], limit=3)
    assert (found.rows, found.labels) == (3, 3)
    assert spread(list(range(9)), 3) == [0, 3, 6]
    assert spread([1, 2], 5) == spread([1, 2], None) == [1, 2]


@pytest.mark.parametrize(("labels", "none_label"), [([], None), (["none"], "none")])
def test_z064_no_labels(nli_folder: Path, tmp_path: Path, labels: list, none_label: str | None) -> None:
    path = write(tmp_path / "x.jsonl", rows_of(labels))
    with pytest.raises(ZeroShotError, match="Z064"):
        evaluate(make_nlp(nli_folder, labels=[]), [path], none_label=none_label)


def test_a_name_is_opened(nli_folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", ONE_EACH)
    assert evaluate(nli_folder, [path])[0].labels == 3
    with pytest.raises(ZeroShotError, match="Z062"):
        evaluate(spacy.blank("en"), [path])


def test_the_same_figures_as_the_scorer(nli_folder: Path, tmp_path: Path) -> None:
    """nlp.evaluate and the command agree where every label occurs."""
    from spacy.training import Example

    nlp = make_nlp(nli_folder)
    (found,) = evaluate(nlp, [write(tmp_path / "x.jsonl", ONE_EACH)])
    gold = [{label: float(label in row["labels"]) for label in LABELS} for row in ONE_EACH]
    docs = [nlp.make_doc(row["text"]) for row in ONE_EACH]
    scores = nlp.evaluate([Example.from_dict(doc, {"cats": cats}) for doc, cats in zip(docs, gold, strict=True)])
    assert scores["cats_macro_f"] == pytest.approx(found.macro_f1)
    assert scores["cats_micro_f"] == pytest.approx(found.micro_f1)
    assert isinstance(nlp.get_pipe("zero_shot_textcat"), ZeroShotTextCategorizer)
