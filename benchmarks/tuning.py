"""What tuning and calibration bring: python -m benchmarks.tuning DATA.

Everything is fitted to one half of a file's texts (every second one) and measured on the other half.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import spacy
import typer
from spacy.language import Language

from spacy_zeroshot import calibrate, tune
from spacy_zeroshot.cli._print import make_console, print_table
from spacy_zeroshot.evaluation import Figures, figures, spread
from spacy_zeroshot.labels import LabelGroup, LabelSet
from spacy_zeroshot.readers import LabelledText, label_names, read_labelled
from spacy_zeroshot.tuning.calibration import calibration_error
from spacy_zeroshot.tuning.search import Candidate, search
from spacy_zeroshot.tuning.settings import apply_settings
from spacy_zeroshot.tuning.tune import TEMPLATES

NAME = "zero_shot_textcat"
NONE_LABEL = "out-of-domain"
# What to tune on: name, file, and whether labels stand on their own
TUNED = (
    ("situation", "clf/eval/situation.jsonl.gz", True),
    ("GitHub issues", "clf/study/github_issues.test.jsonl.gz", False),
)
CALIBRATED = ("ag_news", "banking77", "rotten_tomatoes", "sst2", "trec6", "situation", "unify_emotion")
METHODS: dict[str, dict[str, Any]] = {
    "none": {"method": "none"},
    "marginals": {"method": "marginals"},
    "temperature": {"method": "none", "labelled": True},
    "marginals, temperature": {"method": "marginals", "labelled": True},
}


def make_pipeline(rows: Sequence[LabelledText], model: str, multi_label: bool) -> Language:
    """A pipeline with the labels of a file; a gold label that means "no label fits" is none of them."""
    labels = [label for label in label_names(rows) if label != NONE_LABEL]
    nlp = spacy.blank("xx")
    nlp.add_pipe(NAME, config={"labels": labels, "multi_label": multi_label, "model": {"name": model}})
    return nlp


def score(nlp: Language, rows: Sequence[LabelledText]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """RETURNS (tuple): Scores, decisions and gold labels, of shape (texts, labels) each."""
    pipe: Any = nlp.get_pipe(NAME)
    docs = list(nlp.pipe(row.text for row in rows))
    values = np.array([[doc.cats[label] for label in pipe.labels] for doc in docs])
    decided = [pipe.decide(doc).labels for doc in docs]
    chosen = np.array([[label in labels for label in pipe.labels] for labels in decided])
    return values, chosen, np.array([[label in row.labels for label in pipe.labels] for row in rows])


def tuning_rows(rows: Sequence[LabelledText], model: str, multi_label: bool, templates: int) -> list[list[Any]]:
    """Micro- and macro-F1 on the half that was not tuned on, by every way to choose labels."""
    nlp = make_pipeline(rows, model, multi_label)
    pipe: Any = nlp.get_pipe(NAME)
    seen, unseen = rows[::2], rows[1::2]
    values, chosen, gold = score(nlp, unseen)
    found: dict[str, Figures] = {"as it is": figures(gold, chosen)}
    ranks = (-values).argsort(axis=1).argsort(axis=1)
    for k in range(1, min(4, len(pipe.labels))):
        found[f"top-{k}"] = figures(gold, ranks < k)
    found["0.5"] = figures(gold, values >= 0.5)
    for goal in ("micro_f1", "macro_f1"):
        tuned = make_pipeline(rows, model, multi_label)
        settings = tune(tuned, seen, templates=TEMPLATES[:templates], goal=goal, none_label=NONE_LABEL).settings
        apply_settings(tuned, NAME, settings)
        found[f"tuned for {goal.replace('_f1', '-F1')}"] = figures(gold, score(tuned, unseen)[1])
    return [[name, each.micro_f1, each.macro_f1] for name, each in found.items()]


def calibration_row(rows: Sequence[LabelledText], model: str, multi_label: bool) -> list[str]:
    """Macro-F1 and expected calibration error on the other half, with every method."""
    cells = []
    seen, unseen = rows[::2], rows[1::2]
    for given in METHODS.values():
        nlp = make_pipeline(rows, model, multi_label)
        labelled = seen if given.get("labelled") else ()
        found = calibrate(
            nlp, [row.text for row in seen], method=given["method"], labelled=labelled, none_label=NONE_LABEL
        )
        apply_settings(nlp, NAME, found.settings)
        values, chosen, gold = score(nlp, unseen)
        error = calibration_error(values, gold, nlp.get_pipe(NAME).label_set())  # type: ignore[attr-defined]
        cells.append(f"{figures(gold, chosen).macro_f1:.3f} / {error:.3f}")
    return cells


def time_search(texts: int, labels: int, templates: int, exclusive: bool) -> float:
    """Seconds of one search over all settings, on logits drawn at random: what they are changes nothing."""
    draw = np.random.default_rng(0)
    gold = np.eye(labels, dtype=bool)[draw.integers(0, labels, texts)]
    if not exclusive:
        gold |= draw.random((texts, labels)) < 0.1
    logits = [draw.normal(size=(texts, labels)) + 2.0 * gold for _ in range(templates)]
    candidates = [Candidate(f"template {number}", found, np.zeros(labels)) for number, found in enumerate(logits)]
    names = tuple(f"label {number}" for number in range(labels))
    label_set = LabelSet(names, names, (1,) * labels, (LabelGroup("", 0, labels, exclusive),))
    start = time.perf_counter()
    search(candidates, gold, label_set)
    return time.perf_counter() - start


def main(
    data: Annotated[Path, typer.Argument(help="A folder with clf/eval/ and clf/study/.")],
    model: Annotated[str, typer.Option(help="A checkpoint.")] = "bundled",
    limit: Annotated[int, typer.Option(help="Texts of each file, evenly spread.")] = 400,
    templates: Annotated[int, typer.Option(help="How many of the built-in templates are tried.")] = 4,
    only: Annotated[str, typer.Option(help="tuning, calibration or search; all if not given.")] = "",
) -> None:
    """Print the tables."""
    console = make_console()
    if only in ("", "tuning"):
        for name, path, multi_label in TUNED:
            rows = spread(read_labelled(data / path), limit)
            console.print(f"\n{name}: {len(rows)} texts, half to tune on, half measured\n")
            table = tuning_rows(rows, model, multi_label, templates)
            print_table(console, ("labels are chosen by", "micro-F1", "macro-F1"), table)
    if only in ("", "calibration"):
        shown = []
        for name in CALIBRATED:
            rows = spread(read_labelled(data / "clf" / "eval" / f"{name}.jsonl.gz"), limit)
            shown.append([name, *calibration_row(rows, model, name == "situation")])
        console.print("\nmacro-F1 / expected calibration error\n")
        print_table(console, ("set", *METHODS), shown)
    if only in ("", "search"):
        seconds = [time_search(3000, 12, 8, exclusive) for exclusive in (True, False)]
        console.print("\nsearch over 3,000 texts, 12 labels, 8 templates: ", end="")
        console.print(f"{seconds[0]:.2f} s where labels compete, {seconds[1]:.2f} s where they do not")


if __name__ == "__main__":
    typer.run(main)
