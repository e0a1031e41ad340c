"""What a model is asked and what it answers: the contract between the component and any architecture."""

from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
from thinc.types import Floats3d

# Columns of Answer.logits. Further columns (a neutral class) are only for the loss.
FOR, AGAINST = 0, 1


class Question(NamedTuple):
    """One premise and the hypotheses it is to be held against.

    premise (str): A text of any length.
    hypotheses (Tuple[str, ...]): At least one.
    """

    premise: str
    hypotheses: Tuple[str, ...]


class Answer(NamedTuple):
    """The model's evidence on one question.

    windows (List[Tuple[int, int]]): Start and end character of each window of the premise.
    logits (Floats3d): Shape (windows, hypotheses, classes). Class 0 speaks for the hypothesis (entailment),
        class 1 against it (contradiction; not-entailment in a two-class head).
    """

    windows: List[Tuple[int, int]]
    logits: Floats3d


class Reading(NamedTuple):
    """How a model reads a premise, settings of the component that reach the model with every call.

    long_text (str): "windows" or "truncate".
    window_overlap (int): Wordpieces that neighbouring windows share.
    component (str): The component's name, for errors.
    """

    long_text: str = "windows"
    window_overlap: int = 64
    component: str = "zero_shot_textcat"


class Request(NamedTuple):
    """A batch of questions and how to read them: the input of a model.

    questions (Sequence[Question]): The questions.
    reading (Reading): How to read them.
    """

    questions: Sequence[Question]
    reading: Reading = Reading()


def concatenate(answers: Sequence[Answer], starts: Sequence[int]) -> Answer:
    """Join the answers on several premises of one document.

    answers (Sequence[Answer]): One per premise, all with the same hypotheses.
    starts (Sequence[int]): Each premise's first character in the document.
    RETURNS (Answer): One answer; its windows count characters from the document's start.
    """
    windows = [(s + a, s + b) for answer, s in zip(answers, starts) for a, b in answer.windows]
    return Answer(windows, np.concatenate([answer.logits for answer in answers]))
