"""Resident memory over a long stream: python -m spacy_zeroshot.benchmarks.memory.

The texts are drawn from a closed vocabulary, because spaCy itself remembers every new word (nlp.vocab.strings).
"""

import random
import sys
import time
from pathlib import Path
from typing import Iterator, List, NamedTuple, Sequence

import typer

MEGABYTE = 1 << 20
STATM = Path("/proc/self/statm")
# Documents after which weights, caches and kernels are there
WARM = 1000
# Growth, as a share of the memory in use, that counts as flat: an allocator's noise
TOLERANCE = 0.02
VOCABULARY_SIZE = 5000
SYLLABLES = ("ba", "con", "der", "fi", "gra", "lo", "mi", "nor", "pel", "ra", "sto", "tu", "ver", "zen")
LABELS = ("politics", "sport", "technology", "business", "health", "science", "travel", "food")


class Sample(NamedTuple):
    """A measurement.

    documents (int): Documents scored so far.
    resident (int): Resident memory, in bytes.
    seconds (float): Since the first document was asked for.
    """

    documents: int
    resident: int
    seconds: float


def generate_texts(count: int, seed: int = 0) -> Iterator[str]:
    """Made-up texts, all different: mostly 3 to 40 words, one in 250 of 1,500 words, a few blank.

    count (int): How many.
    seed (int): Of the random order.
    YIELDS (str): The texts.
    """
    draw = random.Random(seed)
    words = ["".join(draw.choices(SYLLABLES, k=draw.randint(1, 4))) for _ in range(VOCABULARY_SIZE)]
    for number in range(count):
        if number % 500 == 499:
            yield " "
            continue
        length = 1500 if number % 250 == 249 else draw.randint(3, 40)
        yield " ".join(draw.choices(words, k=length)).capitalize() + "."


def resident_memory() -> int:
    """RETURNS (int): Resident memory of this process in bytes; where the system does not tell, its peak so far."""
    if STATM.exists():
        pages = int(STATM.read_text(encoding="ascii").split()[1])
        return pages * _page_size()
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(texts: Iterator[str], labels: Sequence[str], every: int, batch_size: int) -> Iterator[Sample]:
    """Score texts with the bundled model and sample the memory.

    texts (Iterator[str]): The texts.
    labels (Sequence[str]): The labels.
    every (int): Documents between two samples.
    batch_size (int): What nlp.pipe is given.
    YIELDS (Sample): The samples.
    """
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", config={"labels": list(labels)})
    start = time.perf_counter()
    for number, _ in enumerate(nlp.pipe(texts, batch_size=batch_size), start=1):
        if number % every == 0:
            yield Sample(number, resident_memory(), time.perf_counter() - start)


def growth(samples: Sequence[Sample], warm: int = WARM) -> float:
    """How much memory grew after the first documents, as a share of what was in use then.

    samples (Sequence[Sample]): At least two of them after `warm` documents.
    warm (int): Documents that do not count.
    RETURNS (float): The mean of the last third of the samples over that of the first third, minus one.
    """
    counted = [sample.resident for sample in samples if sample.documents >= warm]
    if len(counted) < 2:
        raise ValueError(f"fewer than two samples after the first {warm} documents")
    third = max(1, len(counted) // 3)
    first, last = sum(counted[:third]) / third, sum(counted[-third:]) / third
    return last / first - 1.0


def main(
    documents: int = typer.Option(20_000, min=2 * WARM, help="How many documents to score."),
    every: int = typer.Option(1000, min=1, max=WARM, help="Documents between two samples."),
    batch_size: int = typer.Option(128, min=1, help="Batch size of nlp.pipe."),
) -> None:
    """Score generated documents with nlp.pipe and say whether resident memory stays flat after the first thousand.

    Example: python -m spacy_zeroshot.benchmarks.memory --documents 100000
    """
    print(f"{'documents':>10} {'resident MB':>12} {'documents/s':>12}")
    samples: List[Sample] = []
    for sample in measure(generate_texts(documents), LABELS, every, batch_size):
        samples.append(sample)
        speed = sample.documents / sample.seconds
        print(f"{sample.documents:>10,} {sample.resident / MEGABYTE:>12,.0f} {speed:>12.1f}", flush=True)
    grown = growth(samples)
    flat = grown <= TOLERANCE
    print(f"{'flat' if flat else 'NOT flat'} after the first {WARM:,} documents: {grown:+.1%}")
    raise typer.Exit(0 if flat else 1)


def _page_size() -> int:
    import resource

    return resource.getpagesize()


if __name__ == "__main__":
    typer.run(main)
