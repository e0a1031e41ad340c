"""python -m spacy zeroshot distill."""

import json
from pathlib import Path

import spacy

from ..test_distillation import EXAMPLES, TEXTS, teacher_of
from ..util import run_cli


def test_distill_reports_and_writes_a_native_pipeline(nli_folder: Path, tmp_path: Path) -> None:
    teacher_of(nli_folder).to_disk(tmp_path / "teacher")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS[:120]))
    rows = [{"title": "the penalty of the", "topic": ["sport"]}, {"title": "the vote of the", "topic": ["politics"]}]
    (tmp_path / "gold.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [*rows * 5, {"title": "hm", "topic": "other"}])
    )
    output = tmp_path / "student"
    arguments = ["distill", tmp_path / "teacher", tmp_path / "texts.txt", "--output", output, "--architecture", "bow",
                 "--epochs", 1, "--multi-label", "--threshold", 0.5]  # fmt: skip
    labelled = ["--labelled", tmp_path / "gold.jsonl", "--label-field", "topic", "--none-label", "other"]
    # the fields' names are those of both files
    assert "Z088" in run_cli(*arguments, *labelled).stderr
    (tmp_path / "gold.jsonl").write_text((tmp_path / "gold.jsonl").read_text().replace('"title"', '"text"'))
    result = run_cli(*arguments, *labelled)
    assert result.exit_code == 0, result.stderr
    assert "| teacher |" in result.stdout and "| student |" in result.stdout
    assert "11 texts; agreement" in result.stderr
    assert result.stderr.splitlines()[-1].startswith(f"Next: python -m spacy evaluate {output / 'model-best'} ")
    student = spacy.load(output / "model-best")
    assert student.pipe_names == ["textcat_multilabel"]
    assert sorted(student("a vote").cats) == sorted({one["label"] for one in EXAMPLES})
    assert json.loads((output / "report.json").read_text())["compared_with_gold"] is True
    again = run_cli(*arguments)
    assert again.exit_code == 1 and "[Z092] distill: " in again.stderr


def test_labels_are_needed(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("A text.\n")
    result = run_cli("distill", "bundled", tmp_path / "texts.txt", "--output", tmp_path / "out")
    assert result.exit_code == 1 and "[Z067]" in result.stderr
