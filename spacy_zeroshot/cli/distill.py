"""python -m spacy zeroshot distill: replace a zero-shot pipeline by a small fast one."""

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, List, Optional

import typer

from .bars import make_console, print_table
from .guard import note
from .options import GpuId, Labels, MultiLabel, Templates, make_spec

if TYPE_CHECKING:
    from ..distillation.distill import Distilled

COMMAND = "distill"


class ArchitectureName(str, enum.Enum):
    """What the student is."""

    ensemble = "ensemble"
    bow = "bow"
    transformer = "transformer"


def distill(
    teacher: Annotated[
        str, typer.Argument(metavar="PIPELINE", help='The teacher: a pipeline, "bundled", or a checkpoint')
    ],
    texts: Annotated[Path, typer.Argument(metavar="TEXTS", help="Unlabelled texts: any file that annotate reads")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the student and what it learned from")],
    labels: Labels = "",
    templates: Templates = None,
    multi_label: MultiLabel = None,
    labelled: Annotated[
        Optional[Path],
        typer.Option("--labelled", help='Compare teacher and student on these: {"text", "labels"} per line'),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="Compare on at most this many; 0 for all")] = 0,
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
        ArchitectureName, typer.Option("--architecture", "-a", help="The student: bag of words and CNN, or either")
    ] = ArchitectureName.ensemble,
    encoder: Annotated[
        str, typer.Option("--encoder", help="For --architecture transformer: a Hub name or folder")
    ] = "distilbert-base-uncased",
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the texts at most")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Of the student's random weights")] = 0,
    text_field: Annotated[str, typer.Option("--text-field", help="The field of TEXTS with the text")] = "text",
    n_process: Annotated[int, typer.Option("--n-process", "-n", min=1, help="Processes for the teacher")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what the folder holds")] = False,
    gpu_id: GpuId = -1,
) -> None:
    """Train a small native spaCy textcat on the labels that a zero-shot pipeline is sure of.

    The student (OUTPUT/model-best) loads with plain spaCy, without this package.

    Example: python -m spacy zeroshot distill bundled reviews.jsonl --labels "positive,negative" --output student
    """
    from ..corpora.pipelines import PipelineSpec
    from ..corpora.progress import ProgressBar
    from ..distillation.distill import Recipe
    from ..distillation.distill import distill as distill_pipeline

    named = PipelineSpec.of(teacher)
    model = named.model if named.pipeline is None else None
    spec = make_spec(COMMAND, named.pipeline, model, labels, templates, multi_label, gpu_id)
    recipe = Recipe(threshold, balance, temperature, architecture.value, encoder, epochs, seed, limit)
    with ProgressBar(str(texts)) as bar:
        done = distill_pipeline(
            spec,
            texts,
            output,
            recipe,
            labelled=labelled,
            text_field=text_field,
            n_process=n_process,
            overwrite=overwrite,
            watch=bar.show,
        )
    kept = ", ".join(f"{label} {count:,}" for label, count in done.kept.items())
    note(f"{done.student}: learned from the teacher's surest labels on {done.texts:,} texts: {kept}")
    print_table(make_console(), COLUMNS, rows_of(done))
    against = "" if done.gold else ", texts set aside, on which only agreement is known"
    note(f"{done.comparison.texts:,} texts{against}; agreement {done.comparison.agreement:.1%}")


COLUMNS = ("", "accuracy", "macro-F1", "documents/s, one core", "MB")


def rows_of(done: "Distilled") -> List[List[Any]]:
    """The table of a comparison.

    done (Distilled): What distillation gave.
    RETURNS (List[List[Any]]): Teacher and student.
    """
    rows: List[List[Any]] = []
    for name, scores in (("teacher", done.comparison.teacher), ("student", done.comparison.student)):
        found = ["" if value is None else f"{value:.1%}" for value in (scores.accuracy, scores.macro_f1)]
        rows.append([name, *found, f"{scores.speed:,.0f}", f"{scores.size:,.1f}"])
    return rows
