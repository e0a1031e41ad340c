"""A natural language inference model at work: also backwards, to be fine-tuned."""

from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import torch
from thinc.types import Floats3d

from ..errors import ZeroShotError
from ..evidence import Answer, Request
from .checkpoint import Checkpoint, declaration
from .head import Head
from .pair_layout import PairLayout, max_positions
from .runtime import Runtime, n_pairs, split_answers
from .shared_layout import SHARED_PREMISE, SUPPORTED, SharedPremiseLayout
from .tokens import Tokens

if TYPE_CHECKING:
    from .precision import Kernel


class NLIRuntime(Runtime):
    """An NLI checkpoint on a device, in a precision, ready to answer and to learn.

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
        self.head = head
        self.name = name
        self.trainable = trainable
        self.kernel = kernel
        tokens = Tokens(checkpoint.tokenizer, name)
        weights = torch.float32 if trainable else dtype
        module = checkpoint.module.to(device=device, dtype=weights).eval()
        layout = _make_layout(checkpoint, module, tokens, head, name, multiple=_multiple(dtype, kernel))
        if isinstance(layout, torch.nn.Module):
            layout.to(device).eval()
        if kernel is not None:
            from .openvino_layout import run_by_openvino

            layout = run_by_openvino(layout, kernel, name)
        self.competition_temperature = float(declaration(checkpoint.config).get("competition_temperature", 1.0))
        super().__init__(checkpoint, tokens, layout, device, dtype, budget, classes=max(2, len(head.order)))

    def begin_update(self, request: Request) -> Tuple[List[Answer], Callable[[List[Floats3d]], None]]:
        """Answer questions and keep what backpropagation needs.

        request (Request): The questions.
        RETURNS (Tuple[List[Answer], Callable[[List[Floats3d]], None]]): The answers, and a callback that takes
            the gradient of each answer's logits and adds to the gradients of the weights.
        RAISES (ZeroShotError): As predict.
        """
        plan = self.plan(request.questions, request)
        outputs: List[Tuple[np.ndarray, torch.Tensor]] = []
        with self.autocast():
            for pass_ in self.layout.passes(plan.items, self.budget):
                outputs.append((pass_.pairs, self.canonical(self.layout.forward(pass_.batch))))
        flat = np.zeros((n_pairs(plan), self.classes), dtype="float32")
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

        return split_answers(flat, plan), backprop

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

    def canonical(self, logits: torch.Tensor) -> torch.Tensor:
        """The head's logits in the order of Answer.logits, in float32.

        A checkpoint of ours may declare "competition_temperature": what entailment logits are divided by where labels
        compete. The other classes move along, so that the margins that multi-label scores are made of stay.
        """
        logits = logits.float()
        if len(self.head.order) == 1:
            return torch.cat([logits, torch.zeros_like(logits)], dim=-1)
        logits = logits[:, list(self.head.order)]
        if self.competition_temperature == 1.0:
            return logits
        return logits - (1.0 - 1.0 / self.competition_temperature) * logits[:, :1]

    def autocast(self) -> Any:
        enabled = self.trainable and self.dtype != torch.float32
        return torch.autocast(self.device.type, dtype=self.dtype if enabled else torch.bfloat16, enabled=enabled)


def _make_layout(checkpoint: Checkpoint, module: Any, tokens: Tokens, head: Head, name: str, multiple: int) -> Any:
    declared = declaration(checkpoint.config)
    layout = declared.get("layout", "pair")
    length = max_positions(module, checkpoint.tokenizer)
    if layout == "pair":
        return PairLayout(module, tokens, length, min(multiple, 8))
    decoupled = declared.get("decoupled_layers", 0)
    reason = _why_not(checkpoint.config, layout, decoupled)
    if reason is not None:
        raise ZeroShotError("Z030", "NLIClassifier", layout=layout, name=name, reason=reason)
    return SharedPremiseLayout(module, tokens, length, declared.get("similarity"), head.entailment, decoupled)


def _why_not(config: Any, layout: Any, decoupled: Any) -> Optional[str]:
    """Why a declared layout cannot be run. RETURNS (Optional[str]): None if it can."""
    if layout != SHARED_PREMISE:
        return "it is not known"
    if config.model_type not in SUPPORTED:
        return f"an encoder of the type {config.model_type} cannot take it"
    if decoupled not in range(config.num_hidden_layers):
        return f"decoupled_layers = {decoupled!r} is not a number from 0 to {config.num_hidden_layers - 1}"
    return None


def _multiple(dtype: torch.dtype, kernel: Optional["Kernel"]) -> int:
    return 1 if dtype == torch.float32 and kernel is None else 16
