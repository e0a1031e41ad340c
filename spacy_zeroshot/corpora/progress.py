"""Progress on standard error: a bar with rate and time left, and rows that were left out."""

import time
from types import TracebackType
from typing import Any, Optional, Type

from .steps import Step

# Rejected rows shown one by one; the rest are only counted, and all are in the rejects file.
SHOWN = 10
# Seconds between lines where there is no terminal to draw a bar on
EVERY = 60.0


class ProgressBar:
    """Follows a job.

    source (str): The input's name.
    """

    def __init__(self, source: str):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._source = source
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: Any = None
        self._start = time.monotonic()
        self._told = self._start
        self._done = self._fresh = self._rejected = 0
        self._before = 0.0

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._bar.stop()

    @property
    def rate(self) -> float:
        """RETURNS (float): Rows per second, of those scored in this run."""
        return self._fresh / max(time.monotonic() - self._start, 1e-9)

    def show(self, step: Step) -> None:
        """Show a finished shard. step (Step): The shard."""
        rows = step.info.written + len(step.info.rejects)
        self._done += rows
        if step.fresh:
            self._fresh += rows
            self._report(step)
            self._draw(step.fraction)
        else:
            self._before = max(self._before, step.fraction)

    def _draw(self, fraction: float) -> None:
        text = f"{self._done:,} rows  {self.rate:,.1f}/s"
        if self._task is None:
            # The time left is reckoned from what this run has to do, not from what was done before.
            self._task = self._bar.add_task("annotate", total=1.0 - self._before, rate=text)
        self._bar.update(self._task, completed=max(fraction - self._before, 0.0), rate=text)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._told >= EVERY:
            self._told = now
            part = max(fraction - self._before, 1e-9) / max(1.0 - self._before, 1e-9)
            left = (now - self._start) * (1.0 - part) / part
            self._console.print(f"{text}  {fraction:.1%}  {left:,.0f} s left")

    def _report(self, step: Step) -> None:
        for reject in step.info.rejects:
            self._rejected += 1
            if self._rejected <= SHOWN:
                unit, number = next(iter(reject.items()))
                self._console.print(f"{self._source}, {unit} {number} left out: {reject['error']}", soft_wrap=True)
            elif self._rejected == SHOWN + 1:
                self._console.print("further rows that are left out are not shown one by one", soft_wrap=True)
