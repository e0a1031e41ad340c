"""Settings of the component as attributes: checked when they are assigned, saved, and written to the config.

About "$" in a config: confection doubles it whenever it writes a config out, never takes the doubling back, and joins
two strings of a list that meet at one, without the blanks between them. So settings are also saved beside the config.
"""

import contextlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.util import dict_to_dot
from thinc.api import Config

from .decisions import is_number, is_share, is_whole
from .errors import ZeroShotError
from .labels import Question, check_groups, check_hypotheses, check_labels, check_templates, is_text
from .model.types import Wording

# Where a config has joined two labels
JOINT = re.compile(r"(?<=\$), (?=\$)")


class Setting:
    """One setting of a component: `pipe.threshold = 0.7` checks the value, keeps it, and writes it to the config.
    holds: Whether a value is possible by itself. otherwise: What the error Z007 says of any other one."""

    def __init__(self, holds: Callable[[Any], bool], otherwise: str):
        self.holds = holds
        self.otherwise = otherwise

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, pipe: Any, kind: type | None = None) -> Any:
        return self if pipe is None else pipe.setting(self.name)

    def __set__(self, pipe: Any, value: Any) -> None:
        pipe.change(self.name, value)

    def check(self, value: Any) -> None:
        if not self.holds(value):
            raise ZeroShotError("Z007", setting=self.name, value=value, reason=self.otherwise)


class NumberByLabel(Setting):
    """A number for single labels, [{"label": ..., key: ...}] in a config; read, and if you like assigned, as a dict."""

    def __init__(self, key: str, holds: Callable[[Any], bool], otherwise: str):
        super().__init__(holds, otherwise)
        self.key = key

    def __get__(self, pipe: Any, kind: type | None = None) -> Any:
        return self if pipe is None else {one["label"]: float(one[self.key]) for one in pipe.setting(self.name)}

    def __set__(self, pipe: Any, value: Any) -> None:
        if isinstance(value, Mapping):
            value = [{"label": label, self.key: number} for label, number in value.items()]
        super().__set__(pipe, value)

    def check(self, value: Any) -> None:
        if not isinstance(value, list):
            raise ZeroShotError("Z007", setting=self.name, value=value, reason="its type is list")
        for entry in value:
            if not isinstance(entry, Mapping) or set(entry) != {"label", self.key} or not is_number(entry[self.key]):
                form = f'{{"label": "...", "{self.key}": 0.7}}'
                raise ZeroShotError("Z006", setting=self.name, entry=entry, form=form)
            super().check(entry[self.key])


def typed(*kinds: type) -> Setting:
    return Setting(lambda value: isinstance(value, kinds), f"its type is {' or '.join(k.__name__ for k in kinds)}")


def visible_text() -> Setting:
    return Setting(is_text, "it is a text with a visible character")


def one_of(*allowed: str) -> Setting:
    return Setting(lambda value: value in allowed, f"it is one of {', '.join(allowed)}")


def whole(least: int) -> Setting:
    return Setting(lambda value: is_whole(value, least), f"it must be at least {least}")


def share() -> Setting:
    return Setting(is_share, "it must lie in [0, 1]")


def optional(setting: Setting) -> Setting:
    return Setting(lambda value: value is None or setting.holds(value), f"{setting.otherwise}, or null")


@dataclass(frozen=True)
class Settings:
    """All settings of a component, checked alone and together."""

    values: dict[str, Any]  # as a config has them
    questions: tuple[Question, ...] = ()  # the groups of labels; one with the name "" for a component without groups
    own: Mapping[str, tuple[Wording, ...]] = field(default_factory=dict)  # wordings by label

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of all groups, without the component's key_prefix."""
        return tuple(key for question in self.questions for key in question.keys)


def check_settings(
    values: dict[str, Any], templates: Sequence[str] | None = None, example_labels: Sequence[str] = ()
) -> Settings:
    """Check settings against each other; each one has been checked alone. templates: What the model reads labels in,
    whatever hypothesis_template says. example_labels: Labels to take if there are no others."""
    used = check_templates(values["hypothesis_template"])
    used = used if templates is None else tuple(templates)
    labels, groups = check_labels(values["labels"]), values["label_groups"]
    if groups and labels:
        raise ZeroShotError("Z007", setting="label_groups", value=groups, reason="give labels or groups, not both")
    taken = labels or tuple(label for label in example_labels if label != values["none_label"])
    alone = Question("", taken, used, values["multi_label"], values["threshold"])
    questions = check_groups(groups, used, values["threshold"]) if groups else (alone,)
    known = [key for question in questions for key in question.keys]
    own = check_hypotheses(values["hypotheses"], known or None)
    for setting in ("label_thresholds", "calibration"):
        if unknown := [entry["label"] for entry in values[setting] if known and entry["label"] not in known]:
            raise ZeroShotError("Z009", setting=setting, label=unknown[0], labels=known)
    return Settings(values, questions, own)


