"""Draws docs/cost_of_labels.svg of what benchmarks.speed wrote: python -m benchmarks.figures speed.json."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks._shared import WORDPIECES
from spacy_zeroshot.cli.benchmark import Speed

PICTURE = Path(__file__).parent.parent / "docs" / "cost_of_labels.svg"


def draw_costs(speeds: Sequence[Speed], path: Path) -> None:
    """Draw milliseconds for one text against the number of labels, both on logarithmic axes."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams.update({"svg.hashsalt": "spacy-zeroshot", "svg.fonttype": "none"})
    figure = Figure(figsize=(9.0, 4.5), layout="constrained")
    axes = figure.subplots()
    counts = sorted({speed.labels for speed in speeds})
    for name in dict.fromkeys(speed.program for speed in speeds):
        own = sorted((speed for speed in speeds if speed.program == name), key=lambda speed: speed.labels)
        middle = [1000 * statistics.median(speed.seconds) for speed in own]
        below = [m - 1000 * min(speed.seconds) for m, speed in zip(middle, own)]
        above = [1000 * max(speed.seconds) - m for m, speed in zip(middle, own)]
        style = "--" if name.startswith("transformers") else "-"
        labels = [speed.labels for speed in own]
        axes.errorbar(labels, middle, yerr=(below, above), label=name, linestyle=style, marker="o", capsize=2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("labels")
    axes.set_ylabel("milliseconds for a text (median, least to most)")
    axes.set_title(f"Texts of {WORDPIECES} wordpieces")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(path, metadata={"Date": None})


def main(
    speeds: Annotated[Path, typer.Argument(help="What `python -m benchmarks.speed --output` wrote.")],
    output: Annotated[Path, typer.Option(help="An .svg file.")] = PICTURE,
) -> None:
    """Draw the picture."""
    found = json.loads(speeds.read_text(encoding="utf8"))["speeds"]
    draw_costs([Speed(**each) for each in found], output)


if __name__ == "__main__":
    typer.run(main)
