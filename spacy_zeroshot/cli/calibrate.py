"""python -m spacy zeroshot calibrate: scores that do not lean towards a label, without a single gold one."""

import json
from typing import Annotated

from typer import Option

from ..errors import ZeroShotError
from ..loading import read_label_list
from ..readers import read_texts
from ..tuning.calibration import Method
from ..tuning.calibration import calibrate as calibrate_pipeline
from ..tuning.score import read_gold
from ..tuning.settings import apply_settings
from ..util import check_output, replace_folder
from . import _util as cli
from ._print import make_console, print_table


def calibrate(
    pipeline: cli.PipelineName,
    texts: cli.Texts,
    output: cli.Output,
    method: Annotated[Method, Option(help="marginals: equal mean scores on TEXTS; none: no biases")] = "marginals",
    prior: Annotated[str, Option(help='Expected shares, {"sport": 0.2, ...}, for all labels')] = "",
    labelled: cli.Labelled = None,
    labels: cli.Labels = "",
    templates: cli.Template = None,
    multi_label: cli.MultiLabel = None,
    none_label: cli.NoneLabel = None,
    component: cli.Component = None,
    text_field: cli.TextField = "text",
    label_field: cli.LabelField = "labels",
    overwrite: cli.Overwrite = False,
    code: cli.Code = None,
    gpu_id: cli.GpuId = -1,
) -> None:
    """Find by how much each label is favoured, on texts without labels, and take that away.

    What is taken away is a bias, in logits, before scores are made. OUTPUT is a pipeline for spacy.load with the biases
    in its config (`calibration`). With --labelled, a temperature is fitted to these texts, too, and the error measured.

    Example: python -m spacy zeroshot calibrate my_pipeline texts.txt --output calibrated
    """
    # what can fail at once fails before the work
    check_output(output, overwrite)
    shares = _parse_prior(prior)
    unlabelled = read_texts(texts, text_field)
    rows = read_gold(labelled, text_field, label_field) if labelled is not None else []
    given = read_label_list(labels)
    nlp, pipe = cli.open_component(
        pipeline, None, "", templates, multi_label, component, code, gpu_id, needs_labels=not given
    )
    if pipe.labels and (unknown := [label for label in given if label not in pipe.labels]):
        raise ZeroShotError("Z208", labels=unknown, known=list(pipe.labels))
    if given:
        pipe.set_labels(given)
    found = calibrate_pipeline(
        nlp,
        unlabelled,
        component=pipe.name,
        method=method,
        prior=shares,
        labelled=rows,
        none_label=none_label,
        track=cli.track,
    )
    apply_settings(nlp, pipe.name, found.settings)
    with replace_folder(output) as folder:
        nlp.to_disk(folder)
    console = make_console()
    columns = (values.tolist() for values in (found.biases, *found.rates))
    print_table(console, ("label", "bias", "mean score before", "after"), list(zip(found.labels, *columns)))
    if found.errors:
        before, after = found.errors
        console.print(f"temperature: {found.temperature:.3g}", soft_wrap=True)
        console.print(f"expected calibration error: {before:.3f} before, {after:.3f} after", soft_wrap=True)
    cli.note(f"{output}: written. Next: python -m spacy zeroshot evaluate {output} TEST_FILE")


def _parse_prior(value: str) -> dict[str, float] | None:
    if not value:
        return None
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(type(number) in (int, float) for number in found.values()):
        reason = 'it is no JSON object of numbers. Write {"sport": 0.2, "politics": 0.8}'
        raise ZeroShotError("Z060", what="--prior", value=value, reason=reason)
    return found
