"""What `check` looks at: labels that read alike, hypotheses that do not fit, and what a document costs.

Findings are data; the command prints them. A check is a function that takes a component and yields findings.
"""

import re
import unicodedata
import warnings
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from spacy import util
from spacy.language import Language
from thinc.api import Config

from .component import ZeroShotTextCategorizer
from .decisions import check_thresholds
from .errors import COMPONENT, ZeroShotError
from .findings import ERROR, WARNING, Finding, finding, from_error
from .hypotheses import check_hypotheses, check_labels, check_own_labels, check_template
from .opening import pipeline_error, zero_shot_names
from .score_checks import check_scores

COMMAND = "check"
# Hypotheses that take more than this share of the model's room are pointed out.
LARGE = 0.5


class Report(NamedTuple):
    """What was found in a pipeline.

    findings (List[Finding]): Errors and warnings, component by component.
    pipes (List[ZeroShotTextCategorizer]): The components that could be built and loaded, to work out their cost.
    """

    findings: List[Finding]
    pipes: List[ZeroShotTextCategorizer]

    @property
    def has_errors(self) -> bool:
        """RETURNS (bool): Whether some finding is an error."""
        return any(found.level == ERROR for found in self.findings)


def check_pipeline(name: str, overrides: Optional[Mapping[str, Any]] = None, texts: Sequence[str] = ()) -> Report:
    """Check every zero-shot component of a pipeline.

    name (str): A config file, or a pipeline's folder or package.
    overrides (Optional[Mapping[str, Any]]): Config values by dotted name, e.g. {"paths.train": "train.spacy"}.
    texts (Sequence[str]): Texts like those it is meant for, to be scored; none for built-in ones.
    RETURNS (Report): What was found. A pipeline that cannot be built is a finding, too.
    """
    changed = dict(overrides or {})
    try:
        findings = check_config(_read_config(name, changed))
        if findings:
            return Report(findings, [])
        with warnings.catch_warnings():
            # check_alike says it
            warnings.filterwarnings("ignore", message=r"\[Z105\]")
            nlp = _build(name, changed)
        names = zero_shot_names(nlp)
        if not names:
            raise ZeroShotError("Z062", COMMAND, name=name, pipes=nlp.pipe_names)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        return Report([from_error(pipeline_error(error, name, COMMAND))], [])
    pipes: List[ZeroShotTextCategorizer] = [nlp.get_pipe(name) for name in names]  # type: ignore[misc]
    loaded = []
    for pipe in pipes:
        try:
            of_labels = [*check_alike(pipe), *check_room(pipe)]
            findings.extend(of_labels)
            if pipe.labels and not any(found.level == ERROR for found in of_labels):
                findings.extend(check_scores(nlp, pipe, texts))
            loaded.append(pipe)
        except ZeroShotError as error:
            findings.append(from_error(error))
    return Report(findings, loaded)


def check_config(config: Mapping[str, Any]) -> List[Finding]:
    """Look for all mistakes in the settings at once; the component itself stops at the first.

    config (Mapping[str, Any]): A pipeline's config.
    RETURNS (List[Finding]): Errors.
    """
    findings: List[Finding] = []
    for name, block in config.get("components", {}).items():
        if block.get("factory") != COMPONENT:
            continue
        for check, *arguments in _config_checks(block, name):
            try:
                check(*arguments)
            except ZeroShotError as error:
                findings.append(from_error(error))
    return list(dict.fromkeys(findings))


def check_alike(pipe: ZeroShotTextCategorizer) -> Iterator[Finding]:
    """Look for labels that cannot be told apart.

    pipe (ZeroShotTextCategorizer): The component.
    YIELDS (Finding): Warnings.
    """
    if not pipe.labels:
        yield finding(WARNING, "Z073", pipe.name)
        return
    for template in pipe.unused_templates:
        yield finding(WARNING, "Z105", pipe.name, template=template)
    forms: Dict[str, List[str]] = {}
    for label in pipe.labels:
        forms.setdefault(plain_form(label), []).append(label)
    for labels in forms.values():
        if len(labels) > 1:
            yield finding(WARNING, "Z070", pipe.name, labels=labels)
    owners: Dict[str, List[str]] = {}
    for label, hypotheses in hypotheses_by_label(pipe).items():
        for hypothesis in hypotheses:
            owners.setdefault(hypothesis, []).append(label)
    for hypothesis, labels in owners.items():
        distinct = list(dict.fromkeys(labels))
        if len(distinct) > 1:
            yield finding(ERROR, "Z071", pipe.name, labels=distinct, hypothesis=hypothesis)
        elif len(labels) > 1:
            yield finding(WARNING, "Z072", pipe.name, label=distinct[0], hypothesis=hypothesis)


