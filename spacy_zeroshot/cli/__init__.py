"""python -m spacy zeroshot ...: thin commands over plain functions.

spaCy imports this file for every command of its own (entry point group spacy_cli), so neither this module nor the
commands import anything heavy before they are called.
"""

import typer
from spacy.cli._util import app

from .adapt import adapt
from .annotate import annotate
from .benchmark import benchmark
from .calibrate import calibrate
from .check import check
from .classify import classify
from .distill import distill
from .evaluate import evaluate
from .guard import GuardedGroup
from .tune import tune

zeroshot = typer.Typer(
    name="zeroshot",
    cls=GuardedGroup,
    help="Zero-shot text classification",
    no_args_is_help=True,
    rich_markup_mode=None,
)
zeroshot.command("classify")(classify)
zeroshot.command("annotate")(annotate)
zeroshot.command("tune")(tune)
zeroshot.command("calibrate")(calibrate)
zeroshot.command("distill")(distill)
zeroshot.command("adapt")(adapt)
zeroshot.command("evaluate")(evaluate)
zeroshot.command("check", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(check)
zeroshot.command("benchmark")(benchmark)
app.add_typer(zeroshot)
