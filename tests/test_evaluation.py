"""Evaluation of files, with given scores and with a tiny pipeline."""

import gzip
import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import pytest
import spacy

from spacy_zeroshot.baseline import CosineJudge
from spacy_zeroshot.decisions import Rule, default_rule
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.evaluation import PipelineJudge, Rules, entailment_margins, evaluate_file, spread
from spacy_zeroshot.rows import NLIPair


class Given:
    """A judge that reads scores off the text: "a=.9 b=.2"."""

    def __init__(self) -> None:
        self.labels: List[str] = []

    def scores(self, texts: Sequence[str], labels: Sequence[str], compete: bool) -> Iterator[np.ndarray]:
        self.labels = list(labels)
        for text in texts:
            found = dict(part.split("=") for part in text.split())
            yield np.asarray([float(found.get(label, 0.0)) for label in labels])

    def entailed(self, pairs: Sequence[NLIPair]) -> Iterator[Tuple[int, bool]]:
        for number in reversed(range(len(pairs))):
            yield number, pairs[number].hypothesis == "yes"

    def rule(self, compete: bool) -> Rule:
        return default_rule(compete, 0.5)


def write(path: Path, rows: Sequence[Dict[str, Any]]) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(lines)
    return path


def rows_of(*rows: Tuple[str, List[str]]) -> List[Dict[str, Any]]:
    return [{"text": text, "labels": labels} for text, labels in rows]


def test_single_label(tmp_path: Path) -> None:
    rows = rows_of(("a=.4 b=.3", ["a"]), ("a=.1 b=.2", ["a"]), ("b=.9", ["b"]), ("a=.3 b=.4", ["b"]))
    found = evaluate_file(write(tmp_path / "news.jsonl.gz", rows), Given(), Rules())
    assert found[:4] == ("news", "single-label", 4, 2)
    # a: TP 1, FN 1 -> 2/3; b: TP 2, FP 1 -> 4/5
    assert found.f1 == pytest.approx({"a": 2 / 3, "b": 4 / 5})
    assert found.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found.accuracy == found.micro_f1 == pytest.approx(3 / 4)


def test_multi_label_by_threshold(tmp_path: Path) -> None:
    rows = rows_of(("a=.9 b=.6", ["a", "b"]), ("a=.5", ["a"]), ("b=.7", []))
    path = write(tmp_path / "x.jsonl", rows)
    found = evaluate_file(path, Given(), Rules())
    assert found.mode == "multi-label"
    # a: TP 2 -> 1; b: TP 1, FP 1 -> 2/3
    assert found.f1 == pytest.approx({"a": 1.0, "b": 2 / 3})
    assert found.micro_f1 == pytest.approx(6 / 7)
    assert found.accuracy == pytest.approx(2 / 3)
    single = evaluate_file(path, Given(), Rules(multi_label=False))
    assert (single.mode, single.accuracy) == ("single-label", pytest.approx(1 / 3))


def test_none_label_is_no_hypothesis(tmp_path: Path) -> None:
    rows = rows_of(("a=.9", ["a"]), ("a=.1 b=.2", ["none"]), ("b=.9", ["none"]), ("b=.9 a=.8", ["a", "b"]))
    path = write(tmp_path / "x.jsonl", rows)
    judge = Given()
    found = evaluate_file(path, judge, Rules(none_label="none"))
    assert judge.labels == ["a", "b"]
    # a: TP 2 -> 1; b: TP 1, FP 1 -> 2/3; none: TP 1, FN 1 -> 2/3
    assert found.f1 == pytest.approx({"a": 1.0, "b": 2 / 3, "none": 2 / 3})
    assert found.accuracy == pytest.approx(3 / 4)
    evaluate_file(path, judge, Rules())
    assert judge.labels == ["a", "none", "b"]


def test_none_label_where_labels_compete(tmp_path: Path) -> None:
    rows = rows_of(("a=.9 b=.6", ["a"]), ("a=.4 b=.3", ["none"]), ("b=.4", ["b"]))
    found = evaluate_file(write(tmp_path / "x.jsonl", rows), Given(), Rules(none_label="none"))
    assert found.mode == "single-label"
    assert found.f1 == pytest.approx({"a": 1.0, "b": 0.0, "none": 2 / 3})


def test_nli(tmp_path: Path) -> None:
    pairs = [("yes", "entailment"), ("yes", "neutral"), ("no", "contradiction"), ("no", "entailment")]
    rows = [{"premise": "p", "hypothesis": h, "label": label} for h, label in pairs]
    found = evaluate_file(write(tmp_path / "x.jsonl", rows), Given(), Rules())
    assert found[:4] == ("x", "nli", 4, 2)
    assert found.accuracy == pytest.approx(2 / 4)
    assert found.f1 == pytest.approx({"entailment": 1 / 2, "the rest": 1 / 2})


