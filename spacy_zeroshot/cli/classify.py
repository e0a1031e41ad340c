"""python -m spacy zeroshot classify: score texts that are given as arguments, or one per line of standard input."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

import typer

from ..decisions import Rule, by_rank, decide
from ..errors import ZeroShotError
from ..model.source import BUNDLED
from ..opening import use_gpu
from .bars import lines_of, make_console, print_bars
from .guard import note
from .options import GpuId, Labels, Model, MultiLabel, Pipeline, Templates, parse_labels
from .pipelines import Opened, open_model, open_pipeline, prepare, set_templates

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

COMMAND = "classify"


class Scored(NamedTuple):
    """A classified text.

    text (str): The text.
    cats (Dict[str, float]): The scores of all labels.
    chosen (List[str]): The chosen labels, the best first.
    none (float): The score of "none of these".
    """

    text: str
    cats: Dict[str, float]
    chosen: List[str]
    none: float


def classify(
    texts: Annotated[
        Optional[List[str]], typer.Argument(metavar="TEXT", help="Texts; none: one per line of standard input")
    ] = None,
    labels: Labels = "",
    pipeline: Pipeline = None,
    model: Model = None,
    templates: Templates = None,
    multi_label: MultiLabel = None,
    top_k: Annotated[
        Optional[int], typer.Option("--top-k", "-k", min=1, help="Choose at most this many labels")
    ] = None,
    threshold: Annotated[
        Optional[float], typer.Option("--threshold", min=0.0, max=1.0, help="Choose labels with at least this score")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help='JSON lines: {"text", "cats", "labels", "none"}')] = False,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Texts read ahead; 1 answers every line at once")
    ] = 32,
    gpu_id: GpuId = -1,
) -> None:
    """Score texts against labels that no model was trained on.

    Shown are all labels, the chosen ones marked: the best one, or with --multi-label those that reach the threshold.
    With --top-k or --threshold only the chosen ones are shown.

    Example: python -m spacy zeroshot classify "The goalkeeper saved a penalty." --labels "politics,sport,music"
    """
    given = parse_labels(labels)
    if not texts and reads_terminal():
        raise ZeroShotError("Z066", COMMAND)
    use_gpu(gpu_id, COMMAND)
    opened = open_for(pipeline, model)
    pipe = opened.pipe
    if given:
        pipe.set_labels(given)
    if not pipe.labels:
        raise ZeroShotError("Z067", COMMAND)
    set_templates(pipe, templates or ())
    if multi_label is not None:
        pipe.multi_label = multi_label
    prepare(pipe)
    rule = choose_rule(pipe.rule, threshold, top_k)
    show = _print_json if as_json else _bar_printer(only_chosen=threshold is not None or top_k is not None)
    failures: List[str] = []
    for scored in score(opened, texts or _lines(), rule, batch_size, failures):
        show(scored)
    if failures:
        raise typer.Exit(1)


def open_for(pipeline: Optional[str], model: Optional[str]) -> Opened:
    """Open what --pipeline or --model names.

    pipeline (Optional[str]): A saved pipeline.
    model (Optional[str]): A checkpoint; the bundled one if neither is given.
    RETURNS (Opened): The pipeline.
    RAISES (ZeroShotError): Z068 if both are given.
    """
    if pipeline is not None and model is not None:
        reason = "a saved pipeline has its model. Leave one out"
        raise ZeroShotError("Z068", COMMAND, first="--pipeline", second="--model", reason=reason)
    return open_model(model or BUNDLED) if pipeline is None else open_pipeline(pipeline, COMMAND)


def reads_terminal() -> bool:
    """RETURNS (bool): Whether standard input is a terminal: nothing was piped in."""
    return sys.stdin.isatty()


def choose_rule(rule: Rule, threshold: Optional[float], top_k: Optional[int]) -> Rule:
    """Put the options in place of the pipeline's own rule.

    rule (Rule): The pipeline's.
    threshold (Optional[float]): --threshold: every label that reaches it.
    top_k (Optional[int]): --top-k: the best ones, of any score unless there is a --threshold.
    RETURNS (Rule): The rule.
    """
    if threshold is not None:
        return Rule(threshold, {}, top_k)
    return rule if top_k is None else by_rank(top_k, rule.abstain)


def score(opened: Opened, texts: Iterable[str], rule: Rule, batch_size: int, failures: List[str]) -> Iterator[Scored]:
    """Score a stream of texts. One that fails is reported and left out; the rest go on.

    opened (Opened): The pipeline.
    texts (Iterable[str]): The texts.
    rule (Rule): How labels are chosen.
    batch_size (int): Texts to read ahead.
    failures (List[str]): Takes the message of every text that failed.
    YIELDS (Scored): The texts that did not fail, in order.
    """

    def report(name: str, proc: Any, docs: "List[Doc]", error: Exception) -> None:
        for doc in docs:
            failures.append(f"{str(error).rstrip('.')}. The text {doc.text[:40]!r} was left out.")
            note(f"error: {failures[-1]}")

    opened.nlp.set_error_handler(report)  # type: ignore[arg-type]
    prefix = opened.pipe.key_prefix
    keys: List[Tuple[str, str]] = [(label, prefix + label) for label in opened.pipe.labels]
    for doc in opened.nlp.pipe(_docs(opened.nlp, texts, report), batch_size=batch_size):
        cats = {label: doc.cats[key] for label, key in keys}
        yield Scored(doc.text, cats, *decide(cats, rule))


def _docs(nlp: "Language", texts: Iterable[str], report: Callable[..., None]) -> "Iterator[Doc]":
    from spacy.tokens import Doc

    for text in texts:
        try:
            yield nlp.make_doc(text)
        except ValueError as error:
            # longer than nlp.max_length
            report("tokenizer", nlp.tokenizer, [Doc(nlp.vocab, words=[text[:40]], spaces=[False])], error)


def _lines() -> Iterator[str]:
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(encoding="utf8", errors="replace")
    for line in sys.stdin:
        yield line.rstrip("\r\n")


def _print_json(scored: Scored) -> None:
    cats = {label: round(score, 6) for label, score in scored.cats.items()}
    row = {"text": scored.text, "cats": cats, "labels": scored.chosen, "none": round(scored.none, 6)}
    print(json.dumps(row, ensure_ascii=False), flush=True)


def _bar_printer(only_chosen: bool) -> Callable[[Scored], None]:
    console = make_console()

    def show(scored: Scored) -> None:
        lines = [line for line in lines_of(scored.cats, scored.chosen) if line.chosen or not only_chosen]
        print_bars(console, scored.text if scored.text.strip() else "(blank)", lines)
        if not lines:
            console.print("    no label reaches the threshold\n")

    return show
