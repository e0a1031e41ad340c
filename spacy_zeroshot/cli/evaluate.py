"""python -m spacy zeroshot evaluate: figures on labelled files."""

import json
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from ..errors import ZeroShotError
from ..evaluation import evaluate as evaluate_files
from ..tuning.report import GOALS
from . import _util as cli
from ._print import make_console, print_table

COLUMNS = ("data", "rows", "labels", "macro-F1", "micro-F1", "accuracy", "mode")


def evaluate(
    pipeline: cli.PipelineName,
    data: Annotated[list[Path], Argument(metavar="DATA", help="Files of labelled texts or NLI pairs")],
    labels: cli.Labels = "",
    labels_from_data: Annotated[bool, Option("--labels-from-data", help="Score each file with its own labels")] = False,
    templates: cli.Template = None,
    multi_label: cli.MultiLabel = None,
    threshold: cli.Threshold = None,
    none_label: cli.NoneLabel = None,
    component: cli.Component = None,
    limit: Annotated[int | None, Option("--limit", "-n", min=1, help="Rows of each file, evenly spread")] = None,
    text_field: cli.TextField = "text",
    label_field: cli.LabelField = "labels",
    as_json: cli.Json = False,
    code: cli.Code = None,
    gpu_id: cli.GpuId = -1,
) -> None:
    """Evaluate a pipeline on files of {"text", "labels"} or {"premise", "hypothesis", "label"} rows.

    A pipeline with labels is scored with these, in its own mode; labels of a file that it does not have are an error.
    "bundled", a checkpoint, and --labels-from-data take the labels of each file; then a file in which some row has
    none or several is scored in multi-label mode. NLI pairs count as two classes, entailment and the rest. A
    --none-label is not scored as a label of its own: it counts as chosen where no other is.

    Example: python -m spacy zeroshot evaluate bundled news.jsonl reviews.csv.gz
    """
    for path in data:
        if not path.is_file():
            raise ZeroShotError("Z060", what="file", value=str(path), reason="there is no such file")
    nlp, pipe = cli.open_component(
        pipeline, labels=labels, component=component, code=code, gpu_id=gpu_id, needs_labels=False
    )
    outcomes = evaluate_files(
        nlp,
        data,
        component=pipe.name,
        labels_from_data=labels_from_data,
        templates=templates or (),
        multi_label=multi_label,
        threshold=threshold,
        none_label=none_label,
        limit=limit,
        text_field=text_field,
        label_field=label_field,
        track=cli.track,
    )
    if as_json:
        for outcome in outcomes:
            print(json.dumps(outcome._asdict(), ensure_ascii=False))
        return
    rows: list[list[Any]] = [
        [one.data, one.rows, one.labels, one.macro_f1, one.micro_f1, one.accuracy, one.mode] for one in outcomes
    ]
    texts = [one for one in outcomes if one.mode != "nli"]
    if len(texts) > 1:
        means = [sum(getattr(one, name) for one in texts) / len(texts) for name in GOALS]
        rows.append(["mean of labelled texts", sum(one.rows for one in texts), "", *means, ""])
    print_table(make_console(), COLUMNS, rows)
    cli.note(f"Next: python -m spacy zeroshot tune {pipeline} DEV_FILE --output {Path(pipeline).name}-tuned")
