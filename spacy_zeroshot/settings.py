"""Settings of the component as attributes: checked when they are assigned, saved, and written to the config."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.util import dict_to_dot
from thinc.api import Config

from .decisions import check_threshold, check_thresholds, check_top_k
from .errors import ZeroShotError
from .labels import Question, check_groups, check_hypotheses, check_labels, check_templates, is_text
from .scores import POOLINGS, check_calibration


class Setting:
    """One setting of a component: `pipe.threshold = 0.7` checks the value, keeps it, and writes it to the config."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        return self if owner is None else owner.setting(self.name)

    def __set__(self, owner: Any, value: Any) -> None:
        owner.change(self.name, value)


class ByLabel(Setting):
    """A setting of numbers by label: read as a dict; assigned as entries, as a config has them, or as such a dict.

    key (str): What an entry calls its number.
    """

    def __init__(self, key: str):
        self.key = key

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        return self if owner is None else {e["label"]: float(e[self.key]) for e in owner.setting(self.name)}

    def __set__(self, owner: Any, value: Any) -> None:
        if isinstance(value, Mapping):
            value = [{"label": label, self.key: number} for label, number in value.items()]
        super().__set__(owner, value)


Check = Callable[[str, Any], Any]


def check_that(
    holds: Callable[[Any], bool], otherwise: str, convert: Callable[[Any], Any] = lambda value: value
) -> Check:
    """RETURNS (Check): Name and value of a setting in, the value as a config has it out; or Z007 with the reason."""

    def check(name: str, value: Any) -> Any:
        if not holds(value):
            raise ZeroShotError("Z007", setting=name, value=value, reason=otherwise)
        return convert(value)

    return check


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def one_of(*allowed: str) -> Check:
    """RETURNS (Check): For one of several words."""
    return check_that(lambda value: value in allowed, f"it is one of {', '.join(allowed)}")


def at_least(least: int) -> Check:
    """RETURNS (Check): For a whole number."""
    return check_that(lambda value: type(value) is int and value >= least, f"it must be at least {least}")


def as_json(value: Any) -> Any:
    """RETURNS (Any): A setting's value with lists for tuples and plain dicts for entries."""
    if isinstance(value, Mapping):
        return {str(key): as_json(one) for key, one in value.items()}
    return [as_json(one) for one in value] if isinstance(value, (list, tuple)) else value


flag = check_that(lambda value: isinstance(value, (bool, np.bool_)), "it is true or false", bool)
text = check_that(lambda value: isinstance(value, str), "it is a string")
optional_text = check_that(lambda value: value is None or is_text(value), "it is null or a text")
share = check_that(lambda value: is_number(value) and 0.0 <= value <= 1.0, "it must lie in [0, 1]", float)
positive = check_that(
    lambda value: is_number(value) and 0.0 < value < np.inf, "it must be a finite number above 0", float
)
listed = check_that(lambda value: isinstance(value, (list, tuple)), "it is a list", as_json)
text_or_list = check_that(lambda value: isinstance(value, (str, list, tuple)), "it is a list", as_json)

# Where a config joins two strings of a list
JOINT = re.compile(r"(?<=\$), (?=\$)")
# How single settings are checked
CHECKS: dict[str, Check] = {
    "labels": listed,
    "label_groups": listed,
    "hypothesis_template": text_or_list,
    "hypotheses": listed,
    "label_thresholds": listed,
    "calibration": listed,
    "examples": text_or_list,
    "none_label": optional_text,
    "multi_label": flag,
    "threshold": lambda name, value: check_threshold(value),
    "top_k": lambda name, value: check_top_k(value),
    "temperature": positive,
    "n_neighbors": at_least(1),
    "examples_weight": share,
    "key_prefix": text,
    "long_text": one_of("windows", "truncate"),
    "window_overlap": at_least(0),
    "pooling": one_of(*POOLINGS),
    "spans_key": optional_text,
    "trainable": flag,
    "train_encoder": flag,
    "max_negatives": at_least(1),
}
# What a config cannot give back if it holds a "$"
DOLLARLESS = (
    "hypothesis_template",
    "hypotheses",
    "label_groups",
    "label_thresholds",
    "calibration",
    "key_prefix",
    "spans_key",
    "none_label",
)


