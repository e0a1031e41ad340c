"""Speed beside other classifiers, on the same texts in turn: python -m benchmarks.speed.

The bundled model, in every precision and backend asked for; a stock checkpoint of the same encoder, pair by pair, in
this package and in transformers' pipeline at several batch sizes; and sentence-transformers' cosine with the same
encoder, the cheapest there is. The user's command `zeroshot benchmark` is a short form of this.
"""

import json
import math
import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

import spacy_zeroshot.bundled
from benchmarks._shared import WORDPIECES, as_rate, check_equal, count_wordpieces, finish, make_labels, make_texts
from spacy_zeroshot.cli._print import make_console, print_table
from spacy_zeroshot.cli.benchmark import (
    BATCH_SIZES,
    PAIRS,
    Program,
    Scores,
    Speed,
    component,
    measure,
    pipeline,
    time_in_turn,
)
from spacy_zeroshot.model.device import choose_dtype
from spacy_zeroshot.model.reference import Device, ReferencePipeline, describe_machine, write_stock_checkpoint
from spacy_zeroshot.model.types import DEFAULT_TEMPLATE

BUNDLED = Path(spacy_zeroshot.bundled.__path__[0])
# Texts in a timing of what reads a text once: enough to fill the batches of nlp.pipe
TEXTS = 256
# Side of the square matrices whose product says what the machine can do at best
SIDE = 2048


def cosine(checkpoint: Path, device: str) -> Program:
    """sentence-transformers with the stock checkpoint's encoder: labels are embedded once for a label set."""
    from sentence_transformers import SentenceTransformer

    # of a checkpoint without files of its own it takes the mean over all tokens
    model = SentenceTransformer(str(checkpoint), device=device)
    model.max_seq_length = 512
    known: dict[tuple[str, ...], Any] = {}

    def score(texts: Sequence[str], labels: Sequence[str]) -> Scores:
        key = tuple(labels)
        if key not in known:
            known[key] = model.encode([DEFAULT_TEMPLATE.format(label) for label in labels], normalize_embeddings=True)
        values = model.encode(list(texts), normalize_embeddings=True) @ known[key].T
        return [dict(zip(labels, row)) for row in values.tolist()]

    return Program("sentence-transformers, cosine", score)


def rate_of_product(precision: str, device: Device, rounds: int) -> float:
    """Operations per second of a large matrix product: the best that the machine can do."""
    dtype = getattr(torch, precision)
    left, right = (torch.randn(SIDE, SIDE).to(device.name, dtype) for _ in range(2))

    def product() -> None:
        torch.matmul(left, right)
        finish(device)

    seconds = time_in_turn({"product": product}, rounds)["product"]
    return 2.0 * SIDE**3 / statistics.median(seconds)


def operations(program: Program, texts: Sequence[str], labels: Sequence[str]) -> float:
    """Multiplications and additions of a program's matrix products in torch, as torch counts them, for one text."""

    def linear(states: Sequence[int], weight: Sequence[int], *rest: object, **more: object) -> int:
        return 2 * math.prod(states) * weight[0]

    # of the products in which oneDNN computes GELU as well, it does not know
    fused = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    with FlopCounterMode(display=False, custom_mapping={} if fused is None else {fused: linear}) as counter:
        program.score(texts, labels)
    return counter.get_total_flops() / len(texts)


def best_of(speeds: Sequence[Speed], labels: int, name: str) -> Speed | None:
    """The fastest program whose name begins so, with a number of labels."""
    cell = [speed for speed in speeds if speed.labels == labels and speed.program.startswith(name)]
    return min(cell, key=lambda speed: speed.median, default=None)


def ratio(fast: Speed, slow: Speed) -> float:
    """How many times as fast, the median of the rounds: every round is one moment of the machine."""
    return statistics.median(other / own for own, other in zip(fast.seconds, slow.seconds))


def rows(speeds: Sequence[Speed], against: Sequence[str], shares: dict[tuple[str, int], float]) -> list[list[object]]:
    """The table: rates, working memory, share of the matrix product, and the ratio to each program of `against`."""
    shown = []
    for speed in speeds:
        bases = [best_of(speeds, speed.labels, name) for name in against]
        shown.append(
            [
                speed.program,
                speed.labels,
                as_rate(1 / speed.median),
                as_rate(speed.labels / speed.median),
                f"{speed.memory:,.0f}",
                f"{shares[speed.program, speed.labels]:.0%}" if (speed.program, speed.labels) in shares else "",
                *("" if base is None else f"{ratio(speed, base):.1f}x" for base in bases),
            ]
        )
    return shown


