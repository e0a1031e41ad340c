"""project/learning_curves: draws are even, every way decides, and a stopped study goes on."""

import collections
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from project.learning_curves import report, study
from spacy_zeroshot.readers import LabelledText

TINY = study.Size(30, 12, (0, 8), 1, 2)
WORDS = {
    "bug": "crash error broken",
    "feature": "add support please",
    "question": "how why where",
    "World": "minister war border",
    "Sports": "goal match team",
    "Business": "shares profit market",
    "Sci/Tech": "chip software planet",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both sets, with words that give the labels away."""
    folder = tmp_path_factory.mktemp("data")
    for chosen in study.SETS.values():
        for name in (chosen.train, chosen.test):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with gzip.open(folder / name, "wt", encoding="utf8") as lines:
                for i in range(60):
                    label = chosen.labels[i % len(chosen.labels)]
                    words = WORDS[label].split()
                    text = f"{words[i % 3]} {words[(i + 1) % 3]} number {i}"
                    lines.write(json.dumps({"text": text, "labels": [label]}) + "\n")
    return folder


def test_draws_are_even_and_nested() -> None:
    rows = [LabelledText(str(i), ("abc"[min(i // 20, 2)],)) for i in range(70)]
    for seed in (0, 1):
        places = study.order(rows, seed)
        assert sorted(places) == list(range(70))
        assert collections.Counter(rows[i].labels[0] for i in places[:9]) == {"a": 3, "b": 3, "c": 3}
        assert places == study.order(rows, seed)
    assert study.order(rows, 0) != study.order(rows, 1)


def test_the_plan() -> None:
    planned = study.plan([0, 8, study.ALL], 2, list(study.WAYS))
    assert len(planned) == len(set(planned))
    counts = collections.Counter(run.way for run in planned)
    assert counts["zero-shot"] == 2 and counts["zero-shot, tuned"] == 2 * 2 * 2
    assert counts["distilled textcat"] == 2 * 3 * 2
    # those with the most texts first
    assert planned[0].labelled == study.ALL and planned[-1].labelled == 0


@pytest.mark.slow
@pytest.mark.parametrize("way", study.WAYS)
def test_every_way_decides(way: str, data: Path, nli_folder: Path) -> None:
    pytest.importorskip("sklearn", reason="the project's requirements are not installed")
    run = study.Run("github_issues", way, 0 if way in study.FIXED else 8)
    found = study.measure(run, data, str(nli_folder), str(nli_folder), TINY)
    assert found["texts"] == 12 and found["drawn"] == run.labelled
    assert 0.0 <= found["macro_f1"] <= 1.0
    if way == "naive Bayes":
        # the words give it away
        assert found["macro_f1"] > 0.7


def test_results_survive_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    study.add_result(path, study.Run("a", "neighbours", 8, 1), macro_f1=0.5, stamp="x")
    with path.open("a") as lines:
        lines.write('{"set": "a", "wa')
    study.add_result(path, study.Run("a", "neighbours", 16, 1), macro_f1=0.6, stamp="x")
    assert [each["macro_f1"] for each in study.read_results(path)] == [0.5, 0.6]
    assert study.read_results(tmp_path / "missing.jsonl") == []


@pytest.mark.slow
def test_a_stopped_study_goes_on(
    data: Path, nli_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "FULL", TINY)
    name = str(nli_folder)
    study.main(data, tmp_path, name, name, False, 1, ["zero-shot"])
    first = (tmp_path / "results.jsonl").read_text(encoding="utf8")
    study.main(data, tmp_path, name, name, False, 1, ["zero-shot", "neighbours"])
    assert (tmp_path / "results.jsonl").read_text(encoding="utf8").startswith(first)
    assert "2 runs to do, 2 done before" in capsys.readouterr().out
    report.main(tmp_path)
    table = (tmp_path / "results.md").read_text(encoding="utf8")
    assert "| github_issues | 0 | 8 |" in table and "| neighbours |" in table
    assert (tmp_path / "learning_curves.svg").read_text(encoding="utf8").startswith("<?xml")


def result(labelled: int, macro: float, stamp: str = "x") -> dict[str, Any]:
    return {"set": "a", "way": "naive Bayes", "labelled": labelled, "macro_f1": macro, "stamp": stamp}


def test_the_table_shows_mean_and_spread_of_the_last_settings() -> None:
    results = [result(8, 0.1, "old"), *(result(8, value) for value in (0.4, 0.5, 0.6)), result(study.ALL, 0.9)]
    text = report.table(report.collect(results))
    assert "| a | 8 | all |" in text
    assert "| naive Bayes | 0.500 ± 0.100 | 0.900 |" in text
