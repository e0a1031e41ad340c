"""A loaded model at work: requests in, answers out, forwards and backwards."""

import os
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from thinc.types import Floats3d

from ..errors import ZeroShotError, warn
from ..evidence import Answer, Question, Request
from .checkpoint import Checkpoint, declaration
from .head import Head
from .layouts import Item
from .pair_layout import PairLayout, max_positions
from .shared_layout import SHARED_PREMISE, SUPPORTED, SharedPremiseLayout
from .tokens import Pieces, Tokens
from .windows import Reader, Window, characters

if TYPE_CHECKING:
    from .openvino import Kernel


# A GPU that cannot hold this many tokens cannot hold the model either.
SMALLEST_BUDGET = 64


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
    head (Head): How to read its logits.
    name (str): The checkpoint's name, for errors.
    device (torch.device): Where to run.
    dtype (torch.dtype): What to compute in.
    trainable (bool): Keep the weights in float32, and compute in `dtype` by autocast.
    budget (int): Padded tokens in one forward pass.
    kernel (Optional[str]): What OpenVINO computes in; None to run in torch.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        head: Head,
        name: str,
        device: torch.device,
        dtype: torch.dtype,
        trainable: bool,
        budget: int,
        kernel: Optional["Kernel"] = None,
    ):
        self.checkpoint = checkpoint
        self.head = head
        self.name = name
        self.device = device
        self.dtype = dtype
        self.trainable = trainable
        self.budget = budget
        self.kernel = kernel
        self.tokens = Tokens(checkpoint.tokenizer, name)
        weights = torch.float32 if trainable else dtype
        module = checkpoint.module.to(device=device, dtype=weights).eval()
        self.layout = _make_layout(checkpoint, module, self.tokens, head, name, multiple=_multiple(dtype, kernel))
        if isinstance(self.layout, torch.nn.Module):
            self.layout.to(device).eval()
        if kernel is not None:
            from .openvino_layout import run_by_openvino

            self.layout = run_by_openvino(self.layout, kernel, name)
        self._reader = Reader()
        self._warned_of_memory = False
        self._process = os.getpid()

    def predict(self, request: Request) -> List[Answer]:
        """Answer questions. Equal questions are answered once.

        request (Request): The questions.
        RETURNS (List[Answer]): One answer per question.
        RAISES (ZeroShotError): Z011, Z012 for what does not fit, Z013 for logits that are not finite.
        """
        self._process = mind_fork(self._process)
        distinct = list(dict.fromkeys(request.questions))
        plan = self._plan(distinct, request)
        flat = np.zeros((_n_pairs(plan), max(2, len(self.head.order))), dtype="float32")
        with torch.inference_mode(), self._autocast():
            self._score(plan.items, flat, request.reading.component)
        if not np.isfinite(flat).all():
            raise ZeroShotError("Z013", request.reading.component, detail="NaN or infinity", precision=str(self.dtype))
        answers = dict(zip(distinct, _split(flat, plan)))
        return [answers[question] for question in request.questions]

    def begin_update(self, request: Request) -> Tuple[List[Answer], Callable[[List[Floats3d]], None]]:
        """Answer questions and keep what backpropagation needs.

        request (Request): The questions.
        RETURNS (Tuple[List[Answer], Callable[[List[Floats3d]], None]]): The answers, and a callback that takes
            the gradient of each answer's logits and adds to the gradients of the weights.
        RAISES (ZeroShotError): As predict.
        """
        plan = self._plan(request.questions, request)
        n_pairs = _n_pairs(plan)
        outputs: List[Tuple[np.ndarray, torch.Tensor]] = []
        with self._autocast():
            for pass_ in self.layout.passes(plan.items, self.budget):
                outputs.append((pass_.pairs, self._canonical(self.layout.forward(pass_.batch))))
        flat = np.zeros((n_pairs, max(2, len(self.head.order))), dtype="float32")
        for pairs, logits in outputs:
            flat[pairs] = logits.detach().cpu().numpy()

        def backprop(gradients: List[Floats3d]) -> None:
            d_flat = np.concatenate([d.reshape(-1, flat.shape[1]) for d in gradients]).astype("float32")
            tensors = [logits for _, logits in outputs]
            d_tensors: List[Optional[torch.Tensor]] = [
                torch.from_numpy(d_flat[pairs]).to(self.device) for pairs, _ in outputs
            ]
            anchor = getattr(self.layout, "anchor", None)
            held = anchor.loss() if anchor is not None else None
            if held is not None:
                tensors.append(held)
                d_tensors.append(None)
            torch.autograd.backward(tensors, d_tensors)

        return _split(flat, plan), backprop

    @property
    def parameters(self) -> Dict[str, torch.nn.Parameter]:
        """The weights by name: those of the checkpoint, and what the layout adds."""
        named = dict(self.checkpoint.module.named_parameters())
        if isinstance(self.layout, SharedPremiseLayout) and self.layout.similarity is not None:
            named["similarity"] = self.layout.similarity
        return named

    def set_training(self, dropout: Optional[float]) -> None:
        """Switch between training and scoring.

        dropout (Optional[float]): The dropout rate of an update, None for scoring. At 0.0 no mask is sampled.
        """
        module = self.checkpoint.module
        module.train(bool(dropout))
        if dropout:
            for part in module.modules():
                if isinstance(part, torch.nn.Dropout):
                    part.p = dropout
        if isinstance(self.layout, SharedPremiseLayout):
            # the layout's flag says whether its cached vectors are stale; dropout is the module's business
            self.layout.train(dropout is not None)
            module.train(bool(dropout))

    def forget(self) -> None:
        """Drop what was computed with weights that have changed."""
        if isinstance(self.layout, SharedPremiseLayout):
            self.layout.forget()

    def declare(self) -> None:
        """Write what the layout has learned into the config that will be saved."""
        if isinstance(self.layout, SharedPremiseLayout) and self.layout.similarity is not None:
            declared = declaration(self.checkpoint.config)
            declared["similarity"] = [float(value) for value in self.layout.similarity.detach()]
            self.checkpoint.config.zero_shot = declared
            self.checkpoint.module.config.zero_shot = declared

    def _score(self, items: Sequence[Item], flat: np.ndarray, component: str) -> None:
        """Write the logits of all pairs into `flat`; where a GPU runs out of memory, go on with half the budget."""
        done = np.zeros(len(flat), dtype=bool)
        while True:
            try:
                for pass_ in self.layout.passes(items, self.budget):
                    flat[pass_.pairs] = self._canonical(self.layout.forward(pass_.batch)).cpu().numpy()
                    done[pass_.pairs] = True
                return
            except torch.cuda.OutOfMemoryError:
                if self.budget <= SMALLEST_BUDGET:
                    raise
                self._halve_budget(component)
            items = [item for item in items if not done[item.first : item.first + len(item.hypotheses)].all()]

    def _halve_budget(self, component: str) -> None:
        before, self.budget = self.budget, self.budget // 2
        torch.cuda.empty_cache()
        if not self._warned_of_memory:
            self._warned_of_memory = True
            warn("Z103", component, before=before, after=self.budget)

    def _autocast(self) -> Any:
        enabled = self.trainable and self.dtype != torch.float32
        return torch.autocast(self.device.type, dtype=self.dtype if enabled else torch.bfloat16, enabled=enabled)

    def _plan(self, questions: Sequence[Question], request: Request) -> Plan:
        premises = self.tokens.split([question.premise for question in questions])
        hypotheses: Dict[Tuple[str, ...], Tuple[Pieces, ...]] = {}
        plan = Plan([], [], [])
        for question, pieces in zip(questions, premises):
            if question.hypotheses not in hypotheses:
                hypotheses[question.hypotheses] = tuple(self.tokens.split_cached(question.hypotheses))
            split = hypotheses[question.hypotheses]
            windows = self._reader.windows(pieces, self._room(question, split, request), request.reading)
            first = plan.items[-1].first + len(plan.items[-1].hypotheses) if plan.items else 0
            plan.items.extend(_items(pieces, windows, split, first))
            plan.shapes.append((len(windows), len(split)))
            plan.windows.append([characters(pieces, window, question.premise) for window in windows])
        return plan

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

    def _canonical(self, logits: torch.Tensor) -> torch.Tensor:
        """The head's logits in the order of Answer.logits, in float32."""
        logits = logits.float()
        if len(self.head.order) == 1:
            return torch.cat([logits, torch.zeros_like(logits)], dim=-1)
        return logits[:, list(self.head.order)]


