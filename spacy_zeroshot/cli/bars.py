"""Scores as bars in a terminal, and plain in a pipe."""

from typing import TYPE_CHECKING, Any, Collection, List, Mapping, NamedTuple, Sequence

if TYPE_CHECKING:
    from rich.console import Console

LABEL_WIDTH = 28
BAR_WIDTH = 40
# the last block of a bar, in eighths
EIGHTHS = " ▏▎▍▌▋▊▉"


class Line(NamedTuple):
    """A label's line.

    label (str): The label.
    score (float): Between 0 and 1.
    chosen (bool): Whether the label was chosen.
    note (str): What to add at the end.
    """

    label: str
    score: float
    chosen: bool
    note: str = ""


def make_console(stderr: bool = False) -> "Console":
    """RETURNS (Console): A console that takes texts as they are. stderr (bool): For standard error."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def lines_of(cats: Mapping[str, float], chosen: Collection[str]) -> List[Line]:
    """A line for every label, the best first.

    cats (Mapping[str, float]): Scores by label.
    chosen (Collection[str]): The chosen labels.
    RETURNS (List[Line]): The lines.
    """
    return [Line(label, cats[label], label in chosen) for label in sorted(cats, key=lambda label: -cats[label])]


def print_bars(console: "Console", heading: str, lines: Sequence[Line], height: int = 2) -> None:
    """Print a heading and a bar for every line.

    console (Console): Where to print.
    heading (str): Usually the text that was scored; shortened.
    lines (Sequence[Line]): The lines.
    height (int): Lines the heading may take.
    """
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    plain = _is_plain(console)
    # some of every line is lost to wrapping at words
    room = console.width * height - 10 * (height - 1)
    for part in Text(shorten(heading, room), style="bold").wrap(console, console.width):
        part.rstrip()
        console.print(part)
    labels = [shorten(line.label, LABEL_WIDTH) for line in lines]
    width = max((cell_len(label) for label in labels), default=0)
    notes = max((cell_len(line.note) for line in lines), default=0)
    room = max(8, min(BAR_WIDTH, console.width - width - notes - 12))
    for label, line in zip(labels, lines):
        text = Text("  ")
        text.append(f"{mark_of(console)} " if line.chosen else "  ", style="green")
        text.append(set_cell_size(label, width) + " ", style="bold" if line.chosen else "")
        text.append(bar(line.score, room, plain), style="green" if line.chosen else "bright_black")
        text.append(f" {line.score:.2f}")
        if line.note:
            text.append(f"  {shorten(line.note, max(8, console.width - width - room - 12))}", style="bright_black")
        text.rstrip()
        console.print(text, soft_wrap=True)
    console.print()


def mark_of(console: "Console") -> str:
    """RETURNS (str): What marks a chosen label. console (Console): Where it is printed."""
    return "*" if _is_plain(console) else "●"


def bar(score: float, width: int, plain: bool) -> str:
    """Draw a bar.

    score (float): Between 0 and 1.
    width (int): Characters of a full bar.
    plain (bool): ASCII only.
    RETURNS (str): The bar, filled up with spaces.
    """
    eighths = round(min(max(score, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    if plain:
        return ("#" * (full + (rest >= 4))).ljust(width)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width)


def shorten(text: str, width: int) -> str:
    """Fit a text into one line of a terminal: control characters and line breaks become spaces.

    text (str): Any text.
    width (int): Cells it may take.
    RETURNS (str): The text, with an ellipsis if it was cut.
    """
    from rich.cells import cell_len, set_cell_size

    # no text can need more characters than this, and a text may have millions
    visible = "".join(char if char.isprintable() else " " for char in text[: 8 * width + 200])
    line = " ".join(visible.split())
    if len(text) <= 8 * width + 200 and cell_len(line) <= width:
        return line
    return set_cell_size(line, width - 3).rstrip() + "..."


def print_table(console: "Console", columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table that is Markdown, too.

    console (Console): Where to print.
    columns (Sequence[str]): Their names.
    rows (Sequence[Sequence[Any]]): The cells. Numbers are right-aligned.
    """
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else _grouped(cell) for cell in row] for row in rows]
    right = [all(row[i] == "" or isinstance(row[i], (int, float)) for row in rows) for i in range(len(columns))]
    widths = [max(len(column), *(len(row[i]) for row in cells)) for i, column in enumerate(columns)]
    rule = ["-" * (width - 1) + (":" if is_right else "-") for width, is_right in zip(widths, right)]
    for row in [list(columns), rule, *cells]:
        shown = [
            cell.rjust(width) if is_right else cell.ljust(width) for cell, width, is_right in zip(row, widths, right)
        ]
        console.print("| " + " | ".join(shown) + " |", soft_wrap=True)


def _is_plain(console: "Console") -> bool:
    return not console.encoding.lower().startswith("utf")


def _grouped(cell: Any) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