def test_limit_keeps_the_labels_of_the_whole_file(tmp_path: Path) -> None:
    rows = rows_of(*[(f"{label}=1", [label]) for label in "aaaabbbbc"])
    judge = Given()
    found = evaluate_file(write(tmp_path / "x.jsonl", rows), judge, Rules(limit=3))
    assert judge.labels == ["a", "b", "c"]
    assert (found.rows, found.macro_f1) == (3, 1.0)
    assert spread(list(range(9)), 3) == [0, 3, 6]
    assert spread([1, 2], 5) == spread([1, 2], None) == [1, 2]


@pytest.mark.parametrize(
    ("rows", "rules"), [(rows_of(("a=1", [])), Rules()), (rows_of(("a=1", ["none"])), Rules(none_label="none"))]
)
def test_z064_no_labels(tmp_path: Path, rows: List[Dict[str, Any]], rules: Rules) -> None:
    with pytest.raises(ZeroShotError, match="Z064"):
        evaluate_file(write(tmp_path / "x.jsonl", rows), Given(), rules)


def test_neutral_is_not_entailment() -> None:
    logits = np.asarray([[[1.0, -3.0, 2.0], [2.0, -3.0, 1.0]]])
    assert entailment_margins(logits).tolist() == [[-1.0, 1.0]]


def test_pipeline_judge_asks_as_the_component_would(nli_folder: Path) -> None:
    nlp = spacy.blank("en")
    settings = {"labels": ["other"], "key_prefix": "z_", "model": {"name": str(nli_folder)}}
    pipe = nlp.add_pipe("zero_shot_textcat", config=settings)
    texts = ["The minister resigned.", "A man plays football."]
    judge = PipelineJudge(nlp, pipe, ["The topic is {}."], batch_size=2)
    for compete in (True, False):
        config = {
            "labels": ["sport", "politics"],
            "hypothesis_template": "The topic is {}.",
            "multi_label": not compete,
            "model": {"name": str(nli_folder)},
        }
        plain = spacy.blank("en")
        plain.add_pipe("zero_shot_textcat", config=config)
        expected = [list(doc.cats.values()) for doc in plain.pipe(texts)]
        found = list(judge.scores(texts, ["sport", "politics"], compete))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (pipe.labels, pipe.multi_label, pipe.templates) == (("other",), False, ("This text is about {}.",))


def test_pipeline_judge_takes_the_best_of_all_classes(nli_folder: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("zero_shot_textcat", config={"model": {"name": str(nli_folder), "precision": "float32"}})
    premises = ["The minister resigned.", "A man plays football.", "The minister resigned."] * 4
    hypotheses = [f"This is about {word}." for word in ["sport", "music", "park", "the", "late", "observatory"] * 2]
    pairs = [NLIPair(premise, hypothesis, True) for premise, hypothesis in zip(premises, hypotheses, strict=True)]
    found = dict(PipelineJudge(nlp, pipe, batch_size=2).entailed(pairs))
    tokenizer = AutoTokenizer.from_pretrained(nli_folder)
    module = AutoModelForSequenceClassification.from_pretrained(nli_folder).eval()
    with torch.inference_mode():
        logits = module(**tokenizer(premises, hypotheses, padding=True, return_tensors="pt")).logits
    assert [found[i] for i in range(len(pairs))] == (logits.argmax(-1) == 2).tolist()


def test_thresholds_of_the_pipeline_or_the_option(nli_folder: Path) -> None:
    nlp = spacy.blank("en")
    own = [{"label": "a", "threshold": 0.7}]
    config = {"labels": ["a", "b"], "threshold": 0.4, "label_thresholds": own, "model": {"name": str(nli_folder)}}
    pipe = nlp.add_pipe("zero_shot_textcat", config=config)
    assert PipelineJudge(nlp, pipe).rule(compete=False) == Rule(0.4, {"a": 0.7})
    assert PipelineJudge(nlp, pipe, threshold=0.0).rule(compete=False) == Rule(0.0)


def test_cosine_baseline(nli_folder: Path) -> None:
    judge = CosineJudge(str(nli_folder), ["{}", "about {}"], batch_size=2)
    texts = ["The minister resigned.", "sport", "A man plays football in the park."]
    values = np.stack(list(judge.scores(texts, ["sport", "music"], True)))
    assert values.shape == (3, 2)
    exact = np.stack(list(CosineJudge(str(nli_folder), ["{}"]).scores(texts, ["sport", "music"], True)))
    about = np.stack(list(CosineJudge(str(nli_folder), ["about {}"]).scores(texts, ["sport", "music"], True)))
    assert exact[1, 0] == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(values, (exact + about) / 2, atol=1e-5)
    pairs = [NLIPair("sport", "sport", True), NLIPair("long " * 500, "sport", False)]
    assert dict(judge.entailed(pairs))[0]
    assert CosineJudge(str(nli_folder), threshold=0.3).rule(compete=False) == Rule(0.3)


def test_z065_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(ZeroShotError, match="Z065"):
        CosineJudge(str(tmp_path))
