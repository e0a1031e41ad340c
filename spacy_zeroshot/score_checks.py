"""What `check` finds by scoring sample texts: labels the model reads alike, hypotheses that barely fit, templates
without effect. Findings are data, as in checks.py."""

from itertools import combinations
from typing import Iterator, List, Sequence

import numpy as np
from spacy.language import Language

from .component import ZeroShotTextCategorizer
from .findings import WARNING, Finding, finding
from .scores import scores
from .tuning.passes import read_texts, score_templates

COMMAND = "check"
# Pairs of labels whose scores go together more closely than this are pointed out. Synonyms are above it,
# related labels come near, and labels that have nothing in common stay far below.
ALIKE = 0.75
# A label that is never the best and scores less than this share of an equal one barely fits.
BARELY = 0.5
# Templates without which this share of texts keep their best label have no effect.
NO_EFFECT = 0.99
# What texts are about, for the case that a user gives none: enough to tell most labels apart.
SAMPLES = (
    "The goalkeeper saved a late penalty and the home side won the cup.",
    "The minister resigned after losing the vote of confidence.",
    "The new phone has a faster chip and a better camera.",
    "The central bank raised interest rates to fight inflation.",
    "She sings her new album live with a full orchestra.",
    "The film is dull, far too long and badly acted.",
    "What a wonderful book, I could not put it down!",
    "The app crashes whenever I open the settings.",
    "Could you add a dark mode to the next release?",
    "How do I reset my password?",
    "My card has not arrived yet, and it has been two weeks.",
    "I was charged twice for the same transfer.",
    "The hospital is short of nurses and medicine.",
    "After the flood, families need food, water and shelter.",
    "Astronomers found a planet that may have oceans.",
    "The vaccine was tested on ten thousand patients.",
    "He is furious that nobody answered his complaint.",
    "I miss her every single day since she left.",
    "The recipe needs two eggs, flour and a little butter.",
    "Book me a flight to Lisbon on Friday morning.",
    "Wake me up at seven and play some jazz.",
    "The court sentenced him to five years for fraud.",
    "Teachers demand smaller classes and higher pay.",
    "Heavy rain and strong winds are expected tonight.",
)


def check_scores(nlp: Language, pipe: ZeroShotTextCategorizer, texts: Sequence[str] = ()) -> Iterator[Finding]:
    """Score sample texts and look for labels and templates that do nothing, or the same.

    nlp (Language): The pipeline.
    pipe (ZeroShotTextCategorizer): A component of it, with labels whose hypotheses fit.
    texts (Sequence[str]): Texts like those it is meant for. Without any, built-in ones tell which labels are read
        alike, and nothing else is looked for.
    YIELDS (Finding): Warnings.
    """
    readable = read_texts(nlp, pipe, texts or SAMPLES, COMMAND)
    if len(pipe.labels) < 2 or not len(readable.rows):
        return
    sets = [(template,) for template in pipe.templates]
    strengths = score_templates(pipe, readable.premises, sets)
    whole = np.mean(strengths, axis=0)
    for i, j, value in alike(whole):
        yield finding(WARNING, "Z076", pipe.name, labels=[pipe.labels[i], pipe.labels[j]], value=value)
    if not texts:
        return
    for i, share in barely(whole):
        yield finding(WARNING, "Z077", pipe.name, label=pipe.labels[i], value=share)
    for i, share in without_effect(strengths):
        yield finding(WARNING, "Z078", pipe.name, template=pipe.templates[i], share=share)


def alike(strengths: np.ndarray) -> "List[tuple[int, int, float]]":
    """Pairs of labels whose strengths go together.

    strengths (np.ndarray): Shape (texts, labels).
    RETURNS (List[Tuple[int, int, float]]): The labels' places and their correlation, the closest first. What is
        common to all labels of a text is left out, so that of two labels nothing can be said.
    """
    if len(strengths) < 3 or strengths.shape[1] < 3:
        return []
    strengths = strengths - strengths.mean(axis=1, keepdims=True)
    centred = strengths - strengths.mean(axis=0)
    lengths = np.sqrt((centred**2).sum(axis=0))
    correlation = centred.T @ centred / np.maximum(np.outer(lengths, lengths), 1e-12)
    found = [(i, j, float(correlation[i, j])) for i, j in combinations(range(strengths.shape[1]), 2)]
    return sorted((pair for pair in found if pair[2] > ALIKE), key=lambda pair: -pair[2])


def barely(strengths: np.ndarray) -> "List[tuple[int, float]]":
    """Labels that are the best of no text, and whose mean share of the texts is small.

    strengths (np.ndarray): Shape (texts, labels).
    RETURNS (List[Tuple[int, float]]): The label's place, and its mean score where labels compete.
    """
    shares = scores(strengths, True).mean(axis=0)
    best = np.bincount(strengths.argmax(axis=1), minlength=strengths.shape[1])
    few = (best == 0) & (shares < BARELY / strengths.shape[1])
    return [(int(i), float(shares[i])) for i in np.flatnonzero(few)]


def without_effect(strengths: Sequence[np.ndarray]) -> "List[tuple[int, float]]":
    """Templates that could be left out.

    strengths (Sequence[np.ndarray]): Shape (texts, labels) each: one for every template.
    RETURNS (List[Tuple[int, float]]): The template's place, and the share of texts that keep their best label.
    """
    if len(strengths) < 2:
        return []
    best = np.mean(strengths, axis=0).argmax(axis=1)
    found = []
    for i in range(len(strengths)):
        rest = np.mean([other for j, other in enumerate(strengths) if j != i], axis=0)
        share = float((rest.argmax(axis=1) == best).mean())
        if share >= NO_EFFECT:
            found.append((i, share))
    return found
