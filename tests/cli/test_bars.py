"""Bars and tables."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from spacy_zeroshot.cli.bars import Line, bar, lines_of, print_bars, print_table, shorten


class Ascii(io.StringIO):
    """A stream of a terminal that knows ASCII only."""

    encoding = "ascii"


@pytest.mark.parametrize(
    ("score", "plain", "expected"),
    [
        (0.0, False, "    "),
        (1.0, False, "████"),
        (0.5, False, "██  "),
        (0.625, False, "██▌ "),
        (0.5, True, "##  "),
        (0.625, True, "### "),
        (1.5, True, "####"),
    ],
)
def test_bar(score: float, plain: bool, expected: str) -> None:
    assert bar(score, 4, plain) == expected


@given(st.text(max_size=600), st.integers(10, 100))
def test_shortened_text_fits_and_is_visible(text: str, width: int) -> None:
    short = shorten(text, width)
    assert cell_len(short) <= width
    assert short.isprintable()


def test_shorten() -> None:
    assert shorten("a\n\n b\tc", 10) == "a b c"
    assert shorten("word " * 10, 12) == "word word..."
    assert shorten("x" * 5_000_000, 12) == "x" * 9 + "..."
    assert cell_len(shorten("이것은 긴 문장입니다", 12)) <= 12


def test_lines_are_sorted_and_marked() -> None:
    assert lines_of({"a": 0.2, "b": 0.8}, ["b"]) == [Line("b", 0.8, True), Line("a", 0.2, False)]


def test_bars_in_ascii() -> None:
    stream = Ascii()
    print_bars(Console(file=stream, width=40), "A text.", [Line("a", 0.5, True, "note"), Line("longer", 0.0, False)])
    shown = stream.getvalue()
    assert shown.isascii()
    assert shown.splitlines()[:2] == ["A text.", "  * a      #########          0.50  note"]
    assert shown.splitlines()[2].split() == ["longer", "0.00"]


def test_table_is_markdown() -> None:
    stream = io.StringIO()
    print_table(Console(file=stream, width=20), ["data", "rows", "F1"], [["x", 1200, 0.12345], ["mean", "", 0.5]])
    assert stream.getvalue().splitlines() == [
        "| data |  rows |    F1 |",
        "| ---- | ----: | ----: |",
        "| x    | 1,200 | 0.123 |",
        "| mean |       | 0.500 |",
    ]
