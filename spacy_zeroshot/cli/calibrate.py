"""python -m spacy zeroshot calibrate: scores that do not lean towards a label, without a single gold one."""

import enum
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Dict, List, Optional

import typer

from ..corpora.pipelines import PipelineSpec
from ..errors import ZeroShotError
from .bars import make_console, print_table
from .guard import note
from .options import GpuId, Labels, MultiLabel, Templates, parse_labels
from .progress import watching

if TYPE_CHECKING:
    from ..tuning.calibrate import Calibrated

COMMAND = "calibrate"


class MethodName(str, enum.Enum):
    """Where the biases come from."""

    marginals = "marginals"
    content_free = "content-free"
    none = "none"


def calibrate(
    pipeline: Annotated[
        str, typer.Argument(metavar="PIPELINE", help='A pipeline\'s folder or package, "bundled", or a checkpoint')
    ],
    texts: Annotated[Path, typer.Argument(metavar="TEXTS", help="Unlabelled texts: any file that annotate reads")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the calibrated pipeline")],
    method: Annotated[
        MethodName,
        typer.Option(
            "--method",
            "-m",
            help="marginals: every label's mean score over TEXTS becomes the same; content-free: what a text without "
            "content scores is taken away; none: only a temperature",
        ),
    ] = MethodName.marginals,
    prior: Annotated[
        str, typer.Option("--prior", help='With marginals: expected shares, {"sport": 0.2, ...}, for all labels')
    ] = "",
    labelled: Annotated[
        Optional[Path],
        typer.Option("--labelled", help='{"text", "labels"} per line: fit a temperature, and measure the error'),
    ] = None,
    labels: Labels = "",
    templates: Templates = None,
    multi_label: MultiLabel = None,
    none_label: Annotated[
        Optional[str], typer.Option("--none-label", help='With --labelled: a gold label that means "no label fits"')
    ] = None,
    text_field: Annotated[str, typer.Option("--text-field", help="The field of TEXTS with the text")] = "text",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder if it is there")] = False,
    gpu_id: GpuId = -1,
) -> None:
    """Find a bias for every label, in logits, that is taken away before scores are made.

    OUTPUT is a pipeline for spacy.load with the biases in its config (`calibration`, `temperature`); the setting
    `calibrated = false` switches them off.

    Example: python -m spacy zeroshot calibrate my_pipeline texts.txt --output calibrated
    """
    from ..tuning.calibrate import calibrate as calibrate_pipeline
    from ..tuning.settings import apply_settings, check_output, pipeline_folder
    from ..tuning.texts import read_labelled, read_unlabelled
    from ..tuning.tune import get_zero_shot

    check_output(output, overwrite, COMMAND)
    spec = PipelineSpec.of(pipeline)
    given = parse_labels(labels)
    if spec.pipeline is None and not given:
        raise ZeroShotError("Z067", COMMAND)
    spec = spec._replace(labels=tuple(given), templates=tuple(templates or ()), multi_label=multi_label, gpu_id=gpu_id)
    shares = parse_prior(prior)
    unlabelled = read_unlabelled(texts, COMMAND, text_field)
    nlp = spec.open()
    pipe = get_zero_shot(nlp, command=COMMAND)
    rows = read_labelled(labelled, pipe.key_prefix, COMMAND) if labelled is not None else []
    with watching() as watch:
        found = calibrate_pipeline(
            nlp,
            unlabelled,
            method=method.value,
            prior=shares,
            labelled=rows,
            none_label=none_label,
            pipe_name=pipe.name,
            watch=watch,
        )
    template = list(pipe.templates) if len(pipe.templates) > 1 else pipe.templates[0]
    settings = {**found.settings, "hypothesis_template": template, "multi_label": pipe.multi_label}
    apply_settings(nlp, pipe.name, settings)
    with pipeline_folder(nlp, output, overwrite, COMMAND):
        pass
    show(found)
    note(f'{output}: written. Load it with spacy.load("{output}")')


def parse_prior(value: str) -> Optional[Dict[str, float]]:
    """Read --prior.

    value (str): A JSON object of numbers by label, or "".
    RETURNS (Optional[Dict[str, float]]): The numbers, None for "".
    RAISES (ZeroShotError): Z060 for anything else.
    """
    if not value:
        return None
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(type(number) in (int, float) for number in found.values()):
        reason = 'it is no JSON object of numbers. Write {"sport": 0.2, "politics": 0.8}'
        raise ZeroShotError("Z060", COMMAND, what="--prior", value=value, reason=reason)
    return {label: float(number) for label, number in found.items()}


def show(found: "Calibrated") -> None:
    """Print what was found. found (Calibrated): What calibration gave."""
    console = make_console()
    before, after = found.rates
    rows: List[List[Any]] = [
        [label, float(found.biases[i]), float(before[i]), float(after[i])] for i, label in enumerate(found.labels)
    ]
    print_table(console, ("label", "bias", "mean score before", "after"), rows)
    if found.reliability is not None:
        first, second = found.reliability
        console.print(f"temperature: {found.temperature:.3g}", soft_wrap=True)
        console.print(f"expected calibration error: {first.ece:.3f} before, {second.ece:.3f} after", soft_wrap=True)
