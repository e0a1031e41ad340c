"""How the component learns: nlp.initialize and nlp.update."""

from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.training import Example, validate_examples
from thinc.api import Optimizer, set_dropout_rate
from thinc.types import Floats3d

from ..errors import ZeroShotError
from ..evidence import Answer, Reading, Request
from ..examples.store import ExampleStore
from ..hypotheses import Wording
from ..premises import SpanGetter, premises_of
from .loss import cross_entropy, listwise
from .pairs import Lines, draw_lines, gather, gold_labels, scatter


class Learner(TrainablePipe):
    """The learning half of the component; its settings are documented there."""

    trainable: bool
    key_prefix: str
    max_negatives: int
    pooling: str
    reading: Reading
    get_spans: Optional[SpanGetter]
    listwise_weight: float
    examples: ExampleStore
    set_labels: Callable[..., None]
    wording: Callable[..., Wording]

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
        anchor_to: Optional[str] = None,
        learn_similarity: bool = True,
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
        anchor (float): Weight of a loss that keeps the encoder's embeddings near those of another.
        anchor_to (Optional[str]): That other encoder, a name or folder; None for the own one as it starts.
        learn_similarity (bool): Whether the loss reaches the embeddings through the cosine of text and hypothesis.
            If not, the cosine counts as it is, and the head learns what it lacks.
        listwise_weight (float): Weight of a second loss, cross-entropy over an example's hypotheses that compete.
        RAISES (ZeroShotError): Z041 if no labels can be had.
        """
        from ..model.shim import Lesson

        if labels is not None:
            self.set_labels(labels)
        elif not self.labels and self.examples:
            self.wording()
        elif not self.labels:
            found = gold_labels(get_examples(), self.key_prefix)
            if not found:
                raise ZeroShotError("Z041", self.name)
            self.set_labels(found)
        self.listwise_weight = listwise_weight
        lesson = Lesson(new_head, tuple(freeze), layer_decay, head_rate, anchor, anchor_to, learn_similarity)
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
        self.examples.forget()
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
