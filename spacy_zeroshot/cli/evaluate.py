"""python -m spacy zeroshot evaluate: figures on labelled files, each with its own label set."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Iterator, List, Literal, Optional, Sequence

import numpy as np
import typer

from ..errors import ZeroShotError
from ..opening import use_gpu
from .bars import make_console, print_table
from .options import GpuId
from .pipelines import open_any

if TYPE_CHECKING:
    from ..evaluation import Judge, Outcome, Rules

COMMAND = "evaluate"
COLUMNS = ("data", "rows", "labels", "macro-F1", "micro-F1", "accuracy", "mode")


def evaluate(
    pipeline: Annotated[
        str,
        typer.Argument(help="A pipeline's folder or package, 'bundled', a checkpoint's folder, or a Hub name"),
    ],
    data: Annotated[List[Path], typer.Argument(help="Files of labelled texts or NLI pairs: .jsonl, .jsonl.gz")],
    templates: Annotated[
        Optional[List[str]],
        typer.Option("--template", "-t", help="Hypothesis template in place of the pipeline's; may be repeated"),
    ] = None,
    multi_label: Annotated[
        Optional[bool],
        typer.Option("--multi-label/--single-label", help="In place of what each file's rows suggest"),
    ] = None,
    threshold: Annotated[
        Optional[float],
        typer.Option("--threshold", min=0.0, max=1.0, help="In place of the pipeline's, for multi-label sets"),
    ] = None,
    none_label: Annotated[
        Optional[str],
        typer.Option("--none-label", help='A gold label that means "no label fits", e.g. out-of-domain'),
    ] = None,
    baseline: Annotated[
        Optional[Literal["cosine"]],
        typer.Option("--baseline", help="cosine: PIPELINE is an encoder; score by embedding similarity instead"),
    ] = None,
    limit: Annotated[
        Optional[int], typer.Option("--limit", "-n", min=1, help="Rows of each file, evenly spread")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, with the F1 of every label")] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Texts scored together")] = 128,
    gpu_id: GpuId = -1,
) -> None:
    """Evaluate a pipeline on files of {"text", "labels"} or {"premise", "hypothesis", "label"} rows.

    The labels of a file are the labels it is scored with. A file in which some row has none or several labels is
    scored in multi-label mode, by threshold; the others by the best label. NLI pairs count as two classes, entailment
    and the rest. A --none-label is not scored as a label of its own: it counts as chosen where no other is.
    With --baseline cosine, a text says yes to a label, and a premise to a hypothesis, from a cosine of 0.5
    (--threshold) on.

    Example: python -m spacy zeroshot evaluate bundled news.jsonl reviews.jsonl.gz
    """
    from ..evaluation import Rules

    for path in data:
        if not path.is_file():
            raise ZeroShotError("Z060", COMMAND, what="file", value=str(path), reason="there is no such file")
    use_gpu(gpu_id, COMMAND)
    judge = _judge(pipeline, templates or (), threshold, batch_size, baseline == "cosine")
    rules = Rules(multi_label, none_label, limit)
    outcomes = []
    for outcome in _outcomes(data, judge, rules):
        outcomes.append(outcome)
        if as_json:
            print(json.dumps(_rounded(outcome), ensure_ascii=False), flush=True)
    if not as_json:
        print_table(make_console(), COLUMNS, _table(outcomes))


def _judge(
    pipeline: str, templates: Sequence[str], threshold: Optional[float], batch_size: int, cosine: bool
) -> "Judge":
    if cosine:
        from ..baseline import CosineJudge

        return CosineJudge(pipeline, templates, 0.5 if threshold is None else threshold, batch_size)
    from ..evaluation import PipelineJudge

    opened = open_any(pipeline, COMMAND)
    return PipelineJudge(opened.nlp, opened.pipe, templates, threshold, batch_size)


def _outcomes(data: Sequence[Path], judge: "Judge", rules: "Rules") -> "Iterator[Outcome]":
    """Evaluate file by file, with a progress bar on standard error while it is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ..evaluation import evaluate_file

    console = make_console(stderr=True)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def watch(items: Iterator[Any], total: int, name: str) -> Iterator[Any]:
            if not console.is_terminal:
                console.print(f"{name}: {total} rows", soft_wrap=True)
            yield from progress.track(items, total=total, description=name)

        for path in data:
            yield evaluate_file(path, judge, rules, watch)


def _table(outcomes: "Sequence[Outcome]") -> List[List[Any]]:
    rows: List[List[Any]] = [[o.data, o.rows, o.labels, o.macro_f1, o.micro_f1, o.accuracy, o.mode] for o in outcomes]
    texts = [o for o in outcomes if o.mode != "nli"]
    if len(texts) > 1:
        figures = np.asarray([(o.macro_f1, o.micro_f1, o.accuracy) for o in texts])
        rows.append(["mean of labelled texts", sum(o.rows for o in texts), "", *figures.mean(axis=0).tolist(), ""])
    return rows


def _rounded(outcome: "Outcome") -> Any:
    found = outcome._asdict()
    for key in ("macro_f1", "micro_f1", "accuracy"):
        found[key] = round(found[key], 4)
    found["f1"] = {label: round(value, 4) for label, value in outcome.f1.items()}
    return found
