"""python -m spacy zeroshot annotate."""

import json
from pathlib import Path
from typing import Any

import pytest

from ..util import make_nlp, run_cli


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Five rows, one of them broken."""
    path = tmp_path / "in.jsonl"
    rows = [{"body": text, "id": i} for i, text in enumerate(("A penalty.", "A vote.", "", "A man plays."))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    return path


def test_options_and_report(nli_folder: Path, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    arguments = ["annotate", corpus, out, "-m", nli_folder, "-l", "sport,politics", "--text-field", "body",
                 "--labels-field", "topics", "--multi-label", "--threshold", "0.0", "--template", "{}"]  # fmt: skip
    result = run_cli(*arguments)
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows] == [0, 1, 2, 3]
    assert all(sorted(row["topics"]) == (["politics", "sport"] if row["body"] else []) for row in rows)
    assert rows[2]["cats"] == {"sport": 0.0, "politics": 0.0}
    assert f"{corpus}, line 5 left out: it is not JSON" in result.stderr
    assert f"4 texts labelled, 1 rows left out, see {out}.rejects.jsonl" in result.stderr and "rows/s" in result.stderr
    assert result.stderr.splitlines()[-1].endswith(f"tune {nli_folder} ROWS --output tuned")
    # again: nothing to do
    assert run_cli(*arguments).exit_code == 0
    changed = run_cli(*arguments, "--threshold", "0.9")
    assert changed.exit_code == 1 and "[Z082] annotate: " in changed.stderr and len(changed.stderr.splitlines()) == 1
    assert run_cli(*arguments, "--threshold", "0.9", "--overwrite").exit_code == 0


def test_a_saved_pipeline_and_a_file_of_labels(nli_folder: Path, tmp_path: Path) -> None:
    make_nlp(nli_folder).to_disk(tmp_path / "pipeline")
    (tmp_path / "in.txt").write_text("A penalty.\nA vote.\n")
    (tmp_path / "labels.txt").write_text("art, music\nsport\n")
    for name, options in (("a.jsonl", []), ("b.jsonl", ["--labels", tmp_path / "labels.txt"])):
        result = run_cli(
            "annotate", tmp_path / "in.txt", tmp_path / name, "--pipeline", tmp_path / "pipeline", *options
        )
        assert result.exit_code == 0, result.stderr
    first, second = (json.loads((tmp_path / name).read_text().splitlines()[0]) for name in ("a.jsonl", "b.jsonl"))
    assert set(first) == {"text", "labels", "cats"} and list(first["cats"]) == ["sport", "politics", "music"]
    assert list(second["cats"]) == ["art, music", "sport"]


def test_code_is_imported_before_the_pipeline(nli_folder: Path, tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text(
        "from spacy.language import Language\n\n"
        "@Language.component('mine_of_annotate')\ndef mine(doc):\n    return doc\n"
    )
    from spacy_zeroshot.loading import import_code

    import_code(code)
    nlp = make_nlp(nli_folder)
    nlp.add_pipe("mine_of_annotate", first=True)
    nlp.to_disk(tmp_path / "pipeline")
    (tmp_path / "in.txt").write_text("A penalty.\n")
    options: list[Any] = ["--pipeline", tmp_path / "pipeline", "--code", code]
    assert run_cli("annotate", tmp_path / "in.txt", tmp_path / "out.jsonl", *options).exit_code == 0
    result = run_cli(
        "annotate", tmp_path / "in.txt", tmp_path / "o.jsonl", *options[:2], "--code", tmp_path / "none.py"
    )
    assert result.exit_code == 1 and "[Z060]" in result.stderr


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["out.jsonl"], "Z067"),
        (["out.jsonl", "-l", "a,b", "-m", "bundled", "-p", "x"], "Z068"),
        (["out.txt", "-l", "a,b"], "Z084"),
        (["out.jsonl.gz.gz", "-l", "a,b"], "Z084"),
        (["out.jsonl", "-l", "a,b", "--cats-field", "labels"], "Z060"),
        (["out.jsonl", "-l", "no-such-labels.txt"], "Z060"),
        (["out.jsonl", "-p", "no-such-pipeline"], "Z061"),
        (["out.jsonl", "-l", "a,a"], "Z002"),
        (["out.jsonl", "-l", "a,b", "--gpu-id", "99"], "Z063"),
        (["out.jsonl", "-l", "a,b", "--text-field", "bodi"], "Z088"),
    ],
)
def test_wrong_options(corpus: Path, tmp_path: Path, options: list[str], code: str) -> None:
    result = run_cli("annotate", corpus, tmp_path / options[0], "--text-field", "body", *options[1:])
    assert result.exit_code == 1 and f"[{code}] " in result.stderr
    assert len(result.stderr.splitlines()) == 1 and not (tmp_path / options[0]).exists()


def test_missing_input_and_engine(nli_folder: Path, tmp_path: Path) -> None:
    options = ["-m", nli_folder, "-l", "a,b"]
    result = run_cli("annotate", tmp_path / "none.jsonl", tmp_path / "out.jsonl", *options)
    assert result.exit_code == 1 and "[Z080] annotate: " in result.stderr
    result = run_cli("annotate", tmp_path / "none.jsonl", tmp_path / "out.jsonl", *options, "--engine", "spark")
    assert result.exit_code == 1 and "--engine" in result.stderr


def test_rows_left_out_are_shown_up_to_a_number(nli_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "A vote."}\n' + "{broken\n" * 25)
    result = run_cli("annotate", tmp_path / "in.jsonl", tmp_path / "out.jsonl", "-m", nli_folder, "-l", "a,b")
    assert result.exit_code == 0 and result.stderr.count("left out: ") == 10
    assert "further rows that are left out are not shown" in result.stderr and "25 rows left out, see" in result.stderr
