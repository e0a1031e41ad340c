"""python -m spacy zeroshot calibrate: scores that do not lean towards a label, without a single gold one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..errors import ZeroShotError
from ._print import make_console, print_table
from ._util import Code, Component, GpuId, LabelField, Labels, MultiLabel, Template, TextField, note, run, track

if TYPE_CHECKING:
    from ..tuning.calibration import Calibrated

COMMAND = "calibrate"


def calibrate(
    pipeline: Annotated[
        str, typer.Argument(metavar="PIPELINE", help='A pipeline\'s folder or package, "bundled", or a checkpoint')
    ],
    texts: Annotated[Path, typer.Argument(metavar="TEXTS", help="Unlabelled texts: any file the package reads")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the calibrated pipeline")],
    method: Annotated[
        Literal["marginals", "content-free", "none"],
        typer.Option(
            "--method", help="marginals: like mean scores over TEXTS; content-free: by texts that say nothing"
        ),
    ] = "marginals",
    prior: Annotated[
        str, typer.Option("--prior", help='With marginals: expected shares, {"sport": 0.2, ...}, for all labels')
    ] = "",
    labelled: Annotated[
        Path | None, typer.Option("--labelled", help="Labelled texts: fit a temperature, and measure the error")
    ] = None,
    labels: Labels = "",
    templates: Template = None,
    multi_label: MultiLabel = None,
    none_label: Annotated[
        str | None, typer.Option("--none-label", help='With --labelled: a gold label that means "no label fits"')
    ] = None,
    component: Component = None,
    text_field: TextField = "text",
    label_field: LabelField = "labels",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it is there")] = False,
    code: Code = None,
    gpu_id: GpuId = -1,
) -> None:
    """Find a bias for every label, in logits, that is taken away before scores are made.

    OUTPUT is a pipeline for spacy.load with the biases in its config (`calibration`, `temperature`).

    Example: python -m spacy zeroshot calibrate my_pipeline texts.txt --output calibrated
    """
    from ..loading import import_code, open_pipeline, read_label_list, use_gpu
    from ..readers import read_texts
    from ..tuning.calibration import calibrate as calibrate_pipeline
    from ..tuning.score import read_gold
    from ..tuning.settings import apply_settings, check_output, pipeline_folder

    with run(COMMAND):
        # what can fail at once fails before the work
        check_output(output, overwrite)
        shares = parse_prior(prior)
        unlabelled = read_texts(texts, text_field)
        rows = read_gold(labelled, text_field, label_field) if labelled is not None else []
        given = read_label_list(labels)
        import_code(code)
        use_gpu(gpu_id)
        nlp, pipe = open_pipeline(pipeline, templates=templates or (), multi_label=multi_label, component=component)
        unknown = [label for label in given if label not in pipe.labels]
        if unknown and pipe.labels:
            raise ZeroShotError("Z208", labels=unknown, known=list(pipe.labels))
        if given:
            pipe.set_labels(given)
        elif not pipe.labels:
            raise ZeroShotError("Z067")
        options = {"method": method, "prior": shares, "labelled": rows, "none_label": none_label, "track": track}
        found = calibrate_pipeline(nlp, unlabelled, component=pipe.name, **options)  # type: ignore[arg-type]
        apply_settings(nlp, pipe.name, found.settings)
        with pipeline_folder(nlp, output, overwrite):
            pass
        show(found)
        note(f"{output}: written. Next: python -m spacy zeroshot evaluate {output} TEST_FILE")


def parse_prior(value: str) -> dict[str, float] | None:
    """RETURNS (dict[str, float] | None): What --prior says, None for "". RAISES (ZeroShotError): Z060."""
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


def show(found: "Calibrated") -> None:
    """Print what was found."""
    console = make_console()
    columns = (values.tolist() for values in (found.biases, *found.rates))
    print_table(console, ("label", "bias", "mean score before", "after"), list(zip(found.labels, *columns)))
    if found.reliability is not None:
        first, second = found.reliability
        console.print(f"temperature: {found.temperature:.3g}", soft_wrap=True)
        console.print(f"expected calibration error: {first.ece:.3f} before, {second.ece:.3f} after", soft_wrap=True)
