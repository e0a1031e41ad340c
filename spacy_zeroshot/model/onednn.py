"""Linear layers in float32 by oneDNN, where torch's own choice leaves half of the processor unused."""

import contextlib
from functools import cache
from pathlib import Path
from typing import Any, Callable, ContextManager, Dict, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

# oneDNN compiles and keeps a kernel of most of a megabyte for every number of rows, so there are few.
ROWS = 64
MANY_ROWS = 512


def linear_by_onednn(device: torch.device, dtype: torch.dtype) -> ContextManager[Any]:
    """Where torch takes float32 products from MKL and MKL does not use all of the processor, take oneDNN's.

    torch multiplies bfloat16 by oneDNN and float32 by MKL, which on AMD's processors leaves AVX512 alone. Measured
    there, the products of a small encoder took 0.45 times as long, with results equal to 1e-5.

    device (torch.device): Where the model runs.
    dtype (torch.dtype): What it computes in.
    RETURNS (ContextManager): To run a model in.
    """
    wanted = dtype == torch.float32 and device.type == "cpu" and is_faster()
    return LinearByOneDNN() if wanted else contextlib.nullcontext()


@cache
def is_faster() -> bool:
    """Whether this is one of AMD's processors with AVX512, and torch has both libraries.

    RETURNS (bool): True if it is.
    """
    info = Path("/proc/cpuinfo")
    has_both = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    return (
        has_both
        and _operator() is not None
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and info.exists()
        and "AuthenticAMD" in info.read_text(encoding="utf8")
    )


class LinearByOneDNN(TorchFunctionMode):
    """While it is entered, torch.nn.functional.linear on float32 in inference mode is oneDNN's."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Tuple[Any, ...] = (),
        kwargs: Optional[Dict[str, Any]] = None,
    ) -> Any:
        if func is F.linear and not kwargs and torch.is_inference_mode_enabled():
            inputs, weight = args[:2]
            if inputs.dtype == weight.dtype == torch.float32 and inputs.numel():
                return _linear(inputs, weight, args[2] if len(args) > 2 else None)
        return func(*args, **(kwargs or {}))


def _linear(inputs: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    rows = inputs.reshape(-1, inputs.shape[-1])
    step = ROWS if len(rows) <= 4 * MANY_ROWS else MANY_ROWS
    filling = -len(rows) % step
    padded = F.pad(rows, (0, 0, 0, filling)) if filling else rows
    outputs: Tensor = _operator()(padded, weight, bias, "none", [], "")
    return outputs[: len(rows)].view(*inputs.shape[:-1], len(weight))


def _operator() -> Any:
    """The operator that torch.compile uses for linear layers on a CPU."""
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)
