"""Resident memory over a long stream: python -m benchmarks.memory.

The texts are drawn from a closed vocabulary, because spaCy itself remembers every new word (nlp.vocab.strings).
"""

import random
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import spacy
import typer

from spacy_zeroshot.model.reference import Device

# Documents after which weights, caches and kernels are there
WARM = 1000
# Growth, as a share of the memory in use, that counts as flat: an allocator's noise
TOLERANCE = 0.02
VOCABULARY_SIZE = 5000
SYLLABLES = ("ba", "con", "der", "fi", "gra", "lo", "mi", "nor", "pel", "ra", "sto", "tu", "ver", "zen")
LABELS = ("politics", "sport", "technology", "business", "health", "science", "travel", "food")


class Sample(NamedTuple):
    """Documents scored so far, resident memory in megabytes, and seconds since the first document was asked for."""

    documents: int
    resident: float
    seconds: float


def generate_texts(count: int, seed: int = 0) -> Iterator[str]:
    """Made-up texts, all different: mostly 3 to 40 words, one in 250 of 1,500 words, a few blank."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 4))) for _ in range(VOCABULARY_SIZE)]
    for number in range(count):
        if number % 500 == 499:
            yield " "
            continue
        length = 1500 if number % 250 == 249 else draw.randint(3, 40)
        yield " ".join(draw.choices(words, k=length)).capitalize() + "."


def measure(texts: Iterator[str], every: int, batch_size: int) -> Iterator[Sample]:
    """Score texts with the bundled model and sample the memory."""
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", config={"labels": list(LABELS)})
    start = time.perf_counter()
    for number, _ in enumerate(nlp.pipe(texts, batch_size=batch_size), start=1):
        if number % every == 0:
            yield Sample(number, Device().resident(), time.perf_counter() - start)


def growth(samples: Sequence[Sample], warm: int = WARM) -> float:
    """Growth of memory after the first documents: the last third of the samples over the first third, minus one."""
    counted = [sample.resident for sample in samples if sample.documents >= warm]
    if len(counted) < 2:
        raise ValueError(f"fewer than two samples after the first {warm} documents")
    third = max(1, len(counted) // 3)
    return sum(counted[-third:]) / sum(counted[:third]) - 1.0


def main(
    documents: int = typer.Option(20_000, min=2 * WARM, help="How many documents to score."),
    every: int = typer.Option(1000, min=1, max=WARM, help="Documents between two samples."),
    batch_size: int = typer.Option(128, min=1, help="Batch size of nlp.pipe."),
) -> None:
    """Score generated documents with nlp.pipe and say whether resident memory stays flat after the first thousand."""
    print(f"{'documents':>10} {'resident MB':>12} {'documents/s':>12}")
    samples: list[Sample] = []
    for sample in measure(generate_texts(documents), every, batch_size):
        samples.append(sample)
        speed = sample.documents / sample.seconds
        print(f"{sample.documents:>10,} {sample.resident:>12,.0f} {speed:>12.1f}", flush=True)
    grown = growth(samples)
    flat = grown <= TOLERANCE
    print(f"{'flat' if flat else 'NOT flat'} after the first {WARM:,} documents: {grown:+.1%}")
    raise typer.Exit(0 if flat else 1)


if __name__ == "__main__":
    typer.run(main)
