"""Seeing scores in a text, in displaCy's manner: bars for the labels, and the text tinted where it supports the best.

>>> from spacy_zeroshot import display
>>> html = display.render(doc)
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

from spacy.tokens import Doc
from spacy.util import is_in_jupyter

from .errors import ZeroShotError, named
from .explain import Explanation, Part

# Labels beyond these are counted, not drawn
MOST_LABELS = 12
STYLE = """
.zsc { color-scheme: light dark; --zsc-ink: #1a1c20; --zsc-soft: #5c6370; --zsc-line: #e3e6eb; --zsc-bar: #8aa4bd;
  --zsc-best: #0072b2; --zsc-against: #d55e00; font: 16px/1.6 system-ui, sans-serif; color: var(--zsc-ink);
  margin: 0 0 2rem; max-width: 48rem; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { .zsc { --zsc-ink: #e8eaee; --zsc-soft: #a5acb8; --zsc-line: #2c313a;
  --zsc-bar: #5b7389; --zsc-best: #56b4e9; --zsc-against: #e69f00; } }
.zsc h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
.zsc .text { white-space: pre-wrap; unicode-bidi: plaintext; margin: 0 0 1rem; }
.zsc .text mark { color: inherit; border-radius: .2rem; padding: .1em 0; -webkit-box-decoration-break: clone;
  box-decoration-break: clone; background: color-mix(in srgb, var(--zsc-best) var(--zsc-tint), transparent); }
.zsc .text .for { border-bottom: 2px solid var(--zsc-best); }
.zsc .text .against { border-bottom: 2px dashed var(--zsc-against);
  background: color-mix(in srgb, var(--zsc-against) var(--zsc-tint), transparent); }
.zsc .parts { margin: 1rem 0 0; padding: 0; list-style: none; }
.zsc .labels { display: grid; grid-template-columns: minmax(5rem, max-content) 1fr auto; gap: .25rem .7rem;
  margin: 0; align-items: center; }
.zsc .track { background: var(--zsc-line); border-radius: .2rem; height: .8rem; }
.zsc .bar { background: var(--zsc-bar); border-radius: .2rem; height: 100%; }
.zsc .best { font-weight: 600; } .zsc .best + .track .bar { background: var(--zsc-best); }
.zsc .value { font-variant-numeric: tabular-nums; text-align: right; }
.zsc .note { color: var(--zsc-soft); font-size: .85rem; margin: .5rem 0 0; }
"""
PAGE_STYLE = "body { margin: 0 auto; padding: 1rem; max-width: 50rem; } @media (prefers-color-scheme: dark) { body "
PAGE_STYLE += "{ background: #14161a; } }"


class Piece(NamedTuple):
    """A piece of a text.

    text (str): The piece.
    support (float | None): How strongly it supports the label, None where nothing was scored.
    """

    text: str
    support: float | None


def render(
    docs: Doc | Iterable[Doc],
    *,
    spans_key: str | None = None,
    label: str | None = None,
    explanation: Explanation | None = None,
    page: bool = False,
    minify: bool = False,
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
    minify (bool): Without line breaks between elements.
    jupyter (bool | None): Show it in a notebook and return nothing; None finds out.
    RETURNS (str | None): HTML; all of the documents' text is escaped.
    RAISES (ZeroShotError): Z205 for a document without scores, Z206 for one without spans or without the label,
        Z219 for an explanation of another text.
    """
    given = [docs] if isinstance(docs, Doc) else list(docs)
    with named("display"):
        parts = [_document(doc, number, spans_key, label, explanation) for number, doc in enumerate(given)]
    html = "\n".join([f"<style>{STYLE}</style>", *parts])
    if page:
        html = (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>Zero-shot scores</title>\n<style>{PAGE_STYLE}</style>\n</head>\n<body>\n{html}\n</body>\n</html>"
        )
    if minify:
        html = _minify(html)
    if jupyter or (jupyter is None and is_in_jupyter()):
        from IPython.display import HTML, display

        display(HTML(html))
        return None
    return html


def pieces(doc: Doc, spans: Sequence[tuple[int, int]], support: Sequence[float]) -> list[Piece]:
    """Cut a text where spans begin and end. Where several overlap, the strongest counts.

    doc (Doc): The document.
    spans (Sequence[tuple[int, int]]): First and past-the-last character of each span.
    support (Sequence[float]): One number per span.
    RETURNS (list[Piece]): The whole text, in order.
    """
    cuts = sorted({0, len(doc.text), *(place for span in spans for place in span)})
    found = []
    for start, end in pairwise(cuts):
        covering = [value for (a, b), value in zip(spans, support) if a <= start and end <= b]
        found.append(Piece(doc.text[start:end], max(covering, default=None)))
    return found


def _document(
    doc: Doc, number: int, spans_key: str | None, label: str | None, explanation: Explanation | None = None
) -> str:
    tables = _scores_of(doc)
    if explanation is not None:
        tables = tables or [{explanation.label: explanation.score}]
    if not tables:
        raise ZeroShotError("Z205", number=number)
    if label is not None:
        # the component whose label it is comes first
        tables.sort(key=lambda cats: label not in cats)
    shown = label if label is not None else max(tables[0], key=lambda key: tables[0][key])
    text, note = escape(doc.text), ""
    if spans_key is not None:
        spans, scored = _scored_spans(doc, number, spans_key, shown)
        text = "".join(_tinted(piece) for piece in pieces(doc, spans, scored))
        note = f'<p class="note">Tinted by how much each part supports {escape(shown)}</p>\n'
    if explanation is not None:
        text, note = _explained(doc, number, explanation)
    title = doc.user_data.get("title")
    head = f"<h2>{escape(str(title))}</h2>\n" if title else ""
    bars = "\n".join(_bars(cats, max(cats, key=lambda key: cats[key])) for cats in tables)
    return f'<article class="zsc">\n{head}<p class="text">{text}</p>\n{bars}\n{note}</article>'


def _scores_of(doc: Doc) -> list[Mapping[str, float]]:
    """The keys and scores of each component that has scored a document, else all of doc.cats."""
    ranked = doc._.zero_shot if Doc.has_extension("zero_shot") else None
    if ranked is None:
        return [doc.cats] if doc.cats else []
    return [{key: doc.cats[key] for key in one.keys} for one in ranked.components.values()]


def _scored_spans(doc: Doc, number: int, spans_key: str, label: str) -> tuple[list[tuple[int, int]], list[float]]:
    group = doc.spans.get(spans_key)
    cats: Sequence[Mapping[str, float]] | None = None if group is None else group.attrs.get("cats")
    if group is None or cats is None or any(label not in one for one in cats):
        raise ZeroShotError("Z206", number=number, spans_key=spans_key, label=label, known=list(doc.spans))
    return [(span.start_char, span.end_char) for span in group], [float(one[label]) for one in cats]


def _tinted(piece: Piece) -> str:
    text = escape(piece.text)
    if piece.support is None or not piece.text.strip():
        return text
    # at most this dark, so that the text stays readable on either background
    tint = round(60 * min(max(piece.support, 0.0), 1.0))
    return f'<mark style="--zsc-tint: {tint}%" title="{piece.support:.3f}">{text}</mark>'


def _explained(doc: Doc, number: int, explanation: Explanation) -> tuple[str, str]:
    """RETURNS (tuple[str, str]): A text with its words marked, and its sentences with their weights."""
    parts = [*explanation.sentences, *explanation.words]
    if any(doc.text[part.start : part.end] != part.text for part in parts):
        raise ZeroShotError("Z219", number=number)
    largest = max((abs(part.weight) for part in explanation.words), default=0.0) or 1.0
    text, done = "", 0
    for part in explanation.words:
        css, tint = "for" if part.weight > 0 else "against", round(50 * abs(part.weight) / largest)
        mark = f'<mark class="{css}" style="--zsc-tint: {tint}%" title="{part.weight:+.2f}">{escape(part.text)}</mark>'
        text += escape(doc.text[done : part.start]) + mark
        done = part.end
    text += escape(doc.text[done:])
    label = escape(explanation.label)
    note = f"Solid: speaks for {label}. Dashed: speaks against it. Weight: by how much the log-odds of "
    note += f"{explanation.score:.3f} fall without the part; {explanation.n_texts} texts were scored."
    items = "\n".join(_listed(part) for part in explanation.sentences)
    listed = f'<ol class="parts">\n{items}\n</ol>\n' if items else ""
    return text, f'{listed}<p class="note">{note}</p>\n'


def _listed(part: Part) -> str:
    return f'<li><span class="value">{part.weight:+.2f}</span> {escape(part.text.strip())}</li>'


def _bars(cats: Mapping[str, float], best: str) -> str:
    order = sorted(cats, key=lambda key: -cats[key])
    rows = []
    for key in order[:MOST_LABELS]:
        width = round(100 * min(max(float(cats[key]), 0.0), 1.0), 1)
        css = "label best" if key == best else "label"
        rows.append(
            f'<span class="{css}">{escape(key)}</span><div class="track"><div class="bar" style="width: {width}%">'
            f'</div></div><span class="value">{cats[key]:.3f}</span>'
        )
    if len(order) > MOST_LABELS:
        rows.append(f'<span class="label">and {len(order) - MOST_LABELS} more</span><span></span><span></span>')
    return '<div class="labels">\n' + "\n".join(rows) + "\n</div>"


def _minify(html: str) -> str:
    """Without line breaks between elements. Those of texts stay: a text's own newlines are shown."""
    return html.replace(">\n<", "><").replace("\n  ", " ")
