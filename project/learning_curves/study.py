"""Measure ways to use labelled texts at growing numbers of them: python study.py DATA. Stopped, it goes on."""

import contextlib
import hashlib
import io
import json
import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import spacy
import srsly
import typer
from spacy.cli.train import train
from spacy.language import Language

from spacy_zeroshot import distill, tune
from spacy_zeroshot.distillation import Recipe
from spacy_zeroshot.evaluation import Figures, figures
from spacy_zeroshot.readers import LabelledText, read_labelled
from spacy_zeroshot.tuning.settings import apply_settings

RESULTS = "results.jsonl"
CONFIG = Path(__file__).parent.parent.parent / "configs" / "fine_tune.cfg"
NAME = "zero_shot_textcat"
SIMILARITY_MODEL = "spacy_zeroshot.SimilarityClassifier.v1"
# All labelled texts there are
ALL = -1
CHARACTERS = 600
# Steps of fine-tuning: ten epochs of eight texts, within bounds
BATCH, EPOCHS, FEWEST_STEPS, MOST_STEPS = 8, 10, 40, 200


class Size(NamedTuple):
    """Texts to draw from, texts to measure on, numbers of labelled texts, draws, and steps of fine-tuning at most."""

    train: int
    test: int
    counts: tuple[int, ...]
    seeds: int
    steps: int


FULL = Size(1500, 400, (0, 8, 16, 32, 64, 128, ALL), 3, MOST_STEPS)
QUICK = Size(300, 150, (0, 8, 32), 1, 20)


class Set(NamedTuple):
    """A data set of texts with one label each: its files, labels and wording."""

    train: str
    test: str
    labels: tuple[str, ...]
    template: str = "This text is about {}."
    wordings: tuple[str, ...] = ()

    @property
    def hypotheses(self) -> list[dict[str, str]]:
        return [{"label": label, "text": text} for label, text in zip(self.labels, self.wordings)]


SETS = {
    "github_issues": Set(
        "clf/study/github_issues.train.jsonl.gz",
        "clf/study/github_issues.test.jsonl.gz",
        ("bug", "feature", "question"),
        wordings=("This text reports a bug.", "This text requests a feature.", "This text asks a question."),
    ),
    "ag_news": Set(
        "clf/study/ag_news.train_subset.jsonl.gz",
        "clf/eval/ag_news.jsonl.gz",
        ("World", "Sports", "Business", "Sci/Tech"),
        template="This example is {}.",
    ),
}


class Material(NamedTuple):
    """What a way works with: the set, labelled and other texts, texts to measure on, checkpoints, and limits."""

    set: Set
    drawn: list[LabelledText]
    others: list[LabelledText]
    test: list[LabelledText]
    model: str
    sentence_model: str
    seed: int
    steps: int


def zero_shot(material: Material, folder: Path) -> Language:
    return make_pipeline(material)


def similarity(material: Material, folder: Path) -> Language:
    model = {"@architectures": SIMILARITY_MODEL, "name": material.sentence_model}
    return make_pipeline(material, model=model)


def tuned(material: Material, folder: Path) -> Language:
    return tune_pipeline(make_pipeline(material), material)


def neighbours(material: Material, folder: Path) -> Language:
    return make_pipeline(material, examples=examples_of(material), examples_weight=1.0)


def neighbours_tuned(material: Material, folder: Path) -> Language:
    return tune_pipeline(make_pipeline(material, examples=examples_of(material)), material)


def fine_tuned(material: Material, folder: Path) -> Language:
    for name, rows in (("train", material.drawn), ("dev", material.drawn[:BATCH])):
        srsly.write_jsonl(folder / f"{name}.jsonl", [{"text": row.text, "labels": row.labels} for row in rows])
    steps = min(max(math.ceil(len(material.drawn) * EPOCHS / BATCH), FEWEST_STEPS), material.steps)
    component = f"components.{NAME}"
    overrides = {
        "paths.train": str(folder / "train.jsonl"),
        "paths.dev": str(folder / "dev.jsonl"),
        f"{component}.model.name": material.model,
        f"{component}.labels": list(material.set.labels),
        f"{component}.hypothesis_template": material.set.template,
        f"{component}.hypotheses": material.set.hypotheses,
        "training.seed": material.seed,
        "training.max_epochs": 0,
        "training.max_steps": steps,
        "training.eval_frequency": steps,
        "training.optimizer.learn_rate.total_steps": steps + steps // 4,
    }
    # spaCy prints every row of its table
    with contextlib.redirect_stdout(io.StringIO()):
        train(CONFIG, folder, overrides=overrides)
    return spacy.load(folder / "model-last")


