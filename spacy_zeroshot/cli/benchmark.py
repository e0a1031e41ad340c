"""python -m spacy zeroshot benchmark: speed and memory by number of labels, beside the transformers pipeline."""

import json
import random
import re
import statistics
import tempfile
import timeit
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import spacy
from typer import Option

from ..checks import SAMPLES
from ..errors import ZeroShotError
from ..loading import use_gpu
from ..model.types import BUNDLED, BUNDLED_FOLDER, Backend, Precision
from . import _util as cli
from ._print import make_console, print_table

if TYPE_CHECKING:
    from ..model.reference import Device, ReferencePipeline

BATCH_SIZES = (1, 8, 32)
# Texts in a timing of the component, and pairs in one of a program that reads a text once for each label
TEXTS, PAIRS = 64, 32
# Sentences in a text: about 90 wordpieces
SENTENCES = 6
Scores = list[dict[str, float]]


class Program(NamedTuple):
    """A classifier to time."""

    name: str
    score: Callable[[Sequence[str], Sequence[str]], Scores]  # takes texts and labels


class Speed(NamedTuple):
    """What was measured of a program."""

    program: str
    labels: int  # how many
    seconds: list[float]  # for a text, round by round
    memory: float  # in MB, beyond what it takes at rest

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def benchmark(
    model: Annotated[str, Option("--model", "-m", help='"bundled", a Hub name, or a folder that both run')] = BUNDLED,
    labels: Annotated[str, Option(help="Numbers of labels, with commas between them")] = "2,10,50",
    rounds: Annotated[int, Option(min=1, help="How often each program is timed")] = 3,
    precision: Annotated[Precision, Option(help="Of the component")] = "auto",
    backend: Annotated[Backend, Option(help="Of the component")] = "torch",
    as_json: cli.Json = False,
    gpu_id: cli.GpuId = -1,
) -> None:
    """Measure documents/s, pairs/s and memory beside the zero-shot pipeline of transformers, on the same texts in turn.

    With the bundled model, the pipeline runs a stock checkpoint of the same size. Texts and labels are made up, texts
    of about 90 wordpieces. Leave the machine alone while it measures.

    Example: python -m spacy zeroshot benchmark --labels 2,10
    """
    # they import transformers
    from ..model.reference import Device, ReferencePipeline, describe_machine, write_stock_checkpoint

    if not re.fullmatch("[1-9][0-9]*(,[1-9][0-9]*)*", labels):
        reason = "it must be numbers from 1 with commas between them, such as 2,10,50"
        raise ZeroShotError("Z060", what="--labels", value=labels, reason=reason)
    use_gpu(gpu_id)
    device = Device(f"cuda:{gpu_id}" if gpu_id >= 0 else "cpu")
    # a checkpoint that cannot be loaded is named by an error of ours
    ours = component(f"component, {model}", model, precision=precision, backend=backend)
    ours.score(["A first text."], ["warm"])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        stock = str(write_stock_checkpoint(BUNDLED_FOLDER, Path(scratch))) if model == BUNDLED else model
        reference = ReferencePipeline(stock, device.name)
    speeds = []
    for count in map(int, labels.split(",")):
        few, many = make_texts(max(1, PAIRS // count)), make_texts(TEXTS)
        jobs = [(ours, many), *((pipeline(reference, size), few) for size in BATCH_SIZES)]
        speeds += measure(jobs, [f"topic {number}" for number in range(count)], rounds, device)
    machine = describe_machine(device)
    if as_json:
        print(json.dumps({"machine": machine, "speeds": [speed._asdict() for speed in speeds]}))
        return
    console = make_console()
    console.print(f"{machine}\n", soft_wrap=True)
    rows = []
    for one in speeds:
        others = [s.median for s in speeds if s.labels == one.labels and s.program.startswith("transformers")]
        rates = [f"{count / one.median:,.1f}" for count in (1, one.labels)]
        rows.append([one.program, one.labels, *rates, f"{one.memory:,.0f}", f"{min(others) / one.median:.1f}"])
    print_table(console, ("program", "labels", "documents/s", "pairs/s", "working MB", "times as fast"), rows)
    cli.note("Next: python -m spacy zeroshot check PIPELINE, for what a document costs in a pipeline of yours")


def component(name: str, checkpoint: str, **model: str) -> Program:
    """Our component in a pipeline of its own."""
    nlp = spacy.blank("xx")
    pipe = nlp.add_pipe("zero_shot_textcat", config={"labels": ["warm"], "model": {"name": checkpoint, **model}})

    def score(texts: Sequence[str], labels: Sequence[str]) -> Scores:
        pipe.set_labels(list(labels))  # type: ignore[attr-defined]
        return [doc.cats for doc in nlp.pipe(texts)]

    return Program(name, score)


def pipeline(reference: "ReferencePipeline", batch_size: int) -> Program:
    """The transformers pipeline at a batch size."""
    return Program(f"transformers, batch {batch_size}", partial(reference.score, batch_size=batch_size))


def measure(
    jobs: Sequence[tuple[Program, Sequence[str]]], labels: Sequence[str], rounds: int, device: "Device"
) -> list[Speed]:
    """Time programs, each on its texts, in turn."""
    memory = []
    for program, texts in jobs:
        program.score(texts, labels)
        device.forget_peak()
        before = device.resident()
        program.score(texts, labels)
        memory.append(max(0.0, device.peak() - before))
    seconds = time_in_turn({program.name: partial(program.score, texts, labels) for program, texts in jobs}, rounds)
    return [
        Speed(program.name, len(labels), [s / len(texts) for s in seconds[program.name]], used)
        for (program, texts), used in zip(jobs, memory)
    ]


def time_in_turn(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of one run of each call, round by round: A B C, A B C, ..., so that a slow moment meets them all."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            # as many runs as take 0.2 seconds: the scheduler's noise is some milliseconds
            runs, passed = timeit.Timer(call).autorange()
            seconds[name].append(passed / runs)
    return seconds


def make_texts(count: int) -> list[str]:
    """Texts that are all different, and the same on every machine."""
    draw = random.Random(0)
    return [" ".join(draw.sample(SAMPLES, SENTENCES)) for _ in range(count)]
