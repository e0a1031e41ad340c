"""A component's labels: where they come from, how they are worded, and how they are saved."""

import json
import re
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from spacy.tokens import Doc

from .errors import warn
from .hypotheses import SLOT, Wording, check_hypotheses, check_labels, check_own_labels, check_templates, word_labels

# The attribute doc._.zero_shot_labels: one document's own labels
OWN_LABELS = "zero_shot_labels"
if not Doc.has_extension(OWN_LABELS):
    Doc.set_extension(OWN_LABELS, default=None)

# The component's own template
DEFAULT_TEMPLATE = "This text is about {}."

OwnWording = Dict[str, Tuple[str, ...]]


class LabelSet:
    """Labels with their wording. They can be replaced at run time; what the config gave is remembered.

    labels (Sequence[str]): The labels, in order; may be empty.
    templates (Sequence[str]): Hypothesis templates.
    hypotheses (Sequence[Mapping[str, str]]): Own wordings, [{"label": ..., "text": ...}].
    component (str): The component's name, for errors.
    plain (bool): The model reads labels as they are: no template is used, and one that was set is warned of (Z105).
    RAISES (ZeroShotError): Z002 to Z006 for what cannot be used.
    """

    def __init__(
        self,
        labels: Sequence[str],
        templates: Sequence[str],
        hypotheses: Sequence[Mapping[str, str]],
        component: str,
        plain: bool = False,
    ):
        self.component = component
        self.plain = plain
        self.templates = checked = check_templates(templates, component)
        # Of a model that reads labels as they are: templates that somebody wrote for it
        self.unused = tuple(template for template in checked if plain and template not in (SLOT, DEFAULT_TEMPLATE))
        if self.unused:
            warn("Z105", component, template=self.unused[0])
        self.labels: Tuple[str, ...] = ()
        self.own: OwnWording = {}
        self.replace(labels, hypotheses)
        self._configured = self._state()

    @property
    def templates(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The hypothesis templates in use."""
        return self._templates

    @templates.setter
    def templates(self, templates: Tuple[str, ...]) -> None:
        self._templates = (SLOT,) if self.plain else templates

    def replace(self, labels: Sequence[str], hypotheses: Optional[Sequence[Mapping[str, str]]] = None) -> None:
        """Take other labels; if they cannot be used, the old ones stay.

        labels (Sequence[str]): The labels.
        hypotheses (Optional[Sequence[Mapping[str, str]]]): Own wordings; None keeps those of labels that stay.
        RAISES (ZeroShotError): Z002, Z003, Z005, Z006, Z007.
        """
        checked = check_labels(labels, self.component)
        if hypotheses is None:
            own = {label: texts for label, texts in self.own.items() if label in checked}
        else:
            own = check_hypotheses(hypotheses, self.component)
            check_own_labels(own, checked, self.component)
        # in one step, so that other threads see either the old or the new
        self.labels, self.own = checked, own

    def wording(self, labels: Optional[Sequence[str]] = None) -> Wording:
        """The hypotheses of labels.

        labels (Optional[Sequence[str]]): Labels of one document, None for these.
        RETURNS (Wording): The hypotheses.
        RAISES (ZeroShotError): Z001 if there are no labels, Z002, Z003 or Z007 for bad ones.
        """
        chosen = self.labels if labels is None else check_labels(labels, self.component)
        return word_labels(chosen, self.templates, self.own, self.component)

    def to_dict(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What restore takes: the labels, and those of the config they replaced."""
        return {"configured": self._configured, **self._state()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take saved labels, unless this component was now given others: the user's overrides win.

        saved (Mapping[str, Any]): What to_dict gave.
        """
        if self._configured["labels"] and plain(saved["configured"]) != plain(self._configured):
            return
        self.labels = check_labels(saved["labels"], self.component)
        self.own = {label: tuple(texts) for label, texts in saved["own"].items()}
        self._configured = saved["configured"]

    def _state(self) -> Dict[str, Any]:
        return {
            "labels": list(self.labels),
            "own": {label: list(texts) for label, texts in self.own.items()},
        }


def plain(state: Any) -> str:
    """A setting as the config files of a pipeline tell it apart.

    confection doubles every "$" each time a pipeline is saved and loaded, and joins the strings of a list at "$$";
    labels that differ by this only are the same ones.
    """
    return re.sub(r'[$",\s]', "", json.dumps(state, sort_keys=True))