@dataclass(frozen=True)
class Settings:
    """All settings of a component, checked alone and together.

    values (dict[str, Any]): As a config has them.
    questions (tuple[Question, ...]): The groups of labels; one with the name "" for a component without groups.
    own (dict[str, tuple[str, ...]]): Own wordings by label.
    thresholds (dict[str, float]): Thresholds of single labels.
    biases (dict[str, float]): Biases of single labels, in logits.
    """

    values: dict[str, Any]
    questions: tuple[Question, ...]
    own: dict[str, tuple[str, ...]]
    thresholds: dict[str, float]
    biases: dict[str, float]

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The labels of all groups, without the component's key_prefix."""
        return tuple(key for question in self.questions for key in question.keys)


def check_each(given: Mapping[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Settings, each checked alone. RAISES (ZeroShotError): Z007."""
    return {name: CHECKS[name](name, value) for name, value in given.items()}


def check_settings(
    values: dict[str, Any], templates: Sequence[str] | None = None, example_labels: Sequence[str] = ()
) -> Settings:
    """Check settings against each other. RAISES (ZeroShotError): Z002 to Z007, Z009.

    values (dict[str, Any]): All of them, each checked alone.
    templates (Sequence[str] | None): What the model reads labels in, whatever hypothesis_template says.
    example_labels (Sequence[str]): Labels to take if there are no others.
    """
    used = check_templates(values["hypothesis_template"])
    used = used if templates is None else tuple(templates)
    labels = check_labels(values["labels"])
    if values["label_groups"] and labels:
        reason = "give labels or label_groups, not both"
        raise ZeroShotError("Z007", setting="label_groups", value=values["label_groups"], reason=reason)
    if values["label_groups"]:
        questions = check_groups(values["label_groups"], used)
    else:
        labels = labels or tuple(example_labels)
        questions = (Question("", labels, used, values["multi_label"], values["threshold"]),)
    known = [key for question in questions for key in question.keys]
    own = check_hypotheses(values["hypotheses"], known or None)
    thresholds, biases = check_thresholds(values["label_thresholds"]), check_calibration(values["calibration"])
    for setting, numbers in (("label_thresholds", thresholds), ("calibration", biases)):
        unknown = [label for label in numbers if known and label not in known]
        if unknown:
            raise ZeroShotError("Z009", setting=setting, label=unknown[0], labels=known)
    return Settings(values, questions, own, thresholds, biases)


def restore_settings(
    saved: Mapping[str, Any], current: Mapping[str, Any], overridden: Collection[str]
) -> dict[str, Any]:
    """The settings of a component that is filled from a saved one. overridden: Those that stay as they are."""
    restored = {name: current[name] if name in overridden else saved.get(name, current[name]) for name in current}
    if restored["labels"]:
        # labels that override have no use for wordings and thresholds of those that were saved
        restored.update(entries_of(restored["labels"], restored))
    return restored


def entries_of(labels: Collection[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The settings that have an entry for each label, without those for other labels."""
    names = ("hypotheses", "label_thresholds", "calibration")
    return {name: [entry for entry in values[name] if entry["label"] in labels] for name in names}


def overrides_of(nlp: Language | None, folder: Path, saved: Mapping[str, Any]) -> frozenset[str]:
    """What spacy.load(config=...), or a hand that edited config.cfg, gives a component otherwise than it was saved,
    while its from_disk runs. RETURNS (frozenset[str]): Names of settings, among them "model.name" and the like."""
    path = folder.parent / "config.cfg"
    if nlp is None or not path.is_file():
        return frozenset()
    # Language.from_disk has just read this file and the overrides into its config. They are not to be had from the
    # property nlp.config: it puts what the components were made with in their place.
    in_file = Config().from_disk(path, interpolate=False)
    given, written = (_blocks(config, folder.name) for config in (nlp._config, in_file))
    pairs = [(one, other) for one, other in zip(given, written) if one is not None and other is not None]
    found = {key for one, other in pairs for key in {*one, *other} if one.get(key, ...) != other.get(key, ...)}
    known, block = saved.get("config", {}), block_beside(folder)
    return frozenset(found | {key for key in known if key in block and block[key] != known[key]})


def block_beside(folder: Path) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): A component's block in the config.cfg beside its folder, as written; empty without."""
    path = folder.parent / "config.cfg"
    config = Config().from_disk(path, interpolate=False) if path.is_file() else {}
    return config.get("components", {}).get(folder.name, {})


def _blocks(config: Config, component: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """A component's block by dotted names, as it is written, and with its variables filled in."""
    try:
        filled = Config(config).interpolate()
    except ValueError:
        # it needs variables that only the command line gives
        filled = Config()
    blocks = [one.get("components", {}).get(component) for one in (config, filled)]
    as_written, interpolated = (dict_to_dot(block) if isinstance(block, dict) else None for block in blocks)
    return as_written, interpolated


def upgrade(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What 0.1.0 saved, in the present form: labels set at run time, own wordings and examples."""
    settings: dict[str, Any] = {}
    if "labels" in saved:
        own = saved.get("own", {})
        settings["labels"] = saved["labels"]
        settings["hypotheses"] = [{"label": label, "text": text} for label, texts in own.items() for text in texts]
    if "examples" not in saved:
        return {"settings": settings}
    settings["examples"] = saved["examples"]["configured"]
    return {"settings": settings, "examples": saved["examples"]["rows"]}


def take_old_settings(given: dict[str, Any], abstain: float | None, calibrated: bool | None) -> None:
    """Turn settings that only configs of 0.1.0 have into those of this version, in place."""
    if calibrated is None:
        return
    if not calibrated:
        given.update(calibration=[], temperature=1.0)
    if not given["multi_label"] and given["top_k"] is None and not given["label_thresholds"]:
        # the threshold did not count there
        given["threshold"] = None if abstain is None else 1.0 - abstain


# A "$" in a config: confection doubles it whenever it writes a config out, never takes the doubling back, and drops the
# quotes between two strings of a list that meet at one. So the component saves its settings beside the config, too.


def reject_dollars(name: str, value: Any, sign: str = "$") -> None:
    """Refuse text that a config would change. RAISES (ZeroShotError): Z008."""
    for found in strings_of(value):
        if sign in found:
            raise ZeroShotError("Z008", setting=name, value=found, sign=sign)


def strings_of(value: Any) -> list[str]:
    """RETURNS (list[str]): All strings in a setting."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for one in value.values() for text in strings_of(one)]
    return [text for one in value for text in strings_of(one)] if isinstance(value, (list, tuple)) else []


def from_config(labels: Any) -> Any:
    """RETURNS (Any): Labels, not checked yet; those that a config has joined at their "$" are apart again."""
    if not isinstance(labels, (list, tuple)):
        return labels
    return [part for label in labels for part in (JOINT.split(label) if isinstance(label, str) else [label])]


def write_through(nlp: Language | None, component: str, name: str, value: Any, default: Any) -> None:
    """Write a setting to the config that nlp.to_disk saves; its default if the config could not give it back."""
    if nlp is None or component not in nlp.component_names:
        return
    # labels are read back without their doubled "$", other settings are not
    sign = "${" if name == "labels" else "$"
    lost = any(sign in text for text in strings_of(value))
    nlp.get_pipe_config(component)[name] = as_json(default if lost else value)
