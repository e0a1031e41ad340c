"""python -m spacy zeroshot distill: replace a zero-shot pipeline by a small fast one."""

from typing import Annotated, Literal

from typer import Option

from ..distillation import Recipe
from ..distillation import distill as distill_pipeline
from ..readers import read_texts
from ..tuning.score import read_gold
from . import _util as cli
from ._print import make_console, print_table

COLUMNS = ("", "accuracy", "macro-F1", "documents/s")


def distill(
    pipeline: cli.PipelineName,
    texts: cli.Texts,
    output: cli.Output,
    labels: cli.Labels = "",
    templates: cli.Template = None,
    multi_label: cli.MultiLabel = None,
    component: cli.Component = None,
    labelled: cli.Labelled = None,
    none_label: cli.NoneLabel = None,
    threshold: Annotated[float, Option(min=0.0, max=1.0, help="Score a label must reach to be learned from")] = 0.6,
    balance: Annotated[float, Option(min=0.0, help="Texts of a label per text of the rarest; 0: no limit")] = 3.0,
    architecture: Annotated[
        Literal["ensemble", "bow", "transformer"],
        Option("--architecture", "-a", help="The student: bag of words and CNN, bag of words, or an encoder"),
    ] = "ensemble",
    encoder: Annotated[str, Option(help="For transformer: a Hub name or folder")] = "distilbert-base-uncased",
    epochs: Annotated[int, Option(min=1, help="Passes over the texts at most")] = 10,
    seed: Annotated[int, Option(help="Of the student's random weights")] = 0,
    text_field: cli.TextField = "text",
    label_field: cli.LabelField = "labels",
    n_process: cli.Processes = 1,
    overwrite: cli.Overwrite = False,
    code: cli.Code = None,
    gpu_id: cli.GpuId = -1,
) -> None:
    """Train a small native spaCy textcat on the labels that a zero-shot pipeline is sure of.

    The student (OUTPUT/model-best) loads with plain spaCy, without this package.

    Example: python -m spacy zeroshot distill bundled reviews.jsonl --labels "positive,negative" --output student
    """
    recipe = Recipe(threshold, balance, architecture, encoder, epochs, seed)
    nlp, pipe = cli.open_component(pipeline, None, labels, templates, multi_label, component, code, gpu_id)
    done = distill_pipeline(
        nlp,
        read_texts(texts, text_field),
        output,
        recipe,
        component=pipe.name,
        labelled=read_gold(labelled, text_field, label_field) if labelled is not None else (),
        none_label=none_label,
        n_process=n_process,
        overwrite=overwrite,
        gpu_id=gpu_id,
        track=cli.track,
    )
    kept = ", ".join(f"{label} {count:,}" for label, count in done.kept.items())
    cli.note(f"{done.path}: learned from the teacher's surest labels on {done.texts:,} texts: {kept}")
    rows = [
        [name, found.accuracy, found.macro_f1, round(found.speed)]
        for name, found in (("teacher", done.teacher), ("student", done.student))
    ]
    print_table(make_console(), COLUMNS, [["" if value is None else value for value in row] for row in rows])
    against = "" if done.compared_with_gold else ", texts set aside, on which only agreement is known"
    cli.note(f"{done.compared_on:,} texts{against}; agreement {done.agreement:.1%}")
    cli.note(f'Next: python -m spacy evaluate {done.path} DEV.spacy, or spacy.load("{done.path}")')
