"""The table and the figure of what study.py measured: python report.py work."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

ALL = -1
COLOURS = ("#555555", "#999999", "#0072b2", "#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7")

# Macro-F1 of every draw, by set, way and number of labelled texts
Values = dict[tuple[str, str, int], list[float]]


def collect(results: Sequence[dict[str, Any]]) -> Values:
    """The results with the settings of the last one."""
    found: Values = {}
    for each in results:
        if each["stamp"] == results[-1]["stamp"]:
            found.setdefault((each["set"], each["way"], each["labelled"]), []).append(each["macro_f1"])
    return found


def by_size(counts: set[int]) -> list[int]:
    return sorted(counts, key=lambda count: float("inf") if count == ALL else count)


def table(values: Values) -> str:
    """For each set: ways by numbers of labelled texts; mean macro-F1 and half the range of the draws."""
    parts = []
    for name in dict.fromkeys(key[0] for key in values):
        counts = by_size({key[2] for key in values if key[0] == name})
        rows = [[name, *("all" if count == ALL else str(count) for count in counts)], ["---"] + ["---:"] * len(counts)]
        for way in dict.fromkeys(key[1] for key in values if key[0] == name):
            rows.append([way, *(cell(values.get((name, way, count))) for count in counts)])
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts) + "\n"


def cell(macro: Sequence[float] | None) -> str:
    if not macro:
        return ""
    return f"{np.mean(macro):.3f}" + (f" ± {(max(macro) - min(macro)) / 2:.3f}" if len(macro) > 1 else "")


def draw_curves(values: Values, path: Path) -> None:
    """Macro-F1 against labelled texts: the mean of the draws with the range they span."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams.update({"svg.hashsalt": "spacy-zeroshot", "svg.fonttype": "none"})
    names = list(dict.fromkeys(key[0] for key in values))
    figure = Figure(figsize=(5.5 * len(names), 4.5), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names):
        counts = by_size({key[2] for key in values if key[0] == name})
        for colour, way in zip(COLOURS, dict.fromkeys(key[1] for key in values)):
            found = {i: values[name, way, count] for i, count in enumerate(counts) if (name, way, count) in values}
            x = list(found)
            if len(x) == 1:
                axes.axhline(np.mean(found[x[0]]), color=colour, linestyle="--", linewidth=1.2, label=way)
                continue
            axes.plot(x, [np.mean(macro) for macro in found.values()], color=colour, marker="o", ms=3, label=way)
            low, high = ([limit(macro) for macro in found.values()] for limit in (min, max))
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(name)
        axes.set_xticks(range(len(counts)), ["all" if count == ALL else str(count) for count in counts])
        axes.set_xlabel("labelled texts (shaded: range of the draws; dashed: none are used)")
        axes.grid(color="#dddddd", linewidth=0.6)
    panels[0].set_ylabel("macro-F1")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncol=4, frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main(work: Annotated[Path, typer.Argument(help="Where results.jsonl is, and where both go.")]) -> None:
    """Write results.md and learning_curves.svg of all results so far."""
    lines = (work / "results.jsonl").read_text(encoding="utf8").splitlines()
    values = collect([json.loads(line) for line in lines if line.endswith("}")])
    (work / "results.md").write_text(table(values), encoding="utf8")
    draw_curves(values, work / "learning_curves.svg")
    print(f"{work / 'results.md'} and {work / 'learning_curves.svg'}: written from {len(lines)} runs")


if __name__ == "__main__":
    typer.run(main)
