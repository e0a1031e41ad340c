"""Evaluation on files of labelled texts and of NLI pairs, each with its own label set."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Protocol, Sequence, Tuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch
from thinc.types import Floats1d, Floats3d

from .component import ZeroShotTextCategorizer
from .decisions import Rule, decide_rows, default_rule
from .errors import ZeroShotError
from .evidence import FOR, Question, Request
from .hypotheses import check_template
from .labels import OWN_LABELS
from .metrics import figures, with_none
from .rows import LabelledText, NLIPair, is_nli, read_labelled_texts, read_nli
from .scores import pool

SINGLE, MULTI, NLI = "single-label", "multi-label", "nli"
COMMAND = "evaluate"

# Takes an iterator, how much it will yield and of which file; yields the same. For progress bars.
Watch = Callable[[Iterator[Any], int, str], Iterator[Any]]


class Judge(Protocol):
    """Anything that scores labels of texts."""

    def scores(self, texts: Sequence[str], labels: Sequence[str], compete: bool) -> Iterator[Floats1d]:
        """Score every label of every text. YIELDS (Floats1d): Shape (labels,), one per text."""
        ...

    def entailed(self, pairs: Sequence[NLIPair]) -> Iterator[Tuple[int, bool]]:
        """Decide on every pair. YIELDS (Tuple[int, bool]): A pair's number, and whether it is entailed."""
        ...

    def rule(self, compete: bool) -> Rule:
        """RETURNS (Rule): How labels are chosen. compete (bool): Whether they compete for one text."""
        ...


@dataclass(frozen=True)
class Rules:
    """How files are evaluated.

    multi_label (Optional[bool]): Whether labels are independent; None: where some row has other than one label.
    none_label (Optional[str]): A gold label that means "no label fits". It is no hypothesis: it counts as chosen
        where no label reaches its threshold.
    limit (Optional[int]): Evaluate this many rows of each file, spread evenly over it.
    """

    multi_label: Optional[bool] = None
    none_label: Optional[str] = None
    limit: Optional[int] = None


class Outcome(NamedTuple):
    """The figures of one file.

    data (str): The file's name without its endings.
    mode (str): "single-label", "multi-label" or "nli" (two classes: entailment and the rest).
    rows, labels (int): How many.
    macro_f1, micro_f1, accuracy (float): See Figures.
    f1 (Dict[str, float]): F1 by label.
    """

    data: str
    mode: str
    rows: int
    labels: int
    macro_f1: float
    micro_f1: float
    accuracy: float
    f1: Dict[str, float]


class PipelineJudge:
    """Scores with a pipeline's zero-shot component.

    nlp (Language): The pipeline.
    pipe (ZeroShotTextCategorizer): The component.
    templates (Sequence[str]): Templates in place of the component's own, if any.
    threshold (Optional[float]): A threshold for all labels in place of the component's own.
    batch_size (int): Texts that are scored together.
    RAISES (ZeroShotError): Z004 for a bad template.
    """

    def __init__(
        self,
        nlp: Language,
        pipe: ZeroShotTextCategorizer,
        templates: Sequence[str] = (),
        threshold: Optional[float] = None,
        batch_size: int = 128,
    ):
        self.nlp = nlp
        self.pipe = pipe
        self.templates = tuple(check_template(template, pipe.name) for template in templates) or pipe.templates
        self.threshold = threshold
        self.batch_size = batch_size

    def scores(self, texts: Sequence[str], labels: Sequence[str], compete: bool) -> Iterator[Floats1d]:
        keys = [self.pipe.key_prefix + label for label in labels]
        with self._asking(multi_label=not compete):
            for doc in self.nlp.pipe(self._docs(texts, labels), batch_size=self.batch_size):
                yield np.asarray([doc.cats[key] for key in keys])

    def entailed(self, pairs: Sequence[NLIPair]) -> Iterator[Tuple[int, bool]]:
        groups: Dict[str, List[int]] = {}
        for number, pair in enumerate(pairs):
            groups.setdefault(pair.premise, []).append(number)
        for batch in minibatch(groups.items(), self.batch_size):
            # no template: a pair's hypothesis is a sentence already
            asked = [tuple(dict.fromkeys(pairs[i].hypothesis for i in numbers)) for _, numbers in batch]
            questions = [Question(premise, hypotheses) for (premise, _), hypotheses in zip(batch, asked)]
            answers = self.pipe.model.predict(Request(questions, self.pipe.reading))
            for (_, numbers), hypotheses, answer in zip(batch, asked, answers):
                margins = dict(zip(hypotheses, pool(entailment_margins(answer.logits), self.pipe.pooling)))
                for i in numbers:
                    yield i, bool(margins[pairs[i].hypothesis] > 0)

    def rule(self, compete: bool) -> Rule:
        pipe = self.pipe
        if self.threshold is not None:
            return default_rule(compete, self.threshold, {}, pipe.top_k, pipe.abstain)
        return default_rule(compete, pipe.threshold, pipe.label_thresholds, pipe.top_k, pipe.abstain)

    def _docs(self, texts: Sequence[str], labels: Sequence[str]) -> Iterator[Doc]:
        for text in texts:
            doc = self.nlp.make_doc(text)
            doc._.set(OWN_LABELS, list(labels))
            yield doc

    @contextlib.contextmanager
    def _asking(self, multi_label: bool) -> Iterator[None]:
        """Give the component other settings for a while."""
        before = self.pipe.templates, self.pipe.multi_label
        self.pipe.templates, self.pipe.multi_label = self.templates, multi_label
        try:
            yield
        finally:
            self.pipe.templates, self.pipe.multi_label = before


