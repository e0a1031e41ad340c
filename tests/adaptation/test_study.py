import collections
import gzip
import json
from pathlib import Path

import pytest
import spacy

from spacy_zeroshot.adaptation.few_shot import FEWEST_STEPS, MOST_STEPS, fine_tune, steps_for
from spacy_zeroshot.adaptation.study import LABELS, TEST, TRAIN, draw, study
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.rows import LabelledText

from ..tiny import SENTENCES

CONFIG = Path(__file__).parents[2] / "configs" / "fine_tune.cfg"
ROWS = [LabelledText(f"{SENTENCES[i % 3]} {i}", [LABELS[i % 3]]) for i in range(30)]


def test_draws_are_even_and_nested() -> None:
    drawn = draw(ROWS, 7, 0)
    assert sorted(collections.Counter(row.labels[0] for row in drawn).values()) == [2, 2, 3]
    assert draw(ROWS, 4, 0) == drawn[:4] and draw(ROWS, 7, 1) != drawn


def test_steps_are_bounded() -> None:
    assert [steps_for(n) for n in (1, 80, 10_000)] == [FEWEST_STEPS, 100, MOST_STEPS]


def test_fine_tuning_gives_a_pipeline(nli_folder: Path, tmp_path: Path) -> None:
    wordings = [{"label": label, "text": f"A {label}."} for label in LABELS]
    folder = fine_tune(
        ROWS[:6], CONFIG, tmp_path, model=str(nli_folder), labels=LABELS, hypotheses=wordings, seed=1, steps=3
    )
    nlp = spacy.load(folder)
    assert list(nlp(SENTENCES[0]).cats) == list(LABELS)
    pipe = nlp.get_pipe("zero_shot_textcat")
    assert pipe.wording().hypotheses == ("A bug.", "A feature.", "A question.")


def test_the_study_prints_its_table(nli_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("accelerate", reason="the extra adapt is not installed")
    for name in (TRAIN, TEST):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with gzip.open(path, "wt", encoding="utf8") as lines:
            lines.writelines(json.dumps(row._asdict()) + "\n" for row in ROWS)
    options = {"model": str(nli_folder), "config": CONFIG, "counts": "6", "seeds": 2, "limit": 9}
    study(tmp_path, output=tmp_path / "out", steps=2, characters=100, fine_tune_steps=2, **options)
    printed = capsys.readouterr().out
    assert "adapted, 2 steps" in printed and "as it is" in printed and " to " in printed
    with pytest.raises(ZeroShotError, match="Z060.*github_issues"):
        study(tmp_path / "none", output=None, steps=2, characters=100, fine_tune_steps=2, **options)
