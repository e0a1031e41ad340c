"""How every command ends: exit code 0; or 1, and one line on standard error that names the way out."""

import contextlib
import os
import sys
import warnings
from typing import Any, Iterator, NoReturn, Optional, TextIO, Type, Union

import typer
from typer.core import TyperGroup

from ..errors import ZeroShotError, ZeroShotWarning

# Typer has brought its own copy of click since 0.26; its base of BadParameter is the right class with either.
UsageError: Any = typer.BadParameter.__base__


class GuardedGroup(TyperGroup):
    """A group of commands that turns expected errors of any of them into one line and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for.

        ctx (typer.Context): Typer's context.
        RETURNS (Any): What the command returns.
        RAISES (typer.Exit): With code 1, after an expected error has been printed.
        """
        try:
            with guarded():
                return super().invoke(ctx)
        except UsageError as error:
            path = " ".join(filter(None, (ctx.command_path, ctx.invoked_subcommand)))
            message = error.format_message()
            stop = "" if message.endswith((".", "?", "!")) else "."
            fail(f"{message}{stop} See {path} --help")


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Turn expected errors into one line and exit code 1, and warnings of ours into one line.

    RAISES (typer.Exit): With code 1, after an expected error has been printed.
    """
    _print_anything(sys.stdout)
    # every try to reach a network that is not there would be a line of its own
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    with warnings.catch_warnings():
        # catch_warnings puts the old function back
        warnings.showwarning = _show_warning
        try:
            yield
        except BrokenPipeError:
            # the reader has gone (| head): Typer ends quietly
            raise
        except ZeroShotError as error:
            fail(str(error))
        except OSError as error:
            fail(f"{error.filename or 'a file'}: {error.strerror or error}. Check the path and its permissions.")
        except ValueError as error:
            # spaCy's own errors carry a code and a remedy; any other is a bug and keeps its traceback
            if not str(error).startswith("[E"):
                raise
            fail(str(error))


def fail(message: str) -> NoReturn:
    """Print one line on standard error and end with exit code 1.

    message (str): The message; line breaks become spaces.
    RAISES (typer.Exit): Always.
    """
    note(f"error: {message}")
    raise typer.Exit(1)


def note(message: str) -> None:
    """Print one line on standard error.

    message (str): The message; line breaks become spaces.
    """
    print(" ".join(message.split()), file=sys.stderr)


def _show_warning(
    message: Union[Warning, str],
    category: Type[Warning],
    filename: str,
    lineno: int,
    file: Optional[TextIO] = None,
    line: Optional[str] = None,
) -> None:
    if issubclass(category, ZeroShotWarning):
        note(f"warning: {message}")
    else:
        print(warnings.formatwarning(message, category, filename, lineno, line), file=file or sys.stderr, end="")


def _print_anything(stream: Any) -> None:
    """Let a text with characters the terminal cannot show be printed all the same."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
