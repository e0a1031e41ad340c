"""python -m spacy zeroshot check: what is wrong with a pipeline's labels and settings, and what a document costs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._print import make_console, print_table
from ._util import Code, TextField, run

if TYPE_CHECKING:
    from ..checks import Report
    from ..component import ZeroShotTextCategorizer

COMMAND = "check"
# settings of a config can be given as options
CONTEXT_SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}
# As many texts are scored as samples at most
SAMPLES = 200
COLUMNS = ("text of", "windows", "pairs", "passes", "tokens")


def check(
    ctx: typer.Context,
    pipeline: Annotated[
        str, typer.Argument(metavar="PIPELINE_OR_CONFIG", help="A config file, or a pipeline's folder or package")
    ],
    texts: Annotated[
        Path | None, typer.Option("--texts", help="Texts it is meant for, any file the package reads, as samples")
    ] = None,
    text_field: TextField = "text",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
    code: Code = None,
) -> None:
    """Check labels, hypotheses and templates, and show what a document costs.

    One line per issue, then tables: texts of some lengths in wordpieces, the windows they are cut into, the pairs
    of window and hypothesis, the passes through the model and the tokens in them; and the same for 10, 100 and 1,000
    labels. Sample texts are scored to find labels that the model reads alike; with --texts, also labels that barely
    fit and templates without effect. Settings of a config can be given as options, as for spacy train. Exit code 1 if
    there are errors, 0 if there are only warnings.

    Example: python -m spacy zeroshot check config.cfg --components.zero_shot_textcat.model.name bundled
    """
    from spacy.cli._util import parse_config_overrides

    from ..checks import check_pipeline
    from ..loading import import_code
    from ..readers import read_texts

    with run(COMMAND):
        import_code(code)
        samples = read_texts(texts, text_field)[:SAMPLES] if texts is not None else ()
        report = check_pipeline(pipeline, parse_config_overrides(ctx.args), samples)
        if as_json:
            print(json.dumps(_as_data(report), ensure_ascii=False, indent=2))
        else:
            _print(report)
    if report.has_errors:
        raise typer.Exit(1)


def _print(report: "Report") -> None:
    from rich.text import Text

    from ..checks import LABEL_COUNTS, costs, costs_of_labels, reads

    console = make_console()
    for issue in report.issues:
        style = "red" if issue.level == "error" else "yellow"
        line = " ".join(f"[{issue.code}] {issue.component}: {issue.message}".split())
        console.print(Text(f"{issue.level:8}", style=style) + Text(line), soft_wrap=True)
    if not report.issues:
        console.print(Text("no errors, no warnings", style="green"))
    for pipe in _affordable(report):
        counts = f"labels: {len(pipe.labels):,}, hypotheses: {len(pipe.label_set().hypotheses):,}"
        console.print(f"\n{pipe.name}: {counts}; the text is read {reads(pipe)}\n", soft_wrap=True)
        print_table(console, COLUMNS, [[f"{cost.wordpieces:,} wordpieces", *cost[1:]] for cost in costs(pipe)])
        more = costs_of_labels(pipe)
        console.print(f"\nwith other numbers of labels, a text of {more[0].wordpieces:,} wordpieces\n")
        rows = [[f"{n:,} labels", *cost[1:]] for n, cost in zip(LABEL_COUNTS, more)]
        print_table(console, ("with", *COLUMNS[1:]), rows)


def _as_data(report: "Report") -> dict[str, Any]:
    from ..checks import LABEL_COUNTS, costs, costs_of_labels

    pipes = _affordable(report)
    return {
        "findings": [issue._asdict() for issue in report.issues],
        "costs": {pipe.name: [cost._asdict() for cost in costs(pipe)] for pipe in pipes},
        "costs_of_labels": {
            pipe.name: {n: cost._asdict() for n, cost in zip(LABEL_COUNTS, costs_of_labels(pipe))} for pipe in pipes
        },
    }


def _affordable(report: "Report") -> "list[ZeroShotTextCategorizer]":
    """The components whose cost can be worked out: they have labels, and no errors."""
    broken = {issue.component for issue in report.issues if issue.level == "error"}
    return [pipe for pipe in report.pipes if pipe.labels and pipe.name not in broken]
