"""Figures of the report, as SVG that follows the page's colours: light and dark.

Drawn with matplotlib (extra "report"), with fixed colours that are then replaced by the page's CSS variables.
"""

import contextlib
import io
import re
import zlib
from html import escape
from typing import Any, Iterator, Mapping, Sequence, Tuple

import numpy as np

from ..errors import ZeroShotError
from .reliability import Reliability

INK, GRID, FIRST, SECOND, THIRD = "#010203", "#010204", "#010205", "#010206", "#010207"
VARIABLES = {INK: "var(--ink)", GRID: "var(--line)", FIRST: "var(--one)", SECOND: "var(--two)", THIRD: "var(--three)"}
SIZE = (4.8, 3.1)
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "spacy-zeroshot",
    "font.family": "sans-serif",
    "font.size": 11,
    # a label may hold a dollar sign
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
LONGEST_NAME = 18


def require_matplotlib() -> None:
    """Check that figures can be drawn. RAISES (ZeroShotError): Z085 without matplotlib."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as reason:
        raise ZeroShotError("Z085", "tune", what="the report", package="matplotlib", extra="report") from reason


def curves(
    x: np.ndarray, lines: Mapping[str, np.ndarray], xlabel: str, marks: Mapping[str, float], title: str, points: bool
) -> str:
    """Draw lines between 0 and 1.

    x (np.ndarray): Shape (steps,).
    lines (Mapping[str, np.ndarray]): Shape (steps,) each, by name; up to three.
    xlabel (str): What x is.
    marks (Mapping[str, float]): Places on the x axis, by name.
    title (str): What the figure shows, for screen readers.
    points (bool): Whether every x is drawn as a point.
    RETURNS (str): SVG.
    """
    with _figure() as (figure, axes):
        for (name, y), colour, style in zip(lines.items(), (FIRST, SECOND, THIRD), ("-", "--", ":")):
            axes.plot(x, y, style, color=colour, label=name, linewidth=2, marker="o" if points else None)
        for i, (name, place) in enumerate(marks.items()):
            axes.axvline(place, color=INK, linewidth=1, linestyle=(0, (2, 2)))
            axes.text(place, 1.02 + 0.07 * (i % 2), name, ha="center", va="bottom", fontsize=9)
        axes.set_ylim(0, 1)
        axes.set_xlabel(xlabel)
        if points:
            axes.set_xticks(x if len(x) <= 10 else x[:: len(x) // 8])
        axes.legend(loc="best", fontsize=10)
        return _svg(figure, title)


def reliability_diagram(before: Reliability, after: Reliability, title: str) -> str:
    """Draw how often scores are right, before and after.

    before, after (Reliability): The bins.
    title (str): What the figure shows, for screen readers.
    RETURNS (str): SVG.
    """
    with _figure() as (figure, axes):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (2, 2)))
        for name, found, colour, marker in (("before", before, SECOND, "s"), ("after", after, FIRST, "o")):
            some = found.counts > 0
            sizes = 15 + 120 * found.counts[some] / max(found.counts.max(), 1)
            label = f"{name}, ECE {found.ece:.3f}"
            axes.plot(found.confidence[some], found.accuracy[some], color=colour, linewidth=1.5)
            axes.scatter(
                found.confidence[some], found.accuracy[some], s=sizes, color=colour, marker=marker, label=label
            )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("score")
        axes.set_ylabel("share that is right")
        legend = axes.legend(loc="upper left", fontsize=10)
        for handle in legend.legend_handles:
            handle.set_sizes([40])
        return _svg(figure, title)


def matrix(counts: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str) -> str:
    """Draw counts as tiles, each row's shares as their strength.

    counts (np.ndarray): Shape (rows, columns), int.
    rows, columns (Sequence[str]): Their names.
    title (str): What the figure shows, for screen readers.
    RETURNS (str): SVG.
    """
    from matplotlib.patches import Rectangle

    n_rows, n_columns = counts.shape
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 0.42
    size = (max(4.8, 1.6 + side * n_columns), max(2.4, 1.3 + side * n_rows))
    with _figure(size) as (figure, axes):
        axes.grid(False)
        for i in range(n_rows):
            for j in range(n_columns):
                tile = Rectangle(
                    (j - 0.5, i - 0.5), 1, 1, facecolor=FIRST, alpha=float(shares[i, j]) * 0.75, linewidth=0
                )
                axes.add_patch(tile)
                if counts[i, j]:
                    axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=9)
        axes.set_xlim(-0.5, n_columns - 0.5)
        axes.set_ylim(n_rows - 0.5, -0.5)
        axes.set_xticks(range(n_columns), [shorten(name) for name in columns], rotation=55, ha="right")
        axes.set_yticks(range(n_rows), [shorten(name) for name in rows])
        axes.tick_params(length=0)
        axes.set_xlabel("chosen")
        axes.set_ylabel("right")
        return _svg(figure, title)


def shorten(name: str) -> str:
    """RETURNS (str): A label's name that fits an axis, on one line."""
    name = " ".join(name.split())
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


@contextlib.contextmanager
def _figure(size: Tuple[float, float] = SIZE) -> Iterator[Tuple[Any, Any]]:
    """A figure with one pair of axes, in the report's style and without pyplot's global state."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure, figure.add_subplot()


def _svg(figure: Any, title: str) -> str:
    """The figure as SVG that scales with the page."""
    out = io.BytesIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue().decode("utf8")
    head, body = text[text.index("<svg") :].split(">", 1)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, variable)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    # several figures share one page, so each has ids of its own
    mark = f"f{zlib.crc32(title.encode('utf8')):08x}-"
    body = re.sub(r'\bid="', f'id="{mark}', body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{mark}", body)
    view = re.search(r'viewBox="[^"]*"', head)
    named = f'role="img" aria-label="{escape(title)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f"{view.group(0) if view else ''} {named}>{body}"
    )
