"""The demo: python -m spacy_zeroshot.cli.demo. A handful of texts, classified with the bundled model."""

from typing import TYPE_CHECKING

import typer

from ..decisions import decide
from ..model.source import BUNDLED
from .bars import Line, lines_of, make_console, mark_of, print_bars, shorten
from .demo_texts import BULLETIN, LONG_LABELS, SAMPLES, Sample
from .guard import guarded
from .pipelines import Opened, open_model

if TYPE_CHECKING:
    from rich.console import Console
    from spacy.tokens import Doc

SPANS_KEY = "windows"


def demo() -> None:
    """Classify sample texts of different kinds with the bundled model."""
    with guarded():
        console = make_console()
        opened = open_model(BUNDLED)
        console.print(
            f"The model was not trained on these labels. {mark_of(console)} marks the chosen ones.\n", soft_wrap=True
        )
        for sample in SAMPLES:
            _show_sample(console, opened, sample)
        _show_long(console, opened)
        console.print('Your own:  python -m spacy zeroshot classify "A text." --labels "one,two,three"', soft_wrap=True)


def _show_sample(console: "Console", opened: Opened, sample: Sample) -> None:
    pipe = opened.pipe
    pipe.set_labels(sample.labels)
    pipe.templates = (sample.template,)
    pipe.multi_label = sample.multi_label
    cats = opened.nlp(sample.text).cats
    _print_kind(console, sample.kind)
    print_bars(console, sample.text, lines_of(cats, decide(cats, pipe.rule).labels), height=5)


def _show_long(console: "Console", opened: Opened) -> None:
    """A document of several windows: every label's score is that of the window that supports it best."""
    pipe = opened.pipe
    pipe.set_labels(LONG_LABELS)
    pipe.templates = ("This text is about {}.",)
    pipe.multi_label = True
    pipe.spans_key = SPANS_KEY
    doc = opened.nlp(BULLETIN)
    windows = doc.spans[SPANS_KEY]
    _print_kind(console, f"A long document in {len(windows)} windows, each label on its own")
    lines = [
        Line(*line[:3], f"window {_deciding(doc, line.label) + 1}" if line.chosen else "")
        for line in lines_of(doc.cats, decide(doc.cats, pipe.rule).labels)
    ]
    print_bars(console, BULLETIN, lines)
    for number, window in enumerate(windows, start=1):
        console.print(f"  window {number}: {shorten(window.text, console.width - 12)}", soft_wrap=True)
    console.print()


def _deciding(doc: "Doc", label: str) -> int:
    """RETURNS (int): The number of the window, from 0, that supports a label best."""
    scores = [cats[label] for cats in doc.spans[SPANS_KEY].attrs["cats"]]
    return scores.index(max(scores))


def _print_kind(console: "Console", kind: str) -> None:
    from rich.text import Text

    console.print(Text(f"{kind}:", style="cyan"), soft_wrap=True)


if __name__ == "__main__":
    typer.run(demo)
