"""python -m spacy zeroshot annotate: label a whole corpus."""

import enum
import time
from pathlib import Path
from typing import Annotated, Optional

import typer

from ..errors import ZeroShotError
from .guard import note
from .options import GpuId, Labels, Model, MultiLabel, Pipeline, Templates, make_spec

COMMAND = "annotate"


class EngineName(str, enum.Enum):
    """Where the work is done."""

    local = "local"
    ray = "ray"


def annotate(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help=".txt, .jsonl, .csv, .parquet or .spacy, plain or with .gz")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help=".jsonl, .jsonl.gz, .parquet or .spacy")],
    labels: Labels = "",
    pipeline: Pipeline = None,
    model: Model = None,
    templates: Templates = None,
    multi_label: MultiLabel = None,
    threshold: Annotated[
        Optional[float],
        typer.Option("--threshold", min=0.0, max=1.0, help="Decide for labels with at least this score"),
    ] = None,
    decided: Annotated[
        bool, typer.Option("--decided", help="In .spacy: doc.cats are 1.0 or 0.0, which spacy train takes")
    ] = False,
    text_field: Annotated[str, typer.Option("--text-field", help="The input's field with the text")] = "text",
    labels_field: Annotated[str, typer.Option("--labels-field", help="Field for the decided labels")] = "labels",
    cats_field: Annotated[str, typer.Option("--cats-field", help="Field for the scores")] = "cats",
    n_process: Annotated[int, typer.Option("--n-process", "-n", min=1, help="Processes, or Ray workers")] = 1,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Texts scored together")] = 256,
    shard_size: Annotated[int, typer.Option("--shard-size", min=1, help="Rows a kill can lose, per process")] = 1000,
    engine: Annotated[EngineName, typer.Option("--engine", help="This machine, or a Ray cluster")] = EngineName.local,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that was made with other settings")
    ] = False,
    gpu_id: GpuId = -1,
) -> None:
    """Label every text of a file. Every field of the input is kept; labels and scores are added.

    Stopped at any moment, the same command goes on where it was. Rows that cannot be used go to
    OUTPUT.rejects.jsonl, and the rest goes on.

    Example: python -m spacy zeroshot annotate news.jsonl.gz labelled.jsonl --labels "politics,sport,music"
    """
    from ..corpora.annotate import annotate as annotate_corpus
    from ..corpora.job import Job
    from ..corpora.progress import ProgressBar

    spec = make_spec(COMMAND, pipeline, model, labels, templates, multi_label, gpu_id)
    if labels_field == cats_field:
        raise ZeroShotError("Z060", COMMAND, what="--cats-field", value=cats_field, reason="it is --labels-field, too")
    job = Job(
        source,
        output,
        spec,
        text_field=text_field,
        labels_field=labels_field,
        cats_field=cats_field,
        threshold=threshold,
        decided=decided,
        batch_size=batch_size,
        shard_size=shard_size,
    )
    start = time.monotonic()
    with ProgressBar(str(source)) as bar:
        summary = annotate_corpus(job, engine=engine.value, n_process=n_process, overwrite=overwrite, watch=bar.show)
    parts = [f"{output}: {summary.written:,} texts labelled"]
    if summary.resumed:
        parts.append(f"{summary.resumed:,} of them before")
    if summary.rejected:
        parts.append(f"{summary.rejected:,} rows left out, see {job.rejects}")
    note(f"{', '.join(parts)}; {time.monotonic() - start:,.1f} s, {bar.rate:,.1f} rows/s")
