"""Charts of the report, as SVG that follows the page's colours: light and dark.

Drawn with matplotlib (extra "report"), with fixed colours that are then replaced by the page's CSS variables.
"""

import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from .calibration import Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GRID, FIRST, SECOND, THIRD = "#010203", "#010204", "#010205", "#010206", "#010207"
VARIABLES = {INK: "var(--ink)", GRID: "var(--line)", FIRST: "var(--one)", SECOND: "var(--two)", THIRD: "var(--three)"}
STYLE: dict[str, Any] = {
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


def curves(
    x: np.ndarray, lines: Mapping[str, np.ndarray], xlabel: str, marks: Mapping[str, float], title: str, points: bool
) -> str:
    """Draw lines between 0 and 1.

    x (np.ndarray): Shape (steps,).
    lines (Mapping[str, np.ndarray]): Shape (steps,) each, by name; up to three.
    xlabel (str): What x is.
    marks (Mapping[str, float]): Places on the x axis, by name.
    title (str): What the chart shows, for screen readers.
    points (bool): Whether every x is drawn as a point.
    RETURNS (str): SVG.
    """
    with _figure() as (figure, axes):
        for (name, y), colour, style in zip(lines.items(), (FIRST, SECOND, THIRD), ("-", "--", ":")):
            axes.plot(x, y, style, color=colour, label=name, linewidth=2, marker="o" if points else None)
        for name, place in marks.items():
            axes.axvline(place, color=INK, linewidth=1, linestyle=(0, (2, 2)))
            axes.text(place, 1.02, name, ha="center", va="bottom", fontsize=9)
        axes.set_ylim(0, 1)
        axes.set_xlabel(xlabel)
        if points:
            axes.set_xticks(x if len(x) <= 10 else x[:: len(x) // 8])
        axes.legend(loc="best", fontsize=10)
        return _svg(figure, title)


def reliability_diagram(before: Reliability, after: Reliability, title: str) -> str:
    """RETURNS (str): SVG of how often scores are right, before and after. title (str): For screen readers."""
    with _figure() as (figure, axes):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (2, 2)))
        for name, found, colour, marker in (("before", before, SECOND, "s"), ("after", after, FIRST, "o")):
            some = found.counts > 0
            x, y = found.confidence[some], found.accuracy[some]
            sizes = 15 + 120 * found.counts[some] / max(found.counts.max(), 1)
            axes.plot(x, y, color=colour, linewidth=1.5)
            axes.scatter(x, y, s=sizes, color=colour, marker=marker, label=f"{name}, ECE {found.ece:.3f}")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("score")
        axes.set_ylabel("share that is right")
        for handle in axes.legend(loc="upper left", fontsize=10).legend_handles:
            handle.set_sizes([40])  # type: ignore[union-attr]
        return _svg(figure, title)


def matrix(counts: np.ndarray, names: Sequence[str], title: str) -> str:
    """Draw counts as tiles, each row's shares as their strength.

    counts (np.ndarray): Shape (names, names), int: by right label (rows) and chosen label (columns).
    names (Sequence[str]): The labels.
    title (str): What the chart shows, for screen readers.
    RETURNS (str): SVG.
    """
    from matplotlib.patches import Rectangle

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 0.42 * len(names)
    shown = [shorten(name) for name in names]
    with _figure((max(4.8, 1.6 + side), max(2.4, 1.3 + side))) as (figure, axes):
        axes.grid(False)
        for i, j in np.ndindex(*counts.shape):
            strength = float(shares[i, j]) * 0.75
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=FIRST, alpha=strength, linewidth=0))
            if counts[i, j]:
                axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=9)
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xticks(range(len(names)), shown, rotation=55, ha="right")
        axes.set_yticks(range(len(names)), shown)
        axes.tick_params(length=0)
        axes.set_xlabel("chosen")
        axes.set_ylabel("right")
        return _svg(figure, title)


def shorten(name: str) -> str:
    """RETURNS (str): A label's name that fits an axis, on one line."""
    name = " ".join(name.split())
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


@contextmanager
def _figure(size: tuple[float, float] = (4.8, 3.1)) -> "Iterator[tuple[Figure, Axes]]":
    """A figure with one pair of axes, in the report's style and without pyplot's global state."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure, figure.add_subplot()


def _svg(figure: "Figure", title: str) -> str:
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
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{view.group(0) if view else ""} role="img" aria-label="{escape(title)}">{body}'
    )
