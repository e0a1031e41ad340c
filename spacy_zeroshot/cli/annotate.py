"""python -m spacy zeroshot annotate: label a whole corpus."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Argument, Option

from ..annotation import annotate as annotate_corpus
from ..errors import ZeroShotError
from ..loading import read_label_list
from ..readers import read_rows
from ..review import Tool, write_review
from . import _util as cli

COMMAND = "annotate"
# Rows that were left out are shown one by one up to this many; all are in the rejects file
SHOWN = 10


def annotate(
    source: Annotated[Path, Argument(metavar="INPUT", help="Texts: any file the package reads")],
    output: Annotated[Path, Argument(metavar="OUTPUT", help=".jsonl, .jsonl.gz, .parquet or .spacy")],
    labels: cli.Labels = "",
    pipeline: cli.Pipeline = None,
    model: cli.Model = None,
    templates: cli.Template = None,
    multi_label: cli.MultiLabel = None,
    component: cli.Component = None,
    threshold: cli.Threshold = None,
    decided: Annotated[bool, Option("--decided", help="In .spacy: doc.cats are 1.0 or 0.0, as training needs")] = False,
    text_field: cli.TextField = "text",
    labels_field: Annotated[str, Option("--label-field", "--labels-field", help="Field for the labels")] = "labels",
    cats_field: Annotated[str, Option(help="Field for the scores")] = "cats",
    n_process: cli.Processes = 1,
    batch_size: Annotated[int, Option(min=1, help="Texts scored together")] = 256,
    chunk_size: Annotated[int, Option("--chunk-size", "--shard-size", min=1, help="Rows a killed process loses")] = 512,
    engine: Annotated[Literal["local", "ray"], Option(help="This machine, or a Ray cluster")] = "local",
    review: Annotated[int, Option(min=0, help="Write only this many texts, for a person to label")] = 0,
    review_tool: Annotated[Tool, Option(help="For which tool: Prodigy reads .jsonl, the others .json")] = "prodigy",
    overwrite: cli.Overwrite = False,
    code: cli.Code = None,
    gpu_id: cli.GpuId = -1,
) -> None:
    """Label every text of a file. Every field of the input is kept; labels and scores are added.

    Stopped at any moment, the same command goes on where it was. Rows that cannot be used go to
    OUTPUT.rejects.jsonl, and the rest goes on.

    With --review N, OUTPUT gets the N texts whose labels would teach most, in the form an annotation tool imports.

    Example: python -m spacy zeroshot annotate news.jsonl.gz labelled.jsonl --labels "politics,sport,music"
    """
    given = read_label_list(labels)
    if pipeline is None and not given:
        raise ZeroShotError("Z067")
    if review:
        if output.exists() and not overwrite:
            raise ZeroShotError("Z082", output=str(output))
        nlp, pipe = cli.open_component(pipeline, model, labels, templates, multi_label, component, code, gpu_id)
        texts = ((row.number, row.text) for row in cli.track(read_rows(source, text_field, None), None, COMMAND))
        count = write_review(nlp, pipe, texts, output, review, review_tool, batch_size)
        cli.note(f"{output}: {count:,} texts to label with {review_tool}")
        command = f"python -m spacy zeroshot tune {nlp.path or 'PIPELINE'} ANSWERS --output tuned"
        cli.note(f"Next: label them, export the answers, then {command}")
        return
    rejected = 0
    start = time.monotonic()
    with cli.Bar(COMMAND) as bar:

        def watch(done: int, fraction: float, rejects: Sequence[Mapping[str, Any]]) -> None:
            nonlocal rejected
            for reject in rejects[: max(SHOWN - rejected, 0)]:
                unit, number = next(iter(reject.items()))
                bar.console.print(f"{source}, {unit} {number} left out: {reject['error']}", soft_wrap=True)
            if rejected <= SHOWN < rejected + len(rejects):
                bar.console.print("further rows that are left out are not shown one by one", soft_wrap=True)
            rejected += len(rejects)
            bar.update(done, fraction)

        summary = annotate_corpus(
            source,
            output,
            pipeline,
            model=model,
            labels=given,
            templates=templates,
            component=component,
            multi_label=multi_label,
            text_field=text_field,
            labels_field=labels_field,
            cats_field=cats_field,
            threshold=threshold,
            decided=decided,
            batch_size=batch_size,
            chunk_size=chunk_size,
            code=code,
            gpu_id=gpu_id,
            engine=engine,
            n_process=n_process,
            overwrite=overwrite,
            watch=watch,
        )
    parts = [f"{output}: {summary.written:,} texts labelled"]
    if summary.resumed:
        parts.append(f"{summary.resumed:,} of them before")
    if summary.rejected:
        parts.append(f"{summary.rejected:,} rows left out, see {output}.rejects.jsonl")
    seconds = time.monotonic() - start
    rate = (summary.written - summary.resumed) / seconds
    cli.note(f"{', '.join(parts)}; {seconds:,.1f} s with loading, {rate:,.1f} rows/s overall")
    name = pipeline or model or "bundled"
    cli.note(f"Next: correct the labels of fifty rows, then python -m spacy zeroshot tune {name} ROWS --output tuned")
