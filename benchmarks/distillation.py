"""Training without labels: python -m benchmarks.distillation DATA.

The bundled model, calibrated on unlabelled texts, teaches native textcats on sst2 and ag_news, whose gold labels it
does not see; teacher and students are then compared on labelled texts.
"""

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import spacy
import typer
from spacy.language import Language

from spacy_zeroshot import calibrate, distill
from spacy_zeroshot.cli._print import make_console, print_table
from spacy_zeroshot.distillation import Recipe, Result
from spacy_zeroshot.evaluation import spread
from spacy_zeroshot.readers import read_labelled, read_texts
from spacy_zeroshot.tuning.settings import apply_settings

NAME = "zero_shot_textcat"
ARCHITECTURES: tuple[Literal["ensemble", "bow"], ...] = ("ensemble", "bow")
# Unlabelled texts that the teacher is calibrated with
CALIBRATED_ON = 500
COLUMNS = ("set", "pipeline", "accuracy", "macro-F1", "agreement", "documents/s", "times faster")


class Set(NamedTuple):
    """A data set: unlabelled texts, the file both are compared on, and what the teacher is asked."""

    texts: str
    labelled: str
    labels: list[str]
    template: str


SETS = {
    "sst2": Set(
        "clf/study/sst2.train.jsonl.gz",
        "clf/eval/sst2.jsonl.gz",
        ["positive", "negative"],
        "This example is {}.",
    ),
    "ag_news": Set(
        "clf/study/ag_news.train_subset.jsonl.gz",
        "clf/eval/ag_news.jsonl.gz",
        ["World", "Sports", "Business", "Sci/Tech"],
        "This example is {}.",
    ),
}


def make_teacher(chosen: Set, texts: list[str], model: str) -> Language:
    """The checkpoint, its bias towards labels taken away with unlabelled texts."""
    nlp = spacy.blank("en")
    config = {"labels": chosen.labels, "hypothesis_template": chosen.template, "model": {"name": model}}
    nlp.add_pipe(NAME, config=config)
    apply_settings(nlp, NAME, calibrate(nlp, texts[:CALIBRATED_ON]).settings)
    return nlp


def measure(name: str, data: Path, output: Path, model: str, limit: int, recipe: Recipe) -> list[list[Any]]:
    """Rows of the table: the teacher, and a student of each architecture."""
    chosen = SETS[name]
    texts = read_texts(data / chosen.texts)[: limit or None]
    labelled = spread(read_labelled(data / chosen.labelled), limit or None)
    teacher = make_teacher(chosen, texts, model)
    rows: list[list[Any]] = []
    for architecture in ARCHITECTURES:
        changed = Recipe(recipe.threshold, recipe.balance, architecture=architecture, epochs=recipe.epochs)
        done = distill(teacher, texts, output / name / architecture, changed, labelled=labelled)
        if not rows:
            rows.append(as_row(name, "teacher", done.teacher, 1.0, done.teacher))
        rows.append(as_row("", f"student, {architecture}", done.student, done.agreement, done.teacher))
    return rows


def as_row(name: str, pipeline: str, found: Result, agreement: float, teacher: Result) -> list[Any]:
    """A line of the table."""
    shares = [f"{share or 0.0:.1%}" for share in (found.accuracy, found.macro_f1, agreement)]
    return [name, pipeline, *shares, round(found.speed), round(found.speed / teacher.speed)]


def main(
    data: Annotated[Path, typer.Argument(help="The folder with clf/.")],
    limit: Annotated[int, typer.Option(help="Texts to learn from and to compare on, of each set; 0 for all.")] = 0,
    only: Annotated[str, typer.Option("--set", help="sst2 or ag_news; both if not given.")] = "",
    model: Annotated[str, typer.Option(help="The teacher's checkpoint.")] = "bundled",
    threshold: Annotated[float, typer.Option(help="Confidence of a label.")] = 0.6,
) -> None:
    """Print the table. Speed is that of this process: set OMP_NUM_THREADS=1 for one core."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = [
            row
            for name in SETS
            if only in ("", name)
            for row in measure(name, data, Path(scratch), model, limit, Recipe(threshold=threshold))
        ]
    print_table(make_console(), COLUMNS, rows)


if __name__ == "__main__":
    typer.run(main)
