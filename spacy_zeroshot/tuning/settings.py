"""Give a component what tuning and calibration have found."""

from typing import Any

from spacy.language import Language

from ..loading import find_component


def apply_settings(nlp: Language, name: str, settings: dict[str, Any]) -> None:
    """Change settings of a component, in the pipeline and its config. settings (dict[str, Any]): Values by their names.
    RAISES (ZeroShotError): What the component says of a value."""
    pipe = find_component(nlp, name)
    for setting, value in settings.items():
        setattr(pipe, setting, value)
