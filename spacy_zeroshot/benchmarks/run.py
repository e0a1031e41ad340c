"""A run of the benchmark: which parts, how long each, in which order."""

import platform
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import ZeroShotError
from ..rows import read_labelled_texts
from . import inside, memory
from .clock import synchroniser
from .results import Equality, Machine, Report, Share, Speed
from .speed import FULL, QUICK, Cell, compare, measure_speeds, programs
from .start import measure_start
from .subjects import Subject, our_subject, write_pair_checkpoint

PARTS = ("ratios", "share", "labels", "kernels", "start", "memory")
# The memory of 20,000 documents takes several minutes.
DEFAULT_PARTS = ("ratios", "share", "labels", "kernels", "start")
QUICK_PARTS = ("ratios", "share", "start")


class Plan(NamedTuple):
    """What to measure.

    parts (Tuple[str, ...]): Some of PARTS.
    cells (Tuple[Cell, ...]): Of the part "ratios".
    rounds (int): How often each program is timed.
    texts (int): How many texts in the batches of the other parts.
    starts (int): How often a cold start is timed.
    device (str): A torch device string.
    bfloat16 (bool): Whether to time the transformers pipeline in bfloat16 as well.
    data (Optional[Path]): A labelled file to measure accuracy on.
    limit (int): How many of its rows.
    documents (int): How many documents in the part "memory".
    """

    parts: Tuple[str, ...] = DEFAULT_PARTS
    cells: Tuple[Cell, ...] = FULL
    rounds: int = 3
    texts: int = 32
    starts: int = 3
    device: str = "cpu"
    bfloat16: bool = False
    data: Optional[Path] = None
    limit: int = 300
    documents: int = 20_000


QUICK_PLAN = Plan(QUICK_PARTS, QUICK, rounds=2, texts=16, starts=1)


def run(plan: Plan, note: Callable[[str], None]) -> Report:
    """Measure.

    plan (Plan): What to measure.
    note (Callable[[str], None]): Told what is being measured.
    RETURNS (Report): What was found.
    RAISES (ZeroShotError): Z037 if programs that are compared do not give the same scores, Z039 for a file without
        labelled texts.
    """
    data = _read(plan.data, plan.limit) if plan.data else None
    openvino = has("openvino") and plan.device == "cpu"
    int8 = openvino and has("nncf")
    start = None
    if "start" in plan.parts:
        # before this process fills the memory
        note("cold start")
        start = measure_start(plan.starts)
    note("loading")
    bundled = our_subject("bundled", "bundled", device=plan.device)
    report = Report(describe(bundled, plan.device), start=start)
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder)
        if {"ratios", "share", "kernels"} & set(plan.parts):
            write_pair_checkpoint(str(bundled.runtime.checkpoint.module.name_or_path), pair)
        if "ratios" in plan.parts:
            speeds, equalities = _ratios(plan, pair, openvino, int8, note)
            report = report._replace(speeds=speeds, equalities=equalities)
        if "share" in plan.parts:
            report = report._replace(shares=_shares(plan, bundled, pair, openvino, note))
        if "labels" in plan.parts:
            note("10 and 100 labels")
            report = report._replace(
                labels=inside.measure_labels(max(1, plan.texts // 4), plan.rounds, plan.device, data)
            )
        if "kernels" in plan.parts and plan.device == "cpu":
            backends = [
                (backend, precision)
                for backend, precision in inside.BACKENDS
                if (openvino or backend == "torch") and (int8 or precision != "int8")
            ]
            kernels = inside.measure_kernels(pair, max(1, plan.texts // 4), plan.rounds, backends, data, note)
            report = report._replace(kernels=kernels)
    if "memory" in plan.parts:
        note(f"memory over {plan.documents:,} documents")
        texts = memory.generate_texts(plan.documents)
        every = max(1, plan.documents // 20)
        samples = list(memory.measure(texts, memory.LABELS, every, 128))
        warm = min(memory.WARM, plan.documents // 4)
        report = report._replace(memory=memory.growth(samples, warm), documents=plan.documents)
    return report


def describe(bundled: Subject, device: str) -> Machine:
    """Say where it was measured.

    bundled (Subject): Ours.
    device (str): A torch device string.
    RETURNS (Machine): The machine.
    """
    import spacy
    import torch
    import transformers

    synchroniser(device)()
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    versions = f"spaCy {spacy.__version__}, torch {torch.__version__}, transformers {transformers.__version__}"
    if has("openvino"):
        from ..model.openvino import import_openvino

        versions += f", openvino {import_openvino().__version__.split('-')[0]}"
    return Machine(_processor(), torch.get_num_threads(), name, versions, bundled.precision)


def has(package: str) -> bool:
    """RETURNS (bool): Whether a package is installed. package (str): Its name."""
    return find_spec(package) is not None


def _ratios(
    plan: Plan, pair: Path, openvino: bool, int8: bool, note: Callable[[str], None]
) -> Tuple[List[Speed], List[Equality]]:
    subjects = programs(pair, plan.device, openvino, int8, plan.bfloat16)
    equalities = compare(subjects, pair)
    return measure_speeds(subjects, plan.cells, plan.rounds, plan.device, note), equalities


def _shares(plan: Plan, bundled: Subject, pair: Path, openvino: bool, note: Callable[[str], None]) -> Sequence[Share]:
    note("utilisation")
    subjects = [bundled, our_subject("pair float32", str(pair), device=plan.device, precision="float32")]
    if openvino:
        subjects.insert(1, our_subject("bundled, openvino", "bundled", backend="openvino"))
    return [
        # the pair layout needs about six times as long for a text
        inside.measure_share(subject, plan.texts if "pair" not in subject.name else 2, plan.rounds + 2, plan.device)
        for subject in subjects
    ]


def _read(path: Path, limit: int) -> inside.Data:
    rows = [row for row in read_labelled_texts(path) if row.labels]
    if not rows:
        raise ZeroShotError("Z039", "benchmark", path=str(path))
    return inside.make_data(rows, limit)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
