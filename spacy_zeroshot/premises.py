"""Which parts of a document are scored against the hypotheses."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from spacy.tokens import Doc, Span

from .errors import ZeroShotError

SpanGetter = Callable[[list[Doc]], list[list[Span]]]


class Premise(NamedTuple):
    """A part of a document's text.

    text (str): The text.
    start (int): Its first character in the document.
    """

    text: str
    start: int


def is_blank(text: str) -> bool:
    """Whether a text has no visible character: only spaces, controls (NUL), zero-width and direction marks.

    text (str): The text.
    RETURNS (bool): True for the empty text too.
    """
    return not any(character.isprintable() and character != " " for character in text)


def premises_of(doc: Doc, get_spans: SpanGetter | None) -> list[Premise]:
    """The premises of a document: its whole text, or what a span getter gives. Blank ones are left out.

    doc (Doc): The document.
    get_spans (SpanGetter | None): One of spaCy's @span_getters, or None.
    RETURNS (list[Premise]): Empty for a blank document.
    RAISES (ZeroShotError): Z010 if sentences are asked for and not there, Z007 for a stride of 0.
    """
    text = doc.text
    if is_blank(text):
        return []
    if get_spans is None:
        return [Premise(text, 0)]
    try:
        spans: Sequence[Span] = get_spans([doc])[0]
    except ValueError as reason:
        if "E030" in str(reason):
            raise ZeroShotError("Z010") from reason
        raise
    except ZeroDivisionError as reason:
        raise ZeroShotError(
            "Z007", setting="get_spans", value="strided_spans", reason="its stride must not be 0"
        ) from reason
    return [Premise(span.text, span.start_char) for span in spans if not is_blank(span.text)]


def count_unread(doc: Doc, premises: Sequence[Premise]) -> int:
    """How many tokens no premise has: a span getter whose stride exceeds its window steps over them.

    doc (Doc): The document.
    premises (Sequence[Premise]): Its premises.
    RETURNS (int): The number of visible tokens outside of all premises.
    """
    ends = sorted((premise.start, premise.start + len(premise.text)) for premise in premises)
    missing, reached, position = 0, 0, 0
    for token in doc:
        while position < len(ends) and ends[position][0] <= token.idx:
            reached = max(reached, ends[position][1])
            position += 1
        missing += token.idx >= reached and not is_blank(token.text)
    return missing


def window_spans(doc: Doc, windows: Iterable[tuple[int, int]]) -> list[Span]:
    """The tokens of windows. A window may begin or end inside a token; its span has all of it.

    doc (Doc): The document.
    windows (Iterable[tuple[int, int]]): First and past-the-last character of each, which hold something visible.
    RETURNS (list[Span]): The spans.
    """
    starts = [token.idx for token in doc]
    # tokenizers may count the space before a word as its beginning
    ends = [token.idx + len(token) for token in doc]
    return [doc[bisect_right(ends, start) : bisect_left(starts, end)] for start, end in windows]
