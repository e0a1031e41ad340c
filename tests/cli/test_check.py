"""python -m spacy zeroshot check."""

import json
from pathlib import Path
from typing import Any, Callable

CONFIG = """
[nlp]
lang = "en"
pipeline = ["zero_shot_textcat"]
[components]
[components.zero_shot_textcat]
factory = "zero_shot_textcat"
labels = ["sport", "politics"]
window_overlap = 16
[components.zero_shot_textcat.model]
@architectures = "spacy_zeroshot.NLIClassifier.v1"
name = "FOLDER"
"""


def write(tmp_path: Path, nli_folder: Path, old: str = "", new: str = "") -> Path:
    path = tmp_path / "config.cfg"
    path.write_text(CONFIG.replace("FOLDER", str(nli_folder)).replace(old, new) if old else CONFIG)
    if not old:
        path.write_text(CONFIG.replace("FOLDER", str(nli_folder)))
    return path


def test_a_good_config_shows_its_cost(run: Callable[..., Any], nli_folder: Path, tmp_path: Path) -> None:
    result = run("check", write(tmp_path, nli_folder))
    assert result.exit_code == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "no errors, no warnings"
    assert "labels: 2, hypotheses: 2; the text is read again for every hypothesis" in result.stdout
    assert lines[4].split() == ["|", "text", "of", "|", "windows", "|", "pairs", "|", "passes", "|", "tokens", "|"]
    assert lines[6].startswith("| 100 wordpieces   |")


def test_warnings_exit_with_0(run: Callable[..., Any], pipeline_folder: Path) -> None:
    result = run("check", pipeline_folder, "--components.zero_shot_textcat.labels", '["sport","Sports"]')
    assert result.exit_code == 0, result.stdout
    assert "warning [Z070] zero_shot_textcat: the labels ['sport', 'Sports']" in result.stdout


def test_errors_exit_with_1_and_are_one_line_each(run: Callable[..., Any], nli_folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path, nli_folder, '["sport", "politics"]', '["sport", "sport"]\nhypothesis_template = "none"')
    result = run("check", path)
    assert result.exit_code == 1
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [["error", "[Z004]"], ["error", "[Z002]"]]


def test_json(run: Callable[..., Any], pipeline_folder: Path) -> None:
    result = run("check", pipeline_folder, "--json")
    found = json.loads(result.stdout)
    # the tiny model has 128 positions, and the default overlap is 64
    assert [finding["code"] for finding in found["findings"]] == ["Z075"]
    assert found["costs"]["zero_shot_textcat"][0]["pairs"] == 3


def test_broken_configs_are_findings(
    run: Callable[..., Any], nli_folder: Path, plain_folder: Path, tmp_path: Path
) -> None:
    for code, old, new in (
        ("Z061", 'labels = ["sport", "politics"]', 'labels = "sport"'),
        ("Z061", "window_overlap = 16", "no_such_setting = 16"),
        ("Z061", "window_overlap = 16", "window_overlap = ${nowhere.at_all}"),
        ("Z061", "[nlp]", "[nlp"),
        ("Z061", 'factory = "zero_shot_textcat"', 'factory = "no_such_factory"'),
        ("Z007", "window_overlap = 16", "window_overlap = -1"),
        ("Z021", str(nli_folder), str(tmp_path)),
    ):
        result = run("check", write(tmp_path, nli_folder, old, new))
        assert result.exit_code == 1, (old, new)
        assert len(result.stdout.splitlines()) == 1, result.stdout
        assert result.stdout.startswith(f"error   [{code}]"), (result.stdout, old, new)
    assert "[Z062]" in run("check", plain_folder).stdout
    assert "[Z060]" in run("check", tmp_path / "missing.cfg").stdout
    assert "[Z061]" in run("check", "no_such_package_anywhere").stdout
