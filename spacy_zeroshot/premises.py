"""Which parts of a document are held against the hypotheses."""

from typing import Any, Callable, List, NamedTuple, Optional, Sequence

from spacy.tokens import Doc, Span

from .errors import ZeroShotError

SpanGetter = Callable[[List[Doc]], List[List[Span]]]


class Premise(NamedTuple):
    """A piece of a document's text.

    text (str): The text.
    start (int): Its first character in the document.
    """

    text: str
    start: int


def premises_of(doc: Doc, get_spans: Optional[SpanGetter], component: str) -> List[Premise]:
    """The premises of a document: its whole text, or what a span getter gives. Blank ones are left out.

    doc (Doc): The document.
    get_spans (Optional[SpanGetter]): One of spaCy's @span_getters, or None.
    component (str): The component's name, for errors.
    RETURNS (List[Premise]): None for a blank document.
    RAISES (ZeroShotError): Z010 if sentences are asked for and not there.
    """
    if not doc.text.strip():
        return []
    if get_spans is None:
        return [Premise(doc.text, 0)]
    try:
        spans: Sequence[Any] = get_spans([doc])[0]
    except ValueError as reason:
        if "E030" in str(reason):
            raise ZeroShotError("Z010", component) from reason
        raise
    except ZeroDivisionError as reason:
        raise ZeroShotError(
            "Z007", component, setting="get_spans", value="strided_spans", reason="its stride must not be 0"
        ) from reason
    return [Premise(span.text, span.start_char) for span in spans if span.text.strip()]
