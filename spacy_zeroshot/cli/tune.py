"""python -m spacy zeroshot tune: the settings that serve a development set best."""

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, List, Optional

import typer

from ..corpora.pipelines import PipelineSpec
from ..errors import COMPONENT
from .bars import make_console, print_table
from .guard import note
from .options import GpuId, Labels, MultiLabel, parse_labels
from .progress import watching

if TYPE_CHECKING:
    from ..tuning.tune import Tuned

COMMAND = "tune"


class Goal(str, enum.Enum):
    """What is maximised."""

    macro_f1 = "macro-f1"
    micro_f1 = "micro-f1"
    accuracy = "accuracy"


def tune(
    pipeline: Annotated[
        str, typer.Argument(metavar="PIPELINE", help='A pipeline\'s folder or package, "bundled", or a checkpoint')
    ],
    dev: Annotated[
        Path, typer.Argument(metavar="DEV", help='{"text", "labels"} per line (.jsonl, .jsonl.gz), or .spacy')
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the tuned pipeline and its report")],
    goal: Annotated[Goal, typer.Option("--objective", help="What to maximise")] = Goal.macro_f1,
    labels: Labels = "",
    multi_label: MultiLabel = None,
    templates: Annotated[
        Optional[List[str]],
        typer.Option("--template", "-t", help="A candidate, in place of the built-in ones; may be repeated"),
    ] = None,
    none_label: Annotated[
        Optional[str],
        typer.Option("--none-label", help='A gold label that means "no label fits", e.g. out-of-domain'),
    ] = None,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Parts of the cross-validation")] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Of the division into parts")] = 0,
    with_report: Annotated[bool, typer.Option("--report/--no-report", help="Write OUTPUT/report.html")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it is there")] = False,
    gpu_id: GpuId = -1,
) -> None:
    """Find template, threshold (or one for each label), top-k and temperature on labelled texts.

    The texts are scored once for every template; the rest is arithmetic. OUTPUT is a pipeline for spacy.load, with
    everything that was found in its config. "bundled" and checkpoints take their labels from DEV if none are given.

    Example: python -m spacy zeroshot tune my_pipeline dev.jsonl --output tuned
    """
    from ..tuning.charts import require_matplotlib
    from ..tuning.passes import TEMPLATES
    from ..tuning.report import report
    from ..tuning.settings import REPORT, apply_settings, check_output, pipeline_folder
    from ..tuning.texts import label_names, read_labelled
    from ..tuning.tune import get_zero_shot
    from ..tuning.tune import tune as tune_pipeline

    # what can fail at once fails before the work
    check_output(output, overwrite, COMMAND)
    if with_report:
        require_matplotlib()
    spec = PipelineSpec.of(pipeline)._replace(
        labels=tuple(parse_labels(labels)), multi_label=multi_label, gpu_id=gpu_id
    )
    rows = None
    if spec.pipeline is None and not spec.labels:
        rows = read_labelled(dev, "", COMMAND)
        spec = spec._replace(labels=label_names(rows, none_label))
    nlp = spec.open()
    pipe = get_zero_shot(nlp, command=COMMAND)
    if rows is None:
        rows = read_labelled(dev, pipe.key_prefix, COMMAND)
    with watching() as watch:
        tuned = tune_pipeline(
            nlp,
            rows,
            pipe_name=pipe.name,
            templates=templates or TEMPLATES,
            goal=goal.value.replace("-", "_"),
            none_label=none_label,
            folds=folds,
            seed=seed,
            watch=watch,
        )
    page = report(tuned) if with_report else None
    apply_settings(nlp, pipe.name, {**tuned.settings, "multi_label": pipe.multi_label})
    with pipeline_folder(nlp, output, overwrite, COMMAND) as folder:
        if page is not None:
            (folder / REPORT).write_text(page, encoding="utf8")
    show(tuned)
    note(f'{output}: written. Load it with spacy.load("{output}")' + (f"; see {output / REPORT}" if page else ""))


def show(tuned: "Tuned") -> None:
    """Print what was found. tuned (Tuned): What tuning gave."""
    from ..tuning.report import GOALS, describe

    console = make_console()
    rows: List[List[Any]] = [
        [name, found.macro_f1, found.micro_f1, found.accuracy]
        for name, found in (("before", tuned.before), ("tuned, fitted", tuned.after))
    ]
    held_out: List[Any] = ["tuned, held out", "", "", ""]
    held_out[1 + list(GOALS).index(tuned.search.goal)] = tuned.search.held_out
    print_table(console, ("", "macro-F1", "micro-F1", "accuracy"), [*rows, held_out])
    best = tuned.search.best
    console.print(f"template: {tuned.chosen.name}", soft_wrap=True)
    console.print(f"chosen are {describe(tuned.rule, len(tuned.labels))}", soft_wrap=True)
    console.print(f"temperature: {best.temperature:.3g}", soft_wrap=True)
    if tuned.pipe != COMPONENT:
        console.print(f"component: {tuned.pipe}", soft_wrap=True)
