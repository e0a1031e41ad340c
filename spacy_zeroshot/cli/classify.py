"""python -m spacy zeroshot classify: score texts that are given as arguments, or one per line of standard input."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ..errors import ZeroShotError
from ._print import lines_of, make_console, print_bars, shorten
from ._util import Code, Component, GpuId, Labels, Model, MultiLabel, Pipeline, Template, note, open_component, run

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from ..component import ZeroShotTextCategorizer
    from ..explain import Explanation

COMMAND = "classify"
# Sentences, and words, that --explain shows for a label, and against it
SHOWN = 4


class Scored(NamedTuple):
    """A classified text: the scores of all labels, the chosen labels, the best first, the score of none, and why."""

    text: str
    cats: dict[str, float]
    chosen: list[str]
    none: float
    explanation: "Explanation | None" = None


def classify(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", help="Texts; none: one per line of standard input")
    ] = None,
    labels: Labels = "",
    pipeline: Pipeline = None,
    model: Model = None,
    templates: Template = None,
    multi_label: MultiLabel = None,
    component: Component = None,
    top_k: Annotated[int | None, typer.Option("--top-k", "-k", min=1, help="Choose at most this many labels")] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=0.0, max=1.0, help="Choose labels with at least this score")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help='JSON lines: {"text", "cats", "labels", "none"}, and "explanation"')
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Say what speaks for the best label and against it; scores a text for every word"
        ),
    ] = False,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Texts read ahead; 1 answers every line at once")
    ] = 32,
    code: Code = None,
    gpu_id: GpuId = -1,
) -> None:
    """Score texts against labels that no model was trained on.

    Shown are all labels, the chosen ones marked: the best one, or with --multi-label those that reach the threshold.
    With --top-k or --threshold only the chosen ones are shown.

    Example: python -m spacy zeroshot classify "The goalkeeper saved a penalty." --labels "politics,sport,music"
    """
    with run(COMMAND):
        if not texts and reads_terminal():
            raise ZeroShotError("Z066")
        nlp, pipe = open_component(pipeline, model, labels, templates, multi_label, component, code=code, gpu_id=gpu_id)
        _set_rule(pipe, threshold, top_k)
        # what fails for every text fails before the first
        pipe.warm_up()
        show = _print_json if as_json else _bar_printer(only_chosen=threshold is not None or top_k is not None)
        failures: list[str] = []
        for scored in score(nlp, pipe, texts or _lines(), batch_size, failures, explain):
            show(scored)
        if failures:
            raise typer.Exit(1)


def reads_terminal() -> bool:
    """RETURNS (bool): Whether standard input is a terminal: nothing was piped in."""
    return sys.stdin.isatty()


def score(
    nlp: "Language",
    pipe: "ZeroShotTextCategorizer",
    texts: Iterable[str],
    batch_size: int,
    failures: list[str],
    explain: bool = False,
) -> Iterator[Scored]:
    """Score a stream of texts. One that fails is reported, noted in `failures` and left out; the rest go on."""
    from ..loading import unneeded_pipes

    def report(name: str, proc: object, docs: "Sequence[Doc]", error: Exception) -> None:
        for doc in docs:
            failures.append(f"{str(error).rstrip('.')}. The text {doc.text[:40]!r} was left out.")
            note(f"error: {failures[-1]}")

    nlp.set_error_handler(report)  # type: ignore[arg-type]
    with nlp.select_pipes(disable=unneeded_pipes(nlp, pipe)):
        for doc in nlp.pipe(_docs(nlp, texts, report), batch_size=batch_size):
            decision = pipe.decide(doc)
            why = pipe.explain(doc, next(iter(decision.labels), None)) if explain else None
            yield Scored(doc.text, pipe.own_cats(doc.cats), decision.labels, decision.none, why)


def _set_rule(pipe: "ZeroShotTextCategorizer", threshold: float | None, top_k: int | None) -> None:
    """Put the options in place of the pipeline's own settings: --threshold alone chooses every label that reaches it,
    --top-k alone the best ones of any score."""
    if threshold is None and top_k is None:
        return
    pipe.threshold, pipe.label_thresholds = threshold if threshold is not None else 0.0, []
    pipe.top_k = top_k or len(pipe.labels)
    if pipe.label_groups:
        pipe.label_groups = [{**group, "threshold": pipe.threshold} for group in pipe.label_groups]


def _docs(nlp: "Language", texts: Iterable[str], report: Callable[..., None]) -> "Iterator[Doc]":
    from spacy.tokens import Doc

    for text in texts:
        try:
            yield nlp.make_doc(text)
        except ValueError as error:
            # longer than nlp.max_length
            report("tokenizer", nlp.tokenizer, [Doc(nlp.vocab, words=[text[:40]], spaces=[False])], error)


def _lines() -> Iterator[str]:
    from ..corpus import decode_lines

    return (line.rstrip("\r\n") for line in decode_lines(sys.stdin.buffer))


def _print_json(scored: Scored) -> None:
    cats = {label: round(score, 6) for label, score in scored.cats.items()}
    row: dict[str, Any] = {"text": scored.text, "cats": cats, "labels": scored.chosen, "none": round(scored.none, 6)}
    if scored.explanation is not None:
        parts = {key: [part._asdict() for part in getattr(scored.explanation, key)] for key in ("sentences", "words")}
        row["explanation"] = {**scored.explanation._asdict(), **parts}
    print(json.dumps(row, ensure_ascii=False), flush=True)


def _bar_printer(only_chosen: bool) -> Callable[[Scored], None]:
    console = make_console()

    def show(scored: Scored) -> None:
        lines = [line for line in lines_of(scored.cats, scored.chosen) if line.chosen or not only_chosen]
        print_bars(console, scored.text if scored.text.strip() else "(blank)", lines)
        if not lines:
            console.print("    no label reaches the threshold\n")
        if scored.explanation is not None:
            for line in _reasons(scored.explanation):
                console.print(f"    {line}", soft_wrap=True)
            console.print()

    return show


def _reasons(explanation: "Explanation") -> Iterator[str]:
    """YIELDS (str): Lines with what speaks for the label and against it, the strongest first."""
    for kind, parts in (("sentences", explanation.sentences), ("words", explanation.words)):
        for side, sign in (("for", 1), ("against", -1)):
            chosen = sorted((part for part in parts if sign * part.weight > 0), key=lambda part: -abs(part.weight))
            shown = ", ".join(f"{shorten(part.text, 50)} ({part.weight:+.2f})" for part in chosen[:SHOWN])
            if shown:
                yield f"{kind} {side} {explanation.label}: {shown}"
    yield f"found by scoring {explanation.n_texts} texts"
