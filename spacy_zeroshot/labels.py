"""From labels to hypotheses: each label is worded as one or more sentences that a text may entail."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from .decisions import check_threshold
from .errors import ZeroShotError
from .model.types import SLOT, Wording
from .premises import is_blank

GROUP_FORM = '{"name": "...", "labels": ["...", "..."], "multi_label": false}'
GROUP_TYPES: dict[str, Any] = {"multi_label": bool, "hypothesis_template": (str, list), "key_prefix": str}

# doc._.zero_shot_labels: one document's own labels
OWN_LABELS = "zero_shot_labels"


@dataclass(frozen=True)
class LabelGroup:
    """Labels that answer one question: columns start to stop of a label set."""

    name: str  # "" for the labels of a component without groups
    start: int
    stop: int
    exclusive: bool  # whether the labels compete: one of several is right

    @property
    def columns(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True)
class LabelSet:
    """Labels and their hypotheses."""

    labels: tuple[str, ...]  # in the user's order: keys of doc.cats without the component's key_prefix
    wordings: tuple[Wording, ...]  # their hypotheses, the first label's first
    counts: tuple[int, ...]  # how many hypotheses each label has
    groups: tuple[LabelGroup, ...]  # the questions they answer, at least one; together they hold every column once

    @property
    def exclusive(self) -> bool:
        """Whether all labels compete with each other."""
        return len(self.groups) == 1 and self.groups[0].exclusive

    @property
    def hypotheses(self) -> tuple[str, ...]:
        """The hypotheses as text."""
        return tuple(wording.text for wording in self.wordings)

    def wordings_of(self, column: int) -> tuple[Wording, ...]:
        """The hypotheses of one label, by its place in `labels`."""
        start = sum(self.counts[:column])
        return self.wordings[start : start + self.counts[column]]


@dataclass(frozen=True)
class Question:
    """What a group of labels is made of: one entry of the setting label_groups, or the component's own settings."""

    name: str
    labels: tuple[str, ...]  # the words that fill the templates
    templates: tuple[str, ...]
    multi_label: bool = False
    threshold: float | None = None
    key_prefix: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The labels with their prefix."""
        return tuple(self.key_prefix + label for label in self.labels)


def make_label_set(questions: Sequence[Question], own: Mapping[str, Sequence[Wording]]) -> LabelSet:
    """Word labels: in the user's own words if there are any, else through every template."""
    worded: dict[str, Sequence[Wording]] = {}
    groups = []
    for question in questions:
        start = len(worded)
        for key, label in zip(question.keys, question.labels):
            worded[key] = own.get(key) or [Wording(template, label) for template in question.templates]
        # a single label has no rival
        exclusive = not question.multi_label and len(question.labels) > 1
        groups.append(LabelGroup(question.name, start, len(worded), exclusive))
    if not worded:
        raise ZeroShotError("Z001")
    wordings = tuple(chain.from_iterable(worded.values()))
    return LabelSet(tuple(worded), wordings, tuple(map(len, worded.values())), tuple(groups))


