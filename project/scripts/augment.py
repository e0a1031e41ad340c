"""Changed copies of labelled texts: some without capitals, by spaCy's own augmenter, and all with words left out.

Leaving words out is written here, as an augmenter of spaCy's kind. The libraries for it would cost more than they
give: nlpaug has had no release since 2022; augmenty (2024) cannot drop a word and passes settings of its word
replacement on wrongly; textaugment brings gensim, a translation client and a download of WordNet along.
"""

import random
from typing import Any, Callable, Iterator, List, Sequence

import spacy
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.augment import create_lower_casing_augmenter

from spacy_zeroshot.rows import LabelledText

LOWER, DROPPED = 0.5, 0.15

Augmenter = Callable[[Any, Example], Iterator[Example]]


def augment(rows: Sequence[LabelledText], seed: int) -> List[LabelledText]:
    """Add a changed copy of every text.

    rows (Sequence[LabelledText]): The texts.
    seed (int): Of the changes.
    RETURNS (List[LabelledText]): The texts and their copies, in turn.
    """
    nlp = spacy.blank("en")
    augmenters = [create_word_dropout(DROPPED), create_lower_casing_augmenter(LOWER)]
    state = random.getstate()
    # spaCy's augmenters draw from Python's own generator
    random.seed(seed)
    try:
        return [each for row in rows for each in (row, _change(nlp, row, augmenters))]
    finally:
        random.setstate(state)


@spacy.registry.augmenters("study.word_dropout.v1")
def create_word_dropout(level: float) -> Augmenter:
    """Make an augmenter that yields a copy without some of the words (as random deletion in Wei and Zou, 2019).

    level (float): Share of the words that are left out.
    RETURNS (Augmenter): For spaCy's corpus readers, too. It leaves no text empty.
    """

    def drop(nlp: Any, example: Example) -> Iterator[Example]:
        tokens = [token for token in example.reference if random.random() >= level] or list(example.reference)
        doc = Doc(nlp.vocab, [token.text for token in tokens], [bool(token.whitespace_) for token in tokens])
        doc.cats = dict(example.reference.cats)
        yield Example(nlp.make_doc(doc.text), doc)

    return drop


def _change(nlp: Any, row: LabelledText, augmenters: Sequence[Augmenter]) -> LabelledText:
    text = row.text
    for augmenter in augmenters:
        *_, last = augmenter(nlp, Example(nlp.make_doc(text), nlp.make_doc(text)))
        text = last.reference.text
    return row._replace(text=text if text.strip() else row.text)
