"""Options that say which pipeline scores, shared by commands."""

import json
from typing import Annotated, List, Optional, Sequence

import typer

from ..corpora.pipelines import PipelineSpec
from ..errors import ZeroShotError
from ..model.source import BUNDLED

Labels = Annotated[str, typer.Option("--labels", "-l", help='Labels: "a,b,c", or a JSON list for labels with commas')]
Pipeline = Annotated[Optional[str], typer.Option("--pipeline", "-p", help="A saved pipeline's folder or package")]
Model = Annotated[
    Optional[str],
    typer.Option("--model", "-m", help="A checkpoint's folder or Hub name; the bundled model if neither is given"),
]
Templates = Annotated[
    Optional[List[str]],
    typer.Option("--template", "-t", help='Hypothesis template, e.g. "The topic is {}."; may be repeated'),
]
MultiLabel = Annotated[
    Optional[bool],
    typer.Option("--multi-label/--single-label", help="Each label on its own, or the labels compete"),
]
GpuId = Annotated[int, typer.Option("--gpu-id", "-g", help="GPU; -1 for the CPU")]


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
        raise ZeroShotError("Z060", "zeroshot", what="--labels", value=value, reason=reason)
    return found


def make_spec(
    command: str,
    pipeline: Optional[str],
    model: Optional[str],
    labels: str,
    templates: Optional[Sequence[str]],
    multi_label: Optional[bool],
    gpu_id: int,
) -> PipelineSpec:
    """Read the options.

    command (str): The command's name, for errors.
    pipeline (Optional[str]): A saved pipeline.
    model (Optional[str]): A checkpoint; the bundled one if neither is given.
    labels (str): As parse_labels takes them; "" for the pipeline's own.
    templates (Optional[Sequence[str]]): Hypothesis templates; none for the pipeline's own.
    multi_label (Optional[bool]): None for the pipeline's own.
    gpu_id (int): A GPU, or -1.
    RETURNS (PipelineSpec): The pipeline.
    RAISES (ZeroShotError): Z067 without labels, Z068 if both a pipeline and a model are given.
    """
    if pipeline is not None and model is not None:
        reason = "a saved pipeline has its model. Leave one out"
        raise ZeroShotError("Z068", command, first="--pipeline", second="--model", reason=reason)
    given = parse_labels(labels)
    if pipeline is None and not given:
        raise ZeroShotError("Z067", command)
    return PipelineSpec(pipeline, model or BUNDLED, tuple(given), tuple(templates or ()), multi_label, gpu_id)
