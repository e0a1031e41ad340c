"""python -m spacy zeroshot distill: replace a zero-shot pipeline by a small fast one."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ._print import make_console, print_table
from ._util import (
    Code,
    Component,
    GpuId,
    LabelField,
    Labels,
    MultiLabel,
    Template,
    TextField,
    note,
    open_component,
    run,
    track,
)

COMMAND = "distill"
COLUMNS = ("", "accuracy", "macro-F1", "documents/s", "MB")


def distill(
    teacher: Annotated[
        str, typer.Argument(metavar="PIPELINE", help='The teacher: a pipeline, "bundled", or a checkpoint')
    ],
    texts: Annotated[Path, typer.Argument(metavar="TEXTS", help="Unlabelled texts: any file the package reads")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the student and what it learned from")],
    labels: Labels = "",
    templates: Template = None,
    multi_label: MultiLabel = None,
    component: Component = None,
    labelled: Annotated[
        Path | None, typer.Option("--labelled", help="Labelled texts to compare teacher and student on")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Compare on at most this many")] = None,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.0, max=1.0, help="Confidence a label must reach to be learned from")
    ] = 0.6,
    balance: Annotated[
        float, typer.Option("--balance", min=0.0, help="Texts of a label per text of the rarest; 0: no limit")
    ] = 3.0,
    temperature: Annotated[
        float, typer.Option("--temperature", help="Of the teacher's scores; above 1: less sure")
    ] = 1.0,
    architecture: Annotated[
        Literal["ensemble", "bow", "transformer"],
        typer.Option("--architecture", "-a", help="The student: bag of words and CNN, bag of words, or an encoder"),
    ] = "ensemble",
    encoder: Annotated[
        str, typer.Option("--encoder", help="For --architecture transformer: a Hub name or folder")
    ] = "distilbert-base-uncased",
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the texts at most")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Of the student's random weights")] = 0,
    text_field: TextField = "text",
    label_field: LabelField = "labels",
    n_process: Annotated[int, typer.Option("--n-process", "-n", min=1, help="Processes for the teacher")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what the folder holds")] = False,
    code: Code = None,
    gpu_id: GpuId = -1,
) -> None:
    """Train a small native spaCy textcat on the labels that a zero-shot pipeline is sure of.

    The student (OUTPUT/model-best) loads with plain spaCy, without this package.

    Example: python -m spacy zeroshot distill bundled reviews.jsonl --labels "positive,negative" --output student
    """
    from ..distillation import Recipe
    from ..distillation import distill as distill_pipeline
    from ..readers import read_texts
    from ..tuning.score import read_gold

    with run(COMMAND):
        recipe = Recipe(threshold, balance, temperature, architecture, encoder, epochs, seed)
        nlp, pipe = open_component(teacher, None, labels, templates, multi_label, component, code=code, gpu_id=gpu_id)
        done = distill_pipeline(
            nlp,
            read_texts(texts, text_field),
            output,
            recipe,
            component=pipe.name,
            labelled=read_gold(labelled, text_field, label_field) if labelled is not None else (),
            limit=limit,
            n_process=n_process,
            overwrite=overwrite,
            gpu_id=gpu_id,
            track=track,
        )
        kept = ", ".join(f"{label} {count:,}" for label, count in done.kept.items())
        note(f"{done.student}: learned from the teacher's surest labels on {done.texts:,} texts: {kept}")
        rows: list[list[Any]] = []
        for name, found in (("teacher", done.teacher_result), ("student", done.student_result)):
            shares = ["" if value is None else f"{value:.1%}" for value in (found.accuracy, found.macro_f1)]
            rows.append([name, *shares, f"{found.speed:,.0f}", f"{found.size:,.1f}"])
        print_table(make_console(), COLUMNS, rows)
        against = "" if done.compared_with_gold else ", texts set aside, on which only agreement is known"
        note(f"{done.compared_on:,} texts{against}; agreement {done.agreement:.1%}")
        note(f'Next: python -m spacy evaluate {done.student} DEV.spacy, or spacy.load("{done.student}")')
