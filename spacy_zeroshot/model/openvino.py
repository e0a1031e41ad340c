"""Torch modules run by OpenVINO: converted once, kept on disk, compiled in every process that uses them."""

import atexit
import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ZeroShotError, warn
from .int8 import Calibration, nncf_version, quantise
from .precision import Kernel, has_native_bfloat16
from .quiet import quiet_loading

CACHE_VARIABLE = "SPACY_ZEROSHOT_CACHE"
# Part of the key of the cache: raise it when the conversion changes.
FORMAT = 4
FILE = "model.xml"
# Largest difference of a logit or state, relative to the largest one, that a conversion to float32 may show
TOLERANCE = 1e-4


class Converted:
    """A torch module that OpenVINO runs. Threads may share it; a forked process compiles its own.

    module (nn.Module): Takes tensors by position and gives one tensor or a tuple; in float32, in evaluation mode.
    examples (Sequence[Tuple[Tensor, ...]]): Two sets of arguments of different shapes: the module is traced with
        the first one and compared on the second one.
    identity (str): Text that tells apart modules with equal weights, e.g. the config.
    kernel (Kernel): What matrix products are computed in. With "int8" the rest is in bfloat16, where the processor
        has it.
    name (str): The checkpoint's name, for errors.
    calibration (Optional[Calibration]): What "int8" measures activations on.
    RAISES (ZeroShotError): Z034 without a package, Z035 for a module that cannot be converted.
    """

    def __init__(
        self,
        module: nn.Module,
        examples: Sequence[Tuple[Tensor, ...]],
        identity: str,
        kernel: Kernel,
        name: str,
        calibration: Optional[Calibration] = None,
    ):
        self._ov = import_openvino()
        self._bfloat16 = kernel == "bfloat16" or (kernel == "int8" and has_native_bfloat16(torch.device("cpu")))
        self._path = _stored(self._ov, module, examples, identity, name, calibration if kernel == "int8" else None)
        self._lock = threading.Lock()
        self._local = threading.local()
        self._process: Optional[int] = None
        self._parent = os.getpid()
        self._compiled: Any = None
        self._inherited: List[Any] = []

    def __call__(self, *arrays: np.ndarray, copied: bool = True) -> List[np.ndarray]:
        """Run the model.

        arrays (np.ndarray): The module's arguments, of any sizes.
        copied (bool): Whether the results outlast this thread's next call.
        RETURNS (List[np.ndarray]): The module's results, in float32.
        """
        request = self._request()
        results = request.infer(dict(enumerate(arrays)), share_inputs=True, share_outputs=not copied)
        return [results[i] for i in range(len(results))]

    def _request(self) -> Any:
        """This thread's own request: one request must not be used by two threads at a time."""
        process = os.getpid()
        if getattr(self._local, "process", None) != process:
            if process != self._parent and self._process != process:
                # held by another thread of the parent at the moment of the fork, it would never be free
                self._lock = threading.Lock()
            # What a forked process inherits waits for threads that do not exist there, if it is ever let go.
            self._inherited.append(getattr(self._local, "request", None))
            with self._lock:
                if self._process != process:
                    self._inherited.append(self._compiled)
                    self._compiled = self._compile(forked=process != self._parent)
                    self._process = process
            self._local.request = self._compiled.create_infer_request()
            self._local.process = process
        return self._local.request

    def _compile(self, forked: bool) -> Any:
        core = self._ov.Core()
        settings: Dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if self._bfloat16 else "f32",
            # The threads of a parent's pool do not exist after a fork: more than one would wait for them for ever.
            "INFERENCE_NUM_THREADS": 1 if forked else torch.get_num_threads(),
        }
        return core.compile_model(core.read_model(self._path), "CPU", settings)


