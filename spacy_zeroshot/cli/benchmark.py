"""python -m spacy zeroshot benchmark: speed, memory and start-up, beside the transformers pipeline."""

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, List, Optional, Sequence

import typer

from ..errors import ZeroShotError
from .bars import make_console
from .options import GpuId

if TYPE_CHECKING:
    from rich.console import Console

    from ..benchmarks.results import Report
    from ..benchmarks.tables import Table

# Columns of what is written to a file
WIDTH = 140


class Part(str, Enum):
    """A part of the benchmark."""

    ratios = "ratios"
    share = "share"
    labels = "labels"
    kernels = "kernels"
    start = "start"
    memory = "memory"


def benchmark(
    quick: Annotated[bool, typer.Option("--quick", help="One minute on two cores in place of five")] = False,
    only: Annotated[
        Optional[List[Part]], typer.Option("--only", help="Just this part; may be repeated. memory is in no other run")
    ] = None,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="The transformers pipeline in bfloat16 as well as in its default")
    ] = False,
    rounds: Annotated[Optional[int], typer.Option("--rounds", min=1, help="How often each program is timed")] = None,
    data: Annotated[
        Optional[Path], typer.Option("--data", help="Labelled file: what templates and int8 do to accuracy")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Rows of --data")] = 300,
    documents: Annotated[int, typer.Option("--documents", min=100, help="Documents for --only memory")] = 20_000,
    json_file: Annotated[Optional[Path], typer.Option("--json", help="Write all figures to this file")] = None,
    picture: Annotated[
        Optional[Path], typer.Option("--picture", help="Draw cost against number of labels: .svg, .png or .pdf")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables for a README")] = False,
    gpu_id: GpuId = -1,
) -> None:
    """Measure the bundled model beside the zero-shot pipeline of transformers, on the same texts in turn.

    The pipeline runs a stock checkpoint of the same size (the bundled encoder with a fresh head) at batch sizes 1, 8
    and 32; so does this package, with equal scores. Texts are made up. Leave the machine alone while it measures.

    Example: python -m spacy zeroshot benchmark --quick --picture cost.svg
    """
    from ..benchmarks.picture import check_picture, draw_costs
    from ..benchmarks.run import QUICK_PLAN, Plan, run
    from ..benchmarks.tables import make_tables

    if picture is not None:
        check_picture()
        if picture.suffix not in (".svg", ".png", ".pdf"):
            reason = "a picture is written as .svg, .png or .pdf"
            raise ZeroShotError("Z060", "benchmark", what="--picture", value=str(picture), reason=reason)
    plan = QUICK_PLAN if quick else Plan()
    plan = plan._replace(bfloat16=bfloat16, data=data, limit=limit, documents=documents, device=_device(gpu_id))
    if only:
        plan = plan._replace(parts=tuple(part.value for part in only))
    if rounds is not None:
        plan = plan._replace(rounds=rounds, starts=rounds)
    _quiet_transformers()
    notes = make_console(stderr=True)
    report = run(plan, lambda text: notes.print(f"measuring: {text}", soft_wrap=True))
    _print(make_console(), report, make_tables(report), markdown)
    if json_file is not None:
        json_file.write_text(json.dumps(_plain(report), indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    if picture is not None and report.speeds:
        draw_costs(report.speeds, picture)


def _device(gpu_id: int) -> str:
    if gpu_id < 0:
        return "cpu"
    from ..model.precision import choose_device

    return str(choose_device(f"cuda:{gpu_id}"))


def _quiet_transformers() -> None:
    """A fresh head is what is wanted here, and transformers would warn of it."""
    from transformers.utils import logging

    logging.set_verbosity_error()


def _print(console: "Console", report: "Report", tables: "Sequence[Table]", markdown: bool) -> None:
    from rich import box
    from rich.table import Table as RichTable

    from ..benchmarks.tables import as_markdown

    if not console.is_terminal:
        console.width = WIDTH
    machine = report.machine
    console.print(f"{machine.processor}, {machine.cores} threads, on {machine.device}; {machine.versions}; ", end="")
    console.print(f"precision auto is {machine.precision}\n")
    for table in tables:
        if markdown:
            print(as_markdown(table))
            continue
        shown = RichTable(title=table.title, title_justify="left", box=box.SIMPLE)
        for i, column in enumerate(table.columns):
            # headings may wrap; what was measured may not
            longest = max(len(row[i]) for row in table.rows)
            shown.add_column(column, justify="right" if i else "left", min_width=longest)
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
    if report.memory is not None:
        console.print(f"Resident memory over {report.documents:,} documents: {report.memory:+.1%}")


def _plain(value: Any) -> Any:
    """Named tuples as objects, so that a file says what each number is."""
    if hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
