"""Texts for a person to label: which ones, in the form of three tools, and their answers read back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.decisions import Rule
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.labels import LabelGroup, LabelSet
from spacy_zeroshot.readers import LabelledText, read_labelled
from spacy_zeroshot.review import choose_for_review, spread, uncertainty

from .util import LABELS, SENTENCES, TEXTS, make_nlp, run_cli

# Forms of exports as the tools document them
LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"text": "A penalty.", "row": 3},
        "annotations": [
            {
                "id": 1001,
                "was_cancelled": False,
                "ground_truth": False,
                "completed_by": 1,
                "result": [
                    {
                        "value": {"choices": ["sport", "news"]},
                        "id": "Dx_aB91ISN",
                        "from_name": "labels",
                        "to_name": "text",
                        "type": "choices",
                        "origin": "manual",
                    }
                ],
            }
        ],
        "predictions": [],
    },
    {"id": 2, "data": {"text": "Skipped."}, "annotations": [{"id": 1, "was_cancelled": True, "result": []}]},
    {"id": 3, "data": {"text": "Nothing fits."}, "annotations": [{"id": 1, "was_cancelled": False, "result": []}]},
    {"id": 4, "data": {"text": "Not seen yet."}, "annotations": []},
]
ARGILLA = [
    {
        "id": "3",
        "fields": {"text": "A penalty."},
        "metadata": {},
        "suggestions": {"labels": {"value": "music", "score": None, "agent": "spacy-zeroshot"}},
        "responses": {"labels": [{"value": ["sport", "news"], "user_id": "a", "status": "submitted"}]},
        "vectors": {},
        "_server_id": None,
    },
    {"id": "4", "fields": {"text": "Skipped."}, "responses": {"labels": [{"value": "x", "status": "discarded"}]}},
    {"id": "5", "fields": {"text": "One."}, "responses": {"labels": [{"value": "sport", "user_id": "a"}]}},
    {"id": "6", "fields": {"text": "Not seen yet."}, "responses": {}},
]
# what label-studio-sdk 2.1's converter writes as JSON_MIN and CSV, and argilla 2.8's to_list(flatten=True)
SHORT = {"annotator": 1, "created_at": "2026-01-01T00:00:00Z", "lead_time": 1.0}
LABEL_STUDIO_SHORT = [
    {"text": "A penalty.", "row": 3, "id": 1, "labels": {"choices": ["sport", "news"]}, "annotation_id": 1, **SHORT},
    {"text": "One.", "id": 2, "labels": "sport", "annotation_id": 2, **SHORT},
    {"text": "Nothing fits.", "id": 3, "annotation_id": 3, **SHORT},
    {"text": "Not seen yet.", "id": 5, "annotator": None, "annotation_id": None, "created_at": None, "lead_time": None},
]
LABEL_STUDIO_CSV = """\
"annotation_id","annotator","created_at","id","labels","lead_time","row","text"
1,"1","2026-01-01T00:00:00Z",1,"{""choices"":[""sport"",""news""]}",1.0,3,"A penalty."
2,"1","2026-01-01T00:00:00Z",2,"sport",1.0,"","One."
3,"1","2026-01-01T00:00:00Z",3,"",1.0,"","Nothing fits."
"","","",5,"","","","Not seen yet."
"""
ARGILLA_TABLE = [
    {
        "id": number,
        "status": "completed",
        "text": text,
        "labels.responses": None if value is None else [value],
        "labels.responses.status": None if value is None else [status],
        "labels.suggestion": "music",
    }
    for number, (text, value, status) in enumerate(
        [
            ("A penalty.", ["sport", "news"], "submitted"),
            ("Skipped.", ["x"], "discarded"),
            ("One.", "sport", "submitted"),
            ("Not seen yet.", None, None),
        ]
    )
]
OPTIONS = [{"id": label, "text": label} for label in ("sport", "news")]
PRODIGY = [
    {"text": "A penalty.", "options": OPTIONS, "accept": ["sport", "news"], "answer": "accept", "_view_id": "choice"},
    {"text": "Nothing fits.", "options": OPTIONS, "accept": [], "answer": "accept"},
    {"text": "Skipped.", "options": OPTIONS, "answer": "ignore"},
    {"text": "Unclear.", "options": OPTIONS, "accept": [], "answer": "reject"},
    {"text": "One.", "label": "sport", "answer": "accept"},
    {"text": "Another.", "label": "sport", "answer": "reject"},
]


@pytest.fixture(scope="module")
def nlp(decomposed_folder: Path) -> Any:
    return make_nlp(decomposed_folder)


def label_set(*groups: tuple[int, bool]) -> LabelSet:
    made, start = [], 0
    for size, exclusive in groups:
        made.append(LabelGroup(str(start), start, start + size, exclusive))
        start += size
    labels = tuple("abcdef"[:start])
    return LabelSet(labels, labels, (1,) * start, tuple(made))


def test_uncertainty_by_hand() -> None:
    rules = [Rule(0.5), Rule(0.5, {"e": 0.9})]
    assert uncertainty(np.array([0.7, 0.2, 0.1]), label_set((3, True)), rules) == pytest.approx(0.5)
    # d is 0.5 from its threshold, e 0.1
    mixed = label_set((3, True), (2, False))
    assert uncertainty(np.array([1.0, 0.0, 0.0, 0.0, 0.8]), mixed, rules) == pytest.approx(0.8)
    assert uncertainty(np.array([0.5, 0.5, 0.0, 0.0, 0.8]), mixed, rules) == pytest.approx(1.0)


def test_spread_takes_the_unsure_and_then_the_distant() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert spread(np.array([1.0, 0.9, 0.5, 0.01]), vectors, 4) == [0, 2, 3, 1]
    # where a text teaches more alone than a distant one that is sure
    assert spread(np.array([1.0, 0.9, 0.0, 0.0]), vectors, 2) == [0, 1]


@given(st.integers(0, 12), st.integers(0, 15), st.integers(0, 99))
def test_spread_chooses_each_row_once(rows: int, n: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = spread(random.random(rows).round(1), vectors, n)
    assert len(chosen) == len(set(chosen)) == min(rows, n)


def test_copies_and_blank_texts_are_not_asked_for_first(nlp: Any) -> None:
    texts = [*TEXTS, *SENTENCES[:3], SENTENCES[1], SENTENCES[1], " "]
    pipe = nlp.get_pipe("zero_shot_textcat")
    tasks = choose_for_review(nlp, pipe, enumerate(texts, start=1), 5)
    assert len({task.text for task in tasks}) == 5 and all(task.text.strip() for task in tasks)
    assert tasks[0].uncertainty == max(task.uncertainty for task in tasks)
    assert all(texts[task.number - 1] == task.text and len(task.suggested) == 1 for task in tasks)
    with pytest.raises(ZeroShotError, match="Z200"):
        choose_for_review(nlp, pipe, [(1, ""), (2, " ")], 5)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("a.json", LABEL_STUDIO),
        ("a.json", LABEL_STUDIO_SHORT),
        ("a.csv", LABEL_STUDIO_CSV),
        ("a.json", ARGILLA),
        ("a.json", ARGILLA_TABLE),
        ("a.jsonl", ARGILLA_TABLE),
        ("a.jsonl", PRODIGY),
    ],
)
def test_answers_are_read_back(tmp_path: Path, name: str, rows: Any) -> None:
    text = json.dumps(rows) if name == "a.json" else rows
    if name == "a.jsonl":
        text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / name).write_text(text, encoding="utf8")
    found = read_labelled(tmp_path / name)
    assert found[0] == LabelledText("A penalty.", ("sport", "news"))
    rest = {row.text: row for row in found[1:]}
    assert set(rest) <= {"Nothing fits.", "One.", "Another."}
    assert rows is LABEL_STUDIO or rest["One."] == LabelledText("One.", ("sport",))
    if "Nothing fits." in rest:
        assert rest["Nothing fits."] == LabelledText("Nothing fits.", ())
    if "Another." in rest:
        assert rest["Another."] == LabelledText("Another.", (), ("sport",))


def test_a_list_that_is_none(tmp_path: Path) -> None:
    for content, code in [('{"text": "a"}', "Z080"), ("[1]", "Z042"), ("[]", "Z043"), ("[", "Z080"), ("", "Z043")]:
        (tmp_path / "a.json").write_text(content, encoding="utf8")
        with pytest.raises(ZeroShotError, match=code):
            read_labelled(tmp_path / "a.json")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"body": text}) + "\n" for text in SENTENCES), encoding="utf8")
    return path


def review(corpus: Path, folder: Path, output: str, *options: str) -> Any:
    path = corpus.parent / output
    given = ["annotate", corpus, path, "--model", folder, "--labels", ",".join(LABELS), "--text-field", "body"]
    done = run_cli(*given, "--review", "3", *options)
    return done, path


def test_command_writes_prodigys_choice_tasks(corpus: Path, decomposed_folder: Path) -> None:
    done, path = review(corpus, decomposed_folder, "tasks.jsonl")
    assert done.exit_code == 0 and "Next: label them" in done.stderr
    tasks = [json.loads(line) for line in path.read_text(encoding="utf8").splitlines()]
    assert len(tasks) == 3 and {task["text"] for task in tasks} <= set(SENTENCES)
    for task in tasks:
        assert [option["id"] for option in task["options"]] == LABELS and set(task) == {"text", "options", "meta"}
        assert task["meta"]["suggested"] in LABELS and SENTENCES[task["meta"]["row"] - 1] == task["text"]
    done, _ = review(corpus, decomposed_folder, "tasks.jsonl")
    assert done.exit_code == 1 and "Z082" in done.stderr
    assert review(corpus, decomposed_folder, "tasks.jsonl", "--overwrite")[0].exit_code == 0


def test_command_writes_label_studio_tasks(corpus: Path, decomposed_folder: Path) -> None:
    done, path = review(corpus, decomposed_folder, "tasks.json", "--review-tool", "label-studio")
    assert done.exit_code == 0, done.stderr
    for task in json.loads(path.read_text(encoding="utf8")):
        (result,) = task["predictions"][0]["result"]
        assert SENTENCES[task["data"]["row"] - 1] == task["data"]["text"]
        assert (result["from_name"], result["to_name"], result["type"]) == ("labels", "text", "choices")
        assert result["value"]["choices"][0] in LABELS
    done, _ = review(corpus, decomposed_folder, "other.jsonl", "--review-tool", "label-studio")
    assert done.exit_code == 1 and "Z084" in done.stderr


def test_command_writes_argilla_records(corpus: Path, decomposed_folder: Path) -> None:
    _, path = review(corpus, decomposed_folder, "single.json", "--review-tool", "argilla")
    single = json.loads(path.read_text(encoding="utf8"))
    assert all(record["suggestions"]["labels"]["value"] in LABELS for record in single)
    _, path = review(corpus, decomposed_folder, "several.json", "--review-tool", "argilla", "--multi-label")
    several = json.loads(path.read_text(encoding="utf8"))
    assert all(set(record) <= {"id", "fields", "suggestions"} and record["fields"]["text"] for record in several)
    assert all(isinstance(r["suggestions"]["labels"]["value"], list) for r in several if "suggestions" in r)


def test_answers_are_evaluated_and_annotated(tmp_path: Path, decomposed_folder: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps(LABEL_STUDIO[:1] * 2), encoding="utf8")
    done = run_cli("evaluate", decomposed_folder, path, "--labels-from-data")
    assert done.exit_code == 0, done.stdout + done.stderr


def test_a_json_list_is_annotated_as_any_other_file(tmp_path: Path, decomposed_folder: Path) -> None:
    path = tmp_path / "texts.json"
    path.write_text(json.dumps([{"text": text, "id": i} for i, text in enumerate(SENTENCES)]), encoding="utf8")
    output = tmp_path / "out.jsonl"
    done = run_cli("annotate", path, output, "--model", decomposed_folder, "--labels", "sport,music")
    assert done.exit_code == 0, done.stderr
    rows = [json.loads(line) for line in output.read_text(encoding="utf8").splitlines()]
    assert (
        [row["text"] for row in rows] == SENTENCES and rows[2]["id"] == 2 and set(rows[0]["cats"]) == {"sport", "music"}
    )
