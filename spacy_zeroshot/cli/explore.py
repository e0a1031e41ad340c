"""python -m spacy zeroshot explore: a page on this machine to find labels, wordings and thresholds."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ..explorer import Explorer
from ..explorer.page import Page, serve
from ..readers import read_rows
from . import _util as cli


def explore(
    texts: Annotated[Path | None, Argument(metavar="TEXTS", help="Any file of texts, labelled or not")] = None,
    labels: cli.Labels = "",
    pipeline: cli.Pipeline = None,
    model: cli.Model = None,
    templates: cli.Template = None,
    multi_label: cli.MultiLabel = None,
    component: cli.Component = None,
    limit: Annotated[int, Option(min=1, help="Explore at most this many texts, spread evenly over the file")] = 500,
    text_field: cli.TextField = "text",
    label_field: cli.LabelField = "labels",
    port: Annotated[int, Option(min=0, max=65535, help="Port on localhost; 0 for a free one")] = 0,
    show: Annotated[bool, Option("--open/--no-open", help="Open the page in a browser")] = True,
    code: cli.Code = None,
    gpu_id: cli.GpuId = -1,
) -> None:
    """Try labels and wordings in the browser, and see at once what they do on your texts.

    The page is for this machine alone, and asks nothing of the network. Texts are read once; a change only scores what
    is new. Labels that come with the texts count as right answers. Ctrl-C ends it. Needs the extra `explore`.

    Example: python -m spacy zeroshot explore reviews.csv --labels "price,quality,delivery"
    """
    nlp, pipe = cli.open_component(
        pipeline, model, labels, templates, multi_label, component, code, gpu_id, needs_labels=False
    )
    explorer = Explorer(nlp, pipe, limit)
    if texts is not None:
        explorer.load(read_rows(texts, text_field, label_field))
        if pipe.labels:
            explorer.scores(cli.track)
    serve(Page(explorer, text_field, label_field), port, show, lambda url: cli.note(f"{url} (Ctrl-C ends it)"))
