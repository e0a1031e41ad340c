"""The pipeline component zero_shot_textcat: documents in, doc.cats out.

It knows a model only as thinc's Model[NLIInput, NLIOutput] (model/types.py). torch and transformers are not imported
here, because every Language() imports this file.
"""

import json
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary, ref

import numpy as np
from spacy import util
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc, SpanGroup
from spacy.training import Example, validate_examples, validate_get_examples
from thinc.api import Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d

from . import settings as fields
from .decisions import Decision, RankedLabels, Rule, decide, default_rule, is_number, is_share, rank
from .errors import ZeroShotError, named, warn
from .explain import Explanation, explain
from .labels import (
    OWN_LABELS,
    SLOT,
    LabelSet,
    Question,
    check_labels,
    check_templates,
    make_label_set,
    own_gold,
    own_labels,
    writers_of_keys,
)
from .model.architectures import check_model
from .model.types import DEFAULT_TEMPLATE, NLIInput, WindowConfig
from .neighbors import ExampleStore, mix
from .premises import Premise, SpanGetter, count_unread, is_blank, premises_of, window_spans
from .scores import DocScores, WindowLogits, blank_doc, calibrate, pool_windows, split_by_label_set, to_scores
from .settings import Settings, as_json, check_settings
from .training import draw_examples, loss_of

SETTINGS_FORMAT = 2
# Batches that a GPU has before it: one computes while another is laid out
BATCHES_AHEAD = 2
# Documents, and what gives their scores
Prediction = tuple[list[Doc], Callable[[], list[DocScores]]]
# What names a checkpoint in the model block of a config, and what says how its logits are to be understood
CHECKPOINT = {"model.@architectures", "model.name", "model.revision"}
MEANING = ("entailment", "contradiction", "temperature", "midpoint", "prompt")

# Each component's pipeline, to know where its settings are configured. Not an attribute: it would travel in pickles.
_pipelines: "WeakKeyDictionary[ZeroShotTextCategorizer, ref[Language] | None]" = WeakKeyDictionary()