def mind_fork(process: int) -> int:
    """A forked child deadlocks on torch's thread pool if torch ran multi-threaded in the parent: use one thread.

    process (int): The process that made the model.
    RETURNS (int): The process that runs now.
    """
    current = os.getpid()
    if current != process:
        torch.set_num_threads(1)
    return current


def _make_layout(checkpoint: Checkpoint, module: Any, tokens: Tokens, head: Head, name: str, multiple: int) -> Any:
    declared = declaration(checkpoint.config)
    layout = declared.get("layout", "pair")
    length = max_positions(module, checkpoint.tokenizer)
    if layout == "pair":
        return PairLayout(module, tokens, length, min(multiple, 8))
    if layout != SHARED_PREMISE or checkpoint.config.model_type not in SUPPORTED:
        raise ZeroShotError("Z030", "NLIClassifier", layout=layout, name=name, model_type=checkpoint.config.model_type)
    return SharedPremiseLayout(module, tokens, length, multiple, declared.get("similarity"), head.entailment)


def _multiple(dtype: torch.dtype, kernel: Optional["Kernel"]) -> int:
    return 1 if dtype == torch.float32 and kernel is None else 16


def _items(pieces: Pieces, windows: Sequence[Window], split: Tuple[Pieces, ...], first: int) -> List[Item]:
    return [Item(pieces.ids[start:end], split, first + i * len(split)) for i, (start, end) in enumerate(windows)]


def _n_pairs(plan: Plan) -> int:
    return sum(windows * hypotheses for windows, hypotheses in plan.shapes)


def _split(flat: np.ndarray, plan: Plan) -> List[Answer]:
    answers = []
    start = 0
    for (n_windows, n_hypotheses), windows in zip(plan.shapes, plan.windows):
        end = start + n_windows * n_hypotheses
        answers.append(Answer(windows, flat[start:end].reshape(n_windows, n_hypotheses, -1)))
        start = end
    return answers


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
