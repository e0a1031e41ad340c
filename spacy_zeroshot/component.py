"""The pipeline component zero_shot_textcat: documents in, doc.cats out.

The class knows a model only as thinc's Model[Request, List[Answer]] (see evidence.py). torch and transformers are not
imported here, because every Language() imports this file.
"""

from typing import Any, Callable, Dict, Iterable, Iterator, List, Literal, Mapping, Optional, Sequence, Tuple, Union

from spacy import util
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model
from thinc.types import Floats2d

from .decisions import Rule, check_abstain, check_thresholds, check_top_k, default_rule
from .errors import COMPONENT, ZeroShotError, warn
from .evidence import Answer, Question, Reading, Request
from .examples.reading import ExamplesSetting
from .examples.store import ExampleStore
from .hypotheses import Wording, check_labels, check_templates
from .judgement import Judgement, Scale, add_votes, judge, window_spans
from .labels import OWN_LABELS, LabelSet
from .learning.learner import Learner
from .model.own_embeddings import embed_by
from .premises import Premise, SpanGetter, premises_of, unread
from .scores import POOLINGS, check_calibration, check_temperature
from .storing import Stored

__all__ = ["OWN_LABELS", "Judgement", "ZeroShotTextCategorizer"]

READINGS = ("windows", "truncate")
# What one document can cause on its way: an error of ours, of a span getter, of the tokenizer, of torch.
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class ZeroShotTextCategorizer(Learner, Stored):
    """Scores labels that a model was never trained on, by natural language inference (Yin et al., 2019).

    vocab (Vocab): The shared vocabulary.
    model (Model[Request, List[Answer]]): Gives evidence for and against hypotheses on a text.
    name (str): The component's name in the pipeline.
    labels (Sequence[str]): The keys of doc.cats, in order.
    hypothesis_template (Union[str, Sequence[str]]): Words a label as a hypothesis; the logits of several are averaged.
    hypotheses (Sequence[Mapping[str, str]]): Own wordings, [{"label": ..., "text": ...}], several per label allowed.
    multi_label (bool): Each label on its own, else a softmax over the labels.
    threshold (float): For decisions and the scorer; never removes a key from doc.cats.
    label_thresholds (Sequence[Mapping[str, Any]]): Thresholds of single labels, [{"label": ..., "threshold": ...}].
    top_k (Optional[int]): For decisions: choose at most this many labels that reach their threshold. None is any
        number, but just the best one, whatever its score, where labels compete and no label_thresholds are set.
    abstain (Optional[float]): For decisions: choose no label if "none of these" scores this or above.
    calibration (Sequence[Mapping[str, Any]]): What is taken from single labels' strengths before they become
        scores, [{"label": ..., "bias": ...}] in logits, as the command `calibrate` finds it.
    temperature (float): What strengths are then divided by.
    calibrated (bool): False switches calibration and temperature off.
    examples (ExamplesSetting): Labelled texts whose nearest neighbours vote beside the model, [{"label": ..., "text":
        ...}] or the path of a .jsonl, .jsonl.gz or .spacy file. Without labels, the component takes theirs.
    n_neighbors (int): How many examples vote on a text, the nearer the more.
    examples_weight (float): Share of their votes in the scores: 0 for none, 1 for nothing but the votes.
    key_prefix (str): Put before every key written to doc.cats.
    long_text (str): "windows" scores all of a long text, "truncate" its beginning.
    window_overlap (int): Wordpieces that neighbouring windows share.
    pooling (str): How a text's windows are pooled: "max", "mean" or "first".
    get_spans (Optional[SpanGetter]): Gives the premises of a document in place of its whole text.
    spans_key (Optional[str]): Where in doc.spans every premise goes, with its scores in .attrs["cats"].
    trainable (bool): Whether nlp.update fine-tunes the model.
    max_negatives (int): In training: how many wrong labels a text is contrasted with.
    scorer (Optional[Callable]): The scoring method.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[Request, List[Answer]],
        name: str = COMPONENT,
        *,
        labels: Sequence[str] = (),
        hypothesis_template: Union[str, Sequence[str]] = "This text is about {}.",
        hypotheses: Sequence[Mapping[str, str]] = (),
        multi_label: bool = False,
        threshold: float = 0.5,
        label_thresholds: Sequence[Mapping[str, Any]] = (),
        top_k: Optional[int] = None,
        abstain: Optional[float] = None,
        calibration: Sequence[Mapping[str, Any]] = (),
        temperature: float = 1.0,
        calibrated: bool = True,
        examples: ExamplesSetting = (),
        n_neighbors: int = 8,
        examples_weight: float = 0.5,
        key_prefix: str = "",
        long_text: Literal["windows", "truncate"] = "windows",
        window_overlap: int = 64,
        pooling: Literal["max", "mean", "first"] = "max",
        get_spans: Optional[SpanGetter] = None,
        spans_key: Optional[str] = None,
        trainable: bool = False,
        max_negatives: int = 5,
        scorer: Optional[Callable] = None,
    ):
        self.vocab = vocab
        self.model = model
        self.name = name
        # Declared settings stay out of cfg: what is in there comes back from disk and beats the user's overrides.
        self.cfg: Dict[str, Any] = {}
        self.multi_label = multi_label
        self.threshold = threshold
        self.label_thresholds = check_thresholds(threshold, label_thresholds, name)
        self.top_k = check_top_k(top_k, name)
        self.abstain = check_abstain(abstain, name)
        self.biases = check_calibration(calibration, name)
        self.temperature = check_temperature(temperature, name)
        self.calibrated = calibrated
        self.key_prefix = key_prefix
        self.pooling = self._one_of("pooling", pooling, POOLINGS)
        self._at_least("window_overlap", window_overlap, 0)
        self._at_least("max_negatives", max_negatives, 1)
        self._one_of("long_text", long_text, READINGS)
        self.reading = Reading(long_text, window_overlap, name)
        self.get_spans = get_spans
        self.spans_key = spans_key
        self.trainable = trainable
        self.max_negatives = max_negatives
        self.listwise_weight = 0.0
        self.scorer = scorer
        for shim in model.shims:
            if hasattr(shim, "set_trainable"):
                shim.set_trainable(trainable)
        self.examples = ExampleStore(examples, n_neighbors, examples_weight, name, key_prefix)
        templates = check_templates(hypothesis_template, name)
        plain = bool(model.attrs.get("plain_labels"))
        self._label_set = LabelSet(labels or self.examples.listed_labels, templates, hypotheses, name, plain)
        # Given in the config, these win over what a saved pipeline brings
        self._checkpoint = self._shim_checkpoint()
        self._takes_model = True
        self._told_unread = False
        for label in self.label_thresholds:
            if self.labels and label not in self.labels:
                raise ZeroShotError("Z009", name, label=label, labels=list(self.labels))

    # Decisions

    @property
    def rule(self) -> Rule:
        """RETURNS (Rule): How the settings choose labels from complete scores."""
        compete = not self.multi_label and len(self.labels) > 1
        return default_rule(compete, self.threshold, self.label_thresholds, self.top_k, self.abstain)

    # Labels

    @property
    def labels(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The labels, without key_prefix."""
        return self._label_set.labels

    @property
    def templates(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The hypothesis templates. They can be replaced at run time; that is not saved."""
        return self._label_set.templates

    @templates.setter
    def templates(self, templates: Union[str, Sequence[str]]) -> None:
        self._label_set.templates = check_templates(templates, self.name)

    @property
    def unused_templates(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): Templates that were set though the model reads labels as they are."""
        return self._label_set.unused

    @property
    def label_data(self) -> List[str]:
        """RETURNS (List[str]): What initialize(labels=...) takes."""
        return list(self.labels)

    @property
    def is_trainable(self) -> bool:
        """RETURNS (bool): The setting `trainable`."""
        return self.trainable

    def set_labels(self, labels: Sequence[str], hypotheses: Optional[Sequence[Mapping[str, str]]] = None) -> None:
        """Replace the labels, from the next document on.

        labels (Sequence[str]): The new labels.
        hypotheses (Optional[Sequence[Mapping[str, str]]]): Own wordings; None keeps those of labels that stay.
        RAISES (ZeroShotError): Z002, Z003, Z005, Z006, Z007.
        """
        self._label_set.replace(labels, hypotheses)

    def add_label(self, label: str) -> int:
        """Add a label.

        label (str): The label.
        RETURNS (int): 0 if it is already there, otherwise 1.
        RAISES (ZeroShotError): Z003 for a blank one.
        """
        if label in self.labels:
            return 0
        self._label_set.replace((*self.labels, label))
        return 1

    def wording(self, labels: Optional[Sequence[str]] = None) -> Wording:
        """The hypotheses of labels.

        labels (Optional[Sequence[str]]): Labels of one document, None for the component's.
        RETURNS (Wording): The hypotheses.
        RAISES (ZeroShotError): Z001 if there are no labels, Z002 or Z003 for bad ones.
        """
        if labels is None and self.examples:
            if not self.labels:
                self._label_set.replace(self.examples.labels)
            self.examples.warn_of_unknown(self.labels)
        return self._label_set.wording(labels)

    # Scoring

    def __call__(self, doc: Doc) -> Doc:
        """Score one document.

        doc (Doc): The document, changed in place.
        RETURNS (Doc): The same document.
        """
        return next(iter(self.pipe([doc], batch_size=1)), doc)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Score a stream of documents. One that fails goes to the error handler alone.

        stream (Iterable[Doc]): The documents.
        batch_size (int): How many to look ahead.
        YIELDS (Doc): The documents in order, without those that failed.
        """
        for docs in util.minibatch(stream, size=batch_size):
            try:
                self.set_annotations(docs, self.predict(docs))
            except FAILURES:
                scored = self._one_by_one(docs)
            else:
                scored = iter(docs)
            yield from scored

    def predict(self, docs: Iterable[Doc]) -> List[Judgement]:
        """Score documents without changing them.

        docs (Iterable[Doc]): The documents.
        RETURNS (List[Judgement]): One per document.
        RAISES (ZeroShotError): If a document cannot be scored.
        """
        docs = list(docs)
        wordings = self._wordings(docs)
        premises = [self._premises(doc) for doc in docs]
        questions = [
            Question(premise.text, wording.hypotheses)
            for wording, parts in zip(wordings, premises)
            for premise in parts
        ]
        answers = iter(self.model.predict(Request(questions, self.reading)) if questions else [])
        scale = self._scale()
        judged = [
            judge(wording, parts, [next(answers) for _ in parts], scale) for wording, parts in zip(wordings, premises)
        ]
        return add_votes(judged, premises, self.examples, self.multi_label, self.embed) if self.examples else judged

    def embed(self, texts: Sequence[str]) -> Floats2d:
        """Embed texts by the component's own encoder.

        texts (Sequence[str]): The texts.
        RETURNS (Floats2d): Shape (texts, width), rows of length one.
        """
        return embed_by(self._shim, texts)

    def set_annotations(self, docs: Iterable[Doc], scores: Sequence[Judgement]) -> None:
        """Write scores to doc.cats and, with spans_key, to doc.spans.

        docs (Iterable[Doc]): The documents.
        scores (Sequence[Judgement]): What predict gave.
        """
        for doc, judged in zip(docs, scores):
            doc.cats.update(judged.cats(self.key_prefix))
            if self.spans_key is not None:
                doc.spans[self.spans_key] = window_spans(doc, judged, self.spans_key, self.key_prefix)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score predictions against gold doc.cats with the component's own settings.

        examples (Iterable[Example]): The examples.
        RETURNS (Dict[str, Any]): The scores.
        """
        if self.scorer is None:
            return {}
        settings = {
            "labels": [self.key_prefix + label for label in self.labels],
            # not called multi_label: spaCy's textcat scorers set an argument of that name themselves
            "independent": self.multi_label,
            "threshold": self.threshold,
            "label_thresholds": {self.key_prefix + k: v for k, v in self.label_thresholds.items()},
            "top_k": self.top_k,
            "abstain": self.abstain,
            "key_prefix": self.key_prefix,
            **kwargs,
        }
        return self.scorer(examples, **settings)

    # Inside

    def _one_of(self, setting: str, value: Any, allowed: Sequence[str]) -> Any:
        if value not in allowed:
            raise ZeroShotError(
                "Z007", self.name, setting=setting, value=value, reason=f"it is one of {', '.join(allowed)}"
            )
        return value

    def _at_least(self, setting: str, value: int, least: int) -> None:
        if value < least:
            raise ZeroShotError("Z007", self.name, setting=setting, value=value, reason=f"it must be at least {least}")

    def _wordings(self, docs: Sequence[Doc]) -> List[Wording]:
        """Each document's hypotheses; documents with the same labels share one object."""
        known: Dict[Optional[Tuple[str, ...]], Wording] = {}
        wordings = []
        for doc in docs:
            own = doc._.get(OWN_LABELS)
            key = None if own is None else check_labels(own, self.name)
            if key not in known:
                known[key] = self.wording(key)
            wordings.append(known[key])
        return wordings

    def _premises(self, doc: Doc) -> List[Premise]:
        premises = premises_of(doc, self.get_spans, self.name)
        if self.get_spans is not None and not self._told_unread:
            missing = unread(doc, premises)
            if missing:
                self._told_unread = True
                warn("Z104", self.name, missing=missing, total=len(doc))
        return premises

    def _scale(self) -> Scale:
        if not self.calibrated:
            return Scale(self.multi_label, self.pooling, {}, 1.0)
        return Scale(self.multi_label, self.pooling, self.biases, self.temperature)

    def _one_by_one(self, docs: Sequence[Doc]) -> Iterator[Doc]:
        """Score each document alone, to find the one that a batch failed for."""
        # A model that cannot even answer nothing (it cannot be loaded) fails for no document's fault: raise that.
        self.model.predict(Request([], self.reading))
        handle = self.get_error_handler()
        for doc in docs:
            try:
                self.set_annotations([doc], self.predict([doc]))
            except FAILURES as error:
                handle(self.name, self, [doc], error)
                continue
            yield doc
