"""python -m spacy zeroshot check."""

import json
from pathlib import Path
from typing import Any

import pytest
import spacy

from ..util import make_nlp, run_cli

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


@pytest.fixture(scope="module")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory, nli_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    make_nlp(nli_folder).to_disk(folder)
    return folder


def write(tmp_path: Path, nli_folder: Path, old: str = "", new: str = "") -> Path:
    path = tmp_path / "config.cfg"
    text = CONFIG.replace("FOLDER", str(nli_folder))
    path.write_text(text.replace(old, new) if old else text)
    return path


def test_a_good_config_shows_its_cost(nli_folder: Path, tmp_path: Path) -> None:
    result = run_cli("check", write(tmp_path, nli_folder))
    assert result.exit_code == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "no errors, no warnings"
    assert "labels: 2, hypotheses: 2; the text is read again for every hypothesis" in result.stdout
    columns = ["wordpieces", "labels", "windows", "pairs", "passes", "tokens"]
    assert [cell.strip() for cell in lines[4].strip("|").split("|")] == columns
    costs = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[6:]]
    assert [row[:2] for row in costs[:3]] == [["100", "2"], ["500", "2"], ["5,000", "2"]]
    assert [row[:2] for row in costs[3:]] == [["100", "10"], ["100", "100"], ["100", "1,000"]]


def test_warnings_exit_with_0(pipeline_folder: Path) -> None:
    result = run_cli("check", pipeline_folder, "--components.zero_shot_textcat.labels", '["sport","Sports"]')
    assert result.exit_code == 0, result.stdout
    assert "warning [Z070] zero_shot_textcat: the labels ['sport', 'Sports']" in result.stdout


def test_errors_exit_with_1_and_are_one_line(nli_folder: Path, tmp_path: Path) -> None:
    for code, wrong in (
        ("Z004", '["sport"]\nhypothesis_template = "none"'),
        ("Z002", '["sport", "sport"]'),
        ("Z005", '["sport"]\nhypotheses = [{"label": "x", "text": "y"}]'),
        ("Z009", '["sport"]\nlabel_thresholds = [{"label": "z", "threshold": 0.5}]'),
    ):
        result = run_cli("check", write(tmp_path, nli_folder, '["sport", "politics"]', wrong))
        assert result.exit_code == 1
        assert [line.split()[:3] for line in result.stdout.splitlines()] == [
            ["error", f"[{code}]", "zero_shot_textcat:"]
        ]


def test_json(pipeline_folder: Path) -> None:
    result = run_cli("check", pipeline_folder, "--json")
    found = json.loads(result.stdout)
    # the tiny model has 128 positions, and the default overlap is 64
    assert [finding["code"] for finding in found["findings"]] == ["Z075"]
    assert found["costs"]["zero_shot_textcat"][0]["pairs"] == 3


def test_broken_configs_are_issues(nli_folder: Path, tmp_path: Path) -> None:
    for code, old, new in (
        ("Z061", 'labels = ["sport", "politics"]', 'labels = "sport"'),
        ("Z061", "window_overlap = 16", "no_such_setting = 16"),
        ("Z061", "window_overlap = 16", "window_overlap = ${nowhere.at_all}"),
        ("Z061", "[nlp]", "[nlp"),
        ("Z061", 'factory = "zero_shot_textcat"', 'factory = "no_such_factory"'),
        ("Z007", "window_overlap = 16", "window_overlap = -1"),
        ("Z021", str(nli_folder), str(tmp_path)),
    ):
        result = run_cli("check", write(tmp_path, nli_folder, old, new))
        assert result.exit_code == 1, (old, new)
        assert len(result.stdout.splitlines()) == 1, result.stdout
        assert result.stdout.startswith(f"error   [{code}]"), (result.stdout, old, new)
    plain = spacy.blank("en")
    plain.add_pipe("sentencizer")
    plain.to_disk(tmp_path / "plain")
    assert "[Z062]" in run_cli("check", tmp_path / "plain").stdout
    assert "[Z060]" in run_cli("check", tmp_path / "missing.cfg").stdout
    assert "[Z061]" in run_cli("check", "no_such_package_anywhere").stdout


def test_a_component_of_the_users_own(nli_folder: Path, tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text(
        "from spacy.language import Language\n\n"
        "@Language.component('mine_of_test_check')\ndef mine(doc):\n    return doc\n"
    )
    path = write(tmp_path, nli_folder)
    text = path.read_text().replace('pipeline = ["zero', 'pipeline = ["mine","zero')
    path.write_text(text + '\n[components.mine]\nfactory = "mine_of_test_check"\n')
    assert "[Z061]" in run_cli("check", path).stdout
    result = run_cli("check", path, "--code", code)
    assert result.exit_code == 0 and "no errors, no warnings" in result.stdout, result.stdout


def test_a_template_is_proposed(pipeline_folder: Path) -> None:
    result = run_cli("check", pipeline_folder, "--components.zero_shot_textcat.labels", '["정치","스포츠"]')
    assert result.exit_code == 0, result.stdout
    assert "[Z230]" in result.stdout and "이 글은 {}에 관한 것이다." in result.stdout


def test_texts_of_any_format(pipeline_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("body\n" + "A man plays football.\n" * 5)
    result = run_cli("check", pipeline_folder, "--texts", path, "--text-field", "body", "--json")
    found: dict[str, Any] = json.loads(result.stdout)
    assert {issue["component"] for issue in found["findings"]} == {"zero_shot_textcat"}
    result = run_cli("check", pipeline_folder, "--texts", path)
    assert result.exit_code == 1 and "[Z088] check: " in result.stderr
