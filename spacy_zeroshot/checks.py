"""What `check` looks at: labels that cannot be told apart, hypotheses that do not fit, and what a document costs."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import srsly
from spacy import util
from spacy.language import Language
from thinc.api import Config

from .component import ZeroShotTextCategorizer
from .errors import ZeroShotError, named
from .labels import check_templates, writers_of_keys
from .loading import FACTORY, NO_PIPELINE, load_pipeline, pipeline_error
from .model.types import Wording
from .tuning.score import predictor_of, score_texts

ERROR, WARNING = "error", "warning"
FOLDER = Path(__file__).parent
# Hypotheses that take more than this share of the model's room are pointed out.
LARGE = 0.5
# Labels whose scores correlate more are pointed out: synonyms do, related ones come near, others stay far below
ALIKE = 0.75
# Costs are shown of a paragraph, about one window of a BERT-like model, and an article; and of other numbers of labels.
LENGTHS = (100, 500, 5000)
LABEL_COUNTS = (10, 100, 1000)
# What texts are about, for the case that a user gives none: enough to tell most labels apart.
SAMPLES = (FOLDER / "samples.txt").read_text(encoding="utf8").splitlines()
# The template of each of the bundled model's languages
TEMPLATES: dict[str, str] = srsly.read_json(FOLDER / "templates.json")
# First words of the names that Unicode gives to letters, and the language that is mostly written so
SCRIPTS = {"LATIN": "en", "HANGUL": "ko", "HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "zh", "CYRILLIC": "ru",
           "ARABIC": "ar", "DEVANAGARI": "hi"}  # fmt: skip


class Issue(NamedTuple):
    """Something a user should know."""

    level: str  # "error" or "warning"
    code: str  # in errors.MESSAGES
    component: str  # its name in the pipeline
    message: str  # what is wrong, and what to do


class Cost(NamedTuple):
    """What one document costs."""

    wordpieces: int  # of its text
    labels: int
    windows: int
    pairs: int  # of window and hypothesis: what is scored
    passes: int  # batches that go through the model
    tokens: int  # in them, without padding


def check_pipeline(
    name: str, overrides: Mapping[str, Any] | None = None, texts: Sequence[str] = ()
) -> tuple[list[Issue], list[ZeroShotTextCategorizer]]:
    """Check every zero-shot component of a pipeline: a config file, folder or package. RETURNS (tuple): What was found,
    also that it cannot be built; and the components that could be loaded. overrides: Config values by dotted name.
    texts: Texts like those it is meant for, to be scored; none for built-in ones."""
    try:
        nlp = _open(name, dict(overrides or {}))
        pipes = [pipe for _, pipe in nlp.components if isinstance(pipe, ZeroShotTextCategorizer)]
        if not pipes:
            raise ZeroShotError("Z062", name=name, wanted=FACTORY, pipes=nlp.pipe_names)
    except NO_PIPELINE as error:
        return [_as_issue(ERROR, pipeline_error(error, name))], []
    issues, loaded = list(check_keys(nlp)), []
    for pipe in pipes:
        try:
            found = [*check_labels_of(pipe), *check_language(pipe, str(nlp.lang)), *check_room(pipe)]
            issues += found
            if pipe.labels and not any(issue.level == ERROR for issue in found) and pipe.name in nlp.pipe_names:
                # of a config, trainable components have nothing to run with, which spans of sentences may need
                idle = [n for n, other in nlp.pipeline if getattr(other, "is_trainable", False) and other not in pipes]
                if nlp.path or not idle or pipe.get_spans is None:
                    with nlp.select_pipes(disable=[] if nlp.path else idle):
                        issues += check_scores(nlp, pipe, texts)
            loaded.append(pipe)
        except ZeroShotError as error:
            issues.append(_as_issue(ERROR, error))
    return issues, loaded


def check_keys(nlp: Language) -> Iterator[Issue]:
    """Components that write the same keys of doc.cats, so that one replaces what the other wrote."""
    shared: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for key, names in writers_of_keys(nlp).items():
        shared[tuple(names)].append(key)
    for writers, keys in shared.items():
        if len(writers) > 1:
            yield _issue(WARNING, "Z079", writers[-1], components=list(writers), keys=keys)


def check_labels_of(pipe: ZeroShotTextCategorizer) -> Iterator[Issue]:
    """Labels that cannot be told apart by their words."""
    if not pipe.labels:
        yield _issue(WARNING, "Z073", pipe.name)
        return
    label_set = pipe.label_set()
    for group in label_set.groups:
        forms, owners = defaultdict(list), defaultdict(list)
        for column in range(group.start, group.stop):
            label = label_set.labels[column]
            forms[plain_form(label)].append(label)
            for hypothesis in (wording.text for wording in label_set.wordings_of(column)):
                owners[hypothesis].append(label)
        for labels in forms.values():
            if len(labels) > 1:
                yield _issue(WARNING, "Z070", pipe.name, labels=labels)
        for hypothesis, labels in owners.items():
            distinct = list(dict.fromkeys(labels))
            if len(distinct) > 1:
                yield _issue(ERROR, "Z071", pipe.name, labels=distinct, hypothesis=hypothesis)
            elif len(labels) > 1:
                yield _issue(WARNING, "Z072", pipe.name, label=distinct[0], hypothesis=hypothesis)


def check_language(pipe: ZeroShotTextCategorizer, lang: str = "") -> Iterator[Issue]:
    """Templates in another script than the labels, with one in their language; lang tells apart those of one script."""
    if pipe.has_own_prompt:
        return
    worded = {entry["label"] for entry in pipe.hypotheses}
    for group in pipe.label_groups or [{"labels": pipe.labels}]:
        labels = [label for label in group["labels"] if group.get("key_prefix", "") + label not in worded]
        written = language_of(" ".join(labels))
        for template in check_templates(group.get("hypothesis_template") or pipe.templates):
            worded_in = language_of(template)
            # what a Japanese label shares with a Chinese one are its characters
            if not written or not worded_in or worded_in == written or {written, worded_in} == {"ja", "zh"}:
                continue
            fits = lang in TEMPLATES and language_of(TEMPLATES[lang]) in (written, "ja" if written == "zh" else "")
            proposal = TEMPLATES[lang if fits else written]
            yield _issue(WARNING, "Z230", pipe.name, labels=labels, template=template, proposal=proposal)


def check_room(pipe: ZeroShotTextCategorizer) -> Iterator[Issue]:
    """Hypotheses that leave too little room for the text. RAISES (ZeroShotError): If the model cannot be loaded."""
    fits = predictor_of(pipe).scorer.max_premise_tokens
    if not pipe.labels:
        return
    hypotheses, room = list(dict.fromkeys(pipe.label_set().hypotheses)), fits(0)
    lengths = wordpieces(pipe, hypotheses)
    for hypothesis, length in zip(hypotheses, lengths):
        # of some models a hypothesis takes no room from the text
        left = fits(length)
        if left < 1:
            yield _issue(ERROR, "Z011", pipe.name, hypothesis=hypothesis, length=length, room=room - 1)
        elif left < (1 - LARGE) * room:
            yield _issue(WARNING, "Z074", pipe.name, hypothesis=hypothesis, length=length, left=left, room=room)
    left, overlap = fits(max(lengths)), pipe.window_overlap
    if pipe.long_text != "windows" or left < 1:
        return
    if overlap >= left:
        yield _issue(ERROR, "Z012", pipe.name, overlap=overlap, room=left)
    elif overlap > left // 2:
        yield _issue(WARNING, "Z075", pipe.name, overlap=overlap, room=left, half=left // 2)


def check_scores(nlp: Language, pipe: ZeroShotTextCategorizer, texts: Sequence[str] = ()) -> Iterator[Issue]:
    """Labels whose scores go together over texts like those the pipeline is meant for, or over built-in ones."""
    label_set = pipe.label_set()
    (logits,) = score_texts(nlp, pipe, texts or SAMPLES, [label_set]).logits
    for group in label_set.groups:
        for i, j, value in alike(logits[:, group.columns]):
            labels = [label_set.labels[group.start + i], label_set.labels[group.start + j]]
            yield _issue(WARNING, "Z076", pipe.name, labels=labels, value=value)


def alike(logits: np.ndarray) -> list[tuple[int, int, float]]:
    """Pairs of columns of logits, shape (texts, labels), that go together, and their correlation, the closest first.
    What is common to all labels of a text is left out, so that of two labels nothing can be said."""
    if len(logits) < 3 or logits.shape[1] < 3:
        return []
    # of a column without variance nothing is known: NaN, which is not above anything
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.corrcoef(logits - logits.mean(axis=1, keepdims=True), rowvar=False)
    pairs = combinations(range(logits.shape[1]), 2)
    found = [(i, j, float(correlation[i, j])) for i, j in pairs if correlation[i, j] > ALIKE]
    return sorted(found, key=lambda pair: -pair[2])


def costs(
    pipe: ZeroShotTextCategorizer, lengths: Sequence[int] = LENGTHS, counts: Sequence[int] = LABEL_COUNTS
) -> list[Cost]:
    """What documents of several lengths in wordpieces cost with the component's labels; and what the first would cost
    with other numbers of labels that are worded alike. Counted on the model's own batches."""
    predictor, overlap = predictor_of(pipe), pipe.window_overlap
    hypotheses, n_labels = pipe.label_set().wordings, len(pipe.labels)
    room = predictor.scorer.max_premise_tokens(max(wordpieces(pipe, hypotheses)))
    found = []
    for length, count in [*((length, n_labels) for length in lengths), *((lengths[0], count) for count in counts)]:
        asked = tuple(islice(cycle(hypotheses), round(count * len(hypotheses) / n_labels)))
        read = length if pipe.long_text == "windows" else min(length, room)
        starts = range(0, max(read - overlap, 1), room - overlap)
        windows = [
            SimpleNamespace(ids=np.zeros(min(room, read - start), "int64"), set=0, first=number * len(asked))
            for number, start in enumerate(starts)
        ]
        sets = [predictor.tokenizer.hypothesis_set(asked)]
        tokens = [batch.n_tokens for batch in predictor.scorer.batches(windows, sets, predictor.budget)]
        found.append(Cost(length, count, len(windows), len(windows) * len(asked), len(tokens), sum(tokens)))
    return found


