"""How annotate keeps pace and memory: python -m benchmarks.corpora.

Annotates made-up short texts, and prints documents per second beside bare nlp.pipe on the same texts, and the peak of
this process's memory as the corpus goes by.
"""

import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from spacy_zeroshot import annotate
from spacy_zeroshot.cli._print import make_console, print_table
from spacy_zeroshot.loading import open_pipeline
from spacy_zeroshot.model.reference import Device

LABELS = ("politics", "sport", "technology")
SUBJECTS = ("The minister", "A goalkeeper", "The new phone", "Parliament", "Her coach", "An old computer", "The jury")
VERBS = ("resigned", "was praised", "lost its way", "made the front page", "surprised everyone", "came back")
PLACES = ("in Paris", "after the break", "on Monday", "without a word", "for the third time", "against the odds")
BATCH = 256


def made_up_texts(count: int) -> Iterator[str]:
    """Short texts, all different."""
    for number, words in zip(range(count), itertools.cycle(itertools.product(SUBJECTS, VERBS, PLACES))):
        yield f"{' '.join(words)}, report {number} says."


def bare_rate(model: str, count: int) -> float:
    """Documents per second of nlp.pipe."""
    nlp, _ = open_pipeline(model=model, labels=LABELS)
    # the first batch loads weights and compiles kernels
    list(nlp.pipe(made_up_texts(BATCH), batch_size=BATCH))
    start = time.perf_counter()
    for _ in nlp.pipe(made_up_texts(count), batch_size=BATCH):
        pass
    return count / (time.perf_counter() - start)


def measure(count: int, bare: int, model: str, n_process: int, engine: Literal["local", "ray"]) -> list[list[Any]]:
    """Rows of the table: the program, texts so far, documents per second, peak memory in megabytes."""
    device = Device()
    rows: list[list[Any]] = [["bare nlp.pipe", bare, round(bare_rate(model, bare), 1), round(device.peak())]]
    marks = [count * part // 4 for part in range(1, 5)]
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "texts.jsonl"
        with source.open("w", encoding="utf8") as lines:
            lines.writelines(json.dumps({"text": text}) + "\n" for text in made_up_texts(count))
        start = time.perf_counter()

        def watch(done: int, fraction: float, rejects: Sequence[dict[str, Any]]) -> None:
            while marks and done >= marks[0]:
                rate = round(done / (time.perf_counter() - start), 1)
                rows.append([f"annotate, {engine}, {n_process}", marks.pop(0), rate, round(device.peak())])

        output = Path(scratch) / "labelled.jsonl"
        annotate(
            source,
            output,
            model=model,
            labels=LABELS,
            batch_size=BATCH,
            engine=engine,
            n_process=n_process,
            watch=watch,
        )
    return rows


def main(
    texts: Annotated[int, typer.Option(help="How many texts.")] = 100_000,
    bare: Annotated[int, typer.Option(help="How many of them go through bare nlp.pipe.")] = 10_000,
    model: Annotated[str, typer.Option(help="The checkpoint.")] = "bundled",
    n_process: Annotated[int, typer.Option(help="Processes, or Ray workers.")] = 1,
    ray: Annotated[bool, typer.Option("--ray", help="On Ray.")] = False,
) -> None:
    """Measure annotate: its rate counts everything from reading the file; memory is that of this process."""
    rows = measure(texts, bare, model, n_process, "ray" if ray else "local")
    print_table(make_console(), ("", "texts", "documents/s", "peak memory, MB"), rows)


if __name__ == "__main__":
    typer.run(main)
