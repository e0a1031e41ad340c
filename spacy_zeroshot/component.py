"""The pipeline component zero_shot_textcat: documents in, doc.cats out.

The factory and this class know a model only as thinc's Model[Request, List[Answer]] (see evidence.py); torch and
transformers are not imported here, because every Language() imports this file.
"""

from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Literal, Mapping, NamedTuple, Optional, Sequence
from typing import Tuple, Union

import numpy as np
import srsly
from spacy import util
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.vocab import Vocab
from thinc.api import Model, Optimizer, set_dropout_rate
from thinc.types import Floats1d, Floats2d, Floats3d

from .decisions import Rule, check_abstain, check_thresholds, check_top_k, default_rule
from .errors import COMPONENT, ZeroShotError
from .evidence import Answer, Question, Reading, Request, concatenate
from .hypotheses import Wording, check_hypotheses, check_labels, check_own_labels, check_template, word_labels
from .learning.loss import cross_entropy, listwise
from .learning.pairs import Lines, draw_lines, gather, gold_labels, scatter
from .premises import Premise, SpanGetter, premises_of
from .scores import adjust, blank_scores, check_calibration, check_temperature, pool, scores, strengths

OWN_LABELS = "zero_shot_labels"
SETTINGS_FORMAT = 1
# What a bad document can cause anywhere on its way: our errors, a span getter's, the tokenizer's, torch's.
FAILURES = (ValueError, RuntimeError, LookupError, TypeError, ArithmeticError)

DEFAULT_CONFIG: Dict[str, Any] = {
    "labels": [],
    "hypothesis_template": "This text is about {}.",
    "hypotheses": [],
    "multi_label": False,
    "threshold": 0.5,
    "label_thresholds": [],
    "top_k": None,
    "abstain": None,
    "calibration": [],
    "temperature": 1.0,
    "calibrated": True,
    "key_prefix": "",
    "long_text": "windows",
    "window_overlap": 64,
    "pooling": "max",
    "get_spans": None,
    "spans_key": None,
    "trainable": False,
    "max_negatives": 5,
    "scorer": {"@scorers": "spacy_zeroshot.zero_shot_textcat_scorer.v1"},
    "model": {"@architectures": "spacy_zeroshot.NLIClassifier.v1"},
}


class Judgement(NamedTuple):
    """What a document's labels scored.

    wording (Wording): The labels and hypotheses it was asked about.
    values (Floats1d): Shape (labels,): scores between 0 and 1.
    windows (List[Tuple[int, int]]): First and past-the-last character of every window of every premise.
    window_values (Floats2d): Shape (windows, labels): each window's own scores.
    """

    wording: Wording
    values: Floats1d
    windows: List[Tuple[int, int]]
    window_values: Floats2d


@Language.factory(
    COMPONENT,
    assigns=["doc.cats"],
    default_config=DEFAULT_CONFIG,
    default_score_weights={
        "cats_score": 1.0,
        "cats_score_desc": None,
        "cats_micro_p": None,
        "cats_micro_r": None,
        "cats_micro_f": None,
        "cats_macro_p": None,
        "cats_macro_r": None,
        "cats_macro_f": None,
        "cats_macro_auc": None,
        "cats_f_per_type": None,
    },
)
def make_zero_shot_textcat(
    nlp: Language,
    name: str,
    model: Model[Request, List[Answer]],
    labels: List[str],
    hypothesis_template: Union[str, List[str]],
    hypotheses: List[Dict[str, str]],
    multi_label: bool,
    threshold: float,
    label_thresholds: List[Dict[str, Union[str, float]]],
    top_k: Optional[int],
    abstain: Optional[float],
    calibration: List[Dict[str, Union[str, float]]],
    temperature: float,
    calibrated: bool,
    key_prefix: str,
    long_text: Literal["windows", "truncate"],
    window_overlap: int,
    pooling: Literal["max", "mean", "first"],
    get_spans: Optional[SpanGetter],
    spans_key: Optional[str],
    trainable: bool,
    max_negatives: int,
    scorer: Optional[Callable],
) -> "ZeroShotTextCategorizer":
    """Build a zero-shot text classifier. Its settings are documented at ZeroShotTextCategorizer."""
    return ZeroShotTextCategorizer(
        nlp.vocab,
        model,
        name,
        labels=labels,
        hypothesis_template=hypothesis_template,
        hypotheses=hypotheses,
        multi_label=multi_label,
        threshold=threshold,
        label_thresholds=label_thresholds,
        top_k=top_k,
        abstain=abstain,
        calibration=calibration,
        temperature=temperature,
        calibrated=calibrated,
        key_prefix=key_prefix,
        long_text=long_text,
        window_overlap=window_overlap,
        pooling=pooling,
        get_spans=get_spans,
        spans_key=spans_key,
        trainable=trainable,
        max_negatives=max_negatives,
        scorer=scorer,
    )