def check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Check that labels are visible strings and unique. RAISES (ZeroShotError): Z002, Z003, Z007."""
    if not isinstance(labels, (list, tuple)):
        raise ZeroShotError("Z007", setting="labels", value=labels, reason="it must be a list of strings")
    for label in labels:
        if not isinstance(label, str):
            raise ZeroShotError("Z003", label=label, reason="is not a string")
        if is_blank(label):
            raise ZeroShotError("Z003", label=label, reason="has no visible character")
        if not _is_utf8(label):
            raise ZeroShotError("Z003", label=label, reason="holds half a character (a lone surrogate)")
    if repeated := [label for label, count in Counter(labels).items() if count > 1]:
        raise ZeroShotError("Z002", label=repeated[0])
    return tuple(labels)


def check_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """Check one hypothesis template or several. RAISES (ZeroShotError): Z004 for one without exactly one plain slot."""
    listed = (templates,) if isinstance(templates, str) else tuple(templates)
    if not listed:
        raise ZeroShotError("Z007", setting="hypothesis_template", value=[], reason="the list is empty")
    for template in listed:
        parts = template.split(SLOT) if is_text(template) else []
        if len(parts) != 2 or any(brace in part for part in parts for brace in "{}"):
            raise ZeroShotError("Z004", template=template)
    return listed


def check_hypotheses(given: Iterable[Mapping[str, str]], known: Sequence[str] | None) -> dict[str, tuple[Wording, ...]]:
    """Read the setting `hypotheses`: the wordings by label. known: The labels there are; None to take any."""
    own: dict[str, tuple[Wording, ...]] = {}
    for entry in given:
        check_entry("hypotheses", entry)
        if known is not None and entry["label"] not in known:
            raise ZeroShotError("Z005", label=entry["label"], labels=list(known))
        own[entry["label"]] = (*own.get(entry["label"], ()), Wording(SLOT, entry["text"]))
    return own


def check_entry(setting: str, entry: Any) -> None:
    if not isinstance(entry, Mapping) or set(entry) != {"label", "text"} or not is_text(entry["text"]):
        raise ZeroShotError("Z006", setting=setting, entry=entry, form='{"label": "...", "text": "..."}')


def check_groups(
    entries: Sequence[Mapping[str, Any]], templates: Sequence[str], threshold: float | None = None
) -> tuple[Question, ...]:
    """Read the setting label_groups. templates, threshold: Those of groups that have none of their own."""
    questions = []
    for entry in entries:
        if not _is_group(entry):
            raise ZeroShotError("Z006", setting="label_groups", entry=entry, form=GROUP_FORM)
        own = entry.get("hypothesis_template")
        question = Question(
            entry["name"],
            check_labels(entry["labels"]),
            tuple(templates) if own is None else check_templates(own),
            entry.get("multi_label", False),
            threshold if entry.get("threshold") is None else check_threshold(entry["threshold"]),
            entry.get("key_prefix", ""),
        )
        questions.append(question)
    # neither a name nor a key of doc.cats can stand for two things
    check_labels([question.name for question in questions])
    check_labels([key for question in questions for key in question.keys])
    return tuple(questions)


def _is_group(entry: Any) -> bool:
    needed = {"name", "labels"}
    if not isinstance(entry, Mapping) or not needed <= set(entry) <= {*needed, "threshold", *GROUP_TYPES}:
        return False
    typed = all(isinstance(entry[key], kinds) for key, kinds in GROUP_TYPES.items() if key in entry)
    return typed and is_text(entry["name"]) and isinstance(entry["labels"], list) and entry["labels"] != []


def own_labels(doc: Doc) -> Sequence[str] | None:
    """What doc._.zero_shot_labels was set to, also while it is not registered."""
    key: Any = ("._.", OWN_LABELS, None, None)
    return doc.user_data.get(key)


def own_gold(
    cats: Mapping[str, float], labels: Collection[str], key_prefix: str = "", foreign: Collection[str] = ()
) -> dict[str, float]:
    """A component's part of gold cats, which may be written with its key_prefix or without: values by label. Labels it
    does not have are left out if it has any of the others. foreign: The keys that other components write."""
    mine = {key.removeprefix(key_prefix): cats[key] for key in cats if key_prefix and key.startswith(key_prefix)}
    mine = mine or {key: value for key, value in cats.items() if key not in foreign}
    return {label: value for label, value in mine.items() if label in labels} or mine


def writers_of_keys(nlp: Language) -> dict[str, list[str]]:
    """Keys of doc.cats, each with the names of the components that write it."""
    writers: dict[str, list[str]] = defaultdict(list)
    for name, pipe in nlp.components:
        if "doc.cats" in nlp.get_pipe_meta(name).assigns:
            for label in getattr(pipe, "labels", ()):
                writers[getattr(pipe, "key_prefix", "") + label].append(name)
    return writers


def is_text(value: object) -> bool:
    """Whether a value is a text that says something and that a file can hold."""
    return isinstance(value, str) and not is_blank(value) and _is_utf8(value)


def _is_utf8(text: str) -> bool:
    # a lone surrogate is half a character
    return not any("\ud800" <= character <= "\udfff" for character in text)
