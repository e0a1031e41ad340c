"""python -m spacy zeroshot benchmark: speed and memory by number of labels, beside the transformers pipeline."""

import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from ..errors import ZeroShotError
from ..labels import DEFAULT_TEMPLATE
from ._print import make_console, print_table
from ._util import GpuId, run

if TYPE_CHECKING:
    from ..model.reference import Device, ReferencePipeline

COMMAND = "benchmark"
# What one step of the programs is compared on where the caller says nothing
LABEL_COUNTS, BATCH_SIZES = (2, 10, 50), (1, 8, 32)
# Mean wordpieces of a text, and what single texts differ by: real ones are not all of one length
WORDPIECES, STEPS = 90, (0, -8, 8, -4, 4, -6, 6, -2, 2)
# A single timing shorter than this is repeated: the scheduler's noise is some milliseconds
SHORTEST = 0.2
# Texts in a timing of the component, and pairs in one of a program that reads a text once for each label
TEXTS, PAIRS = 64, 32
# Scores of one checkpoint in float32
TOLERANCE = 1e-4
PARTS = (
    ("the minister", "a young engineer", "our team", "the local council", "every customer", "the old bank"),
    ("announced", "rejected", "explained", "delayed", "praised", "reviewed", "questioned", "supported"),
    ("the new budget", "a larger stadium", "the latest phone", "an early vaccine", "the missing parcel"),
    ("in the capital", "after a long debate", "during the final match", "at the airport", "on Monday morning"),
    ("while", "because", "although", "and", "before"),
)
KINDS = ("", "local ", "international ", "online ", "public ", "private ")
# fmt: off
NOUNS = (
    "politics", "football", "banking", "travel", "health", "music", "science", "weather", "education", "technology",
    "food", "fashion", "energy", "crime", "housing", "cinema", "history", "farming", "shipping", "insurance", "tennis",
    "religion", "gaming", "nature", "traffic",
)
# fmt: on

Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]
Scores = list[dict[str, float]]


class Program(NamedTuple):
    """A classifier to time. `score` takes texts and labels."""

    name: str
    score: Callable[[Sequence[str], Sequence[str]], Scores]


class Speed(NamedTuple):
    """What was measured of a program with a number of labels: seconds a text round by round, working memory in MB."""

    program: str
    labels: int
    seconds: list[float]
    memory: float

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def benchmark(
    model: Annotated[
        str, typer.Option("--model", "-m", help='"bundled", or a Hub name or folder that both programs run')
    ] = "bundled",
    labels: Annotated[str, typer.Option("--labels", help="Numbers of labels, at most 150 each")] = "2,10,50",
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="How often each program is timed")] = 3,
    precision: Annotated[Precision, typer.Option("--precision", help="Of the component")] = "auto",
    backend: Annotated[
        Literal["torch", "openvino", "auto"], typer.Option("--backend", help="Of the component")
    ] = "torch",
    pipeline_precision: Annotated[
        Literal["float32", "bfloat16", "float16"],
        typer.Option("--pipeline-precision", help="Of the transformers pipeline"),
    ] = "float32",
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of the table")] = False,
    gpu_id: GpuId = -1,
) -> None:
    """Measure documents/s, pairs/s and memory beside the zero-shot pipeline of transformers, on the same texts in turn.

    With the bundled model, the pipeline runs a stock checkpoint of the same size. Texts are made up, of 90 wordpieces.
    Leave the machine alone while it measures.

    Example: python -m spacy zeroshot benchmark --labels 2,10
    """
    with run(COMMAND):
        counts = _numbers(labels)
        machine, speeds = _benchmark(model, counts, rounds, precision, backend, pipeline_precision, gpu_id)
        if json_:
            print(json.dumps({"machine": machine, "speeds": [speed._asdict() for speed in speeds]}))
            return
        console = make_console()
        console.print(f"{machine}\n", soft_wrap=True)
        columns = ("program", "labels", "documents/s", "pairs/s", "working MB", "times as fast")
        print_table(console, columns, _rows(speeds))


