"""Where a model runs and in which precision."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Optional

from ..errors import ZeroShotError

Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]
Backend = Literal["torch", "openvino", "auto"]
# What OpenVINO computes in
Kernel = Literal["float32", "bfloat16", "int8"]


def choose_device(device: Optional[str]) -> Any:
    """The torch device to run on.

    device (Optional[str]): A torch device string, or None to follow thinc's active ops (spacy.require_gpu).
    RETURNS (torch.device): The device.
    RAISES (ZeroShotError): Z033 if torch does not have it.
    """
    import torch
    from thinc.util import get_torch_default_device

    if device is None:
        return get_torch_default_device()
    try:
        wanted = torch.device(device)
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as reason:
        raise ZeroShotError("Z033", "NLIClassifier", device=device, reason=str(reason).split("\n")[0]) from reason
    return wanted


def choose_dtype(precision: Precision, device: Any) -> Any:
    """The torch dtype to compute in.

    "auto" is bfloat16 on a GPU that has it and on a CPU with native support (AVX512-BF16, AMX), else float32:
    emulated bfloat16 is several times slower than float32.

    precision (Precision): The setting.
    device (torch.device): Where the model runs.
    RETURNS (torch.dtype): The dtype.
    RAISES (ZeroShotError): Z032 for float16 on a CPU, and for int8, which only OpenVINO has.
    """
    import torch

    if precision == "auto":
        return torch.bfloat16 if has_native_bfloat16(device) else torch.float32
    if precision == "int8":
        raise ZeroShotError("Z032", "NLIClassifier", precision=precision, device="the torch backend")
    if precision == "float16" and device.type == "cpu":
        raise ZeroShotError("Z032", "NLIClassifier", precision=precision, device="a CPU")
    return getattr(torch, precision)


def choose_kernel(backend: Backend, precision: Precision, device: Any, trainable: bool) -> Optional[Kernel]:
    """What OpenVINO computes in, if it is to run the model.

    On the one processor measured (an AMD EPYC with native bfloat16) it beats torch with both layouts and in both
    precisions: `spacy zeroshot benchmark --only kernels`. So "auto" takes it where it is installed and can do what is
    asked; it does not time the two.

    backend (Backend): The setting.
    precision (Precision): The setting. "auto" is bfloat16 where the processor multiplies it natively.
    device (torch.device): Where the model runs.
    trainable (bool): Whether it is to be trained.
    RETURNS (Optional[Kernel]): The kernel; None for torch.
    RAISES (ZeroShotError): Z032 for float16, Z036 for a GPU or for training.
    """
    if backend == "torch":
        return None
    if backend == "auto":
        able = device.type == "cpu" and not trainable and precision != "float16"
        if not able or find_spec("openvino") is None:
            return None
    if trainable:
        raise ZeroShotError("Z036", "NLIClassifier", reason="only scores, and trainable is true")
    if device.type != "cpu":
        raise ZeroShotError("Z036", "NLIClassifier", reason=f"runs on a CPU, and the device is {device}")
    if precision == "float16":
        raise ZeroShotError("Z032", "NLIClassifier", precision=precision, device="OpenVINO on a CPU")
    if precision == "auto":
        return "bfloat16" if has_native_bfloat16(device) else "float32"
    return precision


def has_native_bfloat16(device: Any) -> bool:
    """Whether a device multiplies bfloat16 matrices natively.

    device (torch.device): The device.
    RETURNS (bool): True if it does.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf8") if info.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags
