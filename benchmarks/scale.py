"""Where the time of a text goes here, and what a corpus would take elsewhere: python -m benchmarks.scale.

The parts are measured one by one on this machine: spaCy's tokenizer, word pieces, a document's text, the rest of the
package's Python, and the model. A process does the first four one text after the other; the model computes beside them
on a GPU, and after them on a CPU. Machines share nothing but the list of files, so N of them are N times as fast.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import spacy
import torch
import typer

from benchmarks._shared import WORDPIECES, make_labels, make_texts
from spacy_zeroshot.cli._print import make_console, print_table
from spacy_zeroshot.model.reference import Device, describe_machine
from spacy_zeroshot.premises import text_of_doc
from spacy_zeroshot.tuning.score import predictor_of


def median_seconds(call: Callable[[], Any], rounds: int) -> float:
    """The median time of a call, after one that is not counted."""
    call()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure_parts(labels: int, texts: int, rounds: int, device: str) -> dict[str, float]:
    """Seconds a text of each part."""
    nlp = spacy.blank("en")
    config = {"labels": make_labels(labels), "model": {"device": device}}
    pipe: Any = nlp.add_pipe("zero_shot_textcat", config=config)
    pipe.warm_up()
    predictor = predictor_of(pipe)
    written = make_texts(texts, WORDPIECES, lambda many: list(map(len, predictor.tokenizer.encode(many))))
    docs = list(nlp.tokenizer.pipe(written))
    score = predictor.scorer.forward

    def annotate() -> None:
        for _ in pipe.pipe(docs):
            pass

    whole = median_seconds(annotate, rounds)
    predictor.scorer.forward = lambda batch: torch.zeros(len(batch.pairs), 2)
    python = median_seconds(annotate, rounds)
    predictor.scorer.forward = score
    pieces = median_seconds(lambda: predictor.tokenizer.encode(written), rounds)
    text = median_seconds(lambda: [text_of_doc(doc) for doc in docs], rounds)
    parts = {
        "spaCy's tokenizer": median_seconds(lambda: list(nlp.tokenizer.pipe(written)), rounds),
        "word pieces": pieces,
        "the document's text": text,
        "the package's Python": python - pieces - text,
        "the model": whole - python,
    }
    return {name: seconds / texts for name, seconds in parts.items()}


def rate(parts: dict[str, float], model_rate: float | None) -> float:
    """Texts per second of one process. model_rate: Of a GPU that computes beside the rest; None for this machine."""
    before = sum(seconds for name, seconds in parts.items() if name != "the model")
    return 1 / (before + parts["the model"]) if model_rate is None else min(1 / before, model_rate)


def rows(rates: dict[str, tuple[float, float]], corpus: float, machines: Sequence[int]) -> list[list[str]]:
    """Rates and days by kind of machine. rates: Texts per second and dollars an hour of one machine."""
    shown = []
    for name, (speed, price) in rates.items():
        days = [corpus / speed / count / 86_400 for count in machines]
        each = [f"{days_of:,.1f}" for days_of in days]
        shown.append(
            [name, f"{speed:,.0f}", f"{speed * 3600 / price:,.0f}", f"{corpus / speed / 3600 * price:,.0f}", *each]
        )
    return shown


def main(
    labels: Annotated[int, typer.Option(help="How many.")] = 50,
    texts: Annotated[int, typer.Option(help="Measured in one round.")] = 256,
    rounds: Annotated[int, typer.Option(min=1, help="How often each part is timed.")] = 5,
    corpus: Annotated[float, typer.Option(help="Texts to score.")] = 1e9,
    machines: Annotated[str, typer.Option(help="Numbers of machines, with commas between them.")] = "1,16,64",
    price: Annotated[float, typer.Option(help="Dollars an hour of this machine.")] = 0.1,
    gpu_rate: Annotated[float, typer.Option(help="Texts per second of a GPU by benchmarks.gpu; 0 for none.")] = 0.0,
    gpu_price: Annotated[float, typer.Option(help="Dollars an hour of it.")] = 3.0,
    device: Annotated[str, typer.Option(help="A torch device.")] = "cpu",
) -> None:
    """Print microseconds a text by part, and texts per dollar-hour, dollars and days for a corpus."""
    parts = measure_parts(labels, texts, rounds, device)
    print(f"{describe_machine(Device(device))}\n")
    print_table(make_console(), ("part", "us a text"), [[name, f"{1e6 * one:,.1f}"] for name, one in parts.items()])
    rates = {"this machine": (rate(parts, None), price)}
    if gpu_rate:
        rates["one GPU"] = rate(parts, gpu_rate), gpu_price
    counts = [int(count) for count in machines.split(",")]
    columns = ["machine", "texts/s", "texts a dollar", f"dollars for {corpus:,.0f} texts"]
    print()
    print_table(make_console(), [*columns, *(f"days on {count}" for count in counts)], rows(rates, corpus, counts))


if __name__ == "__main__":
    typer.run(main)
