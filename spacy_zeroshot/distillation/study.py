"""Training without labels, as the README shows it: python -m spacy_zeroshot.distillation.study DATA.

DATA holds clf/study/sst2.train.jsonl.gz and clf/study/ag_news.train_subset.jsonl.gz, whose labels are not looked at,
and clf/eval/sst2.jsonl.gz and clf/eval/ag_news.jsonl.gz, on which teacher and student are compared.
"""

import gzip
import itertools
import tempfile
from pathlib import Path
from typing import Annotated, List, NamedTuple, Optional, Tuple

import typer

from ..cli.bars import make_console, print_table
from ..cli.guard import note
from ..corpora.pipelines import PipelineSpec
from ..corpora.progress import ProgressBar
from .distill import Recipe, distill
from .student import Architecture


class Set(NamedTuple):
    """A data set.

    name (str): Its name.
    texts (str): The file of unlabelled texts.
    labelled (str): The file both are compared on.
    labels (Tuple[str, ...]): The labels.
    template (str): The hypothesis template.
    """

    name: str
    texts: str
    labelled: str
    labels: Tuple[str, ...]
    template: str


SETS = (
    Set(
        "sst2",
        "clf/study/sst2.train.jsonl.gz",
        "clf/eval/sst2.jsonl.gz",
        ("positive", "negative"),
        "This example is {}.",
    ),
    Set(
        "ag_news",
        "clf/study/ag_news.train_subset.jsonl.gz",
        "clf/eval/ag_news.jsonl.gz",
        ("World", "Sports", "Business", "Sci/Tech"),
        "This example is {}.",
    ),
)
ARCHITECTURES: Tuple[Architecture, ...] = ("ensemble", "bow")
# Unlabelled texts that the teacher is calibrated with
CALIBRATED_ON = 500
COLUMNS = ("set", "pipeline", "accuracy", "macro-F1", "agreement", "documents/s, one core", "times faster", "MB")


def study(
    data: Annotated[Path, typer.Argument(help="The folder with clf/")],
    limit: Annotated[int, typer.Option(help="Texts to learn from and to compare on, of each set; 0 for all")] = 0,
    names: Annotated[Optional[List[str]], typer.Option("--set", help="Only these sets")] = None,
    output: Annotated[Optional[Path], typer.Option(help="Keep the students here; a folder that can be resumed")] = None,
    threshold: Annotated[float, typer.Option(help="Confidence of a label")] = 0.6,
    n_process: Annotated[int, typer.Option(help="Processes for the teacher")] = 1,
) -> None:
    """Distil the bundled model on sst2 and ag_news without their labels, and print the README's table.

    The teacher is calibrated first, with texts whose labels are not looked at either.
    """
    rows: List[List[str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for chosen in SETS:
            if not names or chosen.name in names:
                rows += _rows(chosen, data, limit, Path(output or scratch), threshold, n_process)
    print_table(make_console(), COLUMNS, rows)


def _rows(chosen: Set, data: Path, limit: int, output: Path, threshold: float, n_process: int) -> List[List[str]]:
    texts = data / chosen.texts
    if limit:
        texts = _first(texts, limit, output / f"{chosen.name}.{limit}.jsonl")
    spec = PipelineSpec(pipeline=str(_calibrated(chosen, data / chosen.texts, output / f"{chosen.name}.teacher")))
    rows: List[List[str]] = []
    for architecture in ARCHITECTURES:
        recipe = Recipe(threshold=threshold, architecture=architecture, limit=limit)
        folder = output / chosen.name
        with ProgressBar(chosen.name) as bar:
            # what the teacher says is kept for the next architecture
            done = distill(
                spec,
                texts,
                folder,
                recipe,
                labelled=data / chosen.labelled,
                n_process=n_process,
                overwrite=True,
                watch=bar.show,
            )
        kept = ", ".join(f"{label} {count:,}" for label, count in done.kept.items())
        note(f"{chosen.name}, {architecture}: learned from {kept} of {done.texts:,} texts")
        found = done.comparison
        if not rows:
            teacher = found.teacher
            rows.append(_row(chosen.name, "teacher", teacher.accuracy, teacher.macro_f1, 1.0, teacher.speed, 1.0))
            rows[-1].append(f"{teacher.size:.1f}")
        student = found.student
        name = f"student, {architecture}"
        accuracy, macro_f1 = student.accuracy, student.macro_f1
        rows.append(_row("", name, accuracy, macro_f1, found.agreement, student.speed, found.speedup))
        rows[-1].append(f"{student.size:.1f}")
    return rows


def _calibrated(chosen: Set, texts: Path, folder: Path) -> Path:
    """The bundled model, its bias towards labels taken away with unlabelled texts (see the calibrate command)."""
    from ..rows import read_labelled_texts
    from ..tuning.calibrate import calibrate
    from ..tuning.settings import apply_settings

    if not folder.exists():
        nlp = PipelineSpec(labels=chosen.labels, templates=(chosen.template,)).open()
        rows = itertools.islice(read_labelled_texts(texts), CALIBRATED_ON)
        found = calibrate(nlp, [row.text for row in rows])
        apply_settings(nlp, found.pipe, {**found.settings, "hypothesis_template": chosen.template})
        folder.parent.mkdir(parents=True, exist_ok=True)
        nlp.to_disk(folder)
    return folder


def _row(
    name: str,
    pipeline: str,
    accuracy: Optional[float],
    macro_f1: Optional[float],
    agreement: float,
    speed: float,
    speedup: float,
) -> List[str]:
    shares = [f"{value or 0.0:.1%}" for value in (accuracy, macro_f1, agreement)]
    return [name, pipeline, *shares, f"{speed:,.0f}", f"{speedup:.0f}"]


def _first(path: Path, limit: int, target: Path) -> Path:
    """A file of the first rows."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "rt", encoding="utf8") as lines:
        target.write_text("".join(line for _, line in zip(range(limit), lines)), encoding="utf8")
    return target


if __name__ == "__main__":
    typer.run(study)
