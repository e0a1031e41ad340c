"""HTML without a template engine: every string is escaped unless it is marked as HTML."""

from html import escape
from typing import Any, Sequence

# Colours of Okabe and Ito (2008), told apart by colour-blind readers too; lighter on a dark page
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1c20; --soft: #5c6370; --line: #d5d9e0; --card: #f4f5f8;
  --one: #0072b2; --two: #c25400; --three: #007a5a; }
@media (prefers-color-scheme: dark) { :root { --paper: #14161a; --ink: #e8eaee; --soft: #a5acb8; --line: #3a404b;
  --card: #1e2127; --one: #56b4e9; --two: #f0a04b; --three: #3ddba9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; }
p.note, figcaption, td small { color: var(--soft); font-size: .9rem; }
figure { margin: 0; } figure svg { width: 100%; height: auto; display: block; font-family: system-ui, sans-serif; }
.pair { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
.wide { overflow-x: auto; } .wide svg { min-width: 20rem; max-width: 34rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { padding: .3rem .5rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td:first-child { min-width: 7rem; }
tr.chosen td { background: var(--card); font-weight: 600; }
@media (max-width: 32rem) { table { font-size: .82rem; } th { white-space: normal; } th, td { padding: .25rem .3rem; }
  td:first-child { min-width: 5.5rem; } }
pre { background: var(--card); padding: .8rem; white-space: pre-wrap; border-radius: .4rem; font-size: .85rem; }
"""
# Nothing is loaded from anywhere, and no script runs, whatever a text holds
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class Html(str):
    """A string that is HTML already."""


def join(parts: Sequence[str], between: str = "\n") -> Html:
    """RETURNS (Html): The parts, those escaped that are no HTML yet."""
    return Html(between.join(markup(part) for part in parts))


def markup(value: Any) -> Html:
    """RETURNS (Html): A value as HTML: Html as it is, a float with three digits, anything else as escaped text."""
    if isinstance(value, Html):
        return value
    if isinstance(value, float):
        return Html(f"{value:.3f}")
    return Html(escape(f"{value:,}" if isinstance(value, int) else str(value)))


def tag(name: str, *parts: Any, css: str = "") -> Html:
    """An element.

    name (str): Its name.
    parts (Any): What is in it.
    css (str): Its class.
    RETURNS (Html): The element.
    """
    attribute = f' class="{escape(css)}"' if css else ""
    return Html(f"<{name}{attribute}>{join(parts, '')}</{name}>")


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], chosen: Sequence[int] = ()) -> Html:
    """A table that scrolls sideways where the page is narrow.

    head (Sequence[str]): The columns' names.
    rows (Sequence[Sequence[Any]]): The cells; numbers stand at the right.
    chosen (Sequence[int]): Rows to stress.
    RETURNS (Html): The table.
    """
    numeric = [all(isinstance(row[i], (int, float)) or row[i] == "" for row in rows) for i in range(len(head))]
    css = ["number" if is_number else "" for is_number in numeric]
    top = tag("tr", *(tag("th", name, css=one) for name, one in zip(head, css)))
    body = [
        tag("tr", *(tag("td", cell, css=one) for cell, one in zip(row, css)), css="chosen" if i in chosen else "")
        for i, row in enumerate(rows)
    ]
    return tag("div", tag("table", tag("thead", top), tag("tbody", *body)), css="wide")


def figure(svg: str, caption: str, css: str = "") -> Html:
    """RETURNS (Html): An SVG drawing with a caption; the caption is escaped, the drawing is not."""
    return tag("figure", Html(svg), tag("figcaption", caption), css=css)


def page(title: str, parts: Sequence[str]) -> str:
    """A self-contained page.

    title (str): Its title.
    parts (Sequence[str]): What is on it.
    RETURNS (str): The HTML document.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{join(parts)}\n</main>\n"
        "</body>\n</html>\n"
    )
