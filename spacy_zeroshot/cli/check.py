"""python -m spacy zeroshot check: what is wrong with a pipeline's labels and settings, and what a document costs."""

import json
from pathlib import Path
from typing import Annotated

from rich.text import Text
from spacy.cli._util import parse_config_overrides
from typer import Argument, Context, Exit, Option

from ..checks import Cost, Issue, check_pipeline, costs
from ..component import ZeroShotTextCategorizer
from ..loading import import_code
from ..readers import read_texts
from ..tuning.score import predictor_of
from . import _util as cli
from ._print import make_console, print_table

# settings of a config can be given as options
CONTEXT_SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}
# As many texts are scored as samples at most
SAMPLES = 200


def check(
    ctx: Context,
    pipeline: Annotated[str, Argument(metavar="PIPELINE_OR_CONFIG", help="A config file, or a folder or package")],
    texts: Annotated[Path | None, Option(help="Texts it is meant for, any file the package reads, as samples")] = None,
    text_field: cli.TextField = "text",
    as_json: cli.Json = False,
    code: cli.Code = None,
) -> None:
    """Check labels, hypotheses and templates, and show what a document costs.

    One line per issue, then a table: texts of some lengths in wordpieces, the windows they are cut into, the pairs of
    window and hypothesis, the passes through the model and the tokens in them; and the same for 10, 100 and 1,000
    labels. Sample texts are scored to find labels that the model reads alike. Settings of a config can be given as
    options, as for spacy train. Exit code 1 if there are errors, 0 if there are only warnings.

    Example: python -m spacy zeroshot check config.cfg --components.zero_shot_textcat.model.name bundled
    """
    import_code(code)
    samples = read_texts(texts, text_field)[:SAMPLES] if texts is not None else ()
    issues, pipes = check_pipeline(pipeline, parse_config_overrides(ctx.args), samples)
    broken = {issue.component for issue in issues if issue.level == "error"}
    affordable = [pipe for pipe in pipes if pipe.labels and pipe.name not in broken]
    if as_json:
        found = [issue._asdict() for issue in issues]
        prices = {pipe.name: [cost._asdict() for cost in costs(pipe)] for pipe in affordable}
        print(json.dumps({"findings": found, "costs": prices}, ensure_ascii=False, indent=2))
    else:
        _print(issues, affordable)
    if broken:
        raise Exit(1)
    if not as_json:
        cli.note(f"Next: python -m spacy zeroshot evaluate {pipeline} DATA, once it is a saved pipeline")


def _print(issues: list[Issue], pipes: list[ZeroShotTextCategorizer]) -> None:
    console = make_console()
    for issue in issues:
        style = "red" if issue.level == "error" else "yellow"
        line = " ".join(f"[{issue.code}] {issue.component}: {issue.message}".split())
        console.print(Text(f"{issue.level:8}", style=style) + Text(line), soft_wrap=True)
    if not issues:
        console.print(Text("no errors, no warnings", style="green"))
    for pipe in pipes:
        counts = f"labels: {len(pipe.labels):,}, hypotheses: {len(pipe.label_set().hypotheses):,}"
        passes = getattr(predictor_of(pipe).scorer, "text_passes", "again for every hypothesis")
        console.print(f"\n{pipe.name}: {counts}; the text is read {passes}\n", soft_wrap=True)
        print_table(console, Cost._fields, costs(pipe))