def distilled(material: Material, folder: Path) -> Language:
    teacher = tuned(material, folder) if material.drawn else make_pipeline(material)
    recipe = Recipe(threshold=0.6, architecture="bow", seed=material.seed)
    with contextlib.redirect_stdout(io.StringIO()):
        done = distill(teacher, [row.text for row in material.others], folder / "student", recipe)
    return spacy.load(done.path)


def naive_bayes(material: Material, folder: Path) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline as chain

    model = chain(CountVectorizer(ngram_range=(1, 2)), MultinomialNB())
    return model.fit([row.text for row in material.drawn], [row.labels[0] for row in material.drawn])


Way = Callable[[Material, Path], Any]
WAYS: dict[str, Way] = {
    "zero-shot": zero_shot,
    "similarity": similarity,
    "zero-shot, tuned": tuned,
    "naive Bayes": naive_bayes,
    "neighbours": neighbours,
    "neighbours + zero-shot, tuned": neighbours_tuned,
    "fine-tuned NLI": fine_tuned,
    "distilled textcat": distilled,
}
# The same whatever is drawn; and those that need no labelled text
FIXED = ("zero-shot", "similarity")
FROM_ZERO = (*FIXED, "distilled textcat")


class Run(NamedTuple):
    """One thing to measure. `labelled` is ALL for all texts there are."""

    set: str
    way: str
    labelled: int
    seed: int = 0


def plan(counts: Sequence[int], seeds: int, ways: Sequence[str]) -> list[Run]:
    """All runs, those with the most texts first, so that processes end together."""
    runs = [
        Run(name, way, count, seed)
        for name in SETS
        for way in ways
        for count in ((0,) if way in FIXED else counts)
        if count or way in FROM_ZERO
        for seed in range(1 if way in FIXED else seeds)
    ]
    return sorted(runs, key=lambda run: math.inf if run.labelled == ALL else run.labelled, reverse=True)


def make_pipeline(material: Material, **settings: Any) -> Language:
    """A zero-shot pipeline for a set."""
    nlp = spacy.blank("en")
    config = {
        "labels": list(material.set.labels),
        "hypothesis_template": material.set.template,
        "hypotheses": material.set.hypotheses,
        "model": {"name": material.model},
        **settings,
    }
    nlp.add_pipe(NAME, config=config)
    return nlp


def tune_pipeline(nlp: Language, material: Material) -> Language:
    apply_settings(nlp, NAME, tune(nlp, material.drawn, templates=(), seed=material.seed).settings)
    return nlp


def examples_of(material: Material) -> list[dict[str, str]]:
    return [{"label": row.labels[0], "text": row.text} for row in material.drawn]


