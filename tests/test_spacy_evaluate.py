"""`spacy evaluate` and `spacy zeroshot evaluate` say the same."""

import json

import pytest
import spacy

from spacy_zeroshot.benchmarks.spacy_evaluate import evaluate_rows
from spacy_zeroshot.evaluation import PipelineJudge, Rules, evaluate_file
from spacy_zeroshot.rows import LabelledText

SINGLE = [
    LabelledText("The keeper saved a penalty in extra time.", ["sport"]),
    LabelledText("Parliament passed the budget last night.", ["politics"]),
    LabelledText("The striker says the vote was close.", ["sport"]),
    LabelledText("Ministers met the union leaders again.", ["politics"]),
    LabelledText("A recipe for bread.", ["politics"]),
]


@pytest.mark.parametrize("more", [[], [LabelledText("The minister opened the stadium.", ["politics", "sport"])]])
def test_both_commands_agree(tmp_path, more):
    rows = [*SINGLE, *more]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row._asdict()) for row in rows), encoding="utf8")
    nlp = spacy.blank("en")
    judge = PipelineJudge(nlp, nlp.add_pipe("zero_shot_textcat"))
    ours = evaluate_file(path, judge, Rules())
    theirs = evaluate_rows(rows, tmp_path)
    assert ours.mode == ("multi-label" if more else "single-label")
    assert theirs["cats_macro_f"] == pytest.approx(ours.macro_f1)
    assert theirs["cats_micro_f"] == pytest.approx(ours.micro_f1)
