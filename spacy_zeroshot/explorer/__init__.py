"""What the page of `explore` shows: how labels and wordings do on texts, and what a person's corrections say of them.

No web in here; page.py puts it on a page.
"""

import heapq
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch
from thinc.api import Config
from thinc.types import Floats1d, Floats2d

from .. import display
from ..component import DEFAULTS, ZeroShotTextCategorizer
from ..decisions import Rule, decide_rows
from ..evaluation import Figures, figures, with_none
from ..evaluation import spread as evenly
from ..labels import LabelGroup, LabelSet, check_templates
from ..model.types import Wording
from ..premises import is_blank
from ..readers import ACCEPT, LabelledText, Row, label_names
from ..review import uncertainty
from ..tuning.score import BATCH, docs_before, gold_array, predictor_of
from ..tuning.tune import Tuned, tune
from ..util import Track, check_output, no_progress, replace_folder

# What is computed of texts is kept up to so many bytes, for the labels to come
MEMORY = 1 << 30
BINS = 20
MOST_OVERLAPS = 8
# What the page changes. All of it is taken at once, because single settings may contradict what is there.
EDITED = ("labels", "label_groups", "multi_label", "threshold", "hypothesis_template", "hypotheses", "none_label")
BY_LABEL = ("label_thresholds", "calibration")
WINDOWS = "explorer"


class TextRow(NamedTuple):
    """A text in the table."""

    number: int
    text: str
    scores: list[tuple[str, float]]  # of every label, the best first
    chosen: list[str]  # the decision, the best first
    unsure: float  # from 0, for a sure decision, to 1
    gold: tuple[str, ...] | None  # what a person said
    is_right: bool | None  # whether the decision is just that; None if its labels are not among the present ones


class LabelSummary(NamedTuple):
    """How a label's scores are distributed over the texts."""

    label: str
    group: str
    hypotheses: tuple[str, ...]
    counts: list[int]  # (BINS,): texts by their score
    threshold: float  # 0.0 for none
    chosen: int  # texts that got it
    mean: float


class Overlap(NamedTuple):
    """Two labels of one group that score on the same texts."""

    labels: tuple[str, str]
    share: float  # Ruzicka similarity of their scores: the sum of minima over the sum of maxima
    confused: int  # corrected texts that got one and should have got the other
    example: int  # the text that both have the largest part of


class View(NamedTuple):
    """All that the page shows of the texts."""

    rows: list[TextRow]
    labels: list[LabelSummary]
    overlaps: list[Overlap]  # the most alike first
    answered: int  # texts with a person's answer
    figures: Figures | None  # how well the decisions meet these


