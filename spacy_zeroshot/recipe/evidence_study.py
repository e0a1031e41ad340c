"""What each kind of evidence of the bundled model is worth: python -m spacy_zeroshot.recipe.evidence_study FILE ...

The same checkpoint scores the same texts three times: with the head's entailment alone, with the cosine of text and
hypothesis alone, and with both added up in one logit, as it is shipped. Beside them stands the encoder it started from.
"""

from pathlib import Path
from typing import Any, List, Optional

import spacy
import typer

from ..cli.bars import make_console, print_table
from ..evaluation import PipelineJudge, Rules, evaluate_file, name_of

SIMILARITY = "spacy_zeroshot.SimilarityClassifier.v1"
FILES = typer.Argument(..., help="Labelled texts, .jsonl or .jsonl.gz.", exists=True, dir_okay=False)
BASE = typer.Option(None, help="all-MiniLM-L6-v2's folder, for its cosine.")
NONE_LABEL = typer.Option(None, help='A gold label that means "no label fits".')


def both() -> PipelineJudge:
    """RETURNS (PipelineJudge): The bundled model as it is."""
    nlp = spacy.blank("en")
    pipe: Any = nlp.add_pipe("zero_shot_textcat")
    return PipelineJudge(nlp, pipe)


def entailment_alone() -> PipelineJudge:
    """RETURNS (PipelineJudge): The bundled model without its cosine."""
    judge = both()
    shim: Any = judge.pipe.model.shims[0]
    shim.runtime.layout.similarity = None
    return judge


def cosine_alone(name: str) -> PipelineJudge:
    """The cosine of an encoder's embeddings.

    name (str): "bundled" or a folder.
    RETURNS (PipelineJudge): Scores by it.
    """
    nlp = spacy.blank("en")
    pipe: Any = nlp.add_pipe("zero_shot_textcat", config={"model": {"@architectures": SIMILARITY, "name": name}})
    return PipelineJudge(nlp, pipe)


def main(
    files: List[Path] = FILES, base: Optional[Path] = BASE, limit: int = 500, none_label: Optional[str] = NONE_LABEL
) -> None:
    """Print macro-F1 by file and kind of evidence."""
    judges = {"entailment alone": entailment_alone(), "cosine alone": cosine_alone("bundled"), "both": both()}
    if base is not None:
        judges["cosine of the base model"] = cosine_alone(str(base))
    rules = Rules(limit=limit or None, none_label=none_label)
    rows: List[List[Any]] = []
    for path in files:
        outcomes = [evaluate_file(path, judge, rules) for judge in judges.values()]
        rows.append([name_of(path), outcomes[0].rows, *(outcome.macro_f1 for outcome in outcomes)])
    means = [sum(row[i] for row in rows) / len(rows) for i in range(2, 2 + len(judges))]
    rows.append(["mean", sum(row[1] for row in rows), *means])
    print_table(make_console(), ["data", "rows", *judges], rows)


if __name__ == "__main__":
    typer.run(main)
