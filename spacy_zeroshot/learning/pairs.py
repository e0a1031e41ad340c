"""From gold doc.cats to NLI pairs: right labels are entailed, sampled wrong ones are not."""

import random
from typing import Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from spacy.training import Example
from thinc.types import Ints1d

from ..errors import ZeroShotError
from ..evidence import AGAINST, FOR
from ..hypotheses import Wording


class Lines(NamedTuple):
    """A text, hypotheses, and the right answer to each.

    text (str): The premise.
    hypotheses (Tuple[str, ...]): The hypotheses.
    targets (Ints1d): Shape (hypotheses,): FOR or AGAINST.
    compete (bool): Whether exactly one label of several is right.
    """

    text: str
    hypotheses: Tuple[str, ...]
    targets: Ints1d
    compete: bool


def draw_lines(
    examples: Iterable[Example],
    word: Callable[[Optional[Sequence[str]]], Wording],
    max_negatives: int,
    key_prefix: str,
    component: str,
) -> List[Lines]:
    """Draw NLI pairs from examples. Blank texts and examples without gold cats give none.

    examples (Iterable[Example]): The keys of each one's gold cats are its label set.
    word (Callable[[Optional[Sequence[str]]], Wording]): Words labels as hypotheses.
    max_negatives (int): Wrong labels per text; sampled with Python's `random`, which spaCy seeds.
    key_prefix (str): Keys without it belong to another component.
    component (str): The component's name, for errors.
    RETURNS (List[Lines]): At most one per example.
    RAISES (ZeroShotError): Z040 for gold cats that are not 0 or 1.
    """
    lines = []
    for example in examples:
        cats = {k[len(key_prefix) :]: v for k, v in example.reference.cats.items() if k.startswith(key_prefix)}
        if any(value not in (0.0, 1.0) for value in cats.values()):
            raise ZeroShotError("Z040", component, cats=cats)
        text = example.predicted.text
        right = [label for label, value in cats.items() if value == 1.0]
        wrong = [label for label, value in cats.items() if value == 0.0]
        if not cats or not text.strip():
            continue
        drawn = random.sample(wrong, min(max_negatives, len(wrong)))
        wording = word(right + drawn)
        targets = np.repeat([FOR] * len(right) + [AGAINST] * len(drawn), wording.counts)
        lines.append(Lines(text, wording.hypotheses, targets, len(right) == 1 and bool(drawn)))
    return lines


def gold_labels(examples: Iterable[Example], key_prefix: str) -> List[str]:
    """The labels of examples, in the order they appear.

    examples (Iterable[Example]): The examples.
    key_prefix (str): Keys without it belong to another component.
    RETURNS (List[str]): The labels, without the prefix.
    """
    keys = dict.fromkeys(key for example in examples for key in example.reference.cats)
    return [key[len(key_prefix) :] for key in keys if key.startswith(key_prefix)]
