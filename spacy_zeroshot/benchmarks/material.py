"""Texts and labels to measure with: made up, the same on every machine, of realistic length in wordpieces."""

import random
from typing import Callable, List, Sequence

SUBJECTS = ("the minister", "a young engineer", "our team", "the local council", "every customer", "the old bank")
VERBS = ("announced", "rejected", "explained", "delayed", "praised", "reviewed", "questioned", "supported")
OBJECTS = ("the new budget", "a larger stadium", "the latest phone", "an early vaccine", "the missing parcel")
PLACES = ("in the capital", "after a long debate", "during the final match", "at the airport", "on Monday morning")
JOINTS = ("while", "because", "although", "and", "before")
NOUNS = (
    "politics",
    "football",
    "banking",
    "travel",
    "health",
    "music",
    "science",
    "weather",
    "education",
    "technology",
    "food",
    "fashion",
    "energy",
    "crime",
    "housing",
    "cinema",
    "history",
    "farming",
    "shipping",
    "insurance",
    "tennis",
    "religion",
    "gaming",
    "nature",
    "traffic",
)
KINDS = ("", "local ", "international ", "online ", "public ", "private ")
# Wordpieces more or fewer than asked for, in turn: real texts are not all of one length
STEPS = (0, -8, 8, -4, 4, -6, 6, -2, 2)


def make_labels(count: int) -> List[str]:
    """Distinct labels of one or two words.

    count (int): How many; at most 150.
    RETURNS (List[str]): The labels.
    """
    return [kind + noun for kind in KINDS for noun in NOUNS][:count]


def make_texts(count: int, wordpieces: int, measure: Callable[[Sequence[str]], List[int]], seed: int = 0) -> List[str]:
    """Made-up texts, all different, about `wordpieces` long on the average.

    count (int): How many.
    wordpieces (int): Their length.
    measure (Callable[[Sequence[str]], List[int]]): Lengths of texts, in wordpieces.
    seed (int): Of the wording.
    RETURNS (List[str]): The texts.
    """
    draw = random.Random(seed)
    lengths = [wordpieces + STEPS[i % len(STEPS)] * wordpieces // 90 for i in range(count)]
    return [_cut(_words(draw, length), length, measure) for length in lengths]


def _words(draw: random.Random, length: int) -> List[str]:
    """At least `length` words."""
    words: List[str] = []
    while len(words) < length:
        clause = " ".join(draw.choice(part) for part in (SUBJECTS, VERBS, OBJECTS, PLACES))
        words.extend(f"{clause} {draw.choice(JOINTS)}".split())
    return words


def _cut(words: Sequence[str], length: int, measure: Callable[[Sequence[str]], List[int]]) -> str:
    """The longest beginning of at most `length` wordpieces."""
    beginnings = [" ".join(words[:end]).capitalize() for end in range(1, length + 1)]
    fitting = [text for text, size in zip(beginnings, measure(beginnings)) if size <= length]
    return fitting[-1] if fitting else beginnings[0]
