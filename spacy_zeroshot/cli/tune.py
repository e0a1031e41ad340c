"""python -m spacy zeroshot tune: the settings that serve a development set best."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from ..readers import label_names
from ..tuning.report import GOALS, describe, figure_rows, report
from ..tuning.score import read_gold
from ..tuning.settings import apply_settings
from ..tuning.tune import TEMPLATES
from ..tuning.tune import tune as tune_pipeline
from ..util import check_output, replace_folder
from . import _util as cli
from ._print import make_console, print_table


def tune(
    pipeline: cli.PipelineName,
    dev: Annotated[Path, Argument(metavar="DEV", help="Labelled texts: any file the package reads")],
    output: cli.Output,
    goal: Annotated[
        Literal["macro-f1", "micro-f1", "accuracy"], Option("--objective", help="What to maximise")
    ] = "macro-f1",
    labels: cli.Labels = "",
    multi_label: cli.MultiLabel = None,
    templates: Annotated[list[str] | None, Option("--template", "-t", help="In place of the built-in ones")] = None,
    none_label: cli.NoneLabel = None,
    component: cli.Component = None,
    folds: Annotated[int, Option(min=2, help="Parts of the cross-validation")] = 5,
    seed: Annotated[int, Option(help="Of the division into parts")] = 0,
    text_field: cli.TextField = "text",
    label_field: cli.LabelField = "labels",
    with_report: Annotated[bool, Option("--report/--no-report", help="Write OUTPUT/report.html")] = True,
    overwrite: cli.Overwrite = False,
    code: cli.Code = None,
    gpu_id: cli.GpuId = -1,
) -> None:
    """Find template, threshold (or one for each label), top-k and temperature on labelled texts.

    The texts are scored once, with every template; the rest is arithmetic. Only rules of the pipeline's own mode are
    tried, and its settings stay if nothing does better. OUTPUT is a pipeline for spacy.load, with everything that was
    found in its config. "bundled" and checkpoints take their labels from DEV if none are given.

    Example: python -m spacy zeroshot tune my_pipeline dev.jsonl --output tuned
    """
    # what can fail at once fails before the work
    check_output(output, overwrite)
    rows = read_gold(dev, text_field, label_field)
    nlp, pipe = cli.open_component(pipeline, None, labels, (), multi_label, component, code, gpu_id, needs_labels=False)
    if not pipe.labels and not pipe.examples:
        pipe.set_labels([label for label in label_names(rows) if label != none_label])
    tuned = tune_pipeline(
        nlp,
        rows,
        component=pipe.name,
        templates=templates or TEMPLATES,
        goal=goal.replace("-", "_"),  # type: ignore[arg-type]
        none_label=none_label,
        folds=folds,
        seed=seed,
        track=cli.track,
    )
    apply_settings(nlp, pipe.name, tuned.settings)
    with replace_folder(output) as folder:
        nlp.to_disk(folder)
        if with_report:
            (folder / "report.html").write_text(report(tuned), encoding="utf8")
    console = make_console()
    for group in tuned.groups:
        if group.label_set.groups[0].name:
            console.print(f"\n{group.label_set.groups[0].name}\n", soft_wrap=True)
        print_table(console, ("", *GOALS.values()), figure_rows(group))
        if not group.changed:
            console.print("nothing that was tried does better: the settings stay", soft_wrap=True)
            continue
        console.print(f"template: {group.chosen.name}", soft_wrap=True)
        console.print(f"decision: {describe(group.after.rule, len(group.label_set.labels))}", soft_wrap=True)
        console.print(f"temperature: {group.search.best.temperature:.3g}", soft_wrap=True)
    if with_report:
        cli.note(f"{output / 'report.html'}: figures, mistakes, and the hardest texts")
    cli.note(f"{output}: written. Next: python -m spacy zeroshot evaluate {output} TEST_FILE")
