"""Where a model runs, in which precision, and with how many tokens at once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from thinc.api import CupyOps, get_current_ops, set_gpu_allocator
from thinc.backends import context_pools
from thinc.util import get_torch_default_device

from ..errors import ZeroShotError
from ..util import first_line
from .types import Backend, Precision

# More tokens at once bring a GPU nothing (measured on an H200 with a 22M body).
LARGEST_BUDGET = 131_072
# Values of one token's width that live at the same time in a layer, with room for the allocator's own waste
LIVE_STATES = 24


def choose_device(device: str | None) -> torch.device:
    """The torch device of a setting; None follows thinc's active ops."""
    if device is None:
        return get_torch_default_device()
    try:
        wanted = torch.device(device)
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise ZeroShotError("Z033", device=device, reason=first_line(error)) from error
    return wanted


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The dtype to compute in. "auto" is bfloat16 where it is native, as emulated it is much slower than float32."""
    # int8 is OpenVINO's: what it does not round, and torch in its place, compute as with "auto"
    if precision in ("auto", "int8"):
        return torch.bfloat16 if has_native_bfloat16(device) else torch.float32
    if precision == "float16" and device.type == "cpu":
        raise ZeroShotError("Z032", precision=precision, device="a CPU")
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def choose_kernel(backend: Backend, precision: Precision, device: torch.device, trainable: bool) -> torch.dtype | None:
    """What OpenVINO is to compute in; None for torch. "auto" asks for it where it is there and can do the task."""
    reason = "only scores, and trainable is true" if trainable else None
    if device.type != "cpu":
        reason = f"runs on a CPU, and the device is {device}"
    able = reason is None and precision != "float16" and find_spec("openvino") is not None
    if backend == "torch" or (backend == "auto" and not able):
        return None
    if reason is not None:
        raise ZeroShotError("Z036", reason=reason)
    return torch.int8 if precision == "int8" else choose_dtype(precision, device)


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 matrices natively (on a CPU: AVX512-BF16 or AMX)."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # oneDNN can be told to use less than a CPU has
    if device.type != "cpu" or os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper().startswith(("SSE", "AVX2")):
        return False
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf8") if info.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def choose_budget(cpu_tokens: int, device: torch.device, width: int) -> int:
    """Padded tokens in one forward pass: what a CPU runs fastest with (more would push each other out of its cache),
    and what half of a GPU's free memory holds of states of this width."""
    if device.type == "cpu":
        return cpu_tokens
    if device.type != "cuda":
        return 8192
    free, _ = torch.cuda.mem_get_info(device)
    fitting = max(free // 2 // (4 * LIVE_STATES * width), 1024)
    return int(min(LARGEST_BUDGET, 1 << (fitting.bit_length() - 1)))


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array as a tensor on a device. To a GPU from pinned memory: the call returns before the copy is made."""
    tensor = torch.from_numpy(array)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def to_host(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor's float32 values for the CPU: from a GPU they are there once it is synchronised."""
    return tensor.detach().float().to("cpu", non_blocking=True)


def mind_fork(process: int) -> None:
    """Use one thread in a forked child: it deadlocks on torch's pool if torch ran multi-threaded in the parent."""
    if os.getpid() != process:
        torch.set_num_threads(1)


def share_gpu_memory() -> None:
    """Let torch and CuPy share one memory pool, as thinc's own shims do."""
    if CupyOps.xp is not None and isinstance(get_current_ops(), CupyOps) and "pytorch" not in context_pools.get():
        set_gpu_allocator("pytorch")
        CupyOps.xp.get_default_memory_pool().free_all_blocks()


@contextmanager
def plain_tensors() -> Iterator[None]:
    """Make tensors that can be trained and are float32, whatever mode and default dtype the caller has set."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        torch.set_default_dtype(default)
