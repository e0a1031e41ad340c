"""Part "ratios": our component beside the transformers pipeline, on the same texts in turn."""

from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Sequence

from .clock import forget_peak, peak_memory, synchroniser, time_in_turn
from .material import make_labels, make_texts
from .results import Equality, Speed
from .subjects import Pipelines, Subject, check_equal, one_by_one, our_subject, pipeline_name
from .work import Product, matrix_product, useful_operations, utilisation

SHORT, LONG = 14, 90
BUNDLED, PAIR = "bundled", "pair float32"
INT8 = f"{BUNDLED}, openvino int8"
BATCH_SIZES = (1, 8, 32)
# torch multiplies no matrices of 8 bits at full speed: there is no product to compare with
UNMATCHED = "int8"


class Cell(NamedTuple):
    """Some texts and labels that all programs score.

    labels (int): How many labels.
    wordpieces (int): Mean length of the texts.
    texts (int): How many texts: few where a program needs seconds for each.
    """

    labels: int
    wordpieces: int
    texts: int


FULL = (
    *(Cell(labels, LONG, texts) for labels, texts in ((2, 16), (10, 6), (50, 2), (150, 1))),
    *(Cell(labels, SHORT, texts) for labels, texts in ((2, 32), (10, 12), (50, 3), (150, 1))),
)
QUICK = (Cell(2, LONG, 6), Cell(10, LONG, 3), Cell(50, LONG, 1))


def programs(folder: Path, device: str, openvino: bool, int8: bool, bfloat16: bool) -> List[Subject]:
    """Load what is compared, the bundled model's batch first.

    folder (Path): The pair checkpoint.
    device (str): A torch device string.
    openvino (bool): Whether to add our component with the backend "openvino".
    int8 (bool): Whether to add it with precision "int8" too.
    bfloat16 (bool): Whether to add the transformers pipeline in bfloat16.
    RETURNS (List[Subject]): The programs.
    """
    bundled = our_subject(BUNDLED, "bundled", device=device)
    subjects = [bundled, one_by_one(bundled)]
    if openvino:
        subjects.append(our_subject(f"{BUNDLED}, openvino", "bundled", backend="openvino"))
    if int8:
        subjects.append(our_subject(INT8, "bundled", precision="int8", backend="openvino"))
    subjects.append(our_subject(PAIR, str(folder), device=device, precision="float32"))
    if openvino:
        subjects.append(our_subject(f"{PAIR}, openvino", str(folder), precision="float32", backend="openvino"))
    for dtype in ("float32", "bfloat16") if bfloat16 else ("float32",):
        pipelines = Pipelines(folder, device, dtype)
        subjects.extend(pipelines.subject(size) for size in BATCH_SIZES)
    return subjects


def compare(subjects: Sequence[Subject], folder: Path) -> List[Equality]:
    """Check that all programs that run the pair checkpoint in float32 give the same scores.

    subjects (Sequence[Subject]): What programs() gave.
    folder (Path): The pair checkpoint.
    RETURNS (List[Equality]): The differences from the transformers pipeline.
    RAISES (ZeroShotError): Z037 if one is above 1e-4.
    """
    reference = next(subject for subject in subjects if subject.name == pipeline_name("float32", BATCH_SIZES[-1]))
    labels = make_labels(10)
    texts = make_texts(3, LONG, subjects[0].lengths, seed=1)
    expected = reference.score(texts, labels)
    ours = [subject for subject in subjects if subject.name.startswith(PAIR)]
    return [
        Equality(
            subject.name,
            reference.name,
            check_equal(subject.name, subject.score(texts, labels), reference.name, expected),
        )
        for subject in ours
    ]


def measure_speeds(
    subjects: Sequence[Subject], cells: Sequence[Cell], rounds: int, device: str, note: Callable[[str], None]
) -> List[Speed]:
    """Time all programs on every cell, and matrix products between them.

    subjects (Sequence[Subject]): What programs() gave.
    cells (Sequence[Cell]): The cells.
    rounds (int): How often each program is timed on each.
    device (str): A torch device string.
    note (Callable[[str], None]): Told what is being measured.
    RETURNS (List[Speed]): Cell by cell, program by program.
    """
    precisions = dict.fromkeys(s.precision for s in subjects if s.nlp is not None and s.precision != UNMATCHED)
    products = {precision: matrix_product(precision, device) for precision in precisions}
    found = []
    for cell in cells:
        note(f"{cell.labels} labels, texts of {cell.wordpieces} wordpieces")
        found.extend(_measure_cell(subjects, cell, rounds, device, products))
    return found


def _measure_cell(
    subjects: Sequence[Subject], cell: Cell, rounds: int, device: str, products: Dict[str, Product]
) -> List[Speed]:
    texts = make_texts(cell.texts, cell.wordpieces, subjects[0].lengths)
    labels = make_labels(cell.labels)
    peaks: Dict[str, float] = {}

    def run(subject: Subject) -> None:
        forget_peak(device)
        subject.score(texts, labels)
        peaks[subject.name] = max(peaks.get(subject.name, 0.0), peak_memory(device))

    for subject in subjects:
        if subject.warm:
            run(subject)
    calls: Dict[str, Callable[[], object]] = {s.name: partial(run, s) for s in subjects}
    seconds = time_in_turn(
        {**calls, **{name: p.multiply for name, p in products.items()}}, rounds, synchroniser(device)
    )
    speeds = []
    for subject in subjects:
        taken = seconds[subject.name]
        share = None
        if subject.nlp is not None and subject.precision in products:
            product = products[subject.precision]
            operations = useful_operations(subject.pipe, texts, labels)
            share = utilisation(operations, taken, product.operations, seconds[subject.precision]).median
        each = [s / cell.texts for s in taken]
        speeds.append(Speed(subject.name, *cell, each, peaks[subject.name], share))
    return speeds