def import_openvino() -> Any:
    """Import OpenVINO, without its telemetry.

    RETURNS (ModuleType): The package.
    RAISES (ZeroShotError): Z034 if it is not installed.
    """
    if not {"openvino", "openvino_telemetry"} & set(sys.modules):
        # Importing openvino reports to Google Analytics unless its telemetry package is missing. None makes it so.
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as reason:
        raise ZeroShotError(
            "Z034",
            "NLIClassifier",
            setting="backend = 'openvino'",
            package="openvino",
            extra="openvino",
            instead="backend = 'torch'",
        ) from reason
    return openvino


def cache_folder() -> Path:
    """Where converted models are kept: $SPACY_ZEROSHOT_CACHE, else the user's cache folder.

    RETURNS (Path): The folder, which may not exist yet.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen) / "openvino"
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "spacy-zeroshot" / "openvino"


def content_hash(module: nn.Module, identity: str) -> str:
    """SHA-256 over a module's weights and what else decides a conversion.

    module (nn.Module): The module.
    identity (str): The rest.
    RETURNS (str): The digest, in hexadecimal.
    """
    digest = hashlib.sha256(identity.encode("utf8"))
    for key, tensor in sorted(module.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _stored(
    ov: Any,
    module: nn.Module,
    examples: Sequence[Tuple[Tensor, ...]],
    identity: str,
    name: str,
    calibration: Optional[Calibration],
) -> Path:
    """The converted model's file, in 8 bits if calibrated. RETURNS (Path): From the cache, or written to it now."""
    weights = f"int8 nncf {nncf_version()} {calibration.identity}" if calibration else "float32"
    versions = f"{FORMAT} {ov.get_version()} torch {torch.__version__}"
    key = content_hash(module, f"{versions}\n{weights}\n{type(module).__name__}\n{identity}")[:32]
    path = cache_folder() / key / FILE
    if path.exists():
        if _readable(ov, path):
            return path
        shutil.rmtree(path.parent, ignore_errors=True)
    model = _convert(ov, module, examples, name)
    if calibration:
        model = quantise(model, calibration.inputs(), name)
    try:
        return _publish(ov, model, path)
    except OSError as reason:
        warn("Z110", "NLIClassifier", folder=str(path.parent.parent), reason=str(reason))
        folder = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return _publish(ov, model, folder / key / FILE)


def _readable(ov: Any, path: Path) -> bool:
    try:
        ov.Core().read_model(path)
    except RuntimeError:
        return False
    return True


def _convert(ov: Any, module: nn.Module, examples: Sequence[Tuple[Tensor, ...]], name: str) -> Any:
    from openvino.frontend import OpConversionFailure

    # weights made under inference_mode cannot be traced
    with torch.inference_mode(False), torch.no_grad(), _no_warnings(), quiet_loading():
        try:
            model = ov.convert_model(module, example_input=examples[0])
            wanted = module(*examples[1])
        except (OpConversionFailure, RuntimeError, ValueError, TypeError, IndexError) as reason:
            first = (str(reason).strip().splitlines() or [type(reason).__name__])[0]
            raise _not_taken(name, first.rstrip(".")) from reason
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(dict(enumerate(tensor.numpy() for tensor in examples[1])))
    for i, tensor in enumerate(wanted):
        expected = tensor.detach().numpy()
        difference = float(np.abs(results[i] - expected).max() / max(1.0, np.abs(expected).max()))
        if not difference <= TOLERANCE:
            raise _not_taken(name, f"its results differ from torch's by {difference:.1g}")
    return model


def _not_taken(name: str, reason: str) -> ZeroShotError:
    return ZeroShotError("Z035", "NLIClassifier", name=name, reason=reason, instead="backend = 'torch'")


def _publish(ov: Any, model: Any, path: Path) -> Path:
    """Write a folder beside its place and move it there: it is complete or absent, whoever else writes."""
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=path.parent.parent))
    try:
        try:
            ov.save_model(model, draft / FILE, compress_to_fp16=False)
        except RuntimeError as reason:
            raise OSError(str(reason).strip().splitlines()[-1]) from reason
        try:
            draft.rename(path.parent)
        except OSError:
            # another process was faster, with the same content
            if not path.exists():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return path


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Tracing warns of every branch on a shape; the comparison that follows it says whether one mattered."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