class Explorer:
    """At most `limit` texts, a component that is changed by what is tried, and the answers of a person."""

    def __init__(self, nlp: Language, pipe: ZeroShotTextCategorizer, limit: int = 500):
        self.nlp, self.pipe, self.limit = nlp, pipe, limit
        self.docs: list[Doc] = []
        # how many texts there were before the limit
        self.total = 0
        # right labels by text, so that they outlive another choice of texts
        self.gold: dict[str, tuple[str, ...]] = {}
        # (texts,) each: label logits by a label's hypotheses, and whether it competes with others
        self._logits: dict[tuple[tuple[Wording, ...], bool], Floats1d] = {}

    def load(self, rows: Iterable[Row]) -> None:
        """Take other texts, as readers.read_rows gives them; blank ones are left out. Labels that come with texts count
        as a person's answers, and a component without labels takes them."""
        kept = [row for row in rows if not is_blank(row.text)]
        labelled = [LabelledText(row.text, row.labels) for row in kept if row.labels and row.answer == ACCEPT]
        names = [label for label in label_names(labelled) if label != self.pipe.none_label]
        if names and not self.pipe.labels:
            self.pipe.set_labels(names)
        self.total = len(kept)
        kept = evenly(kept, self.limit)
        self.gold.update({row.text: row.labels for row in kept if row.labels is not None and row.answer == ACCEPT})
        self.docs = [doc for doc, _ in docs_before(self.nlp, self.pipe.name, [row.text for row in kept])]
        self._logits.clear()

    def change(self, settings: Mapping[str, Any]) -> None:
        """Change some of EDITED, as a config has them: all or none. Labels that stay keep theirs of BY_LABEL."""
        before = {name: self.pipe.setting(name) for name in (*EDITED, *BY_LABEL)}
        after = {**before, **settings}
        groups = after["label_groups"] or [{"labels": after["labels"]}]
        keys = {group.get("key_prefix", "") + label for group in groups for label in group["labels"]}
        for name in BY_LABEL:
            after[name] = [entry for entry in after[name] if entry["label"] in keys]
        try:
            self._assign(after)
        except BaseException:
            self._assign(before)
            raise

    def scores(self, track: Track = no_progress) -> Floats2d:
        """Scores of shape (texts, labels). The model reads each text once, and runs for new hypotheses only."""
        label_set = self.pipe.label_set()
        if self.pipe.examples and self.pipe.examples_weight:
            # their votes depend on all labels
            found = chain.from_iterable(map(self.pipe.predict, minibatch(self.docs, BATCH)))
            scored = [one.scores for one in track(found, len(self.docs), "texts")]
            return np.array(scored).reshape(-1, len(label_set.labels))
        columns = [(column, group) for group in label_set.groups for column in range(group.start, group.stop)]
        keys = [(label_set.wordings_of(column), group.exclusive) for column, group in columns]
        scorer = predictor_of(self.pipe).scorer
        fits = scorer.max_premise_tokens
        if fits(0) != fits(8) and self._logits.keys() != set(keys):
            # the longest hypothesis says how long a window is
            self._logits.clear()
        new = [key for key in dict.fromkeys(keys) if key not in self._logits]
        if new:
            if not self._logits and (cache := getattr(scorer, "recent_texts", None)) is not None:
                cache.limit = MEMORY
            batches = (self.pipe.label_logits(batch, _alone(new)) for batch in minibatch(self.docs, BATCH))
            rows = track(chain.from_iterable(batches), len(self.docs), "texts")
            self._logits.update(zip(new, np.array(list(rows)).reshape(-1, len(new)).T))
        return self.pipe.scores_from(np.stack([self._logits[key] for key in keys], axis=1), label_set)

    def view(self) -> View:
        """What the texts show of the labels, as they are set now. RAISES (ZeroShotError): As scores."""
        label_set, scores = self.pipe.label_set(), self.scores()
        rules, chosen = self.pipe.rules(label_set), np.zeros(scores.shape, dtype=bool)
        for group, rule in zip(label_set.groups, rules):
            chosen[:, group.columns] = decide_rows(scores[:, group.columns], label_set.labels[group.columns], rule)
        known, answers = self._answers()
        gold = gold_array(answers, self.nlp, self.pipe, self.pipe.none_label)
        right = dict(zip(known, (gold == chosen[known]).all(axis=1).tolist()))
        rows = []
        for number, (doc, values, mine) in enumerate(zip(self.docs, scores, chosen)):
            order = np.argsort(-values, kind="stable").tolist()
            ranked = [(label_set.labels[i], float(values[i])) for i in order]
            decision = [label_set.labels[i] for i in order if mine[i]]
            unsure = uncertainty(values, label_set, rules)
            rows.append(TextRow(number, doc.text, ranked, decision, unsure, self.gold.get(doc.text), right.get(number)))
        overlaps = _overlaps(scores, gold, chosen[known], label_set) if self.docs else []
        measured = figures(with_none(gold), with_none(chosen[known])) if known else None
        return View(rows, _summaries(scores, chosen, label_set, rules), overlaps, len(known), measured)

    def correct(self, number: int, labels: Sequence[str] | None) -> None:
        """Take a person's answer: a text's right labels; None takes it back."""
        text = self.docs[number].text
        self.gold.pop(text, None)
        if labels is not None:
            self.gold[text] = tuple(labels)

    def tune(self) -> Tuned:
        """What `tune` finds on a person's answers. RAISES (ZeroShotError): Z200, Z202."""
        return tune(self.nlp, self._answers()[1], component=self.pipe.name)

    def render(self, number: int, label: str | None = None, explain: bool = False) -> tuple[str, int]:
        """Show one text, with the windows that support a label (None: the best one), or with the words that do: HTML,
        with all of the text escaped; and in how many windows it was scored."""
        doc = self.docs[number].copy()
        found = self.pipe.predict([doc])
        self.pipe.set_annotations([doc], found, WINDOWS)
        n_windows = len(found[0].windows)
        html = display.render(
            doc,
            spans_key=WINDOWS if n_windows > 1 else None,
            label=label and self.pipe.key_prefix + label,
            explanation=self.pipe.explain(doc, label) if explain else None,
            jupyter=False,
        )
        return str(html), n_windows

    def save(self, folder: Path, overwrite: bool = False) -> None:
        """Save the pipeline. RAISES (ZeroShotError): Z060, Z092 for a folder that may not be written."""
        check_output(folder, overwrite)
        with replace_folder(folder) as fresh:
            self.nlp.to_disk(fresh)

    def config(self) -> str:
        """The component's block of a config, with the settings that are not the defaults."""
        block = self.nlp.get_pipe_config(self.pipe.name)
        model = {key: value for key, value in block["model"].items() if value is not None}
        changed = {key: value for key, value in block.items() if key in DEFAULTS and value != DEFAULTS[key]}
        mine = {"factory": block["factory"], **changed, "model": model}
        text = Config({"components": {self.pipe.name: mine}}).to_str().removeprefix("[components]").strip()
        # letters as they are, not as \uXXXX
        return re.sub(r'"(?:[^"\\]|\\.)*"', lambda value: json.dumps(json.loads(value[0]), ensure_ascii=False), text)

    def _assign(self, settings: Mapping[str, Any]) -> None:
        # nothing is left that a setting could contradict
        self.pipe.set_labels([], [])
        for name, value in settings.items():
            self.pipe.change(name, value)

    def _answers(self) -> tuple[list[int], list[LabelledText]]:
        """The texts whose right labels are all among the present ones: their numbers, and with these labels."""
        allowed = {*self.pipe.labels, self.pipe.none_label}
        right = [self.gold.get(doc.text) for doc in self.docs]
        known = {i: labels for i, labels in enumerate(right) if labels is not None and allowed.issuperset(labels)}
        return [*known], [LabelledText(self.docs[i].text, labels) for i, labels in known.items()]