def decide_all(model: Any, texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Shape (texts, labels), bool: the decisions of a pipeline, or of scikit-learn's model."""
    if not isinstance(model, Language):
        return np.array([[label == name for label in labels] for name in model.predict(texts)])
    docs = model.pipe(texts)
    if NAME in model.pipe_names:
        pipe: Any = model.get_pipe(NAME)
        return np.array([[label in chosen for label in labels] for chosen in (pipe.decide(doc).labels for doc in docs)])
    scores = np.array([[doc.cats[label] for label in labels] for doc in docs])
    return np.arange(len(labels)) == scores.argmax(axis=1)[:, None]


def read_set(path: Path, labels: Sequence[str], most: int) -> list[LabelledText]:
    """A file's texts with one of the labels each, cut, and at most so many: of every label as many as can be."""
    rows = [row._replace(text=row.text[:CHARACTERS]) for row in read_labelled(path)]
    rows = [row for row in rows if len(row.labels) == 1 and row.labels[0] in labels and row.text.strip()]
    return [rows[i] for i in sorted(order(rows, 0)[:most])]


def order(rows: Sequence[LabelledText], seed: int) -> list[int]:
    """Shuffled so that any beginning holds every label as often as can be; of one seed, 8 texts are among 16."""
    by_label: dict[str, list[int]] = {}
    for i in np.random.default_rng(seed).permutation(len(rows)):
        by_label.setdefault(rows[i].labels[0], []).append(int(i))
    turns = sorted((turn, label, i) for label, places in by_label.items() for turn, i in enumerate(places))
    return [i for _, _, i in turns]


def measure(run: Run, data: Path, model: str, sentence_model: str, size: Size) -> dict[str, Any]:
    """Run a way in a process of its own, and measure its decisions."""
    chosen = SETS[run.set]
    rows = read_set(data / chosen.train, chosen.labels, size.train)
    test = read_set(data / chosen.test, chosen.labels, size.test)
    places = order(rows, run.seed)[: None if run.labelled == ALL else run.labelled]
    others = [row for i, row in enumerate(rows) if i not in set(places)] or rows
    material = Material(chosen, [rows[i] for i in places], others, test, model, sentence_model, run.seed, size.steps)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        decided = decide_all(WAYS[run.way](material, Path(folder)), [row.text for row in test], chosen.labels)
    gold = np.array([[label in row.labels for label in chosen.labels] for row in test])
    found: Figures = figures(gold, decided)
    return {
        "micro_f1": round(found.micro_f1, 4),
        "macro_f1": round(found.macro_f1, 4),
        "seconds": round(time.process_time() - start, 1),
        "texts": len(test),
        "drawn": len(places),
    }


def read_results(path: Path) -> list[dict[str, Any]]:
    """The results in a file; a line that was cut off by a kill is left out."""
    found = []
    for line in path.read_text(encoding="utf8").splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def add_result(path: Path, run: Run, **values: Any) -> None:
    """Add a line, behind the rest of one that was cut off."""
    broken = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf8") as lines:
        lines.write(("\n" if broken else "") + json.dumps({**run._asdict(), **values}) + "\n")


def main(
    data: Annotated[Path, typer.Argument(help="The folder with clf/study/ and clf/eval/.")],
    work: Annotated[Path, typer.Option(help="Where the results are kept.")] = Path("work"),
    model: Annotated[str, typer.Option(help="The NLI checkpoint.")] = "bundled",
    sentence_model: Annotated[str, typer.Option(help="The checkpoint for similarity.")] = "bundled",
    quick: Annotated[bool, typer.Option("--quick", help="Few texts and runs: a rough picture.")] = False,
    n_process: Annotated[int, typer.Option(min=1, help="Processes, of one thread each.")] = 2,
    way: Annotated[list[str] | None, typer.Option(help="Only this way; may be repeated.")] = None,
) -> None:
    """Measure every way at every number of labelled texts, on every set."""
    size = QUICK if quick else FULL
    work.mkdir(parents=True, exist_ok=True)
    path = work / RESULTS
    settings = [model, sentence_model, CONFIG.read_text(encoding="utf8"), CHARACTERS, size]
    stamp = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]
    done = {Run(*(each[field] for field in Run._fields)) for each in read_results(path) if each["stamp"] == stamp}
    runs = [run for run in plan(size.counts, size.seeds, way or list(WAYS)) if run not in done]
    print(f"{len(runs)} runs to do, {len(done)} done before")
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_process, mp_context=context) as pool:
        waiting = {pool.submit(measure, run, data, model, sentence_model, size): run for run in runs}
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                run = waiting.pop(future)
                found = future.result()
                add_result(path, run, **found, stamp=stamp)
                print(f"{', '.join(map(str, run))}: macro-F1 {found['macro_f1']:.3f} ({len(waiting)} left)", flush=True)


if __name__ == "__main__":
    typer.run(main)
