"""python -m spacy zeroshot evaluate: figures on labelled files."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._print import make_console, print_table
from ._util import Code, Component, GpuId, LabelField, Labels, Template, TextField, note, run, track

if TYPE_CHECKING:
    from ..evaluation import Outcome

COMMAND = "evaluate"
COLUMNS = ("data", "rows", "labels", "macro-F1", "micro-F1", "accuracy", "mode")


def evaluate(
    pipeline: Annotated[
        str, typer.Argument(metavar="PIPELINE", help='A pipeline\'s folder or package, "bundled", or a checkpoint')
    ],
    data: Annotated[list[Path], typer.Argument(metavar="DATA", help="Files of labelled texts or NLI pairs")],
    labels: Labels = "",
    labels_from_data: Annotated[
        bool, typer.Option("--labels-from-data", help="Score each file with its own labels, not the pipeline's")
    ] = False,
    templates: Template = None,
    multi_label: Annotated[
        bool | None,
        typer.Option("--multi-label/--single-label", help="In place of the pipeline's mode, or what a file suggests"),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=0.0, max=1.0, help="In place of the pipeline's")
    ] = None,
    none_label: Annotated[
        str | None, typer.Option("--none-label", help='A gold label that means "no label fits", e.g. out-of-domain')
    ] = None,
    component: Component = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Rows of each file, evenly spread")] = None,
    text_field: TextField = "text",
    label_field: LabelField = "labels",
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, with the F1 of every label")] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Texts scored together")] = 128,
    code: Code = None,
    gpu_id: GpuId = -1,
) -> None:
    """Evaluate a pipeline on files of {"text", "labels"} or {"premise", "hypothesis", "label"} rows.

    A pipeline with labels is scored with these, in its own mode; labels of a file that it does not have are an error.
    "bundled", a checkpoint, and --labels-from-data take the labels of each file; then a file in which some row has
    none or several is scored in multi-label mode. NLI pairs count as two classes, entailment and the rest. A
    --none-label is not scored as a label of its own: it counts as chosen where no other is.

    Example: python -m spacy zeroshot evaluate bundled news.jsonl reviews.csv.gz
    """
    from ..errors import ZeroShotError
    from ..evaluation import evaluate as evaluate_files
    from ..loading import import_code, open_pipeline, read_label_list, use_gpu

    with run(COMMAND):
        for path in data:
            if not path.is_file():
                raise ZeroShotError("Z060", what="file", value=str(path), reason="there is no such file")
        given = read_label_list(labels)
        import_code(code)
        use_gpu(gpu_id)
        nlp, pipe = open_pipeline(pipeline, labels=given, component=component)
        outcomes: list[Outcome] = []
        for path in data:
            found = evaluate_files(
                nlp,
                [path],
                component=pipe.name,
                labels_from_data=labels_from_data,
                templates=templates or (),
                multi_label=multi_label,
                threshold=threshold,
                none_label=none_label,
                limit=limit,
                text_field=text_field,
                label_field=label_field,
                batch_size=batch_size,
                track=track,
            )
            outcomes += found
            for outcome in found if as_json else ():
                print(json.dumps(_rounded(outcome), ensure_ascii=False), flush=True)
        if not as_json:
            print_table(make_console(), COLUMNS, _table(outcomes))
            note(f"Next: python -m spacy zeroshot tune {pipeline} DEV_FILE --output tuned")


def _table(outcomes: "list[Outcome]") -> list[list[Any]]:
    rows: list[list[Any]] = [[o.data, o.rows, o.labels, o.macro_f1, o.micro_f1, o.accuracy, o.mode] for o in outcomes]
    texts = [o for o in outcomes if o.mode != "nli"]
    if len(texts) > 1:
        means = [sum(values) / len(texts) for values in zip(*((o.macro_f1, o.micro_f1, o.accuracy) for o in texts))]
        rows.append(["mean of labelled texts", sum(o.rows for o in texts), "", *means, ""])
    return rows


def _rounded(outcome: "Outcome") -> dict[str, Any]:
    figures = {key: round(getattr(outcome, key), 4) for key in ("macro_f1", "micro_f1", "accuracy")}
    return {**outcome._asdict(), **figures, "f1": {label: round(value, 4) for label, value in outcome.f1.items()}}
