"""Scoring texts once for every set of templates: the only part of tuning and calibration that runs the model."""

import contextlib
from typing import Any, Callable, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
from spacy.language import Language

from ..component import ZeroShotTextCategorizer
from ..errors import warn
from ..evidence import Question, Request, concatenate
from ..premises import Premise, premises_of
from ..scores import pool, strengths

BATCH = 128
# Templates that differ in what they ask; own ones go before them
TEMPLATES = (
    "This text is about {}.",
    "The topic of this text is {}.",
    "This example is {}.",
    "This text expresses {}.",
    "{}.",
    "It is about {}.",
    "The text is related to {}.",
    "This is a text of the category {}.",
)

# Takes an iterator, how much it will yield and what of; yields the same. For progress bars.
Watch = Callable[[Iterator[Any], int, str], Iterator[Any]]


class Readable(NamedTuple):
    """Texts that have something to be read.

    rows (np.ndarray): Shape (texts,), int: their places among all texts.
    premises (List[List[Premise]]): What is read of each.
    """

    rows: np.ndarray
    premises: List[List[Premise]]


def unwatched(items: Iterator[Any], total: int, name: str) -> Iterator[Any]:
    """A Watch that shows nothing. RETURNS (Iterator[Any]): The same items."""
    return items


def read_texts(nlp: Language, pipe: ZeroShotTextCategorizer, texts: Sequence[str], command: str) -> Readable:
    """Run what comes before the component, and take the premises.

    nlp (Language): The pipeline.
    pipe (ZeroShotTextCategorizer): A component of it.
    texts (Sequence[str]): The texts.
    command (str): The command's name, for the warning Z120 about blank texts.
    RETURNS (Readable): The texts that are not blank.
    """
    later = nlp.pipe_names[nlp.pipe_names.index(pipe.name) :]
    rows, premises = [], []
    with nlp.select_pipes(disable=later):
        for row, doc in enumerate(nlp.pipe(texts, batch_size=BATCH)):
            found = premises_of(doc, pipe.get_spans, pipe.name)
            if found:
                rows.append(row)
                premises.append(found)
    if len(rows) < len(texts):
        warn("Z120", command, count=len(texts) - len(rows), total=len(texts))
    return Readable(np.array(rows, dtype=int), premises)


def score_templates(
    pipe: ZeroShotTextCategorizer,
    premises: Sequence[Sequence[Premise]],
    templates: Sequence[Tuple[str, ...]],
    watch: Watch = unwatched,
) -> List[np.ndarray]:
    """Score texts with every set of templates in place of the component's own.

    pipe (ZeroShotTextCategorizer): The component.
    premises (Sequence[Sequence[Premise]]): Of each text, one or more.
    templates (Sequence[Tuple[str, ...]]): The sets; the logits of the templates of a set are averaged.
    watch (Watch): Shows progress, counted in texts.
    RETURNS (List[np.ndarray]): One array for each set, shape (texts, labels): pooled strengths, not calibrated.
    """
    found = []
    for number, chosen in enumerate(templates, start=1):
        with wearing(pipe, chosen):
            rows = score_strengths(pipe, premises)
            found.append(np.stack(list(watch(rows, len(premises), f"pass {number} of {len(templates)}"))))
    return found


def score_strengths(pipe: ZeroShotTextCategorizer, premises: Sequence[Sequence[Premise]]) -> Iterator[np.ndarray]:
    """Score texts with the component as it is, up to the pooled strengths.

    pipe (ZeroShotTextCategorizer): The component.
    premises (Sequence[Sequence[Premise]]): Of each text, one or more.
    YIELDS (np.ndarray): Shape (labels,): the strengths of each text's labels, not calibrated.
    """
    wording = pipe.wording()
    compete = competes(pipe)
    for start in range(0, len(premises), BATCH):
        batch = premises[start : start + BATCH]
        questions = [Question(premise.text, wording.hypotheses) for parts in batch for premise in parts]
        answers = iter(pipe.model.predict(Request(questions, pipe.reading)))
        for parts in batch:
            answer = concatenate([next(answers) for _ in parts], [premise.start for premise in parts])
            yield np.asarray(pool(strengths(answer.logits, wording.counts, compete), pipe.pooling))


def competes(pipe: ZeroShotTextCategorizer) -> bool:
    """RETURNS (bool): Whether the labels of a component compete for a text."""
    return not pipe.multi_label and len(pipe.labels) > 1


def candidate_templates(pipe: ZeroShotTextCategorizer, templates: Sequence[str] = TEMPLATES) -> List[Tuple[str, ...]]:
    """The sets of templates to score: the component's own, then every candidate that differs.

    pipe (ZeroShotTextCategorizer): The component.
    templates (Sequence[str]): The candidates.
    RETURNS (List[Tuple[str, ...]]): No two of which word the labels alike.
    RAISES (ZeroShotError): Z004 for a bad template.
    """
    sets: List[Tuple[str, ...]] = []
    worded = set()
    for chosen in (pipe.templates, *((template,) for template in templates)):
        with wearing(pipe, chosen):
            hypotheses = pipe.wording().hypotheses
        if hypotheses not in worded:
            worded.add(hypotheses)
            sets.append(tuple(chosen))
    return sets


@contextlib.contextmanager
def wearing(pipe: ZeroShotTextCategorizer, templates: Sequence[str]) -> Iterator[None]:
    """Give the component other templates for a while.

    pipe (ZeroShotTextCategorizer): The component.
    templates (Sequence[str]): The templates.
    """
    before = pipe.templates
    pipe.templates = tuple(templates)
    try:
        yield
    finally:
        pipe.templates = before
