"""How annotate keeps pace and memory: python -m spacy_zeroshot.corpora.study.

Annotates made-up short texts, and prints documents per second beside bare nlp.pipe on the same texts, and the
process's memory as the corpus goes by. With --engine ray also what Ray adds.
"""

import itertools
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Annotated, Iterator, List

import typer

from ..cli.bars import make_console, print_table
from ..cli.guard import note
from ..model.source import BUNDLED
from .annotate import annotate
from .job import Job
from .pipelines import PipelineSpec
from .steps import Step

LABELS = ("politics", "sport", "technology")
SUBJECTS = ("The minister", "A goalkeeper", "The new phone", "Parliament", "Her coach", "An old computer", "The jury")
VERBS = ("resigned", "was praised", "lost its way", "made the front page", "surprised everyone", "came back")
PLACES = ("in Paris", "after the break", "on Monday", "without a word", "for the third time", "against the odds")


def made_up_texts(count: int) -> Iterator[str]:
    """YIELDS (str): Short texts, all different. count (int): How many."""
    for number, words in zip(range(count), itertools.cycle(itertools.product(SUBJECTS, VERBS, PLACES))):
        yield f"{' '.join(words)}, report {number} says."


def study(
    texts: Annotated[int, typer.Option(help="How many texts")] = 100_000,
    bare: Annotated[int, typer.Option(help="How many of them go through bare nlp.pipe")] = 10_000,
    model: Annotated[str, typer.Option(help="The checkpoint")] = BUNDLED,
    n_process: Annotated[int, typer.Option(help="Processes, or Ray workers")] = 1,
    engine: Annotated[str, typer.Option(help="local or ray")] = "local",
) -> None:
    """Measure annotate."""
    spec = PipelineSpec(model=model, labels=LABELS)
    rows: List[List[str]] = []
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "texts.jsonl"
        with source.open("w", encoding="utf8") as file_:
            file_.writelines(json.dumps({"text": text}) + "\n" for text in made_up_texts(texts))
        job = Job(source, Path(scratch) / "labelled.jsonl", spec)
        rows.append(["bare nlp.pipe", f"{bare:,}", f"{_bare_rate(spec, job.batch_size, bare):,.1f}", _megabytes()])
        start = time.perf_counter()
        marks = [texts * part // 4 for part in range(1, 5)]
        done = 0

        def watch(step: Step) -> None:
            nonlocal done
            done += step.info.written
            while marks and done >= marks[0]:
                rate = done / (time.perf_counter() - start)
                rows.append([f"annotate, {engine}, {n_process}", f"{marks.pop(0):,}", f"{rate:,.1f}", _megabytes()])

        annotate(job, engine="ray" if engine == "ray" else "local", n_process=n_process, watch=watch)
    print_table(make_console(), ("", "texts", "documents/s", "peak memory, MB"), rows)
    note(
        "the rate of annotate counts everything from reading the file; with more processes, memory is that of the first"
    )


def _bare_rate(spec: PipelineSpec, batch_size: int, count: int) -> float:
    nlp = spec.open()
    # the first batch loads weights and compiles kernels
    list(nlp.pipe(made_up_texts(batch_size), batch_size=batch_size))
    start = time.perf_counter()
    for _ in nlp.pipe(made_up_texts(count), batch_size=batch_size):
        pass
    return count / (time.perf_counter() - start)


def _megabytes() -> str:
    """The largest memory this process has had so far. Linux counts kibibytes."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f}"


if __name__ == "__main__":
    typer.run(study)
