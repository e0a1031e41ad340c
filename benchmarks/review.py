"""What 100 answers bring, and whether it matters which texts are answered: python -m benchmarks.review DATA.

A person's answers are played by gold labels: of 5,000 texts, those that `annotate --review` chooses are labelled, or as
many drawn by chance; the pipeline is tuned on them, or tuned with them as examples that vote, and measured on others.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import spacy
import typer
from spacy.language import Language

from spacy_zeroshot import tune
from spacy_zeroshot.cli._print import make_console, print_table
from spacy_zeroshot.evaluation import figures
from spacy_zeroshot.readers import LabelledText, label_names, read_labelled
from spacy_zeroshot.review import choose_for_review
from spacy_zeroshot.tuning.settings import apply_settings

NAME = "zero_shot_textcat"
COLUMNS = ("answers", "used for", "accuracy", "macro-F1")


def make_pipeline(labels: Sequence[str], examples: Sequence[LabelledText], model: str) -> Language:
    """A pipeline with labels, and perhaps examples."""
    nlp = spacy.blank("xx")
    entries = [{"label": label, "text": row.text} for row in examples for label in row.labels]
    nlp.add_pipe(NAME, config={"labels": list(labels), "examples": entries, "model": {"name": model}})
    return nlp


def measure(nlp: Language, rows: Sequence[LabelledText]) -> list[float]:
    """Accuracy and macro-F1."""
    pipe: Any = nlp.get_pipe(NAME)
    decided = [pipe.decide(doc).labels for doc in nlp.pipe(row.text for row in rows)]
    chosen = np.array([[label in labels for label in pipe.labels] for labels in decided])
    found = figures(np.array([[label in row.labels for label in pipe.labels] for row in rows]), chosen)
    return [found.accuracy, found.macro_f1]


def main(
    data: Annotated[Path, typer.Argument(help="The folder with clf/.")],
    pool: Annotated[str, typer.Option(help="Texts to choose from.")] = "clf/study/ag_news.train_subset.jsonl.gz",
    test: Annotated[str, typer.Option(help="Texts to measure on.")] = "clf/eval/ag_news.jsonl.gz",
    texts: Annotated[int, typer.Option(help="How many texts to choose from.")] = 5000,
    tested: Annotated[int, typer.Option(help="How many texts to measure on.")] = 1000,
    answers: Annotated[int, typer.Option(help="How many texts are labelled.")] = 100,
    draws: Annotated[int, typer.Option(help="How often answers are drawn by chance.")] = 3,
    model: Annotated[str, typer.Option(help='A checkpoint\'s folder or Hub name, or "bundled".')] = "bundled",
) -> None:
    """Print accuracy and macro-F1 before and after."""
    rows = read_labelled(data / pool)[:texts]
    unseen = read_labelled(data / test)[:tested]
    labels = label_names(rows)
    nlp = make_pipeline(labels, (), model)
    pipe: Any = nlp.get_pipe(NAME)
    table: list[list[Any]] = [["none", "", *measure(nlp, unseen)]]
    chosen = choose_for_review(nlp, pipe, enumerate(row.text for row in rows), answers)
    sets = {"chosen by --review": [[rows[task.number] for task in chosen]]}
    sets["drawn by chance"] = [random.Random(seed).sample(rows, answers) for seed in range(draws)]
    for name, choices in sets.items():
        for use, votes in (("tune", False), ("examples and tune", True)):
            found = []
            for labelled in choices:
                tuned = make_pipeline(labels, labelled if votes else (), model)
                apply_settings(tuned, NAME, tune(tuned, labelled, goal="accuracy").settings)
                found.append(measure(tuned, unseen))
            table.append([name, use, *np.mean(found, axis=0).tolist()])
    print_table(make_console(), COLUMNS, table)


if __name__ == "__main__":
    typer.run(main)
