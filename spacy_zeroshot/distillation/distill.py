"""Distils a zero-shot pipeline: label texts, keep the confident ones, train the student, compare the two."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np
from thinc.types import Floats2d

from ..corpora.annotate import annotate
from ..corpora.choices import Choice, choices_of
from ..corpora.files import write_complete
from ..corpora.job import Job
from ..corpora.pipelines import PipelineSpec
from ..corpora.steps import Step
from ..errors import ZeroShotError
from ..rows import read_labelled_texts
from .comparison import Comparison, compare, folder_size
from .selection import Selection, heat, select_exclusive, select_independent, split
from .student import Architecture, train_student, write_config

if TYPE_CHECKING:
    from spacy.language import Language

LABELLED = "labelled.jsonl"
# What a student is trained on at the very least
FEWEST_TEXTS = 10


class Recipe(NamedTuple):
    """How to distil.

    threshold (float): The confidence a label must reach to be learned from.
    balance (float): A label keeps at most this many times the texts of the rarest one; 0 for no limit.
    temperature (float): Of the teacher's scores before the threshold; above 1 they are less sure.
    architecture (Architecture): The student's: "ensemble", "bow" or "transformer".
    encoder (str): A Hub name or folder, for "transformer".
    epochs (int): Passes over the texts at most.
    seed (int): Of the student.
    limit (int): Compare on at most this many labelled texts; 0 for all.
    """

    threshold: float = 0.6
    balance: float = 3.0
    temperature: float = 1.0
    architecture: Architecture = "ensemble"
    encoder: str = "distilbert-base-uncased"
    epochs: int = 10
    seed: int = 0
    limit: int = 0


DEFAULT = Recipe()


class Distilled(NamedTuple):
    """What distillation gave.

    student (Path): The student's pipeline.
    texts (int): Texts the teacher labelled.
    kept (Dict[str, int]): Texts the student learned from, by label.
    comparison (Comparison): Teacher and student side by side.
    gold (bool): Whether they were compared with gold labels, not only with each other.
    """

    student: Path
    texts: int
    kept: Dict[str, int]
    comparison: Comparison
    gold: bool


def distill(
    teacher: PipelineSpec,
    texts: Path,
    output: Path,
    recipe: Recipe = DEFAULT,
    *,
    labelled: Optional[Path] = None,
    text_field: str = "text",
    n_process: int = 1,
    overwrite: bool = False,
    watch: Optional[Callable[[Step], None]] = None,
) -> Distilled:
    """Train a small native spaCy pipeline on the labels a zero-shot pipeline gives to texts.

    The folder then holds labelled.jsonl (all of the teacher's scores), train.spacy, dev.spacy, config.cfg, model-best
    and report.json. Stopped while the teacher is at work, the same call goes on where it was.

    teacher (PipelineSpec): The teacher.
    texts (Path): Unlabelled texts, in any format that annotate reads. Labels in it are not looked at.
    output (Path): The folder.
    recipe (Recipe): How to distil.
    labelled (Optional[Path]): Labelled texts, {"text", "labels"} per line, to compare teacher and student on.
    text_field (str): The field of `texts` with the text.
    n_process (int): Processes for the teacher.
    overwrite (bool): Replace what the folder holds.
    watch (Optional[Callable[[Step], None]]): Called with every finished shard of the teacher's.
    RETURNS (Distilled): The student and what it came to.
    RAISES (ZeroShotError): Z091 if too few texts are labelled with confidence, Z092 if the folder is not empty, what
        annotate raises, Z042 or Z043 for the labelled texts.
    """
    check_recipe(recipe)
    gold = None if labelled is None else _read_gold(labelled, recipe.limit)
    _claim(output, overwrite)
    nlp = teacher.open()
    choice = choices_of(nlp)[0]
    job = Job(texts, output / LABELLED, teacher, text_field=text_field)
    annotate(job, n_process=n_process, overwrite=overwrite, watch=watch)
    scores = _read_scores(job.output, choice)
    selection = select(scores, choice.exclusive, recipe)
    _check(selection, len(scores), recipe)
    train, dev = split(selection)
    for name, part in (("train", train), ("dev", dev if len(dev.rows) else train)):
        _write_docbin(output / f"{name}.spacy", nlp, job.output, part, choice.labels)
    config = write_config(
        str(nlp.lang),
        choice.exclusive,
        recipe.architecture,
        texts=len(train.rows),
        encoder=recipe.encoder,
        epochs=recipe.epochs,
        seed=recipe.seed,
    )
    (output / "config.cfg").write_text(config, encoding="utf8")
    student = train_student(output, teacher.gpu_id)
    held_out = gold or (_texts_of(job.output, dev), None)
    comparison = _compare(teacher, nlp, student, *held_out)
    counts = {label: int((selection.targets[:, i] == 1.0).sum()) for i, label in enumerate(choice.labels)}
    done = Distilled(student, len(scores), counts, comparison, gold is not None)
    _write_report(output / "report.json", done, recipe)
    return done


def select(scores: Floats2d, exclusive: bool, recipe: Recipe) -> Selection:
    """Choose what the student learns from.

    scores (Floats2d): Shape (texts, labels): the teacher's scores.
    exclusive (bool): Whether the labels compete for one text.
    recipe (Recipe): Temperature, threshold and balance.
    RETURNS (Selection): The texts and their labels.
    """
    heated = heat(scores, recipe.temperature, exclusive)
    chooser = select_exclusive if exclusive else select_independent
    return chooser(heated, recipe.threshold, recipe.balance)


def check_recipe(recipe: Recipe) -> None:
    """Check a recipe's numbers. recipe (Recipe): The recipe. RAISES (ZeroShotError): Z060."""
    wrong = [
        ("--temperature", recipe.temperature, recipe.temperature <= 0, "it must be above 0"),
        ("--balance", recipe.balance, 0 < recipe.balance < 1 or recipe.balance < 0, "it must be 0, or 1 or more"),
        ("--threshold", recipe.threshold, not 0.0 <= recipe.threshold <= 1.0, "it must lie in [0, 1]"),
    ]
    for what, value, is_wrong, reason in wrong:
        if is_wrong:
            raise ZeroShotError("Z060", "distill", what=what, value=value, reason=reason)


def _claim(output: Path, overwrite: bool) -> None:
    """An empty folder, or one where the teacher was at work before."""
    output.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in output.iterdir()}
    if (output / "report.json").exists() or any(not name.lstrip(".").startswith(LABELLED) for name in names):
        unfinished = (output / LABELLED).exists() and not (output / "report.json").exists()
        if not overwrite and not unfinished:
            raise ZeroShotError("Z092", "distill", output=str(output))
    for name in ("model-best", "model-last"):
        shutil.rmtree(output / name, ignore_errors=True)
    (output / "report.json").unlink(missing_ok=True)