def _benchmark(
    model: str, counts: Sequence[int], rounds: int, precision: str, backend: str, reference_precision: str, gpu_id: int
) -> tuple[str, list[Speed]]:
    from ..loading import use_gpu
    from ..model.reference import Device, ReferencePipeline, describe_machine, write_stock_checkpoint

    use_gpu(gpu_id)
    device = Device(f"cuda:{gpu_id}" if gpu_id >= 0 else "cpu")
    settings = {"precision": precision, "backend": backend}
    with tempfile.TemporaryDirectory() as scratch:
        stock = model
        if model == "bundled":
            import spacy_zeroshot.bundled

            stock = str(write_stock_checkpoint(Path(spacy_zeroshot.bundled.__path__[0]), Path(scratch)))
        ours = component(f"component, {model}", model, **settings)
        # a checkpoint that cannot be loaded is named by an error of ours
        ours.score(["A first text."], ["warm"])
        reference = ReferencePipeline(stock, device.name, reference_precision)
        others = [pipeline(reference, size) for size in BATCH_SIZES]
        if model == "bundled":
            others = [component("component, stock checkpoint", stock, **settings), *others]
        if reference_precision == "float32":
            check_equal(component("component", stock, precision="float32"), reference)
        speeds = []
        for count in counts:
            many, few = (make_texts(n, WORDPIECES, reference.count) for n in (TEXTS, max(1, PAIRS // count)))
            jobs = [(ours, many), *((program, few) for program in others)]
            speeds += measure(jobs, make_labels(count), rounds, device)
    return describe_machine(device), speeds


def component(name: str, checkpoint: str, **model: str) -> Program:
    """Our component in a pipeline of its own. name (str): What a table calls it. model: Settings of the model."""
    import spacy

    nlp = spacy.blank("xx")
    pipe = nlp.add_pipe("zero_shot_textcat", config={"labels": ["warm"], "model": {"name": checkpoint, **model}})

    def score(texts: Sequence[str], labels: Sequence[str]) -> Scores:
        pipe.set_labels(list(labels))  # type: ignore[attr-defined]
        return [doc.cats for doc in nlp.pipe(texts)]

    return Program(name, score)


def pipeline(reference: "ReferencePipeline", batch_size: int) -> Program:
    """The transformers pipeline at a batch size."""
    score = partial(reference.score, batch_size=batch_size, template=DEFAULT_TEMPLATE)
    return Program(f"transformers, batch {batch_size}", score)


def check_equal(ours: Program, reference: "ReferencePipeline") -> float:
    """Check that both programs do the same thing before their speed is compared.

    RETURNS (float): The largest difference of a score.
    RAISES (ZeroShotError): Z037 if it is above 1e-4.
    """
    texts, labels = make_texts(3, WORDPIECES, reference.count, seed=1), make_labels(10)
    theirs = reference.score(texts, labels, 8, DEFAULT_TEMPLATE)
    both = zip(ours.score(texts, labels), theirs)
    difference = max(abs(one[label] - other[label]) for one, other in both for label in labels)
    if not difference <= TOLERANCE:
        raise ZeroShotError(
            "Z037", first=ours.name, second="transformers' pipeline", difference=difference, limit=TOLERANCE
        )
    return difference


def measure(
    jobs: Sequence[tuple[Program, Sequence[str]]], labels: Sequence[str], rounds: int, device: "Device"
) -> list[Speed]:
    """Time programs, each on its texts, in turn, after one run of each that is not timed."""
    memory: dict[str, float] = {}
    for program, texts in jobs:
        program.score(texts, labels)
        device.forget_peak()
        before = device.resident()
        program.score(texts, labels)
        memory[program.name] = max(0.0, device.peak() - before)
    calls = {program.name: partial(program.score, texts, labels) for program, texts in jobs}
    seconds = time_in_turn(calls, rounds, device.finish)
    return [
        Speed(program.name, len(labels), [s / len(texts) for s in seconds[program.name]], memory[program.name])
        for program, texts in jobs
    ]


def time_in_turn(
    calls: Mapping[str, Callable[[], object]], rounds: int, finish: Callable[[], None]
) -> dict[str, list[float]]:
    """Seconds of one run of each call, round by round: A B C, A B C, ..., so that a slow moment meets them all."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            runs, passed = 0, 0.0
            finish()
            start = time.perf_counter()
            while passed < SHORTEST:
                call()
                finish()
                runs += 1
                passed = time.perf_counter() - start
            seconds[name].append(passed / runs)
    return seconds


def make_labels(count: int) -> list[str]:
    """Distinct labels of one or two words. count (int): At most 150."""
    return [kind + noun for kind in KINDS for noun in NOUNS][:count]


def make_texts(count: int, wordpieces: int, measure: Callable[[Sequence[str]], list[int]], seed: int = 0) -> list[str]:
    """Made-up texts, all different and the same on every machine.

    count (int): How many.
    wordpieces (int): How long, on the average.
    measure (Callable): Lengths of texts in wordpieces.
    seed (int): Of the wording.
    RETURNS (list[str]): The texts.
    """
    draw = random.Random(seed)
    texts = []
    for number in range(count):
        length = wordpieces + STEPS[number % len(STEPS)] * wordpieces // WORDPIECES
        words: list[str] = []
        while len(words) < length:
            words += " ".join(draw.choice(part) for part in PARTS).split()
        # each word's own wordpieces, so that a text is measured once and not for every beginning of it
        sizes, total, kept = measure(words[:length]), 0, 0
        while kept < len(sizes) and total + sizes[kept] <= length:
            total += sizes[kept]
            kept += 1
        texts.append(" ".join(words[: max(1, kept)]).capitalize())
    return texts


def as_rate(value: float) -> str:
    """Three digits, whatever the size."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def ratios(speeds: Sequence[Speed]) -> dict[tuple[str, int], float]:
    """How many times as fast as the fastest pipeline of transformers, by program and number of labels."""
    found = {}
    for count in dict.fromkeys(speed.labels for speed in speeds):
        cell = [speed for speed in speeds if speed.labels == count]
        theirs = [speed for speed in cell if speed.program.startswith("transformers")]
        if theirs:
            best = min(theirs, key=lambda speed: speed.median)
            for speed in cell:
                rounds = [other / own for own, other in zip(speed.seconds, best.seconds)]
                found[speed.program, count] = statistics.median(rounds)
    return found


def _rows(speeds: Sequence[Speed]) -> list[list[object]]:
    times = ratios(speeds)
    return [
        [
            speed.program,
            speed.labels,
            as_rate(1 / speed.median),
            as_rate(speed.labels / speed.median),
            f"{speed.memory:,.0f}",
            f"{times[speed.program, speed.labels]:.1f}",
        ]
        for speed in speeds
    ]


def _numbers(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    most = len(KINDS) * len(NOUNS)
    if not counts or not all(1 <= count <= most for count in counts):
        reason = f"it must be numbers from 1 to {most} with commas between them, such as 2,10,50"
        raise ZeroShotError("Z060", what="--labels", value=text, reason=reason)
    return counts
