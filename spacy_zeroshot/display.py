"""Scores shown in a text, in displaCy's manner: bars for labels, and the text tinted where it supports the best."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from spacy.tokens import Doc
from spacy.util import is_in_jupyter

from .errors import ZeroShotError, named
from .explain import Explanation

FOLDER = Path(__file__).parent
STYLE = (FOLDER / "display.css").read_text(encoding="utf8")
# Labels beyond these are counted, not drawn
MOST_LABELS = 12
# The darkest tints, in percent: the text stays readable on either background
DARKEST_SUPPORT, DARKEST_WORD = 60, 50


class Piece(NamedTuple):
    """A piece of a text: how it is marked, with its number, or None where it is not."""

    text: str
    number: str | None = None
    tint: int = 0
    css: str = ""


def render(
    docs: Doc | Iterable[Doc],
    *,
    spans_key: str | None = None,
    label: str | None = None,
    explanation: Explanation | None = None,
    page: bool = False,
    jupyter: bool | None = None,
) -> str | None:
    """Show documents with their doc.cats as bars.

    docs (Doc | Iterable[Doc]): Scored documents.
    spans_key (str | None): A key of doc.spans that the component has filled (its setting spans_key): windows or
        sentences are tinted by how much each supports a label.
    label (str | None): That label, as in doc.cats; None for each document's best.
    explanation (Explanation | None): What pipe.explain found about the one document: words are underlined, solid for
        the label and dashed against it, and sentences listed with their weights. It need not be scored.
    page (bool): A whole HTML page, not just a piece of one.
    jupyter (bool | None): Show it in a notebook and return nothing; None finds out.
    RETURNS (str | None): HTML; all of the documents' text is escaped.
    RAISES (ZeroShotError): Z205 without scores, Z206 without spans or the label, Z219 for another text's explanation.
    """
    given = [docs] if isinstance(docs, Doc) else docs
    with named("display"):
        shown = [_show(doc, number, spans_key, label, explanation) for number, doc in enumerate(given)]
    jinja = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)
    html = jinja.get_template("display.html.jinja").render(docs=shown, page=page, style=STYLE, most_labels=MOST_LABELS)
    if jupyter or (jupyter is None and is_in_jupyter()):
        from IPython.display import HTML, display

        display(HTML(html))
        return None
    return html


def cut_at(text: str, spans: Sequence[tuple[int, int]], support: Sequence[float]) -> list[tuple[str, float | None]]:
    """Cut a text where spans begin and end; each piece comes with its strongest support."""
    cuts = sorted({0, len(text), *(place for span in spans for place in span)})
    found = []
    for start, end in pairwise(cuts):
        covering = [value for (a, b), value in zip(spans, support) if a <= start and end <= b]
        found.append((text[start:end], max(covering, default=None)))
    return found


def _show(doc: Doc, number: int, spans_key: str | None, label: str | None, why: Explanation | None) -> dict[str, Any]:
    tables = _scores_of(doc) or ([] if why is None else [{why.label: why.score}])
    if not tables:
        raise ZeroShotError("Z205", number=number)
    if label is None:
        label = max(tables[0], key=lambda key: tables[0][key])
    pieces = [Piece(doc.text)]
    if why is not None:
        pieces = _explained(doc, number, why)
    elif spans_key is not None:
        pieces = _supported(doc, number, spans_key, label)
    # the component whose label it is comes first
    tables.sort(key=lambda cats: label not in cats)
    return {
        "title": doc.user_data.get("title"),
        "pieces": pieces,
        "tables": [sorted(cats.items(), key=lambda pair: -pair[1]) for cats in tables],
        "supports": label if spans_key is not None and why is None else None,
        "why": why,
    }


def _scores_of(doc: Doc) -> list[Mapping[str, float]]:
    """The keys and scores of each component that has scored a document, else all of doc.cats."""
    ranked = doc._.zero_shot if Doc.has_extension("zero_shot") else None
    if ranked is None:
        return [doc.cats] if doc.cats else []
    return [{key: doc.cats[key] for key in one.keys} for one in ranked.components.values()]


def _supported(doc: Doc, number: int, spans_key: str, label: str) -> list[Piece]:
    group = doc.spans.get(spans_key)
    cats: Sequence[Mapping[str, float]] | None = None if group is None else group.attrs.get("cats")
    if group is None or cats is None or any(label not in one for one in cats):
        raise ZeroShotError("Z206", number=number, spans_key=spans_key, label=label, known=list(doc.spans))
    places = [(span.start_char, span.end_char) for span in group]
    return [
        Piece(text)
        if support is None or not text.strip()
        else Piece(text, f"{support:.3f}", round(DARKEST_SUPPORT * support))
        for text, support in cut_at(doc.text, places, [one[label] for one in cats])
    ]


def _explained(doc: Doc, number: int, why: Explanation) -> list[Piece]:
    if any(doc.text[part.start : part.end] != part.text for part in [*why.sentences, *why.words]):
        raise ZeroShotError("Z219", number=number)
    largest = max((abs(part.weight) for part in why.words), default=0.0) or 1.0
    pieces, done = [], 0
    for part in why.words:
        tint = round(DARKEST_WORD * abs(part.weight) / largest)
        css = "for" if part.weight > 0 else "against"
        pieces += [Piece(doc.text[done : part.start]), Piece(part.text, f"{part.weight:+.2f}", tint, css)]
        done = part.end
    return [*pieces, Piece(doc.text[done:])]
