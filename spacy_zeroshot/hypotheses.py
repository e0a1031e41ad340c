"""From labels to hypotheses: every label is worded as one or more sentences the text may entail."""

from dataclasses import dataclass
from typing import Dict, Mapping, Sequence, Tuple, Union

from .errors import ZeroShotError
from .premises import is_blank

SLOT = "{}"
HYPOTHESIS_FORM = '{"label": "...", "text": "..."}'


@dataclass(frozen=True)
class Wording:
    """The hypotheses of a label set.

    labels (Tuple[str, ...]): The labels, in the user's order.
    hypotheses (Tuple[str, ...]): All hypotheses, the first label's first.
    counts (Tuple[int, ...]): How many hypotheses belong to each label; their sum is len(hypotheses).
    """

    labels: Tuple[str, ...]
    hypotheses: Tuple[str, ...]
    counts: Tuple[int, ...]


def word_labels(
    labels: Sequence[str], templates: Sequence[str], own: Mapping[str, Sequence[str]], component: str
) -> Wording:
    """Word each label: in the user's own words if there are any, else through every template.

    labels (Sequence[str]): Labels that check_labels has passed.
    templates (Sequence[str]): Templates that check_template has passed.
    own (Mapping[str, Sequence[str]]): Own wordings by label; labels without one may be missing.
    component (str): The component's name, for errors.
    RETURNS (Wording): The hypotheses.
    RAISES (ZeroShotError): Z001 if there are no labels.
    """
    if not labels:
        raise ZeroShotError("Z001", component)
    worded = [tuple(own.get(label) or (fill_template(t, label) for t in templates)) for label in labels]
    return Wording(
        tuple(labels), tuple(text for texts in worded for text in texts), tuple(len(texts) for texts in worded)
    )


def fill_template(template: str, label: str) -> str:
    """Put a label into a template's slot. Nothing else in template or label is interpreted.

    template (str): A template with one slot, "{}".
    label (str): Any text.
    RETURNS (str): The hypothesis.
    """
    before, after = template.split(SLOT, 1)
    return before + label + after


def check_labels(labels: Sequence[str], component: str) -> Tuple[str, ...]:
    """Check that labels are visible strings and unique.

    labels (Sequence[str]): The labels.
    component (str): The component's name, for errors.
    RETURNS (Tuple[str, ...]): The labels.
    RAISES (ZeroShotError): Z002 for a repeated label, Z003 for one that is blank, no string, or that no file can
        hold, Z007 for anything but a list.
    """
    if not isinstance(labels, (list, tuple)):
        raise ZeroShotError("Z007", component, setting="labels", value=labels, reason="it must be a list of strings")
    seen = set()
    for label in labels:
        if not isinstance(label, str):
            raise ZeroShotError("Z003", component, label=label, reason="is not a string")
        if is_blank(label):
            raise ZeroShotError("Z003", component, label=label, reason="has no visible character")
        if not _is_utf8(label):
            raise ZeroShotError("Z003", component, label=label, reason="holds half a character (a lone surrogate)")
        if label in seen:
            raise ZeroShotError("Z002", component, label=label)
        seen.add(label)
    return tuple(labels)


def check_templates(templates: Union[str, Sequence[str]], component: str) -> Tuple[str, ...]:
    """Check one template or several.

    templates (Union[str, Sequence[str]]): The setting hypothesis_template.
    component (str): The component's name, for errors.
    RETURNS (Tuple[str, ...]): The templates.
    RAISES (ZeroShotError): Z004 for a bad one, Z007 for an empty list.
    """
    listed = (templates,) if isinstance(templates, str) else tuple(templates)
    if not listed:
        raise ZeroShotError("Z007", component, setting="hypothesis_template", value=[], reason="the list is empty")
    return tuple(check_template(template, component) for template in listed)


def check_template(template: str, component: str) -> str:
    """Check that a template has one plain slot.

    template (str): The template.
    component (str): The component's name, for errors.
    RETURNS (str): The template.
    RAISES (ZeroShotError): Z004 for no slot, several, a named one, or a stray brace.
    """
    if not isinstance(template, str) or not _is_utf8(template):
        raise ZeroShotError("Z004", component, template=template)
    rest = template.replace(SLOT, "", 1)
    if SLOT not in template or "{" in rest or "}" in rest:
        raise ZeroShotError("Z004", component, template=template)
    return template


def check_hypotheses(entries: Sequence[Mapping[str, str]], component: str) -> Dict[str, Tuple[str, ...]]:
    """Read the config's own wordings, [{"label": ..., "text": ...}], into a dict.

    entries (Sequence[Mapping[str, str]]): The config value.
    component (str): The component's name, for errors.
    RETURNS (Dict[str, Tuple[str, ...]]): The wordings by label, in the order given.
    RAISES (ZeroShotError): Z006 for an entry of another form or a blank text.
    """
    own: Dict[str, Tuple[str, ...]] = {}
    for entry in entries:
        if not isinstance(entry, Mapping) or set(entry) != {"label", "text"} or not is_text(entry["text"]):
            raise ZeroShotError("Z006", component, setting="hypotheses", entry=entry, form=HYPOTHESIS_FORM)
        own[entry["label"]] = (*own.get(entry["label"], ()), entry["text"])
    return own


def check_own_labels(own: Mapping[str, Sequence[str]], labels: Sequence[str], component: str) -> None:
    """Check that every own wording belongs to a label.

    own (Mapping[str, Sequence[str]]): Own wordings by label.
    labels (Sequence[str]): The labels.
    component (str): The component's name, for errors.
    RAISES (ZeroShotError): Z005 for a label that is not there.
    """
    for label in own:
        if label not in labels:
            raise ZeroShotError("Z005", component, label=label, labels=list(labels))


def is_text(value: object) -> bool:
    """RETURNS (bool): Whether a config's value is a text that says something and that a file can hold."""
    return isinstance(value, str) and not is_blank(value) and _is_utf8(value)


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
