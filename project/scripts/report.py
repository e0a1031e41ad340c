"""The study's table and figure: python -m scripts.report."""

from pathlib import Path
from typing import Annotated, Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import typer

from spacy_zeroshot.cli.guard import guarded, note
from spacy_zeroshot.errors import ZeroShotError

from .runs import ALL, FINE_TUNED, FIXED, ROADS, ZERO, newest, read_results

TABLE, FIGURE = "results.md", "learning_curves.svg"
COLOURS = ("#555555", "#999999", "#0072b2", "#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7")

Key = Tuple[str, str, int, bool]
Values = Dict[Key, List[Tuple[float, float]]]


def report(
    work: Annotated[Path, typer.Option(help="Where results.jsonl is, and where the table goes")] = Path("work"),
    figure: Annotated[Path, typer.Option(help="The figure")] = Path("work") / FIGURE,
) -> None:
    """Write the table (Markdown) and the figure (SVG) of all results so far."""
    with guarded():
        results = read_results(work / "results.jsonl")
        if not results:
            reason = "it has no results. Run the study first"
            raise ZeroShotError("Z060", "report", what="folder", value=str(work), reason=reason)
        # of other weights or sizes there may be results from before
        results = newest(results)
        values = collect(results)
        (work / TABLE).write_text(table(values), encoding="utf8")
        draw_curves(values, figure, largest(results))
        note(f"{work / TABLE} and {figure}: written from {len(results)} runs")


def collect(results: Sequence[Dict[str, Any]]) -> Values:
    """RETURNS (Values): Micro- and macro-F1 of every seed, by set, road, count and augmentation."""
    found: Values = {}
    for each in results:
        key = (each["set"], each["road"], each["labelled"], each["augmented"])
        found.setdefault(key, []).append((each["micro_f1"], each["macro_f1"]))
    return found


def largest(results: Sequence[Dict[str, Any]]) -> Dict[str, int]:
    """RETURNS (Dict[str, int]): How many texts "all" are, by set, as far as the results say."""
    return {each["set"]: int(each["drawn"]) for each in results if each["labelled"] == ALL and "drawn" in each}


def table(values: Values) -> str:
    """Word the results as Markdown.

    values (Values): The results.
    RETURNS (str): For each set a table: roads by numbers of labelled texts; macro-F1, its spread over the seeds and,
        in parentheses, micro-F1; then where fine-tuning overtakes zero-shot.
    """
    parts = []
    for name in dict.fromkeys(key[0] for key in values):
        counts = sorted({key[2] for key in values if key[0] == name}, key=_place)
        head = ["road", *("all" if count == ALL else str(count) for count in counts)]
        rows = []
        for road in ROADS:
            for augmented in (False, True):
                cells = [_cell(values.get((name, road, count, augmented))) for count in counts]
                if any(cells):
                    rows.append([road + (", augmented" if augmented else ""), *cells])
        lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
        parts.append(f"**{name}**\n\n" + "\n".join(lines) + f"\n\n{overtaking(values, name)}\n")
    return "\n".join(parts)


def overtaking(values: Values, name: str) -> str:
    """RETURNS (str): From how many labelled texts on fine-tuning beats zero-shot. name (str): The set."""
    zero = _macro(values.get((name, ZERO, 0, False)))
    curve = {key[2]: _macro(found) for key, found in values.items() if key[:2] == (name, FINE_TUNED) and not key[3]}
    if zero is None or not curve:
        return "Fine-tuning and zero-shot were not both run."
    ahead: Optional[int] = None
    for count in sorted(curve, key=_place, reverse=True):
        if (curve[count] or 0.0) <= zero:
            break
        ahead = count
    if ahead is None:
        return "Fine-tuning does not overtake zero-shot."
    return f"Fine-tuning is ahead of zero-shot from {'all' if ahead == ALL else ahead} labelled texts on."


def draw_curves(values: Values, path: Path, sizes: Dict[str, int]) -> None:
    """Draw macro-F1 against labelled texts, the mean over the seeds with the range they span.

    values (Values): The results.
    path (Path): An SVG file.
    sizes (Dict[str, int]): How many texts "all" are, by set.
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "spacy-zeroshot", "svg.fonttype": "none"})
    from matplotlib import pyplot

    names = list(dict.fromkeys(key[0] for key in values))
    figure, panels = pyplot.subplots(1, len(names), figsize=(5.2 * len(names), 4.6), sharey=True, squeeze=False)
    for axes, name in zip(panels[0], names):
        counts = sorted({key[2] for key in values if key[0] == name}, key=_place)
        for road, colour in zip(ROADS, COLOURS):
            _draw_road(axes, values, name, road, colour, counts)
        axes.set_title(name)
        axes.set_xticks(range(len(counts)))
        shown = f"all ({sizes[name]:,})" if name in sizes else "all"
        axes.set_xticklabels([shown if count == ALL else str(count) for count in counts])
        axes.set_xlabel("labelled texts")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].set_ylabel("macro-F1")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", bbox_to_anchor=(0.5, 0.03), ncol=4, frameon=False)
    notes = "shaded: the range of the draws; dotted: with augmentation; dashed: no labelled text is used"
    figure.text(0.5, 0.01, notes, ha="center", fontsize=8, color="#555555")
    figure.tight_layout(rect=(0, 0.15, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _draw_road(axes: Any, values: Values, name: str, road: str, colour: str, counts: Sequence[int]) -> None:
    for augmented, style in ((False, "-"), (True, ":")):
        found = {i: values.get((name, road, count, augmented)) for i, count in enumerate(counts)}
        macro = {i: np.array([pair[1] for pair in pairs]) for i, pairs in found.items() if pairs}
        if not macro:
            continue
        label = None if augmented else road
        if road in FIXED:
            axes.axhline(macro[0].mean(), color=colour, linestyle="--", linewidth=1.2, label=label)
            continue
        x = list(macro)
        axes.plot(x, [macro[i].mean() for i in x], style, color=colour, linewidth=1.8, marker="o", ms=3, label=label)
        if not augmented:
            low, high = [macro[i].min() for i in x], [macro[i].max() for i in x]
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _cell(pairs: Optional[Sequence[Tuple[float, float]]]) -> str:
    if not pairs:
        return ""
    micro, macro = np.array(pairs).T
    spread = f" ± {(macro.max() - macro.min()) / 2:.3f}" if len(pairs) > 1 else ""
    return f"{macro.mean():.3f}{spread} ({micro.mean():.3f})"


def _macro(pairs: Optional[Sequence[Tuple[float, float]]]) -> Optional[float]:
    return float(np.mean([macro for _, macro in pairs])) if pairs else None


def _place(count: int) -> float:
    return float("inf") if count == ALL else count


if __name__ == "__main__":
    typer.run(report)
