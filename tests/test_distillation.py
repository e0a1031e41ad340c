"""From unlabelled texts to a pipeline that needs nothing but spaCy."""

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from spacy.tokens import DocBin
from thinc.api import Config

from spacy_zeroshot import distillation
from spacy_zeroshot.distillation import (
    Recipe,
    distill,
    select_exclusive,
    select_independent,
    split,
    student_config,
)
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.readers import LabelledText

from .util import make_nlp, settings_for

WORDS = {"sport": ["football", "goalkeeper", "penalty"], "politics": ["minister", "vote", "parliament"]}
# the votes of examples make a teacher that knows, whatever the model's random weights say
EXAMPLES = [{"label": label, "text": f"the {word} of the"} for label, words in WORDS.items() for word in words]


def teacher_of(folder: Path, **settings: Any) -> Any:
    config = {"labels": list(WORDS), "examples": EXAMPLES, "examples_weight": 1.0, "n_neighbors": 1, **settings}
    return make_nlp(folder, **config)


def make_texts(count: int = 200) -> list[LabelledText]:
    chance = random.Random(0)
    labels = [("sport", "politics")[i % 2] for i in range(count)]
    return [LabelledText(f"the {chance.choice(WORDS[label])} of the", (label,)) for label in labels]


ROWS = make_texts()
TEXTS = [row.text for row in ROWS]
QUICK = Recipe(architecture="bow", epochs=3)


def copy_teacher(folder: Path, gpu_id: int) -> Path:
    """In place of training: a textcat that always says "sport"."""
    nlp = spacy.blank("en")
    textcat = nlp.add_pipe("textcat")
    for label in WORDS:
        textcat.add_label(label)
    nlp.initialize()
    nlp.to_disk(folder / "model-best")
    return folder / "model-best"