@Language.factory(
    "zero_shot_textcat",
    assigns=["doc.cats"],
    default_config={
        "model": {"@architectures": "spacy_zeroshot.NLIClassifier.v1"},
        "scorer": {"@scorers": "spacy_zeroshot.zero_shot_textcat_scorer.v1"},
    },
    default_score_weights={
        "cats_score": 1.0,
        "cats_score_desc": None,
        **{f"cats_{average}_{figure}": None for average in ("micro", "macro") for figure in "prf"},
        "cats_macro_auc": None,
        "cats_f_per_type": None,
    },
)
class ZeroShotTextCategorizer(TrainablePipe):
    """Scores labels that a model was never trained on, by natural language inference (Yin et al., 2019).

    nlp (Language): The pipeline.
    name (str): The component's name in it.
    model (Model[NLIInput, NLIOutput]): Gives evidence for and against hypotheses on a text.
    scorer (Callable | None): The scoring method.
    abstain, calibrated: Settings of 0.1.0, for pipelines that it saved. Leave them out.
    RAISES (ZeroShotError): Z002 to Z009 for settings that are not possible.

    All other arguments are settings, which docs/settings.md describes. They are attributes, too: assigned ones are
    checked, saved by nlp.to_disk, and written to nlp.config.
    """

    label_groups = fields.typed(list)
    none_label = fields.optional(fields.visible_text())
    hypothesis_template = fields.typed(str, list)
    hypotheses = fields.typed(list)
    multi_label = fields.typed(bool)
    threshold = fields.optional(fields.share())
    label_thresholds = fields.NumberByLabel("threshold", is_share, "it must lie in [0, 1]")
    top_k = fields.optional(fields.whole(1))
    calibration = fields.NumberByLabel("bias", np.isfinite, "a bias is a finite number")
    temperature = fields.Setting(lambda value: is_number(value) and 0 < value < np.inf, "it must be above 0 and finite")
    n_neighbors = fields.whole(1)
    examples_weight = fields.share()
    key_prefix = fields.typed(str)
    long_text = fields.one_of("windows", "truncate")
    window_overlap = fields.whole(0)
    pooling = fields.one_of("max", "mean", "first")
    spans_key = fields.optional(fields.visible_text())
    trainable = fields.typed(bool)
    train_encoder = fields.typed(bool)
    max_negatives = fields.whole(1)

    def __init__(
        self,
        nlp: Language,
        name: str = "zero_shot_textcat",
        *,
        model: Model,
        # spaCy checks defaults by the same types as settings; nothing changes these lists
        labels: list[str] = [],
        label_groups: list[dict[str, Any]] = [],
        none_label: str | None = None,
        hypothesis_template: str | list[str] = DEFAULT_TEMPLATE,
        hypotheses: list[dict[str, str]] = [],
        multi_label: bool = False,
        threshold: float | None = None,
        label_thresholds: list[dict[str, str | float]] = [],
        top_k: int | None = None,
        calibration: list[dict[str, str | float]] = [],
        temperature: float = 1.0,
        examples: str | list[dict[str, str]] = [],
        n_neighbors: int = 8,
        examples_weight: float = 0.5,
        key_prefix: str = "",
        long_text: Literal["windows", "truncate"] = "windows",
        window_overlap: int = 64,
        pooling: Literal["max", "mean", "first"] = "max",
        get_spans: SpanGetter | None = None,
        spans_key: str | None = None,
        trainable: bool = False,
        train_encoder: bool = False,
        max_negatives: int = 5,
        scorer: Callable | None = None,
        abstain: float | None = None,
        calibrated: bool | None = None,
    ):
        given = {key: value for key, value in locals().items() if key in DEFAULTS}
        self.vocab = nlp.vocab
        self.name = name
        self.model = model
        # only the user's own entries: declared settings in here would beat the overrides of spacy.load
        self.cfg: dict[str, Any] = {}
        self.scorer = scorer
        self.get_spans = get_spans
        self._warned_unread = False
        self._loads_model = True
        self._settings = Settings(DEFAULTS)
        self._examples = ExampleStore()
        # the label set of these settings
        self._worded: tuple[Settings, LabelSet] | None = None
        with named(name):
            check_model(model)
            fields.check_dollars(given)
            fields.take_old_settings(given, abstain, calibrated)
            self._take({**given, "labels": fields.undo_joints(labels)})
        _pipelines[self] = ref(nlp)
        register_extensions()

    # Settings

    def setting(self, name: str) -> Any:
        """RETURNS (Any): A setting, as the config has it. name (str): Its name."""
        return self._settings.values[name]

    def change(self, name: str, value: Any) -> None:
        """Change a setting, given as a config has it. RAISES (ZeroShotError): Z002 to Z009; then the old one stays."""
        with named(self.name):
            self._take({**self._settings.values, name: value})
            self._write_config(name)

    @property
    def examples(self) -> ExampleStore:
        """RETURNS (ExampleStore): The labelled examples. Assign a list of entries, or the path of a file."""
        return self._examples

    @examples.setter
    def examples(self, value: str | Sequence[Mapping[str, str]]) -> None:
        self.change("examples", value)

    @property
    def is_trainable(self) -> bool:
        """RETURNS (bool): The setting `trainable`."""
        return self.trainable

    # Labels

    @property
    def labels(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The labels of all groups, without key_prefix."""
        return self._settings.labels

    @labels.setter
    def labels(self, labels: Sequence[str]) -> None:
        self.set_labels(labels)

    @property
    def label_data(self) -> list[str]:
        """RETURNS (list[str]): What initialize(labels=...) takes."""
        return list(self.labels)

    @property
    def templates(self) -> tuple[str, ...]:
        """RETURNS (tuple[str, ...]): The hypothesis templates in use; just the slot for a model with a prompt."""
        return (SLOT,) if self.has_own_prompt else check_templates(self.hypothesis_template)

    @property
    def has_own_prompt(self) -> bool:
        """RETURNS (bool): Whether the model reads labels as they are, in a prompt of its own."""
        return bool(self.model.attrs.get("plain_labels"))

    def set_labels(self, labels: Sequence[str], hypotheses: Sequence[Mapping[str, str]] | None = None) -> None:
        """Replace the labels, from the next document on.

        labels (Sequence[str]): The new labels. Thresholds and calibration of labels that go, go with them.
        hypotheses (Sequence[Mapping[str, str]] | None): Own wordings; None keeps those of labels that stay.
        RAISES (ZeroShotError): Z002 to Z007.
        """
        with named(self.name):
            kept = fields.entries_of(check_labels(labels), self._settings.values)
            if hypotheses is not None:
                kept["hypotheses"] = hypotheses
            self._take({**self._settings.values, **kept, "labels": labels, "label_groups": []})
            self._write_config("labels", "label_groups", *kept)

    def add_label(self, label: str) -> int:
        """Add a label. RETURNS (int): 0 if it is already there, otherwise 1. RAISES (ZeroShotError): Z003 for a blank
        one, Z007 where labels are given in groups."""
        if label in self.labels:
            return 0
        with named(self.name):
            if self.label_groups:
                raise ZeroShotError("Z007", setting="labels", value=label, reason="label_groups has them; set that")
            self.set_labels((*self.labels, label))
        return 1

    def label_set(
        self,
        labels: Sequence[str] | None = None,
        templates: str | Sequence[str] | None = None,
        multi_label: bool | None = None,
    ) -> LabelSet:
        """RETURNS (LabelSet): Labels worded as hypotheses. Nothing is changed: what is given holds for it alone.
        RAISES (ZeroShotError): Z001 if there are no labels, Z002 to Z007 for what cannot be used."""
        with named(self.name):
            if labels is None and templates is None and multi_label is None:
                return self._own_label_set()
            questions, own = self._settings.questions, self._settings.own
            if labels is not None:
                if self.label_groups and templates is None:
                    # a label of a group is worded as there
                    known = self._own_label_set()
                    own = {**{label: known.wordings_of(i) for i, label in enumerate(known.labels)}, **own}
                questions = (Question("", check_labels(labels), self.templates, self.multi_label),)
            changes: dict[str, Any] = {} if multi_label is None else {"multi_label": multi_label}
            if templates is not None and not self.has_own_prompt:
                changes["templates"] = check_templates(templates)
            return make_label_set([replace(question, **changes) for question in questions], own)

    # Decisions

    @property
    def rule(self) -> Rule:
        """RETURNS (Rule): How labels are chosen from complete scores; with groups, see `rules`."""
        exclusive = not self.multi_label and len(self.labels) > 1
        return default_rule(exclusive, self.threshold, self.label_thresholds, self.top_k, self.none_label)

    def rules(self, label_set: LabelSet, key_prefix: str = "") -> list[Rule]:
        """RETURNS (list[Rule]): The rule of each group of labels. key_prefix (str): Put before labels in them."""
        thresholds = {question.name: question.threshold for question in self._settings.questions}
        own = {key_prefix + label: value for label, value in self.label_thresholds.items()}
        return [
            default_rule(group.exclusive, thresholds.get(group.name, self.threshold), own, self.top_k, self.none_label)
            for group in label_set.groups
        ]

    def decide(self, doc: Doc) -> Decision:
        """RETURNS (Decision): The labels chosen for a scored document by this component's settings, among its own
        labels, the best first; none for a blank text. With groups, group by group."""
        found = self.decide_groups(doc).values()
        labels = [label for decision in found for label in decision.labels]
        return Decision(labels, min(decision.none for decision in found), self.none_label)

    def decide_groups(self, doc: Doc) -> dict[str, Decision]:
        """RETURNS (dict[str, Decision]): What was decided in each group of labels, by its name; "" without groups."""
        own = own_labels(doc)
        if own is None and not self.labels:
            return {"": Decision([], 1.0, self.none_label)}
        label_set = self.label_set(own)
        cats = self.own_cats(doc.cats, label_set.labels)
        decisions = {}
        for group, rule in zip(label_set.groups, self.rules(label_set)):
            decision = decide({label: cats[label] for label in label_set.labels[group.columns] if label in cats}, rule)
            decisions[group.name] = decision._replace(labels=[]) if is_blank(doc.text) else decision
        return decisions

    def own_cats(self, cats: Mapping[str, float], labels: Sequence[str] | None = None) -> dict[str, float]:
        """RETURNS (dict[str, float]): This component's part of doc.cats: scores by label, without key_prefix, in the
        order of the labels. labels (Sequence[str] | None): Others than the component's."""
        wanted = self.labels if labels is None else labels
        return {label: cats[self.key_prefix + label] for label in wanted if self.key_prefix + label in cats}

    def gold_cats(self, cats: Mapping[str, float]) -> dict[str, float]:
        """RETURNS (dict[str, float]): This component's part of gold doc.cats, as labels.own_gold."""
        gold = own_gold(cats, self.labels, self.key_prefix, self._foreign_keys())
        if self.none_label is None or self.none_label in self.labels:
            return gold
        # no label to score: it says that the others are wrong
        none = gold.pop(self.none_label, 0.0)
        return gold or (dict.fromkeys(self.labels, 0.0) if none == 1.0 else {})

    def explain(self, doc: Doc, label: str | None = None, *, n_sentences: int = 2, max_parts: int = 64) -> Explanation:
        """Find out which sentences and words speak for a label, and which against it: see explain.explain."""
        with named(self.name):
            return explain(self, doc, label, n_sentences=n_sentences, max_parts=max_parts)

    # Scoring

    def __call__(self, doc: Doc, **settings: Any) -> Doc:
        """Score one document, in place. RETURNS (Doc): The document. settings: For this call only, as in `pipe`."""
        return next(iter(self.pipe([doc], batch_size=1, **settings)), doc)

    def pipe(
        self,
        stream: Iterable[Doc],
        *,
        batch_size: int = 128,
        labels: Sequence[str] | None = None,
        hypothesis_template: str | Sequence[str] | None = None,
        multi_label: bool | None = None,
    ) -> Iterator[Doc]:
        """Score a stream of documents. One that fails goes to the error handler alone.

        batch_size (int): How many to look ahead.
        labels, hypothesis_template, multi_label: For this call only, as component_cfg of nlp hands them in.
        YIELDS (Doc): The documents in order, without those that failed.
        """
        label_set = None
        if labels is not None or hypothesis_template is not None or multi_label is not None:
            label_set = self.label_set(labels, hypothesis_template, multi_label)
        for docs, scores in self._predict_batches(util.minibatch(stream, size=batch_size), label_set):
            scored: Iterable[Doc] = docs
            try:
                self.set_annotations(docs, scores())
            except Exception:  # noqa: BLE001 - whatever it is, each document is tried alone and meets the error handler
                scored = self._one_by_one(docs, label_set)
            yield from scored

    def predict(self, docs: Iterable[Doc], label_set: LabelSet | None = None) -> list[DocScores]:
        """Score documents without changing them.

        label_set (LabelSet | None): What to score; None for each document's own labels, else the component's.
        RETURNS (list[DocScores]): One per document.
        """
        docs = list(docs)
        with named(self.name):
            sets = self._label_sets(docs) if label_set is None else [label_set] * len(docs)
            found: dict[int, DocScores] = {}
            for read in self._window_logits(docs, sets):
                values = self._calibrated(read.values, read.label_set)
                scores = to_scores(pool_windows(values, read.firsts, self.pooling), read.label_set)
                window_scores = to_scores(values, read.label_set)
                if self._examples and self.examples_weight:
                    # the examples nearest to all that was read of a document
                    texts = [" ".join(premise.text for premise in self._premises(docs[i])) for i in read.docs]
                    scores = mix(scores, *self.votes(texts, read.label_set), self.examples_weight, read.label_set)
                starts = [*read.firsts.tolist(), len(values)]
                for row, number in enumerate(read.docs.tolist()):
                    own = slice(starts[row], starts[row + 1])
                    found[number] = DocScores(read.label_set, scores[row], read.windows[own], window_scores[own])
            return [found.get(number) or blank_doc(label_set) for number, label_set in enumerate(sets)]

    def label_logits(self, docs: Iterable[Doc], label_set: LabelSet | None = None) -> Floats2d:
        """RETURNS (Floats2d): Label logits of documents, shape (docs, labels), float64, NaN for blank ones: pooled over
        windows, before calibration and temperature. label_set: None for the component's labels, not documents' own."""
        docs = list(docs)
        with named(self.name):
            label_set = self._own_label_set() if label_set is None else label_set
            logits = np.full((len(docs), len(label_set.labels)), np.nan)
            for read in self._window_logits(docs, [label_set] * len(docs)):
                logits[read.docs] = pool_windows(read.values, read.firsts, self.pooling)
        return logits

    def scores_from(self, logits: Floats2d, label_set: LabelSet) -> Floats2d:
        """RETURNS (Floats2d): Scores of what label_logits gave, without the votes of examples."""
        values = self._calibrated(logits, label_set)
        scores = to_scores(np.nan_to_num(values), label_set)
        scores[np.isnan(values).all(axis=1)] = blank_doc(label_set).scores
        return scores

    def set_annotations(self, docs: Iterable[Doc], scores: Sequence[DocScores], spans_key: str | None = None) -> None:
        """Write the scores that predict gave to doc.cats and, with spans_key (None: the setting), to doc.spans."""
        # for doc._.zero_shot: of a copied component, and of one that another pipeline took over
        _pipelines.setdefault(self, None)
        prefix, spans_key = self.key_prefix, spans_key or self.spans_key
        # documents share label sets
        sets = {id(found.label_set): found.label_set for found in scores}
        keys = {key: [prefix + label for label in one.labels] for key, one in sets.items()}
        for doc, found in zip(docs, scores):
            self.vocab = doc.vocab
            names = keys[id(found.label_set)]
            doc.cats.update(zip(names, found.scores.tolist()))
            if spans_key is not None:
                spans = window_spans(doc, found.windows.tolist())
                cats = [dict(zip(names, row)) for row in found.window_scores.tolist()]
                doc.spans[spans_key] = SpanGroup(doc, name=spans_key, spans=spans, attrs={"cats": cats})

    def embed(self, texts: Sequence[str]) -> Floats2d:
        """Embed texts by the component's own encoder. RETURNS (Floats2d): Shape (texts, width), rows of length one."""
        with named(self.name):
            return self._shim.runtime.embed(list(texts))

    def votes(self, texts: Sequence[str], label_set: LabelSet, leave_out: bool = False) -> tuple[Floats2d, np.ndarray]:
        """Let the examples vote on texts, as ExampleStore.vote."""
        return self._examples.vote(texts, label_set, self.embed, self._shim.weights_key(), self.n_neighbors, leave_out)

    def warm_up(self) -> None:
        """Load the model, compile what is compiled, and score one text: then the first request is as fast as others."""
        with named(self.name):
            hypotheses = self._own_label_set().wordings if self.labels else ("This is a text.",)
            self.model.predict(NLIInput(["This is a text."], [hypotheses], self._windows))

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """Score predictions against gold doc.cats with the component's own settings. RETURNS (dict[str, Any]): The
        scores; none if no example has gold for this component."""
        if self.scorer is None:
            return {}
        prefix = self.key_prefix
        settings = {
            "labels": [prefix + label for label in self.labels],
            # not called multi_label: spaCy's textcat scorers set an argument of that name themselves
            "independent": self.multi_label,
            "threshold": self.threshold,
            "label_thresholds": {prefix + label: value for label, value in self.label_thresholds.items()},
            "top_k": self.top_k,
            "none_label": self.none_label,
            "key_prefix": prefix,
            "foreign": self._foreign_keys(),
            **kwargs,
        }
        if self.label_groups:
            label_set = self._own_label_set()
            settings["groups"] = [
                (settings["labels"][group.columns], group.exclusive, rule)
                for group, rule in zip(label_set.groups, self.rules(label_set, prefix))
            ]
        with named(self.name):
            return self.scorer(examples, **settings)

    # Learning

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: Sequence[str] | None = None,
        layer_decay: float = 1.0,
        head_rate: float = 1.0,
    ) -> None:
        """Load the model as its checkpoint has it and, if no labels are set, take those of the examples.

        labels (Sequence[str] | None): Labels to set, as label_data gives them.
        layer_decay (float): Factor on the learning rate per layer below the top one.
        head_rate (float): Factor on the learning rate of the head.
        RAISES (ZeroShotError): Z041 if no labels can be had.
        """
        if nlp is not None:
            # also of a component that this pipeline took over from another one
            _pipelines[self] = ref(nlp)
        with named(self.name):
            validate_get_examples(get_examples, "ZeroShotTextCategorizer.initialize")
            if labels is not None and tuple(labels) != self.labels:
                self.set_labels(labels)
            elif not self.labels and self._examples:
                self._own_label_set()
            gold = dict.fromkeys(label for one in get_examples() for label in self.gold_cats(one.reference.cats))
            if not self.labels:
                if not gold:
                    raise ZeroShotError("Z041")
                self.set_labels(list(gold))
            if not self.trainable and not gold.keys().isdisjoint(self.labels):
                warn("Z124")
            self._shim.initialize(layer_decay, head_rate)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Fine-tune the model on gold doc.cats; does nothing unless the setting `trainable` is true.

        examples (Iterable[Example]): The keys of each one's gold cats are its label set.
        RETURNS (dict[str, float]): The losses, with this one's under the component's name.
        RAISES (ZeroShotError): Z040 for gold cats that are not 0 or 1.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        if not self.trainable:
            return losses
        validate_examples(examples, "ZeroShotTextCategorizer.update")
        with named(self.name):
            drawn = draw_examples(examples, self._premises, self.label_set, self.gold_cats, self.max_negatives)
            if not drawn:
                return losses
            set_dropout_rate(self.model, drop)
            premises = [premise.text for one in drawn for premise in one.premises]
            hypotheses = [one.hypotheses for one in drawn for _ in one.premises]
            output, backprop = self.model.begin_update(NLIInput(premises, hypotheses, self._windows))
            loss, gradient = loss_of(drawn, output, self.pooling)
            backprop(gradient)
            if sgd is not None:
                self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    # Serialisation

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Save the checkpoint as a Hugging Face folder, and the settings. exclude: "model", "vocab" or "cfg"."""
        # nlp.to_disk has written the config by now
        writers = {"model": self._shim.save, "cfg": lambda p: p.write_bytes(self._saved(p.parent))}
        with named(self.name):
            util.to_disk(path, writers, list(exclude))

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "ZeroShotTextCategorizer":
        """Take what to_disk wrote; what spacy.load(config=...) overrides, or was edited in config.cfg, counts in its
        place. The checkpoint is loaded at first use.

        RETURNS (ZeroShotTextCategorizer): The component.
        RAISES (ZeroShotError): Z050, Z051 for what was not saved by this version or not whole.
        """
        path = Path(path)
        exclude = list(exclude)
        # nlp.from_disk excludes the vocab, a call by hand does not, and knows of no config
        nlp = self._nlp if "vocab" in exclude else None
        readers = {
            "cfg": lambda p: self._restore(saved := self._read_settings(p), fields.overrides_of(nlp, path, saved)),
            "model": self._read_model,
        }
        with named(self.name):
            util.from_disk(path, readers, exclude)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): What from_bytes takes."""
        with named(self.name):
            return util.to_bytes({"cfg": self._saved, "model": self._shim.to_bytes}, list(exclude))

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "ZeroShotTextCategorizer":
        """Take what to_bytes gave. RETURNS (ZeroShotTextCategorizer): The component."""
        readers = {"cfg": lambda data: self._restore(json.loads(data)), "model": self._shim.from_bytes}
        with named(self.name):
            util.from_bytes(bytes_data, readers, list(exclude))
        return self

    # Inside

    @property
    def _shim(self) -> Any:
        return self.model.shims[0]

    @property
    def _nlp(self) -> Language | None:
        """The pipeline this component is part of. spaCy keeps `name` up to date."""
        reference = _pipelines.get(self)
        nlp = None if reference is None else reference()
        return nlp if nlp is not None and (self.name, self) in nlp.components else None

    @property
    def _windows(self) -> WindowConfig:
        return WindowConfig(self.long_text, self.window_overlap)

    def _take(self, given: Mapping[str, Any]) -> None:
        """Check settings and take them all at once: other threads see the old ones or the new."""
        before, values = self._settings.values, as_json(given)
        for name, value in values.items():
            if name not in ("labels", "examples"):
                getattr(type(self), name).check(value)
        store = self._examples
        if (store.setting, store.key_prefix) != (values["examples"], values["key_prefix"]):
            store = ExampleStore(values["examples"], values["key_prefix"])
        plain = (SLOT,) if self.has_own_prompt else None
        # a file of examples is not read before it is needed
        settings = check_settings(values, plain, () if isinstance(store.setting, str) else store.labels)
        template = values["hypothesis_template"]
        if plain and template not in (SLOT, before["hypothesis_template"]):
            warn("Z105", template=check_templates(template)[0])
        self._shim.set_trainable(values["trainable"], values["train_encoder"])
        self._settings, self._examples = settings, store

    def _write_config(self, *names: str) -> None:
        """Write settings to the config that nlp.to_disk saves; the default of those that it could not give back."""
        if self._nlp is not None:
            block = self._nlp.get_pipe_config(self.name)
            for name in names:
                value = self._settings.values[name]
                block[name] = as_json(DEFAULTS[name] if fields.find_lost(name, value) else value)

    def _own_label_set(self) -> LabelSet:
        """The component's label set, made once for all documents; it takes the labels of its examples if it must."""
        settings, worded = self._settings, self._worded
        if worded is None or worded[0] is not settings:
            if not settings.labels and self._examples:
                self.set_labels([label for label in self._examples.labels if label != self.none_label])
                settings = self._settings
            if unknown := [one for one in self._examples.labels if one not in (*settings.labels, self.none_label)]:
                warn("Z122", labels=unknown, known=list(settings.labels))
            worded = self._worded = settings, make_label_set(settings.questions, settings.own)
        return worded[1]

    def _foreign_keys(self) -> frozenset[str]:
        """The keys of doc.cats that other components of the pipeline write, and this one does not."""
        writers = {} if self._nlp is None else writers_of_keys(self._nlp)
        return frozenset(key for key, names in writers.items() if self.name not in names)

    def _label_sets(self, docs: Sequence[Doc]) -> list[LabelSet]:
        """Each document's label set; documents with the same labels share one object."""
        keys = [None if (own := own_labels(doc)) is None else check_labels(own) for doc in docs]
        known = {key: self._own_label_set() if key is None else self.label_set(key) for key in dict.fromkeys(keys)}
        return [known[key] for key in keys]

    def _window_logits(self, docs: Sequence[Doc], sets: Sequence[LabelSet]) -> Iterator[WindowLogits]:
        """Label logits of all windows, one label set after the other."""
        premises = [(number, *premise) for number, doc in enumerate(docs) for premise in self._premises(doc)]
        if premises:
            owners, texts, starts = zip(*premises)
            output = self.model.predict(NLIInput(texts, [sets[i].wordings for i in owners], self._windows))
            yield from split_by_label_set(output, starts, owners, sets)

    def _premises(self, doc: Doc) -> list[Premise]:
        premises = premises_of(doc, self.get_spans)
        if self.get_spans is not None and not self._warned_unread and (missing := count_unread(doc, premises)):
            self._warned_unread = True
            warn("Z104", missing=missing, total=len(doc))
        return premises

    def _calibrated(self, values: Floats2d, label_set: LabelSet) -> Floats2d:
        biases = self.calibration
        return calibrate(values, np.array([biases.get(label, 0.0) for label in label_set.labels]), self.temperature)

    def _predict_batches(self, batches: Iterable[list[Doc]], label_set: LabelSet | None) -> Iterator[Prediction]:
        """Batches, each with what gives its scores. A GPU works on the next ones, in threads, while documents of the
        one before are written, handed on, and new ones tokenized."""
        ahead: deque[Prediction] = deque()
        with ThreadPoolExecutor(BATCHES_AHEAD) as threads:
            for docs in batches:
                scores: Callable[[], list[DocScores]] = partial(self.predict, docs, label_set)
                if on_gpu := self._shim.is_on_gpu:
                    scores = threads.submit(copy_context().run, scores).result
                ahead.append((docs, scores))
                while len(ahead) > BATCHES_AHEAD * on_gpu:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()

    def _one_by_one(self, docs: Sequence[Doc], label_set: LabelSet | None) -> Iterator[Doc]:
        """Score each document alone, to find the one that a batch failed for."""
        # a model that cannot even answer nothing (it cannot be loaded) fails for no document's fault: raise that
        with named(self.name):
            self.model.predict(NLIInput([], [], self._windows))
        handle = self.get_error_handler()
        for doc in docs:
            try:
                self.set_annotations([doc], self.predict([doc], label_set))
            except Exception as error:  # noqa: BLE001 - span getters and tokenizers raise anything; it is handed over
                handle(self.name, self, [doc], error)
                continue
            yield doc

    def _saved(self, folder: Path | None = None) -> bytes:
        """What the file cfg holds, also the component's block in the config.cfg beside its folder."""
        model = {name: getattr(self._shim.spec, name) for name in ("architecture", *MEANING)}
        saved = {"format": SETTINGS_FORMAT, "settings": self._settings.values, "model": model, "cfg": self.cfg}
        if folder is not None and (block := fields.block_beside(folder)):
            saved["block"] = block
        if self._examples:
            saved["examples"] = self._examples.to_list()
        # srsly reads 0.7 as 0.7000000000000001
        return json.dumps(saved, indent=2, ensure_ascii=False).encode("utf8")

    def _restore(self, saved: Mapping[str, Any], overridden: Collection[str] = ()) -> None:
        """Take what _saved gave, but for what the user overrides."""
        version = saved.get("format", 0)
        if version > SETTINGS_FORMAT:
            raise ZeroShotError("Z050", detail=f"format {version}")
        if version < SETTINGS_FORMAT:
            saved = fields.upgrade(saved)
        before = self._settings.values
        self._take(fields.restore(saved["settings"], before, overridden))
        values = self._settings.values
        if "examples" in saved and values["examples"] == saved["settings"]["examples"]:
            self._examples.take_rows(saved["examples"])
        self.cfg.update(saved.get("cfg", {}))
        self._write_config(*(name for name in DEFAULTS if values[name] != before[name]))
        # another checkpoint or architecture that the user names wins over the saved one
        self._loads_model = CHECKPOINT.isdisjoint(overridden)
        if self._loads_model and "model" in saved:
            spec, model = self._shim.spec, saved["model"]
            if model["architecture"] != spec.architecture:
                raise ZeroShotError("Z053", saved=model["architecture"], own=spec.architecture)
            meant = {name: model[name] for name in MEANING if f"model.{name}" not in overridden}
            self._shim.spec = replace(spec, **meant)

    @staticmethod
    def _read_settings(path: Path) -> dict[str, Any]:
        try:
            return json.loads(path.read_text(encoding="utf8"))
        except (OSError, ValueError) as reason:
            raise ZeroShotError("Z051", path=str(path.parent), reason=str(reason)) from reason

    def _read_model(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ZeroShotError("Z051", path=str(folder.parent), reason="it has no folder 'model'")
        if self._loads_model:
            # absolute: it is read at first use, and the working directory may change until then
            self._shim.restore(folder.resolve())


# The settings with their defaults, from the one place where they stand
DEFAULTS: dict[str, Any] = {
    key: default
    for key, default in (ZeroShotTextCategorizer.__init__.__kwdefaults__ or {}).items()
    if key not in ("get_spans", "scorer", "abstain", "calibrated")
}


def _rank(doc: Doc) -> RankedLabels | None:
    """The getter of doc._.zero_shot: of the first component of the document's pipeline that has scored it."""
    found: dict[str, RankedLabels] = {}
    # components that were removed from a pipeline come last
    for pipe in sorted(_pipelines, key=lambda pipe: pipe._nlp is None):
        cats = pipe.own_cats(doc.cats, own_labels(doc)) if pipe.vocab is doc.vocab else {}
        if cats and pipe.name not in found:
            found[pipe.name] = rank(cats, pipe.decide(doc), pipe.key_prefix)
    return next(iter(found.values()))._replace(components=found) if found else None


def register_extensions() -> None:
    """Also again, where someone has emptied spaCy's table of them."""
    Doc.set_extension(OWN_LABELS, default=None, force=True)
    Doc.set_extension("zero_shot", getter=_rank, force=True)


register_extensions()
