"""Which parts of a document are scored against the hypotheses."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from spacy.attrs import ORTH, SPACY
from spacy.tokens import Doc, Span

from .errors import ZeroShotError

SpanGetter = Callable[[list[Doc]], list[list[Span]]]
# Texts of tokens that came before, by their hash and whether a space follows
_words: dict[int, str] = {}


class Premise(NamedTuple):
    """A part of a document's text, and its first character in the document."""

    text: str
    start: int


def is_blank(text: str) -> bool:
    """Whether a text has no visible character: only spaces, controls (NUL), zero-width and direction marks."""
    return not any(character.isprintable() and character != " " for character in text)


def text_of_doc(doc: Doc) -> str:
    """Doc.text in two thirds of its time: that makes an object of every token, a large part of what a GPU waits for."""
    hashes, spaces = np.asarray(doc.to_array([ORTH, SPACY]), "uint64").T
    keys = (hashes ^ (spaces << np.uint64(63))).tolist()
    try:
        return "".join(map(_words.__getitem__, keys))
    except KeyError:
        if len(_words) > 50_000:
            _words.clear()
        _words.update((key, token.text_with_ws) for key, token in zip(keys, doc))
        return doc.text


def premises_of(doc: Doc, get_spans: SpanGetter | None) -> list[Premise]:
    """The premises of a document: its whole text, or what a span getter gives. Blank ones are left out."""
    text = text_of_doc(doc)
    if is_blank(text):
        return []
    if get_spans is None:
        return [Premise(text, 0)]
    try:
        spans: Sequence[Span] = get_spans([doc])[0]
    except ValueError as error:
        if "E030" in str(error):
            raise ZeroShotError("Z010") from error
        raise
    except ZeroDivisionError as error:
        reason = "its stride must not be 0"
        raise ZeroShotError("Z007", setting="get_spans", value="strided_spans", reason=reason) from error
    return [Premise(span.text, span.start_char) for span in spans if not is_blank(span.text)]


def count_unread(doc: Doc, premises: Sequence[Premise]) -> int:
    """How many visible tokens no premise has: a span getter whose stride exceeds its window steps over them."""
    read = np.zeros(len(doc.text) + 1, dtype=bool)
    for premise in premises:
        read[premise.start : premise.start + len(premise.text)] = True
    return sum(not read[token.idx] and not is_blank(token.text) for token in doc)


def window_spans(doc: Doc, windows: Iterable[tuple[int, int]]) -> list[Span]:
    """The tokens of windows, given by their characters; all of a token inside which a window begins or ends."""
    starts = [token.idx for token in doc]
    # tokenizers may count the space before a word as its beginning
    ends = [token.idx + len(token) for token in doc]
    return [doc[bisect_right(ends, start) : bisect_left(starts, end)] for start, end in windows]
