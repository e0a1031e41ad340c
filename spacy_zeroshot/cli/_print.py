"""Scores as bars in a terminal, and plain in a pipe; tables."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

LABEL_WIDTH = 28
BAR_WIDTH = 40
# the last block of a bar, in eighths
EIGHTHS = " ▏▎▍▌▋▊▉"


def make_console(stderr: bool = False) -> Console:
    """A console that takes texts as they are."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def print_bars(console: Console, heading: str, cats: Mapping[str, float], chosen: Collection[str]) -> None:
    """Print a heading on at most two lines, and a bar for every label, the best first, the chosen ones marked."""
    plain = not console.encoding.lower().startswith("utf")
    # some of every line is lost to wrapping at words
    for part in Text(shorten(heading, console.width * 2 - 10), style="bold").wrap(console, console.width):
        part.rstrip()
        console.print(part)
    names = {label: shorten(label, LABEL_WIDTH) for label in sorted(cats, key=lambda label: -cats[label])}
    width = max(map(cell_len, names.values()), default=0)
    room = max(8, min(BAR_WIDTH, console.width - width - 12))
    for label, name in names.items():
        is_chosen = label in chosen
        text = Text("  ")
        text.append(f"{'*' if plain else '●'} " if is_chosen else "  ", style="green")
        text.append(set_cell_size(name, width) + " ", style="bold" if is_chosen else "")
        text.append(bar(cats[label], room, plain), style="green" if is_chosen else "bright_black")
        text.append(f" {cats[label]:.2f}")
        console.print(text, soft_wrap=True)
    console.print()


def bar(score: float, width: int, plain: bool) -> str:
    """A bar of a score, filled up with spaces; plain is ASCII only."""
    eighths = round(min(max(score, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    if plain:
        return ("#" * (full + (rest >= 4))).ljust(width)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width)


def shorten(text: str, width: int) -> str:
    """A text that fits into `width` cells of one line; control characters become spaces."""
    # no text can need more characters than this, and a text may have millions
    most = 8 * width + 200
    line = " ".join("".join(char if char.isprintable() else " " for char in text[:most]).split())
    if len(text) <= most and cell_len(line) <= width:
        return line
    return set_cell_size(line, width - 3).rstrip() + "..."


def print_table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table that is Markdown, too. Numbers are right-aligned."""
    cells = [[_shown(cell) for cell in row] for row in rows]
    right = [all(row[i] == "" or isinstance(row[i], (int, float)) for row in rows) for i in range(len(columns))]
    widths = [max(len(column), *(len(row[i]) for row in cells)) for i, column in enumerate(columns)]
    rule = ["-" * (width - 1) + (":" if is_right else "-") for width, is_right in zip(widths, right)]
    for row in [list(columns), rule, *cells]:
        padded = [cell.rjust(w) if is_right else cell.ljust(w) for cell, w, is_right in zip(row, widths, right)]
        console.print("| " + " | ".join(padded) + " |", soft_wrap=True)


def _shown(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
