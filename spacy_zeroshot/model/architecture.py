"""spacy_zeroshot.NLIClassifier.v1: a thinc model that reads questions and gives NLI evidence."""

from typing import Any, Callable, List, Optional, Tuple

from thinc.api import Model
from thinc.types import Floats3d

from ..errors import ZeroShotError
from ..evidence import Answer, Request
from .head import ClassRef
from .precision import Backend, Precision
from .shim import NLIShim, Placement
from .source import BUNDLED, Source

Backprop = Callable[[List[Floats3d]], None]


def NLIClassifier(
    name: str = BUNDLED,
    revision: Optional[str] = None,
    local_files_only: bool = False,
    use_safetensors: bool = True,
    entailment: ClassRef = None,
    contradiction: ClassRef = None,
    precision: Precision = "auto",
    device: Optional[str] = None,
    max_batch_tokens: int = 8192,
    backend: Backend = "torch",
) -> Model[Request, List[Answer]]:
    """Build a natural language inference classifier. Nothing is loaded before its first use.

    name (str): "bundled", a Hugging Face Hub name, or a folder written by save_pretrained.
    revision (Optional[str]): A commit or tag of a Hub name: pins config, tokenizer and weights.
    local_files_only (bool): Never ask the network, take the Hub's cache.
    use_safetensors (bool): Refuse pickled weights. False also takes an old pytorch_model.bin.
    entailment (ClassRef): Which class of the head means entailment, by name or index; None: found by name.
    contradiction (ClassRef): The same for contradiction.
    precision (Precision): "auto", "float32", "bfloat16", "float16"; or, with OpenVINO and the extra "int8", "int8":
        larger changes of the scores than with bfloat16 for more speed, never chosen by "auto".
    device (Optional[str]): None follows thinc's active ops; or a torch device string.
    max_batch_tokens (int): Padded tokens in one forward pass.
    backend (Backend): What runs the encoder: "torch"; "openvino" (an extra; scores on a CPU, does not train); or
        "auto", OpenVINO where it is installed, can do what is asked and gives the same scores.
    RETURNS (Model[Request, List[Answer]]): The model: two logits, for and against, for every window of a premise
        and every hypothesis.
    RAISES (ZeroShotError): Z007 for an impossible budget.
    """
    check_budget(max_batch_tokens, "NLIClassifier")
    shim = NLIShim(
        Source(name, revision, local_files_only, use_safetensors),
        Placement(entailment, contradiction, precision, device, max_batch_tokens, backend),
    )
    return Model("nli_classifier", forward, shims=[shim], attrs={"dropout_rate": 0.0})


def forward(model: Model[Request, List[Answer]], request: Request, is_train: bool) -> Tuple[List[Answer], Backprop]:
    """Answer a request.

    model (Model): What NLIClassifier built.
    request (Request): The questions.
    is_train (bool): Whether to keep what backpropagation needs.
    RETURNS (Tuple[List[Answer], Backprop]): The answers and the backward callback.
    """
    shim: Any = model.shims[0]
    if not is_train:
        return shim(request, False)
    # The dropout masks are drawn in the forward pass; gradients do not ask for the mode. So a failure on the way,
    # or a callback that is never called, leaves no model that drops out when it scores.
    shim.runtime.set_training(model.attrs["dropout_rate"])
    try:
        return shim(request, True)
    finally:
        shim.runtime.set_training(None)


def score(model: Model[Request, List[Answer]], request: Request, is_train: bool) -> Tuple[List[Answer], Backprop]:
    """Answer a request; for models that do not train.

    model (Model): What SimilarityClassifier or MaskedLMClassifier built.
    request (Request): The questions.
    is_train (bool): Makes no difference: nothing can be trained.
    RETURNS (Tuple[List[Answer], Backprop]): The answers, and a callback that refuses.
    """
    shim: Any = model.shims[0]
    return shim(request, is_train)


def check_budget(max_batch_tokens: int, component: str) -> None:
    """Check the setting max_batch_tokens.

    max_batch_tokens (int): Padded tokens in one forward pass.
    component (str): The architecture's name, for errors.
    RAISES (ZeroShotError): Z007 unless it is above 0.
    """
    if max_batch_tokens < 1:
        reason = "it must be positive"
        raise ZeroShotError("Z007", component, setting="max_batch_tokens", value=max_batch_tokens, reason=reason)
