"""What a handful of labelled texts teach, and what is forgotten: python -m benchmarks.fine_tuning DATA.

24 GitHub issues (8 a label) are learnt for ten epochs, with the bundled encoder frozen and with all of it trained:
macro-F1 on other issues and on ag_news before and after, and seconds a step. The first epoch reads the texts; with a
frozen encoder the later ones find their states.
"""

import random
import statistics
import time
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.language import Language
from spacy.util import minibatch

from spacy_zeroshot.cli._print import make_console, print_table
from spacy_zeroshot.evaluation import evaluate
from spacy_zeroshot.readers import JsonlTextcat

TRAIN, TEST = "clf/study/github_issues.train.jsonl.gz", "clf/study/github_issues.test.jsonl.gz"
KEPT = "clf/eval/ag_news.jsonl.gz"


def macro_f1(nlp: Language, data: Path, limit: int) -> list[float]:
    """On the task that is learnt, and on one that is not."""
    outcomes = evaluate(nlp, [data / TEST, data / KEPT], labels_from_data=True, limit=limit or None)
    return [outcome.macro_f1 for outcome in outcomes]


def fine_tune(nlp: Language, path: Path, rate: float, epochs: int = 10, seed: int = 1) -> list[list[float]]:
    """Train on 8 texts a label. RETURNS: Seconds of each step, by epoch."""
    examples = list(JsonlTextcat(path, per_label=8, seed=seed)(nlp))
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = rate
    draw, seconds = random.Random(seed), []
    for _ in range(epochs):
        draw.shuffle(examples)
        seconds.append([])
        for batch in minibatch(examples, 8):
            start = time.perf_counter()
            nlp.update(batch, sgd=optimizer)
            seconds[-1].append(time.perf_counter() - start)
    return seconds


def main(
    data: Annotated[Path, typer.Argument(help="Folder with clf/study and clf/eval.")],
    limit: Annotated[int, typer.Option(help="Rows of each test file, evenly spread; 0 for all.")] = 300,
    rates: Annotated[str, typer.Option(help="Learning rates: encoder frozen, all trained.")] = "1e-4,2e-5",
) -> None:
    """Print a table for each way to train, as soon as it is known."""
    heads = ["trained", "rate", "GitHub issues", "ag_news", "s a step, first epoch", "later", "ratio"]
    for train_encoder, rate in zip((False, True), map(float, rates.split(","))):
        nlp = spacy.blank("en")
        config = {"trainable": True, "train_encoder": train_encoder, "max_negatives": 50}
        nlp.add_pipe("zero_shot_textcat", config=config)
        before = macro_f1(nlp, data, limit)
        first, *later = fine_tune(nlp, data / TRAIN, rate)
        after = macro_f1(nlp, data, limit)
        steps = [statistics.median(first), statistics.median(second for epoch in later for second in epoch)]
        figures = [f"{was:.3f} -> {now:.3f}" for was, now in zip(before, after)]
        row = ["all" if train_encoder else "interaction layers", f"{rate:g}", *figures, *steps, steps[1] / steps[0]]
        print_table(make_console(), heads, [[*row[:4], *(f"{value:.2f}" for value in row[4:])]])


if __name__ == "__main__":
    typer.run(main)