def unwatched(items: Iterator[Any], total: int, name: str) -> Iterator[Any]:
    """A Watch that shows nothing. RETURNS (Iterator[Any]): The same items."""
    return items


def evaluate_file(path: Path, judge: Judge, rules: Rules, watch: Watch = unwatched) -> Outcome:
    """Evaluate one file.

    path (Path): A .jsonl or .jsonl.gz file of labelled texts or NLI pairs.
    judge (Judge): Scores.
    rules (Rules): How.
    watch (Watch): Shows progress.
    RETURNS (Outcome): The figures.
    RAISES (ZeroShotError): Z042, Z043, Z060 for a file that cannot be read; Z064 for one without labels.
    """
    if is_nli(path):
        return _evaluate_pairs(path, judge, rules, watch)
    rows = list(read_labelled_texts(path))
    every = list(dict.fromkeys(label for row in rows for label in row.labels))
    labels = [label for label in every if label != rules.none_label]
    if not labels:
        raise ZeroShotError("Z064", COMMAND, path=str(path))
    has_none = len(labels) < len(every)
    several = any(len(row.labels) != 1 for row in rows)
    multi_label = several if rules.multi_label is None else rules.multi_label
    chosen_rows = spread(rows, rules.limit)
    texts = [row.text for row in chosen_rows]
    judged = watch(judge.scores(texts, labels, not multi_label), len(texts), name_of(path))
    values = np.stack(list(judged))
    rule = judge.rule(compete=not multi_label)
    if has_none and not multi_label:
        # the best label, or "no label fits" where it does not reach the threshold
        rule = judge.rule(compete=False)
        rule = Rule(rule.threshold, rule.label_thresholds, 1, rule.abstain)
    chosen = decide_rows(values, labels, rule)
    gold = gold_array(chosen_rows, labels)
    if has_none:
        gold, chosen, labels = with_none(gold), with_none(chosen), [*labels, str(rules.none_label)]
    return _outcome(path, MULTI if multi_label else SINGLE, gold, chosen, labels)


def gold_array(rows: Sequence[LabelledText], labels: Sequence[str]) -> np.ndarray:
    """The right labels of rows.

    rows (Sequence[LabelledText]): The rows.
    labels (Sequence[str]): The labels; others are left out.
    RETURNS (np.ndarray): Shape (rows, labels), boolean.
    """
    return np.asarray([[label in row.labels for label in labels] for row in rows], dtype=bool)


def entailment_margins(logits: Floats3d) -> np.ndarray:
    """How far entailment lies above the strongest other class, neutral included.

    logits (Floats3d): Shape (windows, hypotheses, classes), as in Answer.
    RETURNS (np.ndarray): Shape (windows, hypotheses).
    """
    return logits[..., FOR] - logits[..., FOR + 1 :].max(axis=-1)


def spread(rows: Sequence[Any], limit: Optional[int]) -> List[Any]:
    """Some rows, evenly spread: files are often sorted by label.

    rows (Sequence[Any]): The rows.
    limit (Optional[int]): How many at most; None for all.
    RETURNS (List[Any]): The rows, in order.
    """
    if limit is None or limit >= len(rows):
        return list(rows)
    return [rows[i * len(rows) // limit] for i in range(limit)]


def name_of(path: Path) -> str:
    """A file's name without its endings. path (Path): The file. RETURNS (str): The name."""
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def _evaluate_pairs(path: Path, judge: Judge, rules: Rules, watch: Watch) -> Outcome:
    pairs = spread(list(read_nli(path)), rules.limit)
    entailed = np.zeros(len(pairs), dtype=bool)
    for number, decision in watch(judge.entailed(pairs), len(pairs), name_of(path)):
        entailed[number] = decision
    gold = np.asarray([pair.entailed for pair in pairs])
    return _outcome(path, NLI, with_none(gold[:, None]), with_none(entailed[:, None]), ["entailment", "the rest"])


def _outcome(path: Path, mode: str, gold: np.ndarray, chosen: np.ndarray, labels: Sequence[str]) -> Outcome:
    found = figures(gold, chosen)
    return Outcome(
        data=name_of(path),
        mode=mode,
        rows=len(gold),
        labels=len(labels),
        macro_f1=found.macro_f1,
        micro_f1=found.micro_f1,
        accuracy=found.accuracy,
        f1=dict(zip(labels, found.f1.tolist())),
    )
