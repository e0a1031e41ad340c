"""Distillation: a zero-shot pipeline labels texts, a small native spaCy textcat learns from the labels it is sure of.

spaCy's textcat takes no soft labels, so scores become 1.0, 0.0 or nothing.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin
from thinc.api import Config
from thinc.types import Floats1d, Floats2d, Ints1d

from .decisions import Decision, decide, default_rule
from .errors import ZeroShotError
from .evaluation import figures
from .loading import find_component, unneeded_pipes
from .premises import is_blank
from .readers import LabelledText
from .tuning.score import gold_array
from .util import Track, check_output, no_progress

# What a student is trained on at the very least
FEWEST_TEXTS = 10
# A cap that leaves fewer texts of a label than this teaches nothing
FEWEST = 20


@dataclass(frozen=True)
class Recipe:
    """How to distil.

    threshold (float): The confidence a label must reach to be learned from.
    balance (float): A label keeps at most this many times the texts of the rarest one; 0 for no limit.
    architecture (str): The student's: "ensemble" (spaCy's default: bag of words and CNN), "bow" or "transformer".
    encoder (str): A Hub name or folder, for "transformer".
    epochs (int): Passes over the texts at most.
    seed (int): Of the student.
    RAISES (ZeroShotError): Z060 for a number that is not possible.
    """

    threshold: float = 0.6
    balance: float = 3.0
    architecture: Literal["ensemble", "bow", "transformer"] = "ensemble"
    encoder: str = "distilbert-base-uncased"
    epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise ZeroShotError("Z060", what="--threshold", value=self.threshold, reason="it must lie in [0, 1]")
        if 0 < self.balance < 1 or self.balance < 0:
            raise ZeroShotError("Z060", what="--balance", value=self.balance, reason="it must be 0, or 1 or more")


@dataclass(frozen=True)
class Result:
    """How a pipeline does on texts."""

    accuracy: float | None  # None without gold labels
    macro_f1: float | None
    speed: float  # documents per second


@dataclass(frozen=True)
class Distilled:
    """What a distillation came to."""

    path: str  # the student's folder
    texts: int  # unlabelled ones that are not blank
    kept: dict[str, int]  # texts that the student learned from, by label
    compared_on: int  # texts that teacher and student were compared on
    compared_with_gold: bool  # or only with each other
    teacher: Result
    student: Result
    agreement: float  # share of the texts on which both decide the same


def distill(
    nlp: Language,
    texts: Sequence[str],
    output: Path,
    recipe: Recipe | None = None,
    *,
    component: str | None = None,
    labelled: Sequence[LabelledText] = (),
    none_label: str | None = None,
    n_process: int = 1,
    overwrite: bool = False,
    gpu_id: int = -1,
    track: Track = no_progress,
) -> Distilled:
    """Train a small native spaCy pipeline on the labels that a zero-shot component gives to texts.

    The folder then holds train.spacy, dev.spacy, config.cfg, model-best, model-last and report.json.

    nlp (Language): The teacher.
    texts (Sequence[str]): Unlabelled texts. Blank ones are left out.
    output (Path): The folder.
    recipe (Recipe | None): How to distil; None for the defaults.
    component (str | None): The zero-shot component that teaches, None for the first.
    labelled (Sequence[LabelledText]): Labelled texts to compare teacher and student on; without any, on texts that
        were set aside.
    none_label (str | None): A label of those that means "no label fits", None for the component's.
    n_process (int): Processes for the teacher.
    overwrite (bool): Replace what the folder holds.
    gpu_id (int): The GPU the student is trained on, -1 for the CPU.
    track (Track): Shows progress.
    RETURNS (Distilled): The student and what it came to.
    RAISES (ZeroShotError): Z001, Z062, Z091 for too few sure texts, Z092 for a full folder, Z201 for unknown labels.
    """
    recipe = recipe or Recipe()
    pipe = find_component(nlp, component)
    label_set = pipe.label_set()
    texts = [text for text in texts if not is_blank(text)]
    labelled = [row for row in labelled if not is_blank(row.text)]
    gold = gold_array(labelled, nlp, pipe, none_label or pipe.none_label) if labelled else None
    check_output(output, overwrite)
    unneeded = unneeded_pipes(nlp, pipe)
    docs = nlp.pipe(texts, n_process=n_process, disable=unneeded)
    cats = [pipe.own_cats(doc.cats) for doc in track(docs, len(texts), f"{len(texts):,} texts")]
    scores = np.array([[each[label] for label in label_set.labels] for each in cats])
    targets = select(scores, label_set.exclusive, recipe)
    train, dev = split(targets)
    output.mkdir(parents=True, exist_ok=True)
    for name in ("model-best", "model-last"):
        shutil.rmtree(output / name, ignore_errors=True)
    for name, rows in (("train", train), ("dev", dev if len(dev) else train)):
        packed = DocBin(attrs=["ORTH", "SPACY"])
        for row in rows:
            doc = nlp.make_doc(texts[row])
            # spaCy's textcat leaves a label without a value out of the loss
            doc.cats = {label: value for label, value in zip(label_set.labels, targets[row].tolist()) if value == value}
            packed.add(doc)
        packed.to_disk(output / f"{name}.spacy")
    config = student_config(str(nlp.lang), label_set.exclusive, recipe, len(train))
    config.to_disk(output / "config.cfg", interpolate=False)
    student_path = train_student(output, gpu_id)
    student = spacy.load(student_path)
    compared = [row.text for row in labelled] if labelled else [texts[row] for row in dev]

    def compare(nlp: Language, decide: Callable[[Doc], Decision], disable: list[str]) -> tuple[np.ndarray, Result]:
        """A pipeline's decisions of shape (texts, labels), and how good and fast they were."""
        chosen = np.zeros((len(compared), len(label_set.labels)), dtype=bool)
        # the first texts load weights and compile kernels
        list(nlp.pipe(compared[:32], disable=disable))
        start = time.perf_counter()
        docs = nlp.pipe(compared, disable=disable)
        for row, doc in enumerate(track(docs, len(compared), f"comparison: {len(compared):,} texts")):
            chosen[row, [label_set.labels.index(label) for label in decide(doc).labels]] = True
        speed = len(compared) / max(time.perf_counter() - start, 1e-9)
        found = None if gold is None else figures(gold, chosen)
        return chosen, Result(found and found.accuracy, found and found.macro_f1, speed)

    textcat: Any = student.get_pipe(student.pipe_names[-1])
    rule = default_rule(label_set.exclusive, textcat.cfg["threshold"])
    theirs, teacher_result = compare(nlp, pipe.decide, unneeded)
    its, student_result = compare(student, lambda doc: decide(doc.cats, rule), [])
    done = Distilled(
        path=str(student_path),
        texts=len(texts),
        kept=dict(zip(label_set.labels, (targets == 1.0).sum(axis=0).tolist())),
        compared_on=len(compared),
        compared_with_gold=gold is not None,
        teacher=teacher_result,
        student=student_result,
        agreement=float((theirs == its).all(axis=1).mean()) if compared else float("nan"),
    )
    report = json.dumps({"recipe": asdict(recipe), **asdict(done)}, indent=2)
    (output / "report.json").write_text(report + "\n", encoding="utf8")
    return done


