"""NLI, similarity and their mean, side by side: python -m benchmarks.architectures FILE ...

Accuracy, macro-F1 and documents per second on labelled files with the bundled model (and, by similarity, with further
encoders), and what similarity costs with 10, 100 and 1,000 labels.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import spacy
import typer
from spacy.language import Language

from benchmarks._shared import make_labels
from spacy_zeroshot.cli._print import make_console, print_table
from spacy_zeroshot.cli.benchmark import time_in_turn
from spacy_zeroshot.decisions import decide_rows, default_rule
from spacy_zeroshot.evaluation import figures, spread
from spacy_zeroshot.readers import LabelledText, label_names, read_labelled

NLI, SIMILARITY = "spacy_zeroshot.NLIClassifier.v1", "spacy_zeroshot.SimilarityClassifier.v1"
COUNTS = (10, 100, 1000)
# Make 1,000 labels of the benchmark's 150
ENDINGS = ("", " news", " prices", " law", " jobs", " abroad", " for children")
# Scores of 0 and 1 have no logarithm
SMALLEST = 1e-9


def make_pipeline(architecture: str, name: str, labels: Sequence[str], multi_label: bool) -> Language:
    """A pipeline with nothing but the component."""
    nlp = spacy.blank("xx")
    config = {
        "labels": list(labels),
        "multi_label": multi_label,
        "model": {"@architectures": architecture, "name": name},
    }
    nlp.add_pipe("zero_shot_textcat", config=config)
    return nlp


def score(nlp: Language, texts: Sequence[str], labels: Sequence[str]) -> tuple[np.ndarray, float]:
    """RETURNS (tuple[np.ndarray, float]): Scores of shape (texts, labels), and documents per second."""
    # what is done once for a label set is done before the clock starts, as in a pipeline at work
    list(nlp.pipe(texts[:8]))
    start = time.perf_counter()
    found = np.array([[doc.cats[label] for label in labels] for doc in nlp.pipe(texts)])
    return found, len(texts) / (time.perf_counter() - start)


def mean(first: np.ndarray, second: np.ndarray, exclusive: bool) -> np.ndarray:
    """The mean of two ways to score: of the logarithms of their scores where labels compete, else of their logits."""
    clipped = [np.clip(scores, SMALLEST, 1.0 - SMALLEST) for scores in (first, second)]
    both = np.mean([np.log(s) if exclusive else np.log(s) - np.log1p(-s) for s in clipped], axis=0)
    if not exclusive:
        return 1.0 / (1.0 + np.exp(-both))
    shares = np.exp(both - both.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def compare(rows: Sequence[LabelledText], checkpoint: str, encoders: Sequence[str]) -> dict[str, tuple[str, float]]:
    """Accuracy / macro-F1 as text, and documents per second, by NLI, by similarity and by the mean of both."""
    labels = label_names(rows)
    texts = [row.text for row in rows]
    gold = np.array([[label in row.labels for label in labels] for row in rows])
    multi_label = bool((gold.sum(axis=1) != 1).any())
    scores = {"NLI": score(make_pipeline(NLI, checkpoint, labels, multi_label), texts, labels)}
    for name in (checkpoint, *encoders):
        similar = score(make_pipeline(SIMILARITY, name, labels, multi_label), texts, labels)
        nli, rate = scores["NLI"]
        scores[f"similarity, {short_name(name)}"] = similar
        scores[f"mean, {short_name(name)}"] = mean(nli, similar[0], not multi_label), 1 / (1 / rate + 1 / similar[1])
    rule = default_rule(not multi_label)
    outcomes = {
        name: (figures(gold, decide_rows(values, labels, rule)), rate) for name, (values, rate) in scores.items()
    }
    return {name: (f"{each.accuracy:.3f} / {each.macro_f1:.3f}", rate) for name, (each, rate) in outcomes.items()}


def label_costs(encoder: str, counts: Sequence[int], texts: Sequence[str], rounds: int) -> list[list[Any]]:
    """Similarity with several numbers of labels, in turn: labels, documents/s, time by that of the fewest labels."""
    pipelines = {count: make_pipeline(SIMILARITY, encoder, many_labels(count), False) for count in counts}
    for nlp in pipelines.values():
        nlp(texts[0])
    calls = {str(count): (lambda nlp=nlp: list(nlp.pipe(texts))) for count, nlp in pipelines.items()}  # type: ignore[misc]
    seconds = time_in_turn(calls, rounds)
    base = seconds[str(counts[0])]
    return [
        [
            count,
            round(len(texts) / statistics.median(taken)),
            round(statistics.median(own / first for own, first in zip(taken, base)), 2),
        ]
        for count, taken in zip(counts, seconds.values())
    ]


def many_labels(count: int) -> list[str]:
    """Distinct labels of one to four words; at most 1,050."""
    return [label + ending for ending in ENDINGS for label in make_labels(150)][:count]


def short_name(name: str) -> str:
    """A checkpoint's name in a table: a folder's last part, or that before it where the last says nothing."""
    parts = [part for part in Path(name).parts if part != "model"]
    return parts[-1] if parts else name


def main(
    files: Annotated[list[Path], typer.Argument(help="Labelled files.")],
    model: Annotated[str, typer.Option(help="The checkpoint.")] = "bundled",
    encoder: Annotated[list[str] | None, typer.Option(help="A sentence embedding model; may be repeated.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Rows of each file, evenly spread.")] = 300,
    rounds: Annotated[int, typer.Option(help="How often each number of labels is timed.")] = 5,
) -> None:
    """Print the tables."""
    console = make_console()
    rows = {path: spread(read_labelled(path), limit) for path in files}
    found = {path: compare(known, model, encoder or ()) for path, known in rows.items()}
    names = list(next(iter(found.values())))
    for title, place in (("Accuracy / macro-F1", 0), ("Documents per second", 1)):
        table = [
            [path.name.split(".")[0], len(rows[path]), *(round(v) if isinstance(v, float) else v for v in cells)]
            for path, cells in ((path, [each[name][place] for name in names]) for path, each in found.items())
        ]
        console.print(f"\n{title}\n")
        print_table(console, ("set", "rows", *names), table)
    console.print("\nWhat labels cost by similarity\n")
    texts = [row.text for row in next(iter(rows.values()))]
    print_table(console, ("labels", "documents/s", "time, ratio"), label_costs(model, COUNTS, texts, rounds))


if __name__ == "__main__":
    typer.run(main)
