"""A report as tables, for a terminal or for a README."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from .clock import Spread, spread
from .results import Report, Speed
from .speed import BATCH_SIZES, BUNDLED, INT8, LONG, PAIR
from .subjects import pipeline_name

# A program, and what it is compared with: another program, or the pipeline's best batch size in a precision
COMPARISONS = (
    ("bundled, the pipeline's best batch size", BUNDLED, "float32"),
    ("bundled, the best in bfloat16", BUNDLED, "bfloat16"),
    ("bundled with openvino, the best", f"{BUNDLED}, openvino", "float32"),
    ("bundled with openvino, the best in bfloat16", f"{BUNDLED}, openvino", "bfloat16"),
    ("bundled with openvino in int8, the best", INT8, "float32"),
    ("bundled with openvino in int8, the best in bfloat16", INT8, "bfloat16"),
    ("pair float32, the best", PAIR, "float32"),
    ("pair float32, the default (batch 1)", PAIR, pipeline_name("float32", 1)),
    ("pair float32 with openvino, the best", f"{PAIR}, openvino", "float32"),
)


class Table(NamedTuple):
    """A table of strings.

    title (str): What it shows.
    columns (Tuple[str, ...]): Names of the columns; the first one holds words, the others numbers.
    rows (Sequence[Tuple[str, ...]]): The rows.
    """

    title: str
    columns: Tuple[str, ...]
    rows: Sequence[Tuple[str, ...]]


def make_tables(report: Report) -> List[Table]:
    """RETURNS (List[Table]): The parts that were measured. report (Report): The report."""
    tables = [
        _ratio_table(report.speeds),
        _speed_table(report.speeds),
        _equality_table(report),
        _share_table(report),
        _label_table(report),
        _kernel_table(report),
        _start_table(report),
    ]
    return [table for table in tables if table.rows]


def best_pipeline(cell: Dict[str, Speed], dtype: str) -> Optional[Speed]:
    """The transformers pipeline at its best batch size.

    cell (Dict[str, Speed]): Speeds on the same texts and labels, by program.
    dtype (str): "float32" or "bfloat16".
    RETURNS (Optional[Speed]): The fastest on the median; None if there is none.
    """
    found = [cell[pipeline_name(dtype, size)] for size in BATCH_SIZES if pipeline_name(dtype, size) in cell]
    return min(found, key=lambda speed: spread(speed.rounds).median, default=None)


def by_cell(speeds: Sequence[Speed]) -> Dict[Tuple[int, int], Dict[str, Speed]]:
    """RETURNS (Dict[Tuple[int, int], Dict[str, Speed]]): By wordpieces and labels, then by program.

    speeds (Sequence[Speed]): The speeds.
    """
    cells: Dict[Tuple[int, int], Dict[str, Speed]] = {}
    for speed in speeds:
        cells.setdefault((speed.wordpieces, speed.labels), {})[speed.subject] = speed
    return cells


def ratio(slow: Speed, fast: Speed) -> Spread:
    """RETURNS (Spread): How many times as long the first took, round by round. slow, fast (Speed): On one cell."""
    return spread([one / other for one, other in zip(slow.rounds, fast.rounds)])


def as_markdown(table: Table) -> str:
    """RETURNS (str): The table in Markdown. table (Table): The table."""
    lines = [table.columns, ("---", *("---:" for _ in table.columns[1:])), *table.rows]
    return f"{table.title}\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _ratio_table(speeds: Sequence[Speed]) -> Table:
    """The comparisons, each over all cells."""
    rows = []
    for name, fast, slow in COMPARISONS:
        for (wordpieces, labels), cell in by_cell(speeds).items():
            other = cell.get(slow) or best_pipeline(cell, slow)
            if fast in cell and other is not None:
                times = ratio(other, cell[fast])
                rows.append((name, str(labels), str(wordpieces), f"{times.median:.1f}x", _range(times)))
    columns = ("Program, and what it is compared with", "labels", "wordpieces", "times as fast", "spread")
    return Table("Against the zero-shot pipeline of transformers, on the same texts in turn", columns, rows)


def _speed_table(speeds: Sequence[Speed]) -> Table:
    rows = []
    for speed in speeds:
        seconds = spread(speed.rounds)
        rows.append(
            (
                speed.subject,
                str(speed.labels),
                str(speed.wordpieces),
                _rate(1 / seconds.median),
                f"{_rate(1 / seconds.high)} to {_rate(1 / seconds.low)}",
                _rate(speed.labels / seconds.median),
                f"{speed.peak:,.0f}",
                "" if speed.utilisation is None else f"{speed.utilisation:.0%}",
            )
        )
    columns = ("Program", "labels", "wordpieces", "documents/s", "spread", "pairs/s", "peak MB", "utilisation")
    title = f"Speed (wordpieces of a text: mean; {LONG}: long texts). Peak memory with all programs loaded"
    return Table(title, columns, rows)


def _equality_table(report: Report) -> Table:
    rows = [(f"{item.first} and {item.second}", f"{item.difference:.1e}") for item in report.equalities]
    return Table("Scores of the same checkpoint in float32", ("Programs", "largest difference"), rows)


def _share_table(report: Report) -> Table:
    rows = [
        (share.subject, _percent(share.utilisation), f"{share.product:,.0f}", _percent(share.outside))
        for share in report.shares
    ]
    columns = ("Program", "utilisation", "matrix product, GFLOP/s", "time outside the encoder")
    return Table("Batches of 90-token texts with 10 labels", columns, rows)


def _label_table(report: Report) -> Table:
    rows = [
        (
            f"`{cost.template}`",
            f"{1000 * cost.ten:.1f}",
            f"{1000 * cost.hundred:.1f}",
            _times(cost.growth),
            "" if cost.accuracy is None else f"{cost.accuracy:.3f}",
        )
        for cost in report.labels
    ]
    columns = ("Template", "10 labels, ms", "100 labels, ms", "10 to 100 labels", "accuracy")
    return _without_empty(Table("What a label costs, 90-token texts", columns, rows))


def _kernel_table(report: Report) -> Table:
    rows = [
        (
            f"{kernel.checkpoint}, {kernel.backend}, {kernel.precision}",
            _rate(1 / kernel.seconds.median),
            f"{_rate(1 / kernel.seconds.high)} to {_rate(1 / kernel.seconds.low)}",
            f"{kernel.difference:.1e}",
            f"{kernel.agreement:.1%}",
            "" if kernel.accuracy is None else f"{kernel.accuracy:.3f}",
        )
        for kernel in report.kernels
    ]
    columns = (
        "Checkpoint, backend, precision",
        "documents/s",
        "spread",
        "largest difference of a score",
        "same best label",
        "accuracy",
    )
    return _without_empty(Table("Backends, against torch in float32; 90-token texts, 10 labels", columns, rows))


def _start_table(report: Report) -> Table:
    rows = []
    if report.start is not None:
        start = report.start
        rows.append(("seconds", f"{start.first_score.median:.2f}", f"{start.imports.median:.2f}", _times(start.ratio)))
    columns = ("Cold start", "to the first score", "import torch and transformers", "ratio")
    return Table("Cold start", columns, rows)


def _rate(value: float) -> str:
    """Three digits, whatever the size."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def _times(values: Spread) -> str:
    return f"{values.median:.1f}x ({_range(values)})"


def _range(values: Spread) -> str:
    return f"{values.low:.1f} to {values.high:.1f}"


def _percent(values: Spread) -> str:
    return f"{values.median:.0%} ({values.low:.0%} to {values.high:.0%})"


def _without_empty(table: Table) -> Table:
    """Drop columns in which nothing was measured."""
    kept = [i for i in range(len(table.columns)) if i == 0 or any(row[i] for row in table.rows)]
    return Table(
        table.title,
        tuple(table.columns[i] for i in kept),
        [tuple(row[i] for i in kept) for row in table.rows],
    )
