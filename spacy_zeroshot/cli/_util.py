"""What commands share: their options, how they open a pipeline, how they end, and their one progress bar."""

import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from spacy.language import Language
from typer import Argument, Exit, Option

from ..component import ZeroShotTextCategorizer
from ..errors import ZeroShotError, ZeroShotWarning, named
from ..loading import import_code, open_pipeline, read_label_list, use_gpu
from ._print import make_console

T = TypeVar("T")
# Seconds that a command which is interrupted has to put its things in order
GRACE = 1.5
INTERRUPTED = 130
# Seconds between lines of progress where there is no terminal to draw a bar on
EVERY = 30.0

# Options of several commands
Pipeline = Annotated[str | None, Option("--pipeline", "-p", help="A saved pipeline's folder or package")]
PipelineName = Annotated[str, Argument(metavar="PIPELINE", help='A folder or package, "bundled", or a checkpoint')]
Model = Annotated[str | None, Option("--model", "-m", help="A checkpoint's folder or Hub name; else the bundled model")]
Labels = Annotated[str, Option("--labels", "-l", help='"a,b,c", a JSON list if labels have commas, or a file of them')]
Template = Annotated[list[str] | None, Option("--template", "-t", help='Hypothesis, as "The topic is {}."; repeatable')]
MultiLabel = Annotated[
    bool | None,
    Option("--multi-label/--single-label", help="Each label on its own, or they compete; else as the pipeline has it"),
]
Component = Annotated[str | None, Option(help="Name of the zero-shot component; the first if not given")]
Threshold = Annotated[float | None, Option(min=0.0, max=1.0, help="Score that a label must reach; else the pipeline's")]
NoneLabel = Annotated[str | None, Option(help='A gold label that means "no label fits", e.g. out-of-domain')]
Texts = Annotated[Path, Argument(metavar="TEXTS", help="Unlabelled texts: any file the package reads")]
Labelled = Annotated[Path | None, Option(help="Labelled texts, to measure on")]
TextField = Annotated[str, Option(help="The field with the text")]
LabelField = Annotated[str, Option(help="The field with the labels")]
Output = Annotated[Path, Option("--output", "-o", help="The folder to write")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace what is there")]
Json = Annotated[bool, Option("--json", help="Print JSON")]
Processes = Annotated[int, Option("--n-process", "-n", min=1, help="Processes that score, or Ray workers")]
Code = Annotated[Path | None, Option("--code", "-c", help="Python file with registered functions, imported first")]
GpuId = Annotated[int, Option("--gpu-id", "-g", help="GPU; -1 for the CPU")]


def open_component(
    pipeline: str | None,
    model: str | None = None,
    labels: str = "",
    templates: Sequence[str] | None = None,
    multi_label: bool | None = None,
    component: str | None = None,
    code: Path | None = None,
    gpu_id: int = -1,
    *,
    needs_labels: bool = True,
) -> tuple[Language, ZeroShotTextCategorizer]:
    """Open what the options name. RAISES (ZeroShotError): Z067 if it has no labels."""
    given = read_label_list(labels)
    import_code(code)
    use_gpu(gpu_id)
    nlp, pipe = open_pipeline(
        pipeline, model=model, labels=given, templates=templates or (), multi_label=multi_label, component=component
    )
    if needs_labels and not pipe.labels:
        raise ZeroShotError("Z067")
    return nlp, pipe


@contextmanager
def run(command: str) -> Iterator[None]:
    """A command's body: errors that are expected end it with one line and exit code 1, Ctrl-C within two seconds."""
    if hasattr(sys.stdout, "reconfigure"):
        # a text with characters the terminal cannot show is printed all the same
        sys.stdout.reconfigure(errors="backslashreplace")
    # every try to reach a network that is not there would be a line of its own
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    plain = warnings.showwarning

    def show_warning(message: Warning | str, category: type[Warning], *place: Any) -> None:
        if issubclass(category, ZeroShotWarning):
            note(f"warning: {message}")
        else:
            plain(message, category, *place)

    with named(command), _ended_by_interrupt(), warnings.catch_warnings():
        # catch_warnings puts the old function back
        warnings.showwarning = show_warning  # type: ignore[assignment]
        try:
            yield
        except BrokenPipeError:
            # the reader has gone (| head): Typer ends quietly
            raise
        except OSError as error:
            fail(f"{error.filename or 'a file'}: {error.strerror or error}. Check the path and its permissions.")
        except ValueError as error:
            # ours and spaCy's own carry a code and a remedy; any other is a bug and keeps its traceback
            if not isinstance(error, ZeroShotError) and not str(error).startswith("[E"):
                raise
            fail(str(error))


def fail(message: str) -> NoReturn:
    note(f"error: {message}")
    raise Exit(1)


def note(message: str) -> None:
    """Print one line on standard error; line breaks become spaces."""
    print(" ".join(message.split()), file=sys.stderr)


class Bar:
    """Progress on standard error: a bar with rate and time left, or a line now and then where there is no terminal.
    The clock starts with the first thing that is done: neither loading nor what an earlier run did counts. Until then
    the bar only moves."""

    def __init__(self, description: str):
        self.console = make_console(stderr=True)
        columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[text]}")
        self._description = description
        self._bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self._task = self._bar.add_task(description, total=None, text="")
        self._first: tuple[int, float] | None = None
        self._start = self._told = 0.0
        self.rate = 0.0

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def update(self, done: int, fraction: float) -> None:
        """Show how many things are done, and which fraction of all there is to do."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._start, self._told = (done, fraction), now, now
        elapsed, part = now - self._start, fraction - self._first[1]
        self.rate = (done - self._first[0]) / elapsed if elapsed else 0.0
        text = f"{done:,}  {self.rate:,.1f}/s"
        if part > 0.0:
            left = round(elapsed * (1.0 - fraction) / part)
            text += f"  {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
        self._bar.update(self._task, total=1.0, completed=fraction, text=text)
        if not self.console.is_terminal and now - self._told >= EVERY:
            self._told = now
            self.console.print(f"{self._description}: {fraction:.1%}  {text}", soft_wrap=True)


def track(items: Iterable[T], total: int | None = None, description: str = "") -> Iterator[T]:
    """Pass items on and show how many there were. A util.Track."""
    with Bar(description) as bar:
        for done, item in enumerate(items, start=1):
            bar.update(done, min(done / total, 1.0) if total else 0.0)
            yield item


@contextmanager
def _ended_by_interrupt() -> Iterator[None]:
    """After Ctrl-C the process ends: when its work has been put in order, at the latest when GRACE is over."""
    # A thread is told of the signal even while the main one is inside of a long call. Nothing is left to Python's own
    # end, which waits for threads and takes seconds with torch. Child processes end with their parent (annotation.py).
    ours, signals = socket.socketpair()
    signals.setblocking(False)
    ended = threading.Event()

    def watch() -> None:
        while byte := ours.recv(1):
            if byte[0] == signal.SIGINT and not ended.wait(GRACE):
                _leave()

    before = signal.set_wakeup_fd(signals.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        _leave()
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        signals.close()
        watcher.join()
        ours.close()


def _leave() -> NoReturn:
    # a bar may have hidden the cursor
    os.write(2, b"\x1b[?25h\ninterrupted\n" if os.isatty(2) else b"interrupted\n")
    os._exit(INTERRUPTED)
