"""Parts that look at our component alone: where its time goes, what labels cost, and how to run it."""

import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..rows import LabelledText
from .clock import spread, synchroniser, time_in_turn
from .material import make_labels, make_texts
from .results import Kernel, LabelCost, Share
from .speed import LONG
from .subjects import Scores, Subject, largest_difference, our_subject
from .work import matrix_product, useful_operations, utilisation

TEMPLATES = ("This text is about {}.", "It is about {}.", "About {}.", "{}")
BACKENDS = (
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
)


class Data(NamedTuple):
    """Labelled texts to measure accuracy on.

    texts (List[str]): The texts.
    right (List[List[str]]): The right labels of each.
    labels (List[str]): All labels.
    """

    texts: List[str]
    right: List[List[str]]
    labels: List[str]


def make_data(rows: Sequence[LabelledText], limit: int) -> Data:
    """Some of the rows, evenly spread, with the labels of all.

    rows (Sequence[LabelledText]): Rows that have labels.
    limit (int): At most so many.
    RETURNS (Data): The texts.
    """
    labels = sorted({label for row in rows for label in row.labels})
    step = max(1.0, len(rows) / limit)
    kept = [rows[int(i * step)] for i in range(min(limit, len(rows)))]
    return Data([row.text for row in kept], [row.labels for row in kept], labels)


def measure_share(subject: Subject, texts: int, rounds: int, device: str) -> Share:
    """Utilisation, and the time outside the encoder, on batches of 90-token texts with 10 labels.

    subject (Subject): Ours.
    texts (int): How many texts in a batch.
    rounds (int): How often to measure.
    device (str): A torch device string.
    RETURNS (Share): What was found.
    """
    batch, labels = make_texts(texts, LONG, subject.lengths), make_labels(10)
    finish = synchroniser(device)
    product = matrix_product(subject.precision, device)
    stopwatch = Stopwatch(subject.runtime.layout, finish)
    outside: List[float] = []

    def run() -> None:
        stopwatch.seconds = 0.0
        start = time.perf_counter()
        subject.score(batch, labels)
        finish()
        outside.append(1.0 - stopwatch.seconds / (time.perf_counter() - start))

    with stopwatch:
        run()
        outside.clear()
        seconds = time_in_turn({"ours": run, "product": product.multiply}, rounds, finish)
    operations = useful_operations(subject.pipe, batch, labels)
    return Share(
        subject.name,
        utilisation(operations, seconds["ours"], product.operations, seconds["product"]),
        product.operations / spread(seconds["product"]).median / 1e9,
        spread(outside),
    )


class Stopwatch:
    """Counts the seconds spent in a layout's encoder, while it is entered.

    layout (Layout): The layout.
    finish (Callable[[], None]): Waits for the device.
    """

    NAMES = ("encode_texts", "encode_hypotheses")

    def __init__(self, layout: Any, finish: Callable[[], None]):
        self.seconds = 0.0
        self._layout = layout
        self._finish = finish
        self._names = [name for name in self.NAMES if hasattr(layout, name)] or ["forward"]

    def __enter__(self) -> "Stopwatch":
        for name in self._names:
            setattr(self._layout, name, partial(self._watched, getattr(self._layout, name)))
        return self

    def __exit__(self, *exception: object) -> None:
        for name in self._names:
            # the class's own method shows again
            delattr(self._layout, name)

    def _watched(self, method: Callable[..., Any], *args: Any) -> Any:
        self._finish()
        start = time.perf_counter()
        result = method(*args)
        self._finish()
        self.seconds += time.perf_counter() - start
        return result


def measure_labels(texts: int, rounds: int, device: str, data: Optional[Data]) -> List[LabelCost]:
    """The cost of 10 and of 100 labels, for the default template and shorter ones.

    texts (int): How many 90-token texts in a batch.
    rounds (int): How often to measure.
    device (str): A torch device string.
    data (Optional[Data]): To measure accuracy on.
    RETURNS (List[LabelCost]): One for each template.
    """
    subject = our_subject("bundled", "bundled", device=device)
    batch = make_texts(texts, LONG, subject.lengths)
    calls: Dict[str, Callable[[], object]] = {}
    accuracies: Dict[str, Optional[float]] = {}
    for template in TEMPLATES:
        for count in (10, 100):
            call = partial(_score_with, subject, template, batch, make_labels(count))
            call()
            calls[f"{count} {template}"] = call
        accuracies[template] = (
            _accuracy(_score_with(subject, template, data.texts, data.labels), data) if data else None
        )
    seconds = time_in_turn(calls, rounds, synchroniser(device))
    return [
        LabelCost(
            template,
            spread(seconds[f"10 {template}"]).median / texts,
            spread(seconds[f"100 {template}"]).median / texts,
            spread([more / few for more, few in zip(seconds[f"100 {template}"], seconds[f"10 {template}"])]),
            accuracies[template],
        )
        for template in TEMPLATES
    ]


def measure_kernels(
    pair: Path,
    texts: int,
    rounds: int,
    backends: Sequence[Tuple[str, str]],
    data: Optional[Data],
    note: Callable[[str], None],
) -> List[Kernel]:
    """Backends and precisions on a CPU: speed, and what becomes of the scores.

    pair (Path): A pair checkpoint.
    texts (int): How many 90-token texts in a batch, with 10 labels.
    rounds (int): How often to measure.
    backends (Sequence[Tuple[str, str]]): Those of BACKENDS that are installed.
    data (Optional[Data]): To measure accuracy on; for the bundled model only.
    note (Callable[[str], None]): Told what is being measured.
    RETURNS (List[Kernel]): Those of the bundled model, then those of the pair checkpoint.
    """
    found = []
    for name, checkpoint, known in (("bundled", "bundled", data), ("pair", str(pair), None)):
        note(f"backends of the {name} checkpoint")
        subjects = [
            our_subject(f"{backend} {precision}", checkpoint, precision=precision, backend=backend)
            for backend, precision in backends
        ]
        batch, labels = make_texts(texts, LONG, subjects[0].lengths), make_labels(10)
        asked = (known.texts, known.labels) if known else (batch, labels)
        scores = [subject.score(*asked) for subject in subjects]
        calls = {subject.name: partial(subject.score, batch, labels) for subject in subjects}
        for call in calls.values():
            call()
        seconds = time_in_turn(dict(calls), rounds, synchroniser("cpu"))
        for (backend, precision), subject, own in zip(backends, subjects, scores):
            found.append(
                Kernel(
                    name,
                    backend,
                    precision,
                    spread([s / texts for s in seconds[subject.name]]),
                    largest_difference(own, scores[0]),
                    _agreement(own, scores[0]),
                    _accuracy(own, known) if known else None,
                )
            )
    return found


def _score_with(subject: Subject, template: str, texts: Sequence[str], labels: Sequence[str]) -> Scores:
    subject.pipe.templates = (template,)
    return subject.score(texts, labels)


def _accuracy(scores: Scores, data: Data) -> float:
    right = [max(cats, key=lambda label: cats[label]) in gold for cats, gold in zip(scores, data.right)]
    return sum(right) / len(right)


def _agreement(scores: Scores, reference: Scores) -> float:
    best = [[max(cats, key=lambda label: cats[label]) for cats in both] for both in (scores, reference)]
    return sum(one == other for one, other in zip(*best)) / len(scores)