class ZeroShotTextCategorizer(TrainablePipe):
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
        templates = [hypothesis_template] if isinstance(hypothesis_template, str) else list(hypothesis_template)
        if not templates:
            raise ZeroShotError("Z007", name, setting="hypothesis_template", value=[], reason="the list is empty")
        self._reject_variables("labels", labels)
        self._reject_variables("hypothesis_template", templates)
        self._reject_variables("hypotheses", [text for entry in hypotheses for text in entry.values()])
        self.templates = tuple(check_template(template, name) for template in templates)
        self.multi_label = multi_label
        self.threshold = threshold
        self.label_thresholds = check_thresholds(threshold, label_thresholds, name)
        self.top_k = check_top_k(top_k, name)
        self.abstain = check_abstain(abstain, name)
        self.biases = check_calibration(calibration, name)
        self.temperature = check_temperature(temperature, name)
        self.calibrated = calibrated
        self.key_prefix = key_prefix
        self.pooling = pooling
        if window_overlap < 0:
            raise ZeroShotError(
                "Z007", name, setting="window_overlap", value=window_overlap, reason="it must not be negative"
            )
        if max_negatives < 1:
            raise ZeroShotError(
                "Z007", name, setting="max_negatives", value=max_negatives, reason="it must be at least 1"
            )
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
        own = check_hypotheses(hypotheses, name)
        self._configured = (tuple(labels), {label: tuple(texts) for label, texts in own.items()})
        self._labels: Tuple[str, ...] = ()
        self._own: Dict[str, Tuple[str, ...]] = {}
        self._set(labels, own)
        for label in self.label_thresholds:
            if label not in self._labels and self._labels:
                raise ZeroShotError("Z009", name, label=label, labels=list(self._labels))
        if not Doc.has_extension(OWN_LABELS):
            Doc.set_extension(OWN_LABELS, default=None)

    # Decisions

    @property
    def rule(self) -> Rule:
        """RETURNS (Rule): How the settings choose labels from complete scores."""
        compete = not self.multi_label and len(self._labels) > 1
        return default_rule(compete, self.threshold, self.label_thresholds, self.top_k, self.abstain)

    # Labels

    @property
    def labels(self) -> Tuple[str, ...]:
        """RETURNS (Tuple[str, ...]): The labels, without key_prefix."""
        return self._labels

    @property
    def label_data(self) -> List[str]:
        """RETURNS (List[str]): What initialize(labels=...) takes."""
        return list(self._labels)

    @property
    def is_trainable(self) -> bool:
        """RETURNS (bool): The setting `trainable`."""
        return self.trainable

    def set_labels(
        self, labels: Sequence[str], hypotheses: Optional[Sequence[Mapping[str, str]]] = None
    ) -> None:
        """Replace the labels, from the next document on.

        labels (Sequence[str]): The new labels.
        hypotheses (Optional[Sequence[Mapping[str, str]]]): Own wordings; None keeps those of labels that stay.
        RAISES (ZeroShotError): Z002, Z003, Z005, Z006.
        """
        if hypotheses is None:
            self._set(labels, {label: texts for label, texts in self._own.items() if label in set(labels)})
        else:
            self._set(labels, check_hypotheses(hypotheses, self.name))

    def add_label(self, label: str) -> int:
        """Add a label.

        label (str): The label.
        RETURNS (int): 0 if it is already there, otherwise 1.
        RAISES (ZeroShotError): Z003 for a blank one.
        """
        if label in self._labels:
            return 0
        self._set((*self._labels, label), self._own)
        return 1

    def wording(self, labels: Optional[Sequence[str]] = None) -> Wording:
        """The hypotheses of labels.

        labels (Optional[Sequence[str]]): Labels of one document, None for the component's.
        RETURNS (Wording): The hypotheses.
        RAISES (ZeroShotError): Z001 if there are no labels, Z002 or Z003 for bad ones.
        """
        if labels is None:
            return word_labels(self._labels, self.templates, self._own, self.name)
        return word_labels(check_labels(labels, self.name), self.templates, self._own, self.name)

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
                judged = self.predict(docs)
            except FAILURES:
                # Some document of the batch is to blame: find it by scoring each on its own.
                yield from self._one_by_one(docs)
                continue
            self.set_annotations(docs, judged)
            yield from docs

    def predict(self, docs: Iterable[Doc]) -> List[Judgement]:
        """Score documents without changing them.

        docs (Iterable[Doc]): The documents.
        RETURNS (List[Judgement]): One per document.
        RAISES (ZeroShotError): If a document cannot be scored.
        """
        docs = list(docs)
        wordings = self._wordings(docs)
        premises = [premises_of(doc, self.get_spans, self.name) for doc in docs]
        questions = [
            Question(premise.text, wording.hypotheses)
            for wording, parts in zip(wordings, premises)
            for premise in parts
        ]
        answers = iter(self.model.predict(Request(questions, self.reading)) if questions else [])
        return [
            self._judge(wording, parts, [next(answers) for _ in parts]) for wording, parts in zip(wordings, premises)
        ]

    def set_annotations(self, docs: Iterable[Doc], scores: Sequence[Judgement]) -> None:
        """Write scores to doc.cats and, with spans_key, to doc.spans.

        docs (Iterable[Doc]): The documents.
        scores (Sequence[Judgement]): What predict gave.
        """
        for doc, judged in zip(docs, scores):
            doc.cats.update(self._cats(judged.wording, judged.values))
            if self.spans_key is not None:
                doc.spans[self.spans_key] = self._spans(doc, judged)

    def score(self, examples: Iterable[Example], **kwargs: Any) -> Dict[str, Any]:
        """Score predictions against gold doc.cats with the component's own settings.

        examples (Iterable[Example]): The examples.
        RETURNS (Dict[str, Any]): The scores.
        """
        if self.scorer is None:
            return {}
        settings = {
            "labels": [self.key_prefix + label for label in self._labels],
            # not called multi_label: spaCy's textcat scorers set an argument of that name themselves
            "independent": self.multi_label,
            "threshold": self.threshold,
            "label_thresholds": {self.key_prefix + k: v for k, v in self.label_thresholds.items()},
            "key_prefix": self.key_prefix,
            **kwargs,
        }
        return self.scorer(examples, **settings)

    # Learning

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Optional[Language] = None,
        labels: Optional[Sequence[str]] = None,
        new_head: Optional[Dict[str, Any]] = None,
        freeze: Sequence[str] = (),
        layer_decay: float = 1.0,
        head_rate: float = 1.0,
        anchor: float = 0.0,
        listwise_weight: float = 0.0,
    ) -> None:
        """Load the model and, if no labels are set, take those of the examples.

        get_examples (Callable[[], Iterable[Example]]): Gives a sample of the training data.
        nlp (Optional[Language]): The pipeline.
        labels (Optional[Sequence[str]]): Labels to set, as label_data gives them.
        new_head (Optional[Dict[str, Any]]): To start from an encoder without an NLI head, what its config.json is
            to declare, e.g. {"layout": "shared_premise", "similarity": [8.0, -2.0]}.
        freeze (Sequence[str]): Weights whose names start so stay as they are.
        layer_decay (float): Factor on the learning rate per layer below the top one.
        head_rate (float): Factor on the learning rate of the head.
        anchor (float): Weight of a loss that keeps the encoder's embeddings near those it starts with.
        listwise_weight (float): Weight of a second loss, cross-entropy over an example's hypotheses that compete.
        RAISES (ZeroShotError): Z041 if no labels can be had.
        """
        from .model.shim import Lesson

        if labels is not None:
            self._set(labels, {label: texts for label, texts in self._own.items() if label in set(labels)})
        elif not self._labels:
            found = gold_labels(get_examples(), self.key_prefix)
            if not found:
                raise ZeroShotError("Z041", self.name)
            self._set(found, {label: texts for label, texts in self._own.items() if label in found})
        self.listwise_weight = listwise_weight
        lesson = Lesson(new_head, tuple(freeze), layer_decay, head_rate, anchor)
        for shim in self.model.shims:
            if hasattr(shim, "initialize"):
                shim.initialize(lesson)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optional[Optimizer] = None,
        losses: Optional[Dict[str, float]] = None,
    ) -> Dict[str, float]:
        """Fine-tune the model on gold doc.cats; does nothing unless the setting `trainable` is true.

        examples (Iterable[Example]): The examples. The keys of each one's gold cats are its label set.
        drop (float): The dropout rate.
        sgd (Optional[Optimizer]): The optimizer; None only adds to the gradients.
        losses (Optional[Dict[str, float]]): The loss is added under the component's name.
        RETURNS (Dict[str, float]): The losses.
        RAISES (ZeroShotError): Z040 for gold cats that are not 0 or 1.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        if not self.trainable:
            return losses
        examples = list(examples)
        validate_examples(examples, "ZeroShotTextCategorizer.update")
        lines = draw_lines(
            examples,
            lambda doc: premises_of(doc, self.get_spans, self.name),
            self.wording,
            self.max_negatives,
            self.key_prefix,
            self.name,
        )
        if not lines:
            return losses
        set_dropout_rate(self.model, drop)
        request = Request([question for line in lines for question in line.questions()], self.reading)
        answers, backprop = self.model.begin_update(request)
        loss, gradients = self.get_loss(examples, list(zip(lines, gather(lines, answers))))
        backprop(scatter(gradients, answers))
        if sgd is not None:
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def get_loss(
        self, examples: Iterable[Example], scores: Sequence[Tuple[Lines, Answer]]
    ) -> Tuple[float, List[Floats3d]]:
        """Cross-entropy on the classes of the model's head.

        examples (Iterable[Example]): The examples the lines were drawn from.
        scores (Sequence[Tuple[Lines, Answer]]): What was asked, with the right answers, and what the model said.
        RETURNS (Tuple[float, List[Floats3d]]): The loss, and its gradient for each answer's logits.
        """
        loss = 0.0
        gradients = []
        for lines, answer in scores:
            value, gradient = cross_entropy(answer.logits, lines.targets, self.pooling)
            if self.listwise_weight and lines.compete:
                more, d_more = listwise(answer.logits, lines.targets, self.pooling)
                value += self.listwise_weight * more
                gradient = gradient + self.listwise_weight * d_more
            loss += value / len(scores)
            gradients.append(gradient / len(scores))
        return loss, gradients

    # Serialisation

    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> None:
        """Save the checkpoint as a Hugging Face folder, and labels that were set at run time.

        path (Union[str, Path]): The component's folder.
        exclude (Iterable[str]): "model", "vocab" or "cfg" to leave out.
        """
        writers = {
            "cfg": lambda p: srsly.write_json(p, self._settings()),
            "model": lambda p: self._shim.save(p),
        }
        util.to_disk(path, writers, exclude)

    def from_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> "ZeroShotTextCategorizer":
        """Take what to_disk wrote. The checkpoint is loaded at first use.

        path (Union[str, Path]): The component's folder.
        exclude (Iterable[str]): "model", "vocab" or "cfg" to leave out.
        RETURNS (ZeroShotTextCategorizer): The component.
        """
        readers = {
            "cfg": lambda p: self._restore_settings(srsly.read_json(p)),
            "model": lambda p: self._shim.restore(p),
        }
        util.from_disk(path, readers, exclude)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): What from_bytes takes. exclude (Iterable[str]): As in to_disk."""
        writers = {"cfg": lambda: srsly.json_dumps(self._settings()), "model": self._shim.to_bytes}
        return util.to_bytes(writers, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "ZeroShotTextCategorizer":
        """Take what to_bytes gave.

        bytes_data (bytes): The bytes.
        exclude (Iterable[str]): As in to_disk.
        RETURNS (ZeroShotTextCategorizer): The component.
        """
        readers = {
            "cfg": lambda b: self._restore_settings(srsly.json_loads(b)),
            "model": self._shim.from_bytes,
        }
        util.from_bytes(bytes_data, readers, exclude)
        return self

    # Inside

    @property
    def _shim(self) -> Any:
        return self.model.shims[0]

    def _set(self, labels: Sequence[str], own: Mapping[str, Sequence[str]]) -> None:
        checked = check_labels(labels, self.name)
        check_own_labels(own, checked, self.name)
        self._labels, self._own = checked, {label: tuple(texts) for label, texts in own.items()}

    def _reject_variables(self, setting: str, values: Sequence[Any]) -> None:
        for value in values:
            if isinstance(value, str) and "${" in value:
                raise ZeroShotError("Z008", self.name, setting=setting, value=value)

    def _wordings(self, docs: Sequence[Doc]) -> List[Wording]:
        """Each document's hypotheses; documents with the same labels share one object."""
        known: Dict[Optional[Tuple[str, ...]], Wording] = {}
        wordings = []
        for doc in docs:
            own = doc._.get(OWN_LABELS)
            key = None if own is None else tuple(check_labels(own, self.name))
            if key not in known:
                known[key] = self.wording(key)
            wordings.append(known[key])
        return wordings

    def _compete(self, wording: Wording) -> bool:
        return not self.multi_label and len(wording.labels) > 1

    def _judge(self, wording: Wording, premises: Sequence[Premise], answers: Sequence[Answer]) -> Judgement:
        compete = self._compete(wording)
        n_labels = len(wording.labels)
        if not answers:
            return Judgement(wording, blank_scores(n_labels, compete), [], blank_scores(0, False).reshape(0, n_labels))
        answer = concatenate(answers, [premise.start for premise in premises])
        values = strengths(answer.logits, wording.counts, compete)
        if self.calibrated:
            biases = [self.biases.get(label, 0.0) for label in wording.labels]
            values = adjust(values, np.array(biases), self.temperature)
        return Judgement(
            wording, scores(pool(values, self.pooling), compete), answer.windows, scores(values, compete)
        )

    def _cats(self, wording: Wording, values: Floats1d) -> Dict[str, float]:
        return {self.key_prefix + label: float(value) for label, value in zip(wording.labels, values)}

    def _spans(self, doc: Doc, judged: Judgement) -> List[Any]:
        spans = []
        for (start, end), values in zip(judged.windows, judged.window_values):
            # A window may begin or end inside a token; the span shows the whole of it.
            span = doc.char_span(start, end, alignment_mode="expand")
            if span is not None:
                span.attrs["cats"] = self._cats(judged.wording, values)
                spans.append(span)
        return spans

    def _one_by_one(self, docs: Sequence[Doc]) -> Iterator[Doc]:
        handle = self.get_error_handler()
        for doc in docs:
            try:
                judged = self.predict([doc])
            except FAILURES as error:
                handle(self.name, self, [doc], error)
                continue
            self.set_annotations([doc], judged)
            yield doc

    def _settings(self) -> Dict[str, Any]:
        """Labels set at run time, beside those of the config they replaced."""
        labels, own = self._configured
        return {
            "format": SETTINGS_FORMAT,
            "configured": {"labels": list(labels), "own": {k: list(v) for k, v in own.items()}},
            "labels": list(self._labels),
            "own": {label: list(texts) for label, texts in self._own.items()},
        }

    def _restore_settings(self, settings: Dict[str, Any]) -> None:
        if settings.get("format", 0) > SETTINGS_FORMAT:
            raise ZeroShotError("Z050", self.name, detail=f"format {settings['format']}")
        labels, own = self._configured
        configured = {"labels": list(labels), "own": {k: list(v) for k, v in own.items()}}
        # Labels that the user now gives in the config, or overrides, win over those of the saved pipeline.
        if settings["configured"] == configured:
            self._set(settings["labels"], settings["own"])
