"""From gold doc.cats to NLI pairs: right labels are entailed, sampled wrong ones are not."""

import random
from typing import Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example
from thinc.types import Floats3d, Ints1d

from ..errors import ZeroShotError
from ..evidence import AGAINST, FOR, Answer, Question, concatenate
from ..hypotheses import Wording
from ..premises import Premise


class Lines(NamedTuple):
    """A document's premises, hypotheses, and the right answer to each.

    premises (Tuple[Premise, ...]): At least one: the whole text, or the spans that scoring reads.
    hypotheses (Tuple[str, ...]): The hypotheses.
    targets (Ints1d): Shape (hypotheses,): FOR or AGAINST.
    compete (bool): Whether exactly one label of several is right.
    """

    premises: Tuple[Premise, ...]
    hypotheses: Tuple[str, ...]
    targets: Ints1d
    compete: bool

    def questions(self) -> List[Question]:
        """RETURNS (List[Question]): What a model is to be asked, one per premise."""
        return [Question(premise.text, self.hypotheses) for premise in self.premises]


def draw_lines(
    examples: Iterable[Example],
    read: Callable[[Doc], Sequence[Premise]],
    word: Callable[[Optional[Sequence[str]]], Wording],
    max_negatives: int,
    key_prefix: str,
    component: str,
) -> List[Lines]:
    """Draw NLI pairs from examples. Blank texts and examples without gold cats give none.

    examples (Iterable[Example]): The keys of each one's gold cats are its label set.
    read (Callable[[Doc], Sequence[Premise]]): Gives a document's premises, none for a blank one.
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
        premises = tuple(read(example.predicted)) if cats else ()
        if not premises:
            continue
        right = [label for label, value in cats.items() if value == 1.0]
        wrong = [label for label, value in cats.items() if value == 0.0]
        drawn = random.sample(wrong, min(max_negatives, len(wrong)))
        wording = word(right + drawn)
        targets = np.repeat([FOR] * len(right) + [AGAINST] * len(drawn), wording.counts)
        lines.append(Lines(premises, wording.hypotheses, targets, len(right) == 1 and bool(drawn)))
    return lines


def gather(lines: Sequence[Lines], answers: Sequence[Answer]) -> List[Answer]:
    """Join the answers on each document's premises.

    lines (Sequence[Lines]): What was asked.
    answers (Sequence[Answer]): One per question.
    RETURNS (List[Answer]): One per entry of `lines`.
    """
    rest = iter(answers)
    return [
        concatenate([next(rest) for _ in line.premises], [premise.start for premise in line.premises]) for line in lines
    ]


def scatter(gradients: Sequence[Floats3d], answers: Sequence[Answer]) -> List[Floats3d]:
    """Undo gather on gradients: cut them into one for each answer.

    gradients (Sequence[Floats3d]): Shape (windows of all premises, hypotheses, classes), one per document.
    answers (Sequence[Answer]): What gather was given.
    RETURNS (List[Floats3d]): Of the shapes of the answers' logits.
    """
    cut: List[Floats3d] = []
    for gradient in gradients:
        start = 0
        while start < len(gradient):
            end = start + len(answers[len(cut)].logits)
            cut.append(gradient[start:end])
            start = end
    return cut


def gold_labels(examples: Iterable[Example], key_prefix: str) -> List[str]:
    """The labels of examples, in the order they appear.

    examples (Iterable[Example]): The examples.
    key_prefix (str): Keys without it belong to another component.
    RETURNS (List[str]): The labels, without the prefix.
    """
    keys = dict.fromkeys(key for example in examples for key in example.reference.cats)
    return [key[len(key_prefix) :] for key in keys if key.startswith(key_prefix)]