def select(scores: Floats2d, exclusive: bool, recipe: Recipe) -> Floats2d:
    """What the student learns from, of scores of shape (texts, labels): 1.0 for right, 0.0 for wrong, NaN if left open;
    a text that is left out is NaN all over. RAISES (ZeroShotError): Z091 if that is too little."""
    targets = (select_exclusive if exclusive else select_independent)(scores, recipe.threshold, recipe.balance)
    kept, learned = int((~np.isnan(targets)).any(axis=1).sum()), int((targets == 1.0).any(axis=0).sum())
    if kept >= FEWEST_TEXTS and learned >= min(2, scores.shape[1]):
        return targets
    reason = f"a student needs {FEWEST_TEXTS}" if kept < FEWEST_TEXTS else "all with the same label"
    raise ZeroShotError("Z091", kept=kept, count=len(scores), threshold=recipe.threshold, reason=reason)


def select_exclusive(scores: Floats2d, threshold: float, balance: float) -> Floats2d:
    """Texts whose best label reaches the threshold; of each the most confident, at most `balance` times the rarest."""
    best, confidence = scores.argmax(axis=1), scores.max(axis=1)
    sure = confidence >= threshold
    counts = np.bincount(best[sure], minlength=scores.shape[1])
    limit = max(int(balance * counts[counts > 0].min(initial=len(scores))), FEWEST) if balance else len(scores)
    targets = np.full(scores.shape, np.nan)
    for i in range(scores.shape[1]):
        rows = _most_confident(np.flatnonzero(sure & (best == i)), confidence, limit)
        targets[rows] = np.eye(scores.shape[1])[i]
    return targets


