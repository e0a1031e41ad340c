"""python -m spacy zeroshot ...: thin commands over plain functions.

spaCy imports this file for every command of its own (entry point group spacy_cli), so nothing heavy is imported here.
"""

import typer
from spacy.cli._util import app

zeroshot = typer.Typer(name="zeroshot", help="Zero-shot text classification", no_args_is_help=True)
app.add_typer(zeroshot)
