"""Progress on standard error: a bar on a terminal, a line per pass elsewhere."""

import contextlib
from typing import Any, Callable, Iterator

from .bars import make_console


@contextlib.contextmanager
def watching() -> Iterator[Callable[[Iterator[Any], int, str], Iterator[Any]]]:
    """Show progress while the block runs.

    YIELDS (Callable): Takes an iterator, how much it will yield and what of; yields the same.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = make_console(stderr=True)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:

        def watch(items: Iterator[Any], total: int, name: str) -> Iterator[Any]:
            if not console.is_terminal:
                console.print(f"{name}: {total:,} texts", soft_wrap=True)
            yield from progress.track(items, total=total, description=name)

        yield watch
