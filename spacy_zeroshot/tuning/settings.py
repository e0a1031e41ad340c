"""Settings that were found: into a component, into its config, and with its pipeline onto the disk."""

import contextlib
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, Sequence

from spacy.language import Language

from ..component import ZeroShotTextCategorizer
from ..decisions import check_abstain, check_thresholds, check_top_k
from ..errors import ZeroShotError
from ..examples.store import check_n_neighbors, check_weight
from ..saving import replaced
from ..scores import check_calibration, check_temperature

REPORT = "report.html"


def apply_settings(nlp: Language, name: str, settings: Mapping[str, Any]) -> None:
    """Give a component other settings, so that nlp.to_disk writes them.

    nlp (Language): The pipeline.
    name (str): The component's name.
    settings (Mapping[str, Any]): Of hypothesis_template, threshold, label_thresholds, top_k, abstain, calibration,
        temperature, calibrated, multi_label, n_neighbors and examples_weight: any. Others cannot be changed after a
        component was built.
    RAISES (ZeroShotError): As the component's factory; ValueError for another setting.
    """
    pipe: Any = nlp.get_pipe(name)
    for setting, value in settings.items():
        _set(pipe, setting, value)
    nlp.get_pipe_config(name).update(dict(settings))


@contextlib.contextmanager
def pipeline_folder(nlp: Language, output: Path, overwrite: bool, command: str) -> Iterator[Path]:
    """Write a pipeline, and what the caller adds to it, whole or not at all.

    nlp (Language): The pipeline.
    output (Path): The folder.
    overwrite (bool): Whether to replace a folder that is there.
    command (str): The command's name, for errors.
    YIELDS (Path): The pipeline's folder, for more files. It becomes `output` when the block ends.
    RAISES (ZeroShotError): Z092 if the folder is there and not to be replaced.
    """
    check_output(output, overwrite, command)
    with replaced(output) as fresh:
        nlp.to_disk(fresh)
        yield fresh


def check_output(output: Path, overwrite: bool, command: str) -> None:
    """Check that a folder may be written. Call before the work, too.

    output (Path): The folder.
    overwrite (bool): Whether to replace a folder that is there.
    command (str): The command's name, for errors.
    RAISES (ZeroShotError): Z092 if it is there and not to be replaced, Z060 if it is a file.
    """
    if output.exists() and not output.is_dir():
        raise ZeroShotError("Z060", command, what="--output", value=str(output), reason="it is a file, not a folder")
    if output.is_dir() and any(output.iterdir()) and not overwrite:
        raise ZeroShotError("Z092", command, output=str(output))


def check_plain(setting: str, values: Sequence[str], component: str) -> None:
    """Check that a config can hold what will be written. Call before the work.

    setting (str): Where it will stand.
    values (Sequence[str]): Labels or templates.
    component (str): The component's name, for errors.
    RAISES (ZeroShotError): Z008 for a "$", which spaCy's config changes.
    """
    for value in values:
        if "$" in value:
            raise ZeroShotError("Z008", component, setting=setting, value=value, sign="$")


def calibration_entries(labels: Any, biases: Any) -> "list[Dict[str, Any]]":
    """The setting `calibration`.

    labels (Sequence[str]): The labels.
    biases (Sequence[float]): One per label.
    RETURNS (List[Dict[str, Any]]): [{"label": ..., "bias": ...}], without biases of zero.
    """
    return [{"label": label, "bias": round(float(bias), 4)} for label, bias in zip(labels, biases) if bias]


def _set(pipe: ZeroShotTextCategorizer, setting: str, value: Any) -> None:
    if setting == "hypothesis_template":
        pipe.templates = value
    elif setting == "threshold":
        check_thresholds(value, [], pipe.name)
        pipe.threshold = value
    elif setting == "label_thresholds":
        pipe.label_thresholds = check_thresholds(0.0, value, pipe.name)
    elif setting == "top_k":
        pipe.top_k = check_top_k(value, pipe.name)
    elif setting == "abstain":
        pipe.abstain = check_abstain(value, pipe.name)
    elif setting == "calibration":
        pipe.biases = check_calibration(value, pipe.name)
    elif setting == "temperature":
        pipe.temperature = check_temperature(value, pipe.name)
    elif setting == "calibrated":
        pipe.calibrated = value
    elif setting == "n_neighbors":
        pipe.examples.n_neighbors = check_n_neighbors(value, pipe.name)
    elif setting == "examples_weight":
        pipe.examples.weight = check_weight(value, pipe.name)
    elif setting == "multi_label":
        pipe.multi_label = value
    else:
        raise ValueError(f"{setting} cannot be changed after the component was built")