def check_room(pipe: ZeroShotTextCategorizer) -> Iterator[Finding]:
    """Look for hypotheses that leave too little room for the text. Loads the model.

    pipe (ZeroShotTextCategorizer): The component.
    YIELDS (Finding): Errors and warnings.
    RAISES (ZeroShotError): If the model cannot be loaded.
    """
    runtime = pipe.model.shims[0].runtime  # type: ignore[attr-defined]
    if not pipe.labels:
        return
    hypotheses = list(dict.fromkeys(pipe.wording().hypotheses))
    lengths = [len(pieces.ids) for pieces in runtime.tokens.split_cached(hypotheses)]
    room = runtime.layout.room(0)
    for hypothesis, length in zip(hypotheses, lengths):
        # of some models a hypothesis takes no room from the text
        left = runtime.layout.room(length)
        shown = hypothesis if len(hypothesis) <= 60 else hypothesis[:59] + "…"
        if left < 1:
            yield finding(ERROR, "Z011", pipe.name, hypothesis=shown, length=length, room=room - 1)
        elif left < (1 - LARGE) * room:
            yield finding(WARNING, "Z074", pipe.name, hypothesis=shown, length=length, left=left, room=room)
    left, overlap = runtime.layout.room(max(lengths)), pipe.reading.window_overlap
    if pipe.reading.long_text != "windows" or left < 1:
        return
    if overlap >= left:
        yield finding(ERROR, "Z012", pipe.name, overlap=overlap, room=left)
    elif overlap > left // 2:
        yield finding(WARNING, "Z075", pipe.name, overlap=overlap, room=left, half=left // 2)


def hypotheses_by_label(pipe: ZeroShotTextCategorizer) -> Dict[str, Tuple[str, ...]]:
    """The hypotheses of each label.

    pipe (ZeroShotTextCategorizer): A component with labels.
    RETURNS (Dict[str, Tuple[str, ...]]): Hypotheses by label, in order.
    """
    wording = pipe.wording()
    texts = iter(wording.hypotheses)
    return {label: tuple(next(texts) for _ in range(n)) for label, n in zip(wording.labels, wording.counts)}


def plain_form(label: str) -> str:
    """What is left of a label without case, spacing, punctuation and plural endings.

    label (str): The label.
    RETURNS (str): Equal for labels that read alike.
    """
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", label).casefold().replace("_", " "))
    # a label of signs only ("+", "-") is told apart by them
    return " ".join(_singular(word) for word in words) or label


def _config_checks(block: Mapping[str, Any], name: str) -> Iterator[Tuple[Any, ...]]:
    """The component's own checks, one by one. Settings of a wrong type are left to its factory."""
    template = block.get("hypothesis_template", [])
    for one in [template] if isinstance(template, str) else template:
        if isinstance(one, str):
            yield check_template, one, name
    labels = block.get("labels") or []
    if not isinstance(labels, list):
        return
    for i, label in enumerate(labels):
        yield check_labels, [label], name
        if label in labels[:i]:
            yield check_labels, [label, label], name
    for entry in block.get("hypotheses") or []:
        yield _check_wording, entry, labels, name
    for entry in block.get("label_thresholds") or []:
        yield _check_threshold, entry, labels, name


def _check_wording(entry: Mapping[str, str], labels: Sequence[str], name: str) -> None:
    check_own_labels(check_hypotheses([entry], name), labels, name)


def _check_threshold(entry: Mapping[str, object], labels: Sequence[str], name: str) -> None:
    for label in check_thresholds(0.5, [entry], name):
        if labels and label not in labels:
            raise ZeroShotError("Z009", name, label=label, labels=list(labels))


def _read_config(name: str, overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    path = Path(name)
    if path.is_dir():
        path = path / "config.cfg"
    elif path.suffix != ".cfg" and not path.exists():
        # a package: it could be built once, and its settings are looked at as spaCy loads it
        return {}
    if not path.is_file():
        raise ZeroShotError("Z060", COMMAND, what="config", value=name, reason="there is no such file")
    return util.load_config(path, overrides=dict(overrides), interpolate=True)


def _build(name: str, overrides: Mapping[str, Any]) -> Language:
    if Path(name).is_file():
        config = util.load_config(name, overrides=dict(overrides), interpolate=True)
        # training data need not be there yet
        wanted = Config({section: config[section] for section in ("nlp", "components") if section in config})
        return util.load_model_from_config(wanted, auto_fill=True, validate=True)
    return util.load_model(name, config=dict(overrides))


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(s|x|z|ch|sh)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
