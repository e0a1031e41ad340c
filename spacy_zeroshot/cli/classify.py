"""python -m spacy zeroshot classify: score texts that are given as arguments, or one per line of standard input."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

import typer

from ..decisions import choose
from ..errors import ZeroShotError
from .bars import lines_of, make_console, print_bars
from .guard import note
from .pipelines import BUNDLED, Opened, open_model, open_pipeline, prepare, set_templates, use_gpu

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from ..component import ZeroShotTextCategorizer

COMMAND = "classify"


class Scored(NamedTuple):
    """A classified text.

    text (str): The text.
    cats (Dict[str, float]): The scores of all labels.
    chosen (List[str]): The chosen labels, the best first.
    """

    text: str
    cats: Dict[str, float]
    chosen: List[str]


class Choice(NamedTuple):
    """How labels are chosen.

    threshold (Optional[float]): The score a label must reach, None for the component's own rule.
    top_k (Optional[int]): At most this many labels, None for the component's own rule.
    """

    threshold: Optional[float] = None
    top_k: Optional[int] = None

    def __call__(self, pipe: "ZeroShotTextCategorizer", cats: Dict[str, float]) -> List[str]:
        """Choose labels: where labels compete the best one, else those that reach their thresholds.

        pipe (ZeroShotTextCategorizer): The component.
        cats (Dict[str, float]): The scores.
        RETURNS (List[str]): The chosen labels, the best first.
        """
        if self.threshold is not None:
            return choose(cats, threshold=self.threshold, top_k=self.top_k)
        if self.top_k is not None:
            return choose(cats, threshold=0.0, top_k=self.top_k)
        if not pipe.multi_label and len(cats) > 1:
            return choose(cats, threshold=0.0, top_k=1)
        return choose(cats, threshold=pipe.threshold, label_thresholds=pipe.label_thresholds)


def classify(
    texts: Annotated[
        Optional[List[str]], typer.Argument(metavar="TEXT", help="Texts; none: one per line of standard input")
    ] = None,
    labels: Annotated[
        str, typer.Option("--labels", "-l", help='Labels: "a,b,c", or a JSON list for labels with commas')
    ] = "",
    pipeline: Annotated[
        Optional[str], typer.Option("--pipeline", "-p", help="A saved pipeline's folder or package")
    ] = None,
    model: Annotated[
        Optional[str],
        typer.Option("--model", "-m", help="A checkpoint's folder or Hub name; the bundled model if neither is given"),
    ] = None,
    templates: Annotated[
        Optional[List[str]],
        typer.Option("--template", "-t", help='Hypothesis template, e.g. "The topic is {}."; may be repeated'),
    ] = None,
    multi_label: Annotated[
        Optional[bool],
        typer.Option("--multi-label/--single-label", help="Each label on its own, or the labels compete"),
    ] = None,
    top_k: Annotated[
        Optional[int], typer.Option("--top-k", "-k", min=1, help="Choose at most this many labels")
    ] = None,
    threshold: Annotated[
        Optional[float], typer.Option("--threshold", min=0.0, max=1.0, help="Choose labels with at least this score")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help='JSON lines: {"text", "cats", "labels"}')] = False,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Texts read ahead; 1 answers every line at once")
    ] = 32,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU; -1 for the CPU")] = -1,
) -> None:
    """Score texts against labels that no model was trained on.

    Shown are all labels, the chosen ones marked: the best one, or with --multi-label those that reach the threshold.
    With --top-k or --threshold only the chosen ones are shown.

    Example: python -m spacy zeroshot classify "The goalkeeper saved a penalty." --labels "politics,sport,music"
    """
    given = parse_labels(labels)
    if not texts and sys.stdin.isatty():
        raise ZeroShotError("Z066", COMMAND)
    use_gpu(gpu_id)
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
    choice = Choice(threshold, top_k)
    show = _print_json if as_json else _bar_printer(only_chosen=threshold is not None or top_k is not None)
    failures: List[str] = []
    for scored in score(opened, texts or _lines(), choice, batch_size, failures):
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


def parse_labels(value: str) -> List[str]:
    """Read --labels.

    value (str): "a,b,c", or a JSON list of strings.
    RETURNS (List[str]): The labels, without blanks around them.
    RAISES (ZeroShotError): Z060 for a JSON list that is none.
    """
    if not value.lstrip().startswith("["):
        return [label.strip() for label in value.split(",") if label.strip()]
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
        reason = 'it is no JSON list of strings. Write "a,b,c", or \'["a, b", "c"]\''
        raise ZeroShotError("Z060", COMMAND, what="--labels", value=value, reason=reason)
    return found


def score(
    opened: Opened, texts: Iterable[str], choice: Choice, batch_size: int, failures: List[str]
) -> Iterator[Scored]:
    """Score a stream of texts. One that fails is reported and left out; the rest go on.

    opened (Opened): The pipeline.
    texts (Iterable[str]): The texts.
    choice (Choice): How labels are chosen.
    batch_size (int): Texts to read ahead.
    failures (List[str]): Takes the message of every text that failed.
    YIELDS (Scored): The texts that did not fail, in order.
    """

    def report(name: str, proc: Any, docs: "List[Doc]", error: Exception) -> None:
        for doc in docs:
            failures.append(f"{str(error).rstrip('.')}. The text {doc.text[:40]!r} was left out.")
            note(f"error: {failures[-1]}")

    opened.nlp.set_error_handler(report)
    prefix = opened.pipe.key_prefix
    keys: List[Tuple[str, str]] = [(label, prefix + label) for label in opened.pipe.labels]
    for doc in opened.nlp.pipe(_docs(opened.nlp, texts, report), batch_size=batch_size):
        cats = {label: doc.cats[key] for label, key in keys}
        yield Scored(doc.text, cats, choice(opened.pipe, cats))


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
    print(json.dumps({"text": scored.text, "cats": cats, "labels": scored.chosen}, ensure_ascii=False), flush=True)


def _bar_printer(only_chosen: bool) -> Callable[[Scored], None]:
    console = make_console()

    def show(scored: Scored) -> None:
        lines = [line for line in lines_of(scored.cats, scored.chosen) if line.chosen or not only_chosen]
        print_bars(console, scored.text if scored.text.strip() else "(blank)", lines)
        if not lines:
            console.print("    no label reaches the threshold\n")

    return show