def _check(selection: Selection, count: int, recipe: Recipe) -> None:
    kept = len(selection.rows)
    learned = int((selection.targets == 1.0).any(axis=0).sum())
    reason = None
    if kept < FEWEST_TEXTS:
        reason = f"a student needs {FEWEST_TEXTS}"
    elif learned < min(2, selection.targets.shape[1]):
        reason = "all with the same label"
    if reason is not None:
        raise ZeroShotError("Z091", "distill", kept=kept, count=count, threshold=recipe.threshold, reason=reason)


def _rows(path: Path) -> Iterator[Dict[str, Any]]:
    with path.open("rb") as lines:
        yield from map(json.loads, lines)


def _read_scores(path: Path, choice: Choice) -> Floats2d:
    keys = [choice.prefix + label for label in choice.labels]
    return np.array([[row["cats"][key] for key in keys] for row in _rows(path)]).reshape(-1, len(keys))


def _write_docbin(path: Path, nlp: "Language", labelled: Path, part: Selection, labels: Tuple[str, ...]) -> None:
    from spacy.tokens import DocBin

    packed = DocBin(attrs=["ORTH", "SPACY"])
    targets = dict(zip(part.rows.tolist(), part.targets))
    for number, row in enumerate(_rows(labelled)):
        if number in targets:
            doc = nlp.make_doc(row["text"])
            # spaCy's textcat leaves a label without a value out of the loss
            doc.cats = {label: float(v) for label, v in zip(labels, targets[number]) if not np.isnan(v)}
            packed.add(doc)
    with write_complete(path) as file_:
        file_.write(packed.to_bytes())


def _texts_of(labelled: Path, part: Selection) -> List[str]:
    wanted = set(part.rows.tolist())
    return [row["text"] for number, row in enumerate(_rows(labelled)) if number in wanted]


def _read_gold(path: Path, limit: int) -> Tuple[List[str], List[List[str]]]:
    rows = list(read_labelled_texts(path))
    # spread over the file: many are sorted by label
    rows = rows[:: max(len(rows) // limit, 1)][:limit] if limit else rows
    return [row.text for row in rows], [row.labels for row in rows]


def _compare(
    spec: PipelineSpec, teacher: "Language", student: Path, texts: List[str], gold: Optional[List[List[str]]]
) -> Comparison:
    import spacy

    from ..model.source import BUNDLED_FOLDER

    path = getattr(teacher, "path", None)
    size = folder_size(Path(path)) if path else 0.0
    if spec.pipeline is None and Path(spec.model).is_dir():
        size = folder_size(Path(spec.model))
    elif any(_is_bundled(pipe) for _, pipe in teacher.pipeline):
        # such a pipeline only refers to the bundled weights
        size += folder_size(BUNDLED_FOLDER)
    return compare(teacher, spacy.load(student), texts, gold, (size, folder_size(student)))


def _is_bundled(pipe: Any) -> bool:
    shims = getattr(getattr(pipe, "model", None), "shims", ())
    return any(getattr(getattr(shim, "source", None), "is_bundled", False) for shim in shims)


def _write_report(path: Path, done: Distilled, recipe: Recipe) -> None:
    report = {
        "recipe": recipe._asdict(),
        "texts": done.texts,
        "kept": done.kept,
        "compared_with_gold": done.gold,
        "compared_on": done.comparison.texts,
        "teacher": done.comparison.teacher._asdict(),
        "student": done.comparison.student._asdict(),
        "agreement": done.comparison.agreement,
        "speedup": done.comparison.speedup,
    }
    with write_complete(path) as file_:
        file_.write(json.dumps(report, indent=2).encode() + b"\n")