def as_json(value: Any) -> Any:
    """A setting's value with lists for tuples and plain dicts for entries."""
    if isinstance(value, Mapping):
        return {str(key): as_json(one) for key, one in value.items()}
    return [as_json(one) for one in value] if isinstance(value, (list, tuple)) else value


def entries_of(labels: Collection[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that have an entry for each label, without those for other labels."""
    names = ("hypotheses", "label_thresholds", "calibration")
    return {name: [entry for entry in values[name] if entry["label"] in labels] for name in names}


def overrides_of(nlp: Language | None, folder: Path, saved: Mapping[str, Any]) -> set[str]:
    """The names of settings (also "model.name" and the like) that spacy.load(config=...), or a hand that edited
    config.cfg, gives a component otherwise than it was saved, while its from_disk runs."""
    if nlp is None:
        return set()
    # Language.from_disk has just read the file and the overrides into nlp._config; the property nlp.config puts what
    # the components were made with in their place
    now, before = _block_of(nlp._config, folder.name), saved.get("block") or block_beside(folder)
    return {key for key in {*now, *before} if now and before and now.get(key, ...) != before.get(key, ...)}


def block_beside(folder: Path) -> dict[str, Any]:
    """A component's block in the config.cfg beside its folder; {} without one."""
    path = folder.parent / "config.cfg"
    return _block_of(Config().from_disk(path, interpolate=False), folder.name) if path.is_file() else {}


def _block_of(config: Config, component: str) -> dict[str, Any]:
    """A component's block by dotted names, with its variables filled in."""
    # a ValueError: it needs variables that only the command line gives
    with contextlib.suppress(ValueError):
        config = Config(config).interpolate()
    return dict_to_dot(config.get("components", {}).get(component, {}))


def restore(saved: Mapping[str, Any], current: Mapping[str, Any], overridden: Collection[str]) -> dict[str, Any]:
    """The settings of a component that is filled from a saved one, but for those that are overridden."""
    restored = {name: current[name] if name in overridden else saved.get(name, current[name]) for name in current}
    if restored["labels"]:
        # labels that override have no use for wordings and thresholds of those that were saved
        restored.update(entries_of(restored["labels"], restored))
    return restored


def find_lost(name: str, value: Any) -> str | None:
    """A text in a setting that a config could not give back."""
    for found in _texts_in(value):
        # examples are read from beside the config, and what happens to a "$" in labels can be undone
        undone = name == "examples" or (name == "labels" and found == found.strip())
        if "${" in found or ("$" in found and not undone):
            return found
    return None


def check_dollars(given: Mapping[str, Any]) -> None:
    """Refuse settings that a config would change. RAISES (ZeroShotError): Z008."""
    for name, value in given.items():
        if (lost := find_lost(name, value)) is not None:
            raise ZeroShotError("Z008", setting=name, value=lost, sign="${" if "${" in lost else "$")


def undo_joints(labels: Any) -> Any:
    """Labels, not checked yet; those that a config has joined at their "$" are apart again."""
    if not isinstance(labels, (list, tuple)):
        return labels
    return [part for label in labels for part in (JOINT.split(label) if isinstance(label, str) else [label])]


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple, Mapping)):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(one)


def upgrade(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What 0.1.0 saved, in the present form: labels set at run time, own wordings and examples."""
    new: dict[str, Any] = {"settings": {}}
    if "labels" in saved:
        own = saved.get("own", {})
        new["settings"]["labels"] = saved["labels"]
        new["settings"]["hypotheses"] = [{"label": label, "text": one} for label in own for one in own[label]]
    if "examples" in saved:
        new["settings"]["examples"] = saved["examples"]["configured"]
        new["examples"] = saved["examples"]["rows"]
    return new


def take_old_settings(given: dict[str, Any], abstain: float | None, calibrated: bool | None) -> None:
    """Turn what only configs of 0.1.0 have into settings of this version, in place."""
    if calibrated is None:
        return
    if not calibrated:
        given.update(calibration=[], temperature=1.0)
    if not given["multi_label"] and given["top_k"] is None and not given["label_thresholds"]:
        # the threshold did not count there
        given["threshold"] = None if abstain is None else 1.0 - abstain
