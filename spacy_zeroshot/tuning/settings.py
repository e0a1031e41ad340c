"""What was found: into a component, and with its pipeline onto the disk."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spacy.language import Language

from ..errors import ZeroShotError
from ..loading import find_component
from ..util import replace_folder

TUNABLE = {"multi_label", "label_groups", "hypothesis_template", "threshold", "label_thresholds", "top_k", "none_label",
           "calibration", "temperature", "n_neighbors", "examples_weight"}  # fmt: skip


def apply_settings(nlp: Language, name: str, settings: Mapping[str, Any]) -> None:
    """Give a component other settings, which is the same as to assign its attributes.

    nlp (Language): The pipeline.
    name (str): The component's name.
    settings (Mapping[str, Any]): Values by the names of TUNABLE.
    RAISES (ZeroShotError): What the component says of a value; ValueError for another setting.
    """
    pipe = find_component(nlp, name)
    for setting, value in settings.items():
        if setting not in TUNABLE:
            raise ValueError(f"{setting} is none of {sorted(TUNABLE)}")
        setattr(pipe, setting, value)


@contextmanager
def pipeline_folder(nlp: Language, output: Path, overwrite: bool) -> Iterator[Path]:
    """Write a pipeline, and what the caller adds to its folder in the block, whole or not at all."""
    check_output(output, overwrite)
    with replace_folder(output) as fresh:
        nlp.to_disk(fresh)
        yield fresh


def check_output(output: Path, overwrite: bool) -> None:
    """Check, also before the work, that a folder may be written. RAISES (ZeroShotError): Z060 for a file, Z092 if it is
    not empty and not to be replaced."""
    if output.exists() and not output.is_dir():
        raise ZeroShotError("Z060", what="--output", value=str(output), reason="it is a file, not a folder")
    if output.is_dir() and any(output.iterdir()) and not overwrite:
        raise ZeroShotError("Z092", output=str(output))


def calibration_entries(biases: Mapping[str, float]) -> list[dict[str, Any]]:
    """RETURNS (list[dict[str, Any]]): The setting `calibration`, without biases of zero."""
    return [{"label": label, "bias": round(float(bias), 4)} for label, bias in biases.items() if bias]
