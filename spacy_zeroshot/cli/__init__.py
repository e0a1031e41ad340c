"""python -m spacy zeroshot ...: thin commands over plain functions, one file each.

spaCy imports this file for every command of its own (entry point group spacy_cli), so a command's file is imported
when that command is asked for, or the list of all.
"""

import importlib
from typing import Any

import typer
from spacy.cli._util import app
from typer.core import TyperGroup
from typer.main import get_command

from .. import __version__

# In the order of the help, which shows the sentence. A command is a function in a file of the same name.
COMMANDS = {
    "classify": "Score texts on labels of your own",
    "annotate": "Label every text of a file",
    "tune": "Find the settings that fit labelled texts best",
    "calibrate": "Balance the scores of labels by unlabelled texts",
    "distill": "Train a small fast classifier on a pipeline's labels",
    "evaluate": "Measure how often a pipeline is right",
    "check": "Find faults of labels and settings, and show the cost",
    "explore": "Try labels and wordings in the browser",
    "benchmark": "Measure the speed on this machine",
}
# Typer has brought its own copy of click since 0.26; its base of BadParameter is the right class with either.
UsageError: Any = typer.BadParameter.__base__


class LazyGroup(TyperGroup):
    """Imports a command when it is used, runs it in _util.run, and makes wrong options one line and exit code 1."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        from ._util import run

        module = importlib.import_module(f"{__name__}.{cmd_name}")
        single = typer.Typer(rich_markup_mode=None, add_completion=False)
        settings = getattr(module, "CONTEXT_SETTINGS", None)
        command = run(cmd_name)(getattr(module, cmd_name))
        single.command(cmd_name, context_settings=settings, short_help=COMMANDS[cmd_name])(command)
        return get_command(single)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UsageError as error:
            path = " ".join(filter(None, (ctx.command_path, ctx.invoked_subcommand)))
            message = error.format_message()
            stop = "" if message.endswith((".", "?", "!")) else "."
            typer.echo(f"error: {' '.join(message.split())}{stop} See {path} --help", err=True)
            raise typer.Exit(1) from error


def _print_version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit()


zeroshot = typer.Typer(
    name="zeroshot", cls=LazyGroup, help="Zero-shot text classification", no_args_is_help=True, rich_markup_mode=None
)


@zeroshot.callback()
def main(
    version: bool = typer.Option(
        False, "--version", help="Show the version of spacy-zeroshot", is_eager=True, callback=_print_version
    ),
) -> None:
    """Zero-shot text classification"""


app.add_typer(zeroshot)
