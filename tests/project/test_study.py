import collections
import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
import srsly

from spacy_zeroshot.rows import LabelledText

pytest.importorskip("sklearn", reason="the extra examples is not installed")
pytest.importorskip("matplotlib", reason="the extra report is not installed")

from scripts import report, roads, runs, sets, study
from scripts.augment import augment
from scripts.prepare import prepare

from .conftest import PROJECT

CONFIG = PROJECT.parent / "configs" / "fine_tune.cfg"
TINY: Dict[str, Any] = {"train": 30, "test": 12, "counts": (0, 8), "seeds": 1, "steps": 2}


def test_draws_are_even_and_nested() -> None:
    rows = [LabelledText(str(i), ["abc"[min(i // 20, 2)]]) for i in range(70)]
    for seed in (0, 1):
        places = sets.order(rows, seed)
        assert sorted(places) == list(range(70))
        counts = collections.Counter(rows[i].labels[0] for i in places[:9])
        assert counts == {"a": 3, "b": 3, "c": 3}
        assert places == sets.order(rows, seed)
    assert sets.order(rows, 0) != sets.order(rows, 1)
    thin = sets.thin(rows, 6)
    assert len(thin) == 6 and thin == sorted(thin, key=lambda row: int(row.text))


def test_the_plan() -> None:
    planned = runs.plan(["a", "b"], [0, 8, runs.ALL], 2)
    assert len(planned) == len(set(planned))
    by_road = collections.Counter((run.road, run.augmented) for run in planned)
    # two sets; at 0 texts nothing is drawn, so nothing can be augmented
    assert by_road[runs.ZERO, False] == 2
    assert by_road[runs.TUNED, False] == 2 * 2 * 2
    assert by_road[runs.FINE_TUNED, True] == 2 * 2 * 2
    assert by_road[runs.DISTILLED, False] == 2 * 3 * 2
    assert (runs.TUNED, True) not in by_road
    # the costly ones first
    assert planned[0].road == runs.FINE_TUNED and planned[0].labelled == runs.ALL


def test_results_survive_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    run, other = runs.Run("a", runs.BAYES, 8, 1), runs.Run("a", runs.BAYES, 16, 1, True)
    runs.add_result(path, run, macro_f1=0.5, stamp="x")
    with path.open("a") as lines:
        lines.write('{"set": "a", "ro')
    runs.add_result(path, other, macro_f1=0.6, stamp="x")
    found = runs.read_results(path)
    assert [each["macro_f1"] for each in found] == [0.5, 0.6]
    assert runs.finished(found, "x") == {run, other} and runs.finished(found, "y") == set()
    runs.add_result(path, run, macro_f1=0.7, stamp="y")
    assert [each["macro_f1"] for each in runs.newest(runs.read_results(path))] == [0.7]
    assert runs.stamp("a", 1) == runs.stamp("a", 1) != runs.stamp("a", 2)


def test_augmented_texts_keep_their_labels() -> None:
    rows = [LabelledText("Add Support for dark mode in the Editor, please. It crashes when I open it!", ["bug"])] * 9
    rows.append(LabelledText("a", ["x"]))
    found = augment(rows, 1)
    assert found[::2] == rows and [row.labels for row in found[1::2]] == [row.labels for row in rows]
    copies = [row.text for row in found[1:-2:2]]
    assert all(len(copy) < len(rows[0].text) for copy in copies)
    assert any(copy.islower() for copy in copies) and not all(copy.islower() for copy in copies)
    assert found[-1].text == "a"
    assert found == augment(rows, 1) != augment(rows, 2)


@pytest.fixture(scope="module")
def material(study_data: Path, nli_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> roads.Material:
    work = tmp_path_factory.mktemp("work")
    return study.load(sets.SETS[0], study_data, work, str(nli_folder), str(nli_folder), CONFIG, TINY)


@pytest.mark.parametrize("road", runs.ROADS)
def test_every_road_decides_on_all_texts(road: str, material: roads.Material) -> None:
    run = runs.Run(material.set.name, road, 0 if road in runs.FIXED else 8)
    found = roads.follow(run, material)
    assert found.shape == (12, 3) and found.dtype == bool
    if road not in (runs.TUNED, runs.MIXED):
        assert (found.sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("road", "labelled", "augmented"),
    [(runs.BAYES, 8, False), (runs.BAYES, 8, True), (runs.NEIGHBOURS, runs.ALL, False), (runs.MIXED, runs.ALL, False)],
)
def test_roads_that_can_learn_these_texts_do(
    road: str, labelled: int, augmented: bool, material: roads.Material
) -> None:
    gold = sets.gold(material.texts.test, material.set.labels)
    found = roads.follow(runs.Run(material.set.name, road, labelled, 0, augmented), material)
    # by chance it would be a third
    assert (found == gold).all(axis=1).mean() > 0.7


def test_arrays_are_computed_once_for_the_same_texts(
    material: roads.Material, study_data: Path, nli_folder: Path, tmp_path: Path
) -> None:
    name = str(nli_folder)
    first = prepare(material.set, material.texts, name, name, tmp_path)
    changed = (tmp_path / "prepared.npz").stat().st_mtime_ns
    again = prepare(material.set, material.texts, name, name, tmp_path)
    assert (tmp_path / "prepared.npz").stat().st_mtime_ns == changed
    assert (first.test_vectors == again.test_vectors).all()
    other = sets.Texts(material.texts.train[:5], material.texts.test)
    assert len(prepare(material.set, other, name, name, tmp_path).train_strengths) == 5


def test_the_study_runs_goes_on_and_is_reported(
    study_data: Path, nli_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "FULL", TINY)
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    options: Dict[str, Any] = {
        "model": str(nli_folder),
        "sentence_model": str(nli_folder),
        "config": CONFIG,
        "quick": False,
        "n_process": 1,
        "seeds": 0,
    }
    study.study(study_data, tmp_path, only=[runs.ZERO, runs.BAYES], **options)
    lines = (tmp_path / "results.jsonl").read_text("utf8").splitlines()
    assert len(lines) == 2 * 3
    study.study(study_data, tmp_path, only=[runs.ZERO, runs.BAYES, runs.TUNED], **options)
    results = runs.read_results(tmp_path / "results.jsonl")
    assert [json.dumps(each) for each in results[:6]] == lines and len(results) == 8
    report.report(tmp_path, tmp_path / "curves.svg")
    table = (tmp_path / "results.md").read_text("utf8")
    assert "| naive Bayes, augmented |  | 1.000 (1.000) |" in table
    assert "**ag_news**" in table and (tmp_path / "curves.svg").read_text("utf8").startswith("<?xml")


def result(road: str, labelled: int, seed: int, macro: float) -> Dict[str, Any]:
    values = {"micro_f1": macro, "macro_f1": macro, "drawn": 40 if labelled == runs.ALL else labelled}
    return {**runs.Run("a", road, labelled, seed)._asdict(), **values}


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([0.4, 0.6, 0.7], "from 16 labelled texts on"),
        ([0.6, 0.4, 0.7], "from all labelled texts on"),
        ([0.4, 0.4, 0.4], "does not overtake"),
    ],
)
def test_where_fine_tuning_overtakes_zero_shot(curve: List[float], expected: str) -> None:
    results = [result(runs.ZERO, 0, 0, 0.5)]
    results += [result(runs.FINE_TUNED, count, 0, value) for count, value in zip((8, 16, runs.ALL), curve)]
    assert expected in report.overtaking(report.collect(results), "a")
    assert report.largest(results) == {"a": 40}


def test_the_table_shows_mean_and_spread() -> None:
    results = [result(runs.BAYES, 8, seed, value) for seed, value in enumerate((0.4, 0.5, 0.6))]
    assert "| naive Bayes | 0.500 ± 0.100 (0.500) |" in report.table(report.collect(results))


def test_the_project_names_commands_that_are_there() -> None:
    project = srsly.read_yaml(PROJECT / "project.yml")
    commands = {command["name"]: command for command in project["commands"]}
    assert all(step in commands for steps in project["workflows"].values() for step in steps)
    # weasel takes no workflow with a command's name
    assert not set(project["workflows"]) & set(commands)
