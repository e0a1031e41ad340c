"""python -m spacy zeroshot classify."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import spacy

from ..util import LABELS, make_nlp, run_cli

TEXTS = ["The goalkeeper saved a late penalty.", "The minister resigned."]


@pytest.fixture(scope="module")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory, nli_folder: Path) -> Path:
    """A saved pipeline around a tiny checkpoint, with labels."""
    folder = tmp_path_factory.mktemp("pipeline")
    make_nlp(nli_folder).to_disk(folder)
    return folder


def lines_of(result: Any) -> list[Any]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_json_has_the_scores_of_the_component(nli_folder: Path) -> None:
    result = run_cli("classify", *TEXTS, "--model", nli_folder, "--labels", "sport, politics,music", "--json")
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", config={"labels": LABELS, "model": {"name": str(nli_folder)}})
    for row, doc in zip(lines_of(result), nlp.pipe(TEXTS), strict=True):
        assert row["text"] == doc.text
        assert row["cats"] == pytest.approx(doc.cats, abs=1e-5)
        assert row["labels"] == [max(doc.cats, key=lambda label: doc.cats[label])]


def test_pipeline_brings_its_labels(pipeline_folder: Path) -> None:
    (row,) = lines_of(run_cli("classify", TEXTS[0], "--pipeline", pipeline_folder, "--json"))
    assert list(row["cats"]) == LABELS
    (row,) = lines_of(run_cli("classify", TEXTS[0], "-p", pipeline_folder, "-l", '["a, b", "c"]', "--json"))
    assert list(row["cats"]) == ["a, b", "c"]


def test_multi_label_templates_threshold_and_top_k(pipeline_folder: Path) -> None:
    base = ("classify", TEXTS[0], "-p", pipeline_folder, "--json")
    (single,) = lines_of(run_cli(*base))
    (multi,) = lines_of(run_cli(*base, "--multi-label"))
    (worded,) = lines_of(run_cli(*base, "-t", "The topic is {}.", "-t", "{}!"))
    assert sum(single["cats"].values()) == pytest.approx(1.0, abs=1e-5)
    assert multi["cats"] != single["cats"] != worded["cats"]
    best_first = sorted(LABELS, key=lambda label: -single["cats"][label])
    assert lines_of(run_cli(*base, "--threshold", "0.0"))[0]["labels"] == best_first
    assert lines_of(run_cli(*base, "--top-k", "2"))[0]["labels"] == best_first[:2]
    assert lines_of(run_cli(*base, "--threshold", "1.0"))[0]["labels"] == []
    assert lines_of(run_cli(*base, "--threshold", "0.0", "--top-k", "1"))[0]["labels"] == best_first[:1]


def test_the_component_decides_among_its_own_keys(nli_folder: Path, tmp_path: Path) -> None:
    nlp = make_nlp(nli_folder, name="first", labels=["a", "b"], key_prefix="1:", threshold=0.0)
    second = {"labels": ["c", "d"], "key_prefix": "2:", "threshold": 1.0, "model": {"name": str(nli_folder)}}
    nlp.add_pipe("zero_shot_textcat", name="second", config=second)
    nlp.to_disk(tmp_path)
    (row,) = lines_of(run_cli("classify", TEXTS[0], "-p", tmp_path, "--json"))
    assert list(row["cats"]) == ["a", "b"] and len(row["labels"]) == 1
    (row,) = lines_of(run_cli("classify", TEXTS[0], "-p", tmp_path, "--component", "second", "--json"))
    assert list(row["cats"]) == ["c", "d"] and row["labels"] == []


def test_standard_input_keeps_every_line(pipeline_folder: Path) -> None:
    given = "one\r\n\n세 번째 줄\nthe last, without an end"
    rows = lines_of(run_cli("classify", "-p", pipeline_folder, "--json", "--batch-size", "2", stdin=given))
    assert [row["text"] for row in rows] == ["one", "", "세 번째 줄", "the last, without an end"]
    assert list(rows[1]["cats"].values()) == pytest.approx([1 / 3] * 3, abs=1e-5) and rows[1]["labels"] == []


@pytest.mark.parametrize("length", [1, 5000])
def test_a_files_name_is_a_text_and_said_to_be_a_file(
    pipeline_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reviews.txt").write_text("Great.\nAwful.\n", encoding="utf8")
    result = run_cli("classify", "reviews.txt", "x" * length, "-p", pipeline_folder, "--json")
    assert [row["text"] for row in lines_of(result)] == ["reviews.txt", "x" * length]
    (said,) = (line for line in result.stderr.splitlines() if "was read as a text" in line)
    assert "'reviews.txt' was read as a text" in said and said.endswith("classify < reviews.txt")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_standard_input_with_a_byte_order_mark(pipeline_folder: Path, encoding: str) -> None:
    command = [sys.executable, "-m", "spacy", "zeroshot", "classify", "-p", str(pipeline_folder), "--json"]
    done = subprocess.run(command, input="één\r\n둘\r\n".encode(encoding), capture_output=True)
    assert [json.loads(line)["text"] for line in done.stdout.decode("utf8").splitlines()] == ["één", "둘"]
    assert done.stderr == b""


@pytest.mark.slow
def test_each_line_is_answered_at_once(pipeline_folder: Path) -> None:
    command = [sys.executable, "-m", "spacy", "zeroshot", "classify", "-p", str(pipeline_folder), "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, "--batch-size", "1"], stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        assert process.stdin is not None and process.stdout is not None
        for text in ("one", "two"):
            process.stdin.write(f"{text}\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == text
        process.stdin.close()
        assert process.wait(60) == 0


def test_table_shows_all_labels_or_the_chosen_ones(pipeline_folder: Path) -> None:
    shown = run_cli("classify", TEXTS[0], "", "-p", pipeline_folder).stdout
    assert all(shown.count(f" {label} ") == 2 for label in LABELS)
    assert shown.startswith(TEXTS[0])
    assert "(blank)" in shown
    assert "\x1b[" not in shown, "no colours in a pipe"
    assert all(len(line) <= 80 for line in shown.splitlines())
    best = run_cli("classify", TEXTS[0], "-p", pipeline_folder, "--top-k", "1").stdout
    assert sum(label in best for label in LABELS) == 1
    none = run_cli("classify", TEXTS[0], "-p", pipeline_folder, "--threshold", "1.0").stdout
    assert "no label reaches the threshold" in none


def test_a_text_that_fails_loses_no_other(pipeline_folder: Path, tmp_path: Path) -> None:
    nlp = spacy.load(pipeline_folder, config={"components.zero_shot_textcat.window_overlap": 5000})
    nlp.to_disk(tmp_path)
    given = "short\n" + "long " * 300 + "\nshort again\n"
    result = run_cli("classify", "-p", tmp_path, "--json", stdin=given)
    assert result.exit_code == 1
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["short", "short again"]
    assert len(result.stderr.splitlines()) == 1
    assert "[Z012]" in result.stderr and "left out" in result.stderr


def test_a_text_beyond_the_pipelines_limit_loses_no_other(pipeline_folder: Path) -> None:
    result = run_cli("classify", "-p", pipeline_folder, "--json", stdin="x" * 1_000_001 + "\nshort\n")
    assert result.exit_code == 1
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["short"]
    assert "[E088]" in result.stderr


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("Z002", ["-l", "a,b,a"]),
        ("Z004", ["-l", "a,b", "-t", "no slot"]),
        ("Z011", ["-l", "a," + "word " * 600]),
        ("Z060", ["-l", '["a", 1]']),
        ("Z060", ["-l", '["a"']),
        ("Z060", ["-l", "a,b", "--code", "no-such-file.py"]),
        ("Z062", ["-l", "a,b", "--component", "other"]),
        ("Z067", []),
        ("Z068", ["-l", "a", "-p", "somewhere"]),
    ],
)
def test_errors_are_one_line(nli_folder: Path, code: str, arguments: list[str]) -> None:
    result = run_cli("classify", "text", "-m", nli_folder, *arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert f"[{code}] " in result.stderr


def test_pipelines_that_are_none(tmp_path: Path) -> None:
    plain = spacy.blank("en")
    plain.add_pipe("sentencizer")
    plain.to_disk(tmp_path / "plain")
    for folder in (tmp_path, tmp_path / "missing", "no_such_package_anywhere"):
        result = run_cli("classify", "text", "-p", folder)
        assert result.exit_code == 1
        assert "[Z061] classify: " in result.stderr and len(result.stderr.splitlines()) == 1
    result = run_cli("classify", "text", "-p", tmp_path / "plain")
    assert result.exit_code == 1
    assert "[Z062] classify: " in result.stderr and "sentencizer" in result.stderr


def test_a_broken_config_names_the_setting(pipeline_folder: Path, tmp_path: Path) -> None:
    config = (pipeline_folder / "config.cfg").read_text().replace('pooling = "max"', 'pooling = "median"')
    shutil.copytree(pipeline_folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "config.cfg").write_text(config)
    result = run_cli("classify", "text", "-p", tmp_path)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "pooling" in result.stderr and "median" in result.stderr


def test_no_gpu(nli_folder: Path) -> None:
    from thinc.util import has_cupy_gpu

    if has_cupy_gpu:
        pytest.skip("there is a GPU")
    result = run_cli("classify", "text", "-m", nli_folder, "-l", "a,b", "--gpu-id", "0")
    assert result.exit_code == 1
    assert "[Z063]" in result.stderr


def test_a_terminal_without_texts(nli_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("spacy_zeroshot.cli.classify")
    # the test runner puts its own standard input in place, so the question is answered for it
    monkeypatch.setattr(module, "reads_terminal", lambda: True)
    result = run_cli("classify", "-m", nli_folder, "-l", "a,b")
    assert result.exit_code == 1
    assert "[Z066]" in result.stderr


def test_terminal_codes_in_a_text_are_not_printed(pipeline_folder: Path) -> None:
    shown = run_cli("classify", "\x1b[31mred\x1b[0m\x07 \x9b2Jtext", "-p", pipeline_folder).stdout
    assert "\x1b" not in shown and "\x07" not in shown and "\x9b" not in shown
    assert "red" in shown
