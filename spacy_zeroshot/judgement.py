"""From a model's answers to one document's scores, and onto the document."""

from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
from spacy.tokens import Doc, Span, SpanGroup
from thinc.types import Floats1d, Floats2d

from .evidence import Answer, concatenate
from .examples.store import Embed, ExampleStore
from .hypotheses import Wording
from .premises import Premise
from .scores import adjust, blank_scores, pool, scores, strengths


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

    def cats(self, key_prefix: str) -> Dict[str, float]:
        """What goes to doc.cats. key_prefix (str): Put before every label. RETURNS (Dict[str, float]): The scores."""
        return _by_label(self.wording, self.values, key_prefix)


class Scale(NamedTuple):
    """The component's settings for turning evidence into scores.

    multi_label (bool): Each label on its own. A single label is always on its own: it has no rival.
    pooling (str): "max", "mean" or "first".
    biases (Mapping[str, float]): What is taken from labels' strengths, in logits.
    temperature (float): What strengths are then divided by.
    """

    multi_label: bool
    pooling: str
    biases: Mapping[str, float]
    temperature: float


def judge(wording: Wording, premises: Sequence[Premise], answers: Sequence[Answer], scale: Scale) -> Judgement:
    """Score a document's labels.

    wording (Wording): The labels and hypotheses.
    premises (Sequence[Premise]): The parts of the document; none if it is blank.
    answers (Sequence[Answer]): The model's answer on each.
    scale (Scale): How to turn evidence into scores.
    RETURNS (Judgement): The scores. Without premises 1 / n for labels that compete, else 0.
    """
    compete = not scale.multi_label and len(wording.labels) > 1
    if not answers:
        blank = blank_scores(len(wording.labels), compete)
        return Judgement(wording, blank, [], blank[None, :][:0])
    answer = concatenate(answers, [premise.start for premise in premises])
    biases = np.array([scale.biases.get(label, 0.0) for label in wording.labels])
    values = adjust(strengths(answer.logits, wording.counts, compete), biases, scale.temperature)
    pooled = pool(values, scale.pooling)
    return Judgement(wording, scores(pooled, compete), answer.windows, scores(values, compete))


def add_votes(
    judged: Sequence[Judgement],
    premises: Sequence[Sequence[Premise]],
    examples: ExampleStore,
    multi_label: bool,
    embed: Embed,
) -> List[Judgement]:
    """Mix documents' scores with the votes of the examples nearest to all that was read of them.

    judged (Sequence[Judgement]): The zero-shot scores. Those of windows stay as they are.
    premises (Sequence[Sequence[Premise]]): The parts of each document; a blank one has none, and keeps its scores.
    examples (ExampleStore): The examples.
    multi_label (bool): Each label on its own.
    embed (Embed): Gives embeddings.
    RETURNS (List[Judgement]): The same documents.
    """
    mixed = list(judged)
    by_labels: Dict[Tuple[str, ...], List[int]] = {}
    for number, parts in enumerate(premises):
        if parts and examples.weight:
            by_labels.setdefault(judged[number].wording.labels, []).append(number)
    for labels, numbers in by_labels.items():
        texts = [" ".join(part.text for part in premises[i]) for i in numbers]
        values = np.stack([judged[i].values for i in numbers])
        found = examples.mix(values, texts, labels, not multi_label and len(labels) > 1, embed)
        for i, row in zip(numbers, found):
            mixed[i] = judged[i]._replace(values=row)
    return mixed


def window_spans(doc: Doc, judged: Judgement, spans_key: str, key_prefix: str) -> SpanGroup:
    """The windows of a document as a span group: attrs["cats"] holds each span's scores, in order.

    doc (Doc): The document.
    judged (Judgement): Its scores.
    spans_key (str): The group's name.
    key_prefix (str): Put before every label.
    RETURNS (SpanGroup): One span per window. A window may begin or end inside a token; its span has all of it.
    """
    spans = [_cover(doc, start, end) for start, end in judged.windows]
    cats = [_by_label(judged.wording, values, key_prefix) for values in judged.window_values]
    return SpanGroup(doc, name=spans_key, spans=spans, attrs={"cats": cats})


def _cover(doc: Doc, start: int, end: int) -> Span:
    """The tokens that characters start to end touch. A token has the space after it."""
    first = _token_at(doc, start)
    return doc[first : max(_token_at(doc, end - 1), first) + 1]


def _token_at(doc: Doc, character: int) -> int:
    low, high = 0, len(doc) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if doc[middle].idx <= character:
            low = middle
        else:
            high = middle - 1
    return low


def _by_label(wording: Wording, values: Floats1d, key_prefix: str) -> Dict[str, float]:
    return {key_prefix + label: float(value) for label, value in zip(wording.labels, values)}