def cost_of_a_label(speeds: Sequence[Speed], program: str) -> float:
    """What one label more costs, as a share of what a text alone costs: a line through all numbers of labels."""
    points = [(speed.labels, speed.median) for speed in speeds if speed.program == program]
    mean_x, mean_y = (statistics.mean(values) for values in zip(*points))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    return slope / (mean_y - slope * mean_x)


def kind_of(precision: str, device: str) -> str:
    """The precision that a setting comes to here: what "auto" chooses."""
    return str(choose_dtype(precision, torch.device(device))).removeprefix("torch.")


def main(
    labels: Annotated[str, typer.Option(help="Numbers of labels.")] = "2,10,50,150",
    precisions: Annotated[str, typer.Option(help="Of the bundled model, with commas between them.")] = "auto",
    backends: Annotated[str, typer.Option(help="Of the bundled model, with commas between them.")] = "torch",
    references: Annotated[str, typer.Option(help="Precisions of transformers' pipeline.")] = "float32",
    rounds: Annotated[int, typer.Option(min=1, help="How often each program is timed.")] = 5,
    with_cosine: Annotated[bool, typer.Option("--cosine", help="Also sentence-transformers' cosine.")] = False,
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
    output: Annotated[Path | None, typer.Option(help="Write all figures to this JSON file.")] = None,
) -> None:
    """Print documents/s, pairs/s, memory, share of the matrix product and ratios, by number of labels."""
    where = Device(device)
    bundled = [
        component(f"bundled {kind} {engine}", "bundled", precision=kind, backend=engine, device=device)
        for engine in backends.split(",")
        for kind in precisions.split(",")
        # OpenVINO's alone
        if (engine, kind) != ("torch", "int8")
    ]
    with tempfile.TemporaryDirectory() as scratch:
        stock = write_stock_checkpoint(BUNDLED, Path(scratch))
        pipelines = {kind: ReferencePipeline(str(stock), device, kind) for kind in references.split(",")}
        lengths = partial(count_wordpieces, next(iter(pipelines.values())))
        slow = [component("pairs", str(stock), precision="float32", device=device)]
        slow += [
            pipeline(each, size)._replace(name=f"transformers {kind}, batch {size}")
            for kind, each in pipelines.items()
            for size in BATCH_SIZES
        ]
        quick = [*bundled, *([cosine(stock, device)] if with_cosine else [])]
        # programs whose products torch can count, and what they compute in
        torches = {p: kind_of(p.name.split()[1], device) for p in bundled if p.name.endswith(" torch")}
        if "float32" in pipelines:
            print(f"largest difference of a score: {check_equal(slow[0], pipelines['float32']):.1e}\n")
        speeds: list[Speed] = []
        shares: dict[tuple[str, int], float] = {}
        for count in map(int, labels.split(",")):
            few = make_texts(max(1, PAIRS // count), WORDPIECES, lengths)
            many = make_texts(TEXTS, WORDPIECES, lengths)
            names = make_labels(count)
            # those that read a text once get more of them, or a timing would be all noise
            speeds += measure([*((p, many) for p in quick), *((p, few) for p in slow)], names, rounds, where)
            for program, kind in torches.items():
                speed = best_of(speeds, count, program.name)
                assert speed is not None
                peak = rate_of_product(kind, where, rounds)
                shares[program.name, count] = operations(program, many, names) / speed.median / peak
    against = [f"transformers {kind}" for kind in pipelines]
    against.append(f"{against[0]}, batch 1")
    columns = ("program", "labels", "documents/s", "pairs/s", "working MB", "of the product", *against)
    print(f"{describe_machine(where)}\n")
    print_table(make_console(), columns, rows(speeds, against, shares))
    if labels.count(",") > 0:
        for program in quick:
            print(f"{program.name}: a label more costs {cost_of_a_label(speeds, program.name):.2%} of a text")
    if output is not None:
        values = {"machine": describe_machine(where), "speeds": [speed._asdict() for speed in speeds]}
        output.write_text(json.dumps(values, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    typer.run(main)
