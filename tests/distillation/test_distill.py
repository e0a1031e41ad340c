"""From unlabelled texts to a pipeline that needs nothing but spaCy."""

import json
import random
import subprocess
import sys

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_zeroshot.corpora.pipelines import PipelineSpec
from spacy_zeroshot.distillation import distill as module
from spacy_zeroshot.distillation.comparison import compare, folder_size
from spacy_zeroshot.distillation.distill import Recipe, distill
from spacy_zeroshot.distillation.student import write_config
from spacy_zeroshot.errors import ZeroShotError

WORDS = {"sport": ["goal", "penalty", "match"], "politics": ["minister", "vote", "law"]}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A teacher that knows: a textcat trained on telling words."""
    nlp = spacy.blank("en")
    nlp.add_pipe("textcat", config={"model": {"@architectures": "spacy.TextCatBOW.v3", "exclusive_classes": True,
                                              "ngram_size": 1, "no_output_layer": False}})  # fmt: skip
    make = spacy.training.Example.from_dict
    examples = [
        make(nlp.make_doc(word), {"cats": {label: float(label == right) for label in WORDS}})
        for right, words in WORDS.items()
        for word in words
    ]
    spacy.util.fix_random_seed(0)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = 0.1
    for _ in range(100):
        nlp.update(examples, sgd=optimizer)
    folder = tmp_path_factory.mktemp("teacher")
    nlp.to_disk(folder)
    return PipelineSpec(pipeline=str(folder))


@pytest.fixture
def texts(tmp_path):
    """Unlabelled texts, and the same with labels."""
    chance = random.Random(0)
    rows = []
    for i in range(200):
        label = ("sport", "politics")[i % 2]
        rows.append({"text": f"the {chance.choice(WORDS[label])} of the day {i}", "labels": [label]})
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "texts.txt").write_text("\n".join(row["text"] for row in rows))
    return tmp_path


def test_a_student_learns_from_its_teacher(teacher, texts, tmp_path):
    output = tmp_path / "out"
    recipe = Recipe(architecture="bow", epochs=3, limit=100)
    done = distill(teacher, texts / "texts.txt", output, recipe, labelled=texts / "labelled.jsonl")
    assert done.texts == 200 and sum(done.kept.values()) > 150
    assert done.comparison.texts == 100 and done.comparison.student.accuracy > 0.9
    assert done.comparison.agreement > 0.9 and done.comparison.speedup > 0
    report = json.loads((output / "report.json").read_text())
    assert report["student"]["macro_f1"] == done.comparison.student.macro_f1
    docs = list(DocBin().from_disk(output / "train.spacy").get_docs(spacy.blank("en").vocab))
    assert {frozenset(doc.cats.values()) for doc in docs} == {frozenset((0.0, 1.0))}
    with pytest.raises(ZeroShotError, match="Z092"):
        distill(teacher, texts / "texts.txt", output, recipe)
    _loads_without_this_package(output / "model-best")


def _loads_without_this_package(student):
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
        f"doc = spacy.load({str(student)!r})('the penalty of the day')\n"
        "assert 'spacy_zeroshot' not in sys.modules\n"
        "print(max(doc.cats, key=doc.cats.get))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "sport"


def test_without_gold_labels_agreement_is_reported(teacher, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "train_student", lambda folder, gpu_id: _copy(teacher, folder))
    done = distill(teacher, texts / "texts.txt", tmp_path / "out")
    assert not done.gold and done.comparison.student.accuracy is None and done.comparison.agreement == 1.0
    assert 0 < done.comparison.texts < 30


def _copy(teacher, folder):
    spacy.load(teacher.pipeline).to_disk(folder / "model-best")
    return folder / "model-best"


def test_z091_too_few_confident_texts(teacher, texts, tmp_path):
    with pytest.raises(ZeroShotError, match=r"Z091.*a student needs 10"):
        distill(teacher, texts / "texts.txt", tmp_path / "out", Recipe(threshold=1.0, temperature=50.0))
    # what the teacher said is kept, so another threshold costs nothing
    assert (tmp_path / "out" / "labelled.jsonl").exists()


def test_z091_a_single_label(teacher, tmp_path):
    (tmp_path / "texts.txt").write_text("goal penalty match\n" * 40)
    with pytest.raises(ZeroShotError, match=r"Z091.*all with the same label"):
        distill(teacher, tmp_path / "texts.txt", tmp_path / "out")


def test_z092_folder_of_something_else(teacher, texts, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").write_text("")
    with pytest.raises(ZeroShotError, match="Z092"):
        distill(teacher, texts / "texts.txt", tmp_path / "out")


@pytest.mark.parametrize("setting", [{"temperature": 0.0}, {"balance": 0.5}, {"threshold": 1.5}])
def test_z060_impossible_recipe(teacher, texts, tmp_path, setting):
    with pytest.raises(ZeroShotError, match="Z060"):
        distill(teacher, texts / "texts.txt", tmp_path / "out", Recipe(**setting))


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("architecture", ["ensemble", "bow", "transformer"])
def test_the_config_builds_the_student(architecture, exclusive, tmp_path):
    """For transformer as well: spacy-transformers loads weights only when training begins."""
    path = tmp_path / "config.cfg"
    path.write_text(write_config("de", exclusive, architecture, encoder="a/name"))
    nlp = spacy.util.load_model_from_config(spacy.util.load_config(path), auto_fill=True, validate=True)
    wanted = "textcat" if exclusive else "textcat_multilabel"
    assert nlp.lang == "de" and nlp.pipe_names == (["transformer"] if architecture == "transformer" else []) + [wanted]


def test_an_ensemble_student_takes_labels_left_open(tmp_path):
    path = tmp_path / "config.cfg"
    path.write_text(write_config("en", False))
    nlp = spacy.util.load_model_from_config(spacy.util.load_config(path), auto_fill=True)
    make = spacy.training.Example.from_dict
    docs = [make(nlp.make_doc("a text"), {"cats": cats}) for cats in ({"x": 1.0, "y": 0.0}, {"y": 1.0}, {"x": 0.0})]
    nlp.initialize(lambda: docs)
    assert nlp.update(docs)["textcat_multilabel"] > 0


def test_comparison_by_hand(teacher, tmp_path):
    nlp = spacy.load(teacher.pipeline)
    found = compare(nlp, nlp, ["goal match", "vote law", "law"], [["sport"], ["politics"], ["sport"]], (1.0, 2.0))
    assert found.teacher.accuracy == pytest.approx(2 / 3) and found.agreement == 1.0
    assert found.teacher.macro_f1 == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert (found.teacher.size, found.student.size) == (1.0, 2.0)
    (tmp_path / "f").write_bytes(b"x" * (1 << 20))
    assert folder_size(tmp_path) == 1.0