def form_of(pipe: ZeroShotTextCategorizer) -> dict[str, Any]:
    """The form that says what a component's settings say, as settings_of reads it."""
    alone = {"name": "", "labels": list(pipe.labels), "multi_label": pipe.multi_label, "threshold": pipe.threshold}
    alone.update(hypothesis_template=pipe.templates, key_prefix="")
    own = [{key: value for key, value in group.items() if value is not None} for group in pipe.label_groups]
    groups = [{**alone, **group} for group in own or [{}]]
    for group in groups:
        group["hypothesis_template"] = list(check_templates(group["hypothesis_template"]))
    wordings = [f"{entry['label']} = {entry['text']}" for entry in pipe.hypotheses]
    return {"groups": groups, "wordings": wordings, "none_label": pipe.none_label}


def settings_of(form: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the component. form: "groups", each like an entry of label_groups, but one alone may have no name;
    "wordings", each "label = text"; "none_label"."""
    groups, wordings = form["groups"], [line.partition("=") for line in form["wordings"]]
    hypotheses = [{"label": label.strip(), "text": text.strip()} for label, _, text in wordings]
    settings = {"hypotheses": hypotheses, "none_label": form["none_label"]}
    if any(group["name"] or group["key_prefix"] for group in groups):
        # each group says what holds for it
        return {**settings, "labels": [], "label_groups": groups, "threshold": None, "multi_label": False}
    alone = groups[0] if groups else {"labels": []}
    return {**settings, "label_groups": [], **{name: alone[name] for name in alone if name in EDITED}}


def _alone(keys: Sequence[tuple[tuple[Wording, ...], bool]]) -> LabelSet:
    """A label set of labels that do not meet: each with its hypotheses, and whether only entailment counts for it."""
    return LabelSet(
        tuple(map(str, range(len(keys)))),
        tuple(wording for wordings, _ in keys for wording in wordings),
        tuple(len(wordings) for wordings, _ in keys),
        tuple(LabelGroup("", i, i + 1, exclusive) for i, (_, exclusive) in enumerate(keys)),
    )


def _summaries(scores: Floats2d, chosen: np.ndarray, label_set: LabelSet, rules: Sequence[Rule]) -> list[LabelSummary]:
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    return [
        LabelSummary(
            label_set.labels[column],
            group.name,
            tuple(wording.text for wording in label_set.wordings_of(column)),
            np.bincount(bins[:, column], minlength=BINS).tolist(),
            rule.label_thresholds.get(label_set.labels[column], rule.threshold),
            int(chosen[:, column].sum()),
            float(scores[:, column].mean()) if len(scores) else 0.0,
        )
        for group, rule in zip(label_set.groups, rules)
        for column in range(group.start, group.stop)
    ]


def _overlaps(scores: Floats2d, gold: np.ndarray, chosen: np.ndarray, label_set: LabelSet) -> list[Overlap]:
    """Pairs of labels, those that share most first. gold and chosen: Of the corrected texts alone."""
    missed, extra = gold & ~chosen, chosen & ~gold
    found = []
    for group in label_set.groups:
        for a, b in combinations(range(group.start, group.stop), 2):
            both = np.minimum(scores[:, a], scores[:, b])
            share = float(both.sum() / max(np.maximum(scores[:, a], scores[:, b]).sum(), 1e-9))
            confused = (missed[:, a] & extra[:, b]) | (missed[:, b] & extra[:, a])
            pair = label_set.labels[a], label_set.labels[b]
            found.append(Overlap(pair, share, int(confused.sum()), int(both.argmax())))
    return heapq.nlargest(MOST_OVERLAPS, found, key=lambda pair: (pair.share, pair.confused))
