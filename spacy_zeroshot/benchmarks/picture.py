"""The cost of a text against the number of labels, as a picture."""

from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from ..errors import ZeroShotError
from .clock import spread
from .results import Speed
from .speed import BATCH_SIZES, BUNDLED, INT8, LONG, PAIR
from .subjects import pipeline_name

LINES = {
    BUNDLED: "bundled model",
    f"{BUNDLED}, openvino": "bundled model, OpenVINO",
    INT8: "bundled model, OpenVINO in int8",
    PAIR: "pair checkpoint, float32",
    f"{PAIR}, openvino": "pair checkpoint, float32, OpenVINO",
    **{
        pipeline_name(dtype, size): f"transformers pipeline{kind}, batch {size}"
        for dtype, kind in (("float32", ""), ("bfloat16", " bfloat16"))
        for size in BATCH_SIZES
    },
}


def check_picture() -> None:
    """Check that a picture can be drawn, before anything is measured. RAISES (ZeroShotError): Z038 if not."""
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise ZeroShotError("Z038", "benchmark")


def draw_costs(speeds: Sequence[Speed], path: Path) -> None:
    """Draw milliseconds for one long text against the number of labels, both on logarithmic axes.

    speeds (Sequence[Speed]): The speeds; those on short texts are left out.
    path (Path): The file; its ending says which kind: .svg, .png, .pdf.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 5.0), layout="constrained")
    axes = figure.subplots()
    # there are more lines than colours in matplotlib's own cycle
    colours = [colormaps["tab20"](i) for i in (*range(0, 20, 2), *range(1, 20, 2))]
    axes.set_prop_cycle(color=colours)
    counts = sorted({speed.labels for speed in speeds})
    for name, points in _lines(speeds).items():
        labels, values = zip(*((n, spread(seconds)) for n, seconds in points))
        middle = [1000 * value.median for value in values]
        below = [1000 * (value.median - value.low) for value in values]
        above = [1000 * (value.high - value.median) for value in values]
        style = "--" if name.startswith("transformers") else "-"
        axes.errorbar(labels, middle, yerr=(below, above), label=name, linestyle=style, marker="o", capsize=2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("labels")
    axes.set_ylabel("milliseconds for a text (median, least to most)")
    axes.set_title(f"Texts of {LONG} wordpieces")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(path)


def _lines(speeds: Sequence[Speed]) -> Dict[str, List[Tuple[int, List[float]]]]:
    lines: Dict[str, List[Tuple[int, List[float]]]] = {}
    for speed in speeds:
        if speed.wordpieces == LONG and speed.subject in LINES:
            lines.setdefault(LINES[speed.subject], []).append((speed.labels, speed.rounds))
    return {name: sorted(points) for name, points in lines.items()}
