"""Which sentences and words speak for a label, and which against it: attribution by occlusion.

A part's weight is what the label's score loses without it: occlusion (Zeiler & Fergus, 2014), called erasure (Li et
al., 2016) or leave-one-out for text. It asks nothing of the model but scores, so it works with every architecture.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from spacy import util
from spacy.attrs import SPACY
from spacy.pipeline import Sentencizer
from spacy.tokens import Doc, Span

from .errors import ZeroShotError
from .labels import LabelSet, own_labels
from .premises import is_blank
from .scores import DocScores

# Kana and Chinese characters: there are no spaces, so the tokenizer of another language makes one token of many words
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Log-odds of scores nearer to 0 or 1 than this are those of this
NEAREST = 1e-7


class Scorer(Protocol):
    """What is asked of the component."""

    key_prefix: str

    def label_set(self, labels: Sequence[str] | None = None) -> LabelSet: ...
    def predict(self, docs: Sequence[Doc], label_set: LabelSet | None = None) -> list[DocScores]: ...


class Part(NamedTuple):
    """A part of a text, and what it does to a label's score."""

    start: int  # its first character in the text
    end: int  # its past-the-last character
    text: str
    weight: float  # how far the log-odds of the score fall without it: above 0 it speaks for the label, below against
    score: float  # the label's score without it


class Explanation(NamedTuple):
    """Why a document has a label's score.

    label (str): The label, without key_prefix.
    score (float): Its score for the whole text.
    sentences (tuple[Part, ...]): The sentences in order; none if there is just one.
    words (tuple[Part, ...]): The words of the sentences of most weight, in order.
    n_texts (int): How many texts were scored to find that out.
    """

    label: str
    score: float
    sentences: tuple[Part, ...]
    words: tuple[Part, ...]
    n_texts: int


def explain(
    pipe: Scorer, doc: Doc, label: str | None = None, *, n_sentences: int = 2, max_parts: int = 64
) -> Explanation:
    """Leave out each sentence, then each word of the sentences of most weight, and score again what is left.

    The cost is `n_texts` scored texts: 1 + the sentences (if there are several) + the words of n_sentences of them.
    Words are tokens without punctuation, and single characters of Chinese and Japanese where a token is longer.
    Sentences are doc.sents, or end at the sentence punctuation of any script.

    Weights are not shares, and do not sum to the score or to its log-odds. Of two parts that each suffice, both weigh
    nearly nothing, as the other one is left; of two that say something only together, both weigh all of it. A text with
    a hole is unusual for the model, so small weights mean little.

    doc (Doc): The document. It is not changed, and need not be scored.
    label (str | None): The label, with key_prefix or without; None for the best one.
    n_sentences (int): Of how many sentences to weigh the words.
    max_parts (int): The most sentences, and the most words, to weigh. Of longer texts, neighbouring ones go together.
    RETURNS (Explanation): Parts of a blank text are none, and those without which nothing is left are left out.
    RAISES (ZeroShotError): Z209 if the component does not score the label.
    """
    label_set = pipe.label_set(own_labels(doc))
    whole = pipe.predict([doc], label_set)[0].scores
    known = [name for name in (label, (label or "").removeprefix(pipe.key_prefix)) if name in label_set.labels]
    if label is not None and not known:
        raise ZeroShotError("Z209", label=label, labels=list(label_set.labels))
    column = label_set.labels.index(known[0]) if known else int(whole.argmax())
    score = float(whole[column])

    def weigh(spans: Sequence[Span]) -> list[Part]:
        left = [(span, rest) for span in spans if not is_blank((rest := _without(cut, span)).text)]
        scores = [float(found.scores[column]) for found in pipe.predict([rest for _, rest in left], label_set)]
        weights = [_log_odds(score) - _log_odds(value) for value in scores]
        return [Part(s.start_char, s.end_char, s.text, w, value) for (s, _), w, value in zip(left, weights, scores)]

    cut = _cut_unspaced(doc)
    if not cut.has_annotation("SENT_START"):
        Sentencizer()(cut)
    spans = list(cut.sents)
    sentences = weigh(_join(spans, max_parts)) if len(spans) > 1 else []
    strongest = sorted(sentences, key=lambda part: -abs(part.weight))[:n_sentences]
    places = sorted((part.start, part.end) for part in strongest) or [(0, len(cut.text))]
    words = weigh([word for place in places for word in _join(_words(cut, *place), max_parts // len(places))])
    return Explanation(label_set.labels[column], score, tuple(sentences), tuple(words), 1 + len(sentences) + len(words))


def _log_odds(score: float) -> float:
    return float(np.log(max(score, NEAREST)) - np.log(max(1 - score, NEAREST)))


def _without(doc: Doc, span: Span) -> Doc:
    """A document without a span; entities and sentences of the rest stay, for span getters that need them."""
    parts = [part.as_doc() for part in (doc[: span.start], doc[span.end :]) if len(part)]
    rest = Doc.from_docs(parts, ensure_whitespace=False) or Doc(doc.vocab)
    if len(rest) and span.end == len(doc):
        # what was the space before the span is now a space at the end
        spaces = rest.to_array([SPACY])
        spaces[-1] = 0
        rest.from_array([SPACY], spaces)
    return rest


def _words(doc: Doc, start: int, end: int) -> list[Span]:
    return [doc[t.i : t.i + 1] for t in doc if start <= t.idx < end and not (t.is_punct or t.is_space)]


def _join(spans: Sequence[Span], most: int) -> list[Span]:
    """Take neighbours together until at most so many are left."""
    groups = util.minibatch(spans, -(-len(spans) // max(most, 1)))
    return [group[0].doc[group[0].start : group[-1].end] for group in groups]


def _cut_unspaced(doc: Doc) -> Doc:
    """A copy whose tokens of Chinese characters or kana are single ones; not of a parsed document."""
    cut = doc.copy()
    if doc.has_annotation("DEP"):
        return cut
    with cut.retokenize() as retokenizer:
        for token in cut:
            orths = re.findall(f"[{UNSPACED}]|[^{UNSPACED}]+", token.text)
            if len(orths) > 1:
                retokenizer.split(token, orths, heads=[(token, 0)] * len(orths))
    if doc.has_annotation("SENT_START"):
        starts = {sentence.start_char for sentence in doc.sents}
        for token in cut:
            token.is_sent_start = token.idx in starts
    return cut