def wordpieces(pipe: ZeroShotTextCategorizer, hypotheses: Sequence[Wording | str]) -> list[int]:
    """Lengths of hypotheses in wordpieces, without special tokens."""
    return [len(ids) for ids in predictor_of(pipe).tokenizer.hypothesis_set(tuple(hypotheses)).pieces]


def plain_form(label: str) -> str:
    """A label without case, spacing, punctuation and plural endings: equal for labels that read alike."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", label).casefold().replace("_", " "))
    # a label of signs only ("+", "-") is told apart by them
    return " ".join(_singular(word) for word in words) or label


def language_of(text: str) -> str:
    """The language that SCRIPTS has for a text's script: "en" for all Latin ones, "" for others."""
    letters = [unicodedata.name(char, "").split(" ")[0].split("-")[0] for char in text if char.isalpha()]
    found = Counter(SCRIPTS[name] for name in letters if name in SCRIPTS)
    if "ja" in found and "zh" in found:
        found["ja"] += found.pop("zh")
    return found.most_common(1)[0][0] if found else ""


def _open(name: str, overrides: dict[str, Any]) -> Language:
    path = Path(name)
    if path.suffix != ".cfg" and not path.is_file():
        return load_pipeline(name, config=overrides)
    if not path.is_file():
        raise ZeroShotError("Z060", what="config", value=name, reason="there is no such file")
    config = util.load_config(path, overrides=overrides, interpolate=True)
    # training data need not be there yet
    wanted = Config({section: config[section] for section in ("nlp", "components") if section in config})
    return util.load_model_from_config(wanted, auto_fill=True, validate=True)


def _issue(level: str, code: str, component: str, **values: Any) -> Issue:
    with named(component):
        return _as_issue(level, ZeroShotError(code, **values))


def _as_issue(level: str, error: ZeroShotError) -> Issue:
    component = error.component or ""
    message = str(error).removeprefix(f"[{error.code}] ").removeprefix(f"{component}: ")
    return Issue(level, error.code, component, message)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(s|x|z|ch|sh)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
