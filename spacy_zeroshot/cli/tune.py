"""python -m spacy zeroshot tune: the settings that serve a development set best."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ._print import make_console, print_table
from ._util import Code, Component, GpuId, LabelField, Labels, MultiLabel, TextField, note, run, track

if TYPE_CHECKING:
    from ..tuning.tune import Tuned

COMMAND = "tune"


def tune(
    pipeline: Annotated[
        str, typer.Argument(metavar="PIPELINE", help='A pipeline\'s folder or package, "bundled", or a checkpoint')
    ],
    dev: Annotated[Path, typer.Argument(metavar="DEV", help="Labelled texts: any file the package reads")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the tuned pipeline and its report")],
    goal: Annotated[
        Literal["macro-f1", "micro-f1", "accuracy"], typer.Option("--objective", help="What to maximise")
    ] = "macro-f1",
    labels: Labels = "",
    multi_label: MultiLabel = None,
    templates: Annotated[
        list[str] | None,
        typer.Option("--template", "-t", help="A candidate, in place of the built-in ones; may be repeated"),
    ] = None,
    none_label: Annotated[
        str | None, typer.Option("--none-label", help='A gold label that means "no label fits", e.g. out-of-domain')
    ] = None,
    component: Component = None,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Parts of the cross-validation")] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Of the division into parts")] = 0,
    text_field: TextField = "text",
    label_field: LabelField = "labels",
    with_report: Annotated[bool, typer.Option("--report/--no-report", help="Write OUTPUT/report.html")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it is there")] = False,
    code: Code = None,
    gpu_id: GpuId = -1,
) -> None:
    """Find template, threshold (or one for each label), top-k and temperature on labelled texts.

    The texts are scored once, with every template; the rest is arithmetic. Only rules of the pipeline's own mode are
    tried, and its settings stay if nothing does better. OUTPUT is a pipeline for spacy.load, with everything that was
    found in its config. "bundled" and checkpoints take their labels from DEV if none are given.

    Example: python -m spacy zeroshot tune my_pipeline dev.jsonl --output tuned
    """
    from ..loading import import_code, open_pipeline, read_label_list, use_gpu
    from ..readers import label_names
    from ..tuning.report import report
    from ..tuning.score import read_gold
    from ..tuning.settings import apply_settings, check_output, pipeline_folder
    from ..tuning.tune import TEMPLATES
    from ..tuning.tune import tune as tune_pipeline

    with run(COMMAND):
        # what can fail at once fails before the work
        check_output(output, overwrite)
        given = read_label_list(labels)
        rows = read_gold(dev, text_field, label_field)
        import_code(code)
        use_gpu(gpu_id)
        nlp, pipe = open_pipeline(pipeline, labels=given, multi_label=multi_label, component=component)
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
            track=track,
        )
        page = report(tuned) if with_report else None
        apply_settings(nlp, pipe.name, tuned.settings)
        with pipeline_folder(nlp, output, overwrite) as folder:
            if page is not None:
                (folder / "report.html").write_text(page, encoding="utf8")
        show(tuned)
        if page is not None:
            note(f"{output / 'report.html'}: what was tried, and the hardest texts")
        note(f"{output}: written. Next: python -m spacy zeroshot evaluate {output} TEST_FILE")


def show(tuned: "Tuned") -> None:
    """Print what was found."""
    from ..tuning.report import GOALS, describe

    console = make_console()
    for group in tuned.groups:
        if group.label_set.groups[0].name:
            console.print(f"\n{group.label_set.groups[0].name}\n", soft_wrap=True)
        held_out: list[Any] = ["tuned, held out", "", "", ""]
        held_out[1 + list(GOALS).index(group.search.goal)] = group.search.held_out
        rows = [["before", *group.before.figures[:3]], ["tuned, fitted", *group.after.figures[:3]], held_out]
        print_table(console, ("", "macro-F1", "micro-F1", "accuracy"), rows)
        if not group.changed:
            console.print("nothing that was tried does better: the settings stay", soft_wrap=True)
            continue
        console.print(f"template: {group.chosen.name}", soft_wrap=True)
        console.print(f"chosen: {describe(group.after.rule, len(group.label_set.labels))}", soft_wrap=True)
        console.print(f"temperature: {group.search.best.temperature:.3g}", soft_wrap=True)