def select_independent(scores: Floats2d, threshold: float, balance: float) -> Floats2d:
    """Labels that reach the threshold are right, those that fall as far below are wrong, the rest is left open. Texts
    have a right label, or none in doubt; of these at most `balance` times as many."""
    targets = np.where(scores >= threshold, 1.0, np.where(scores <= 1.0 - threshold, 0.0, np.nan))
    some = (targets == 1.0).any(axis=1)
    empty = np.flatnonzero((targets == 0.0).all(axis=1))
    limit = max(int(balance * some.sum()), FEWEST) if balance else len(scores)
    kept = _most_confident(empty, 1.0 - scores.max(axis=1, initial=0.0), limit)
    targets[~some & ~np.isin(np.arange(len(scores)), kept)] = np.nan
    return targets


def _most_confident(rows: Ints1d, confidence: Floats1d, limit: int) -> Ints1d:
    return rows[np.argsort(-confidence[rows], kind="stable")[:limit]]


def split(targets: Floats2d, every: int = 10) -> tuple[Ints1d, Ints1d]:
    """Rows to train on, and for development one of `every` texts of each label."""
    kept = ~np.isnan(targets).all(axis=1)
    right = targets == 1.0
    first = np.where(right.any(axis=1), right.argmax(axis=1), -1)
    aside = np.zeros(len(targets), dtype=bool)
    for label in np.unique(first):
        aside[np.flatnonzero(kept & (first == label))[every - 1 :: every]] = True
    return np.flatnonzero(kept & ~aside), np.flatnonzero(aside)


def student_config(lang: str, exclusive: bool, recipe: Recipe, texts: int) -> Config:
    """The student's config, made as `spacy init config` does: textcat where labels compete, else textcat_multilabel."""
    from spacy.cli.init_config import init_config

    component = "textcat" if exclusive else "textcat_multilabel"
    transformer = recipe.architecture == "transformer"
    config = init_config(lang=lang, pipeline=[component], optimize="efficiency", gpu=transformer)
    if recipe.architecture == "ensemble":
        config["components"][component]["model"] = Language.get_factory_meta(component).default_config["model"]  # type: ignore[index]
    elif transformer:
        config["components"]["transformer"]["model"]["name"] = recipe.encoder
        config["training"]["optimizer"]["learn_rate"] = 2e-5
    size = 16 if transformer else 32
    config["training"]["batcher"] = {"@batchers": "spacy.batch_by_sequence.v1", "size": size, "get_length": None}
    # the best pipeline is looked for about once an epoch
    frequency = max(1, min(200, texts // size))
    config["training"].update(eval_frequency=frequency, max_epochs=recipe.epochs, dropout=0.2)
    config["training"]["logger"] = {"@loggers": "spacy.ConsoleLogger.v3", "progress_bar": "eval"}
    config["system"]["seed"] = recipe.seed
    config["paths"].update(train="train.spacy", dev="dev.spacy")
    return config


def train_student(folder: Path, gpu_id: int = -1) -> Path:
    """Train on a folder's config.cfg, train.spacy and dev.spacy. RETURNS (Path): The best pipeline, model-best."""
    from spacy.training.initialize import init_nlp
    from spacy.training.loop import train

    paths = {f"paths.{name}": str(folder / f"{name}.spacy") for name in ("train", "dev")}
    config = spacy.util.load_config(folder / "config.cfg", overrides=paths)
    train(init_nlp(config, use_gpu=gpu_id), folder, use_gpu=gpu_id, stdout=sys.stderr, stderr=sys.stderr)
    return folder / "model-best"