@pytest.mark.slow
def test_a_student_learns_from_its_teacher(nli_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    nlp = teacher_of(nli_folder)
    done = distill(nlp, TEXTS, output, QUICK, labelled=ROWS[:100])
    assert done.texts == 200 and sum(done.kept.values()) > 150
    teacher, student = done.teacher, done.student
    assert done.compared_on == 100 and teacher.accuracy == 1.0 and student.accuracy is not None
    assert student.accuracy > 0.9 and done.agreement > 0.9
    assert teacher.speed > 0 and student.speed > 0
    report = json.loads((output / "report.json").read_text())
    assert report["student"]["macro_f1"] == student.macro_f1 and report["recipe"]["epochs"] == 3
    docs = list(DocBin().from_disk(output / "train.spacy").get_docs(spacy.blank("en").vocab))
    assert {frozenset(doc.cats.values()) for doc in docs} == {frozenset((0.0, 1.0))}
    with pytest.raises(ZeroShotError, match="Z092"):
        distill(nlp, TEXTS, output, QUICK)
    _loads_without_this_package(output / "model-best")
    # anyone can train it again from what is in the folder
    config = spacy.util.load_config(output / "config.cfg", interpolate=False)
    assert config["paths"]["train"] == "train.spacy"


def _loads_without_this_package(student: Path) -> None:
    code = (
        "import sys\n"
        "class Blocker:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'spacy_zeroshot': raise ImportError(name)\n"
        "sys.meta_path.insert(0, Blocker())\n"
        # as on a machine without the package, its entry points are not there either
        "import importlib.metadata as m\n"
        "found = (e for d in m.distributions() for e in d.entry_points)\n"
        "others = m.EntryPoints(e for e in found if not e.value.startswith('spacy_zeroshot'))\n"
        "m.entry_points = lambda **wanted: others.select(**wanted)\n"
        "import spacy\n"
        f"doc = spacy.load({str(student)!r})('the penalty of the')\n"
        "assert 'spacy_zeroshot' not in sys.modules\n"
        "print(max(doc.cats, key=doc.cats.get))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "sport"


def test_the_labels_of_the_zero_shot_component_are_taught(nli_folder: Path, tmp_path: Path) -> None:
    """Not those of another textcat that comes first; and without the prefix."""
    nlp = spacy.blank("en")
    other = nlp.add_pipe("textcat_multilabel")
    for label in ("spam", "ham"):
        other.add_label(label)
    nlp.initialize()
    settings = {"multi_label": True, "key_prefix": "t_", "examples": EXAMPLES, "examples_weight": 1.0}
    nlp.add_pipe("zero_shot_textcat", config=settings_for(nli_folder, labels=list(WORDS), **settings))
    distill(nlp, TEXTS, tmp_path, replace(QUICK, epochs=1, threshold=0.5))
    student = spacy.load(tmp_path / "model-best")
    assert student.pipe_names == ["textcat_multilabel"] and sorted(student("a vote").cats) == ["politics", "sport"]


def test_without_gold_labels_agreement_is_reported(
    nli_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distillation, "train_student", copy_teacher)
    done = distill(teacher_of(nli_folder), ["", *TEXTS, " "], tmp_path / "out")
    assert not done.compared_with_gold and done.student.accuracy is None and 0.0 < done.agreement < 1.0
    assert done.texts == 200 and 0 < done.compared_on < 30


def test_z091_too_few_confident_texts(nli_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroShotError, match=r"Z091.*a student needs 10"):
        distill(teacher_of(nli_folder), [*TEXTS[:9], " "], tmp_path / "out")


def test_z091_a_single_label(nli_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroShotError, match=r"Z091.*all with the same label"):
        distill(teacher_of(nli_folder), ["the penalty of the"] * 40, tmp_path / "out")


def test_z092_folder_of_something_else(nli_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("")
    with pytest.raises(ZeroShotError, match="Z092"):
        distill(teacher_of(nli_folder), TEXTS, tmp_path)


def test_z201_gold_labels_the_teacher_does_not_have(nli_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ZeroShotError, match=r"Z201.*art"):
        distill(teacher_of(nli_folder), TEXTS, tmp_path / "out", labelled=[LabelledText("A text.", ("art",))])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("setting", [{"balance": 0.5}, {"balance": -1.0}, {"threshold": 1.5}])
def test_z060_impossible_recipe(setting: dict[str, float]) -> None:
    with pytest.raises(ZeroShotError, match="Z060"):
        Recipe(**setting)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("architecture", ["ensemble", "bow", "transformer"])
def test_the_config_builds_the_student(architecture: Any, exclusive: bool) -> None:
    """For transformer as well: spacy-transformers loads weights only when training begins."""
    config = student_config("de", exclusive, Recipe(architecture=architecture, encoder="a/name", epochs=7, seed=3), 640)
    nlp = spacy.util.load_model_from_config(Config(config), auto_fill=True, validate=True)
    wanted = "textcat" if exclusive else "textcat_multilabel"
    assert nlp.lang == "de" and nlp.pipe_names == (["transformer"] if architecture == "transformer" else []) + [wanted]
    training = config["training"]
    assert (training["max_epochs"], training["eval_frequency"]) == (7, 40 if architecture == "transformer" else 20)
    assert config["system"]["seed"] == 3
    if architecture == "transformer":
        assert nlp.config["components"]["transformer"]["model"]["name"] == "a/name"


@pytest.mark.parametrize("architecture", ["ensemble", "bow"])
def test_a_student_takes_labels_left_open(architecture: Any) -> None:
    config = student_config("en", False, Recipe(architecture=architecture), 100)
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    make = spacy.training.Example.from_dict
    docs = [make(nlp.make_doc("a text"), {"cats": cats}) for cats in ({"x": 1.0, "y": 0.0}, {"y": 1.0}, {"x": 0.0})]
    nlp.initialize(lambda: docs)
    assert nlp.update(docs)["textcat_multilabel"] > 0


# What the student learns from


def kept(targets: np.ndarray) -> list[int]:
    return np.flatnonzero(~np.isnan(targets).all(axis=1)).tolist()


def test_only_confident_texts_are_kept() -> None:
    scores = np.array([[0.9, 0.1], [0.55, 0.45], [0.2, 0.8], [0.6, 0.4]])
    targets = select_exclusive(scores, 0.6, 0)
    assert kept(targets) == [0, 2, 3]
    assert targets[[0, 2, 3]].tolist() == [[1, 0], [0, 1], [1, 0]]


def test_no_label_outweighs_the_rarest() -> None:
    sure = np.linspace(0.7, 0.99, 300)
    scores = np.concatenate([np.stack([sure, 1 - sure], axis=1), np.tile([0.1, 0.9], (30, 1))])
    targets = select_exclusive(scores, 0.6, 2.0)
    assert np.nansum(targets, axis=0).tolist() == [60, 30]
    # of the frequent label the most confident texts
    assert kept(targets)[:60] == list(range(240, 300))
    assert len(kept(select_exclusive(scores, 0.6, 0))) == 330


def test_labels_in_doubt_are_left_open() -> None:
    scores = np.array([[0.9, 0.5], [0.5, 0.5], [0.1, 0.05], [0.5, 0.1]])
    targets = select_independent(scores, 0.8, 0)
    assert kept(targets) == [0, 2]
    assert np.array_equal(targets[[0, 2]], [[1, np.nan], [0, 0]], equal_nan=True)


def test_texts_without_labels_are_balanced_too() -> None:
    scores = np.concatenate([np.tile([0.9, 0.1], (50, 1)), np.tile([0.1, 0.1], (400, 1))])
    assert len(kept(select_independent(scores, 0.8, 3.0))) == 200


@given(arrays("float64", st.tuples(st.integers(0, 60), st.just(3)), elements=st.floats(0.01, 1)), st.floats(0, 1))
def test_split_keeps_every_text_once(raw: np.ndarray, threshold: float) -> None:
    targets = select_exclusive(raw / raw.sum(axis=1, keepdims=True), threshold, 1.5)
    train, dev = split(targets)
    assert sorted([*train, *dev]) == kept(targets)
    for label in range(3):
        count = int((targets[:, label] == 1).sum())
        assert int((targets[dev, label] == 1).sum()) == count // 10
