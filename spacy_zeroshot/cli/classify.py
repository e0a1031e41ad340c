"""python -m spacy zeroshot classify: score texts that are given as arguments, or one per line of standard input."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from os.path import isfile
from typing import Annotated

from spacy.language import Language
from spacy.tokens import Doc
from typer import Argument, Exit, Option

from ..component import ZeroShotTextCategorizer
from ..corpus import decode_lines
from ..decisions import Decision
from ..errors import ZeroShotError
from ..explain import Explanation
from ..loading import unneeded_pipes
from . import _util as cli
from ._print import make_console, print_bars, shorten

# Sentences, and words, that --explain shows for a label, and against it
SHOWN = 4


def classify(
    texts: Annotated[list[str] | None, Argument(metavar="TEXT", help="Texts; none: lines of standard input")] = None,
    labels: cli.Labels = "",
    pipeline: cli.Pipeline = None,
    model: cli.Model = None,
    templates: cli.Template = None,
    multi_label: cli.MultiLabel = None,
    component: cli.Component = None,
    top_k: Annotated[int | None, Option("--top-k", "-k", min=1, help="Choose at most this many labels")] = None,
    threshold: cli.Threshold = None,
    as_json: Annotated[bool, Option("--json", help="JSON lines: text, cats, labels, none, and explanation")] = False,
    explain: Annotated[
        bool,
        Option("--explain", help="Say what speaks for the best label and against it; scores a text for every word"),
    ] = False,
    batch_size: Annotated[int, Option(min=1, help="Texts read ahead; 1 answers every line at once")] = 32,
    code: cli.Code = None,
    gpu_id: cli.GpuId = -1,
) -> None:
    """Score texts against labels that no model was trained on.

    Shown are all labels, the chosen ones marked: the best one, or with --multi-label those that reach the threshold.
    With --top-k or --threshold only the chosen ones are shown.

    Example: python -m spacy zeroshot classify "The goalkeeper saved a penalty." --labels "politics,sport,music"
    """
    if not texts and reads_terminal():
        raise ZeroShotError("Z066")
    nlp, pipe = cli.open_component(pipeline, model, labels, templates, multi_label, component, code, gpu_id)
    only_chosen = threshold is not None or top_k is not None
    if only_chosen:
        # --threshold alone chooses every label that reaches it, --top-k alone the best ones of any score
        pipe.threshold, pipe.label_thresholds, pipe.top_k = threshold or 0.0, [], top_k or len(pipe.labels)
        pipe.label_groups = [{**group, "threshold": pipe.threshold} for group in pipe.label_groups]
    # what fails for every text fails before the first
    pipe.warm_up()
    for text in texts or ():
        if isfile(text):
            cli.note(f"{text!r} was read as a text; the lines of a file: python -m spacy zeroshot classify < {text}")
    given = texts or (line.rstrip("\r\n") for line in decode_lines(sys.stdin.buffer))
    failures: list[str] = []
    for doc in score(nlp, pipe, given, batch_size, failures):
        decision, cats = pipe.decide(doc), pipe.own_cats(doc.cats)
        why = pipe.explain(doc, next(iter(decision.labels), None)) if explain else None
        if as_json:
            _print_json(doc.text, cats, decision, why)
        else:
            shown = {label: cats[label] for label in decision.labels} if only_chosen else cats
            _print_bars(doc.text, shown, decision, why)
    if failures:
        raise Exit(1)
    if not as_json:
        cli.note("Next: python -m spacy zeroshot annotate TEXTS OUTPUT, with the same options, for a whole file")


def reads_terminal() -> bool:
    """Whether nothing was piped in."""
    return sys.stdin.isatty()


def score(
    nlp: Language, pipe: ZeroShotTextCategorizer, texts: Iterable[str], batch_size: int, failures: list[str]
) -> Iterator[Doc]:
    """Score a stream of texts. One that fails is reported, noted in `failures` and left out; the rest go on."""

    def report(name: str, proc: object, docs: Sequence[Doc], error: Exception) -> None:
        for doc in docs:
            failures.append(f"{str(error).rstrip('.')}. The text {doc.text[:40]!r} was left out.")
            cli.note(f"error: {failures[-1]}")

    def read() -> Iterator[Doc]:
        for text in texts:
            try:
                yield nlp.make_doc(text)
            except ValueError as error:
                # longer than nlp.max_length
                report("tokenizer", None, [Doc(nlp.vocab, words=[text[:40]], spaces=[False])], error)

    nlp.set_error_handler(report)  # type: ignore[arg-type]
    with nlp.select_pipes(disable=unneeded_pipes(nlp, pipe)):
        yield from nlp.pipe(read(), batch_size=batch_size)


def _print_json(text: str, cats: dict[str, float], decision: Decision, why: Explanation | None) -> None:
    rounded = {label: round(score, 6) for label, score in cats.items()}
    row = {"text": text, "cats": rounded, "labels": decision.labels, "none": round(decision.none, 6)}
    if why is not None:
        parts = {key: [part._asdict() for part in getattr(why, key)] for key in ("sentences", "words")}
        row["explanation"] = {**why._asdict(), **parts}
    print(json.dumps(row, ensure_ascii=False), flush=True)


def _print_bars(text: str, cats: dict[str, float], decision: Decision, why: Explanation | None) -> None:
    console = make_console()
    print_bars(console, text if text.strip() else "(blank)", cats, decision.labels)
    if not cats:
        console.print("    no label reaches the threshold\n")
    if why is None:
        return
    for kind, parts in (("sentences", why.sentences), ("words", why.words)):
        for side, sign in (("for", 1), ("against", -1)):
            strongest = sorted((part for part in parts if sign * part.weight > 0), key=lambda part: -abs(part.weight))
            shown = ", ".join(f"{shorten(part.text, 50)} ({part.weight:+.2f})" for part in strongest[:SHOWN])
            if shown:
                console.print(f"    {kind} {side} {why.label}: {shown}", soft_wrap=True)
    console.print(f"    found by scoring {why.n_texts} texts\n", soft_wrap=True)
