"""A loaded model at work: requests in, answers out."""

import contextlib
import os
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch

from ..errors import ZeroShotError
from ..evidence import Answer, Question, Request
from .budget import Budget
from .checkpoint import Checkpoint
from .heap import Heap
from .layouts import Item
from .onednn import linear_by_onednn
from .tokens import Pieces, Tokens
from .windows import Reader, Window, characters


class Plan(NamedTuple):
    """A tokenised request.

    items (List[Item]): Every window with its hypotheses.
    shapes (List[Tuple[int, int]]): Windows and hypotheses of each question.
    windows (List[List[Tuple[int, int]]]): The characters of each question's windows.
    """

    items: List[Item]
    shapes: List[Tuple[int, int]]
    windows: List[List[Tuple[int, int]]]


class Runtime:
    """A checkpoint on a device, in a precision, ready to answer.

    checkpoint (Checkpoint): What was loaded.
    tokens (Tokens): Its tokenizer.
    layout (Layout): How questions become passes.
    device (torch.device): Where to run.
    dtype (torch.dtype): What to compute in.
    budget (int): Padded tokens in one forward pass.
    classes (int): Columns of Answer.logits.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokens: Tokens,
        layout: Any,
        device: torch.device,
        dtype: torch.dtype,
        budget: int,
        classes: int = 2,
    ):
        self.checkpoint = checkpoint
        self.tokens = tokens
        self.layout = layout
        self.device = device
        self.dtype = dtype
        self.classes = classes
        self._budget = Budget(budget)
        self._reader = Reader()
        self._heap = Heap()
        self._process = os.getpid()

    @property
    def budget(self) -> int:
        """RETURNS (int): Padded tokens in one forward pass."""
        return self._budget.tokens

    def predict(self, request: Request) -> List[Answer]:
        """Answer questions. Equal questions are answered once.

        request (Request): The questions.
        RETURNS (List[Answer]): One answer per question.
        RAISES (ZeroShotError): Z011, Z012 for what does not fit, Z013 for logits that are not finite.
        """
        self._process = mind_fork(self._process)
        distinct = list(dict.fromkeys(request.questions))
        plan = self.plan(distinct, request)
        flat = np.zeros((n_pairs(plan), self.classes), dtype="float32")
        with torch.inference_mode(), self.autocast(), linear_by_onednn(self.device, self.dtype):
            self._score(plan.items, flat, request.reading.component)
        if not np.isfinite(flat).all():
            raise ZeroShotError("Z013", request.reading.component, detail="NaN or infinity", precision=str(self.dtype))
        self._heap.count(len(distinct))
        answers = dict(zip(distinct, split_answers(flat, plan)))
        return [answers[question] for question in request.questions]

    def plan(self, questions: Sequence[Question], request: Request) -> Plan:
        """Tokenise questions and cut their premises into windows.

        questions (Sequence[Question]): The questions.
        request (Request): How to read them.
        RETURNS (Plan): Their windows.
        RAISES (ZeroShotError): Z011, Z012 for what does not fit.
        """
        premises = self.tokens.split([question.premise for question in questions])
        hypotheses: Dict[Tuple[str, ...], Tuple[Pieces, ...]] = {}
        plan = Plan([], [], [])
        for question, pieces in zip(questions, premises):
            if question.hypotheses not in hypotheses:
                hypotheses[question.hypotheses] = self.split_hypotheses(question.hypotheses)
            split = hypotheses[question.hypotheses]
            windows = self._reader.windows(pieces, self._room(question, split, request), request.reading)
            first = plan.items[-1].first + len(plan.items[-1].hypotheses) if plan.items else 0
            plan.items.extend(_items(pieces, windows, split, first))
            plan.shapes.append((len(windows), len(split)))
            plan.windows.append([characters(pieces, window, question.premise) for window in windows])
        return plan

    def split_hypotheses(self, hypotheses: Sequence[str]) -> Tuple[Pieces, ...]:
        """Tokenise hypotheses. hypotheses (Sequence[str]): The texts. RETURNS (Tuple[Pieces, ...]): One for each."""
        return tuple(self.tokens.split_cached(hypotheses))

    def canonical(self, logits: torch.Tensor) -> torch.Tensor:
        """What the layout gave, in the order of Answer.logits, in float32.

        logits (Tensor): Shape (pairs, any).
        RETURNS (Tensor): Shape (pairs, classes).
        """
        return logits.float()

    def autocast(self) -> Any:
        """RETURNS (ContextManager): What passes run in."""
        return contextlib.nullcontext()

    def _score(self, items: Sequence[Item], flat: np.ndarray, component: str) -> None:
        """Write the logits of all pairs into `flat`; where a GPU runs out of memory, go on with half the budget."""
        done = np.zeros(len(flat), dtype=bool)
        while True:
            try:
                for pass_ in self.layout.passes(items, self._pass_tokens()):
                    flat[pass_.pairs] = self.canonical(self.layout.forward(pass_.batch)).cpu().numpy()
                    done[pass_.pairs] = True
                return
            except torch.cuda.OutOfMemoryError:
                if not self._budget.halve(component):
                    raise
            items = [item for item in items if not done[item.first : item.first + len(item.hypotheses)].all()]

    def _pass_tokens(self) -> int:
        """Tokens of a pass: on a CPU fewer than allowed, where more would push each other out of its cache."""
        fitting = getattr(self.layout, "cached_tokens", None) if self.device.type == "cpu" else None
        return min(self.budget, fitting or self.budget)

    def _room(self, question: Question, split: Sequence[Pieces], request: Request) -> int:
        lengths = [len(piece.ids) for piece in split]
        room = self.layout.room(max(lengths))
        if room < 1:
            longest = int(np.argmax(lengths))
            raise ZeroShotError(
                "Z011",
                request.reading.component,
                hypothesis=_shorten(question.hypotheses[longest]),
                length=lengths[longest],
                room=self.layout.room(0) - 1,
            )
        return room


def mind_fork(process: int) -> int:
    """A forked child deadlocks on torch's thread pool if torch ran multi-threaded in the parent: use one thread.

    process (int): The process that made the model.
    RETURNS (int): The process that runs now.
    """
    current = os.getpid()
    if current != process:
        torch.set_num_threads(1)
    return current


def _items(pieces: Pieces, windows: Sequence[Window], split: Tuple[Pieces, ...], first: int) -> List[Item]:
    return [Item(pieces.ids[start:end], split, first + i * len(split)) for i, (start, end) in enumerate(windows)]


def n_pairs(plan: Plan) -> int:
    """RETURNS (int): How many pairs of window and hypothesis a plan has."""
    return sum(windows * hypotheses for windows, hypotheses in plan.shapes)


def split_answers(flat: np.ndarray, plan: Plan) -> List[Answer]:
    """Cut the logits of all pairs into answers.

    flat (np.ndarray): Shape (pairs, classes).
    plan (Plan): What was asked.
    RETURNS (List[Answer]): One for each question.
    """
    answers = []
    start = 0
    for (n_windows, n_hypotheses), windows in zip(plan.shapes, plan.windows):
        end = start + n_windows * n_hypotheses
        answers.append(Answer(windows, flat[start:end].reshape(n_windows, n_hypotheses, -1)))
        start = end
    return answers


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
