"""What the measuring programs share: texts and labels, and a check that two programs do the same."""

import random
from collections.abc import Callable, Sequence

import torch

from spacy_zeroshot.cli.benchmark import Program
from spacy_zeroshot.model.reference import Device, ReferencePipeline

# Mean wordpieces of a text, and what single texts differ by: real ones are not all of one length
WORDPIECES, STEPS = 90, (0, -8, 8, -4, 4, -6, 6, -2, 2)
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


def finish(device: Device) -> None:
    """Wait until all work is done. A CPU's is done when a call returns."""
    if device.is_gpu:
        torch.cuda.synchronize(device.name)


def as_rate(value: float) -> str:
    """Three digits, whatever the size."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def count_wordpieces(reference: ReferencePipeline, texts: Sequence[str]) -> list[int]:
    """Wordpieces of each text, without special tokens."""
    encoded = reference.tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
    return [len(ids) for ids in encoded["input_ids"]]


def check_equal(ours: Program, reference: ReferencePipeline) -> float:
    """The largest difference of a score, before speeds are compared; a ValueError if it is above 1e-4."""
    texts, labels = make_texts(3, WORDPIECES, lambda many: count_wordpieces(reference, many), seed=1), make_labels(10)
    both = zip(ours.score(texts, labels), reference.score(texts, labels, 8))
    difference = max(abs(one[label] - other[label]) for one, other in both for label in labels)
    if not difference <= TOLERANCE:
        raise ValueError(f"the scores of {ours.name} differ by {difference:.2g} from those of transformers")
    return difference
