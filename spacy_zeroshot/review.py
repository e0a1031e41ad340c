"""Which texts a person should label next: those the model is unsure of, spread over what the texts are about.

Margin sampling (Scheffer et al., 2001) weighted by distance in the encoder's space, chosen greedily as k-means++ and
core-set selection do (Arthur & Vassilvitskii, 2007; Sener & Savarese, 2018).
"""

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from spacy.language import Language
from thinc.types import Floats1d, Floats2d

from .component import ZeroShotTextCategorizer
from .decisions import Rule
from .errors import ZeroShotError
from .labels import LabelSet
from .loading import unneeded_pipes
from .premises import is_blank

Tool = Literal["prodigy", "label-studio", "argilla"]
ENDINGS: Mapping[Tool, str] = {"prodigy": ".jsonl", "label-studio": ".json", "argilla": ".json"}
AGENT = "spacy-zeroshot"
# How many of the unsure texts are embedded for each one that is chosen, and at least
POOL, SMALLEST_POOL = 20, 1000


class Task(NamedTuple):
    """A text to label."""

    number: int  # its line or place in the file
    text: str
    suggested: list[str]  # what the component decides
    score: float  # the best label's
    uncertainty: float  # from 0, for a sure decision, to 1


def choose_for_review(
    nlp: Language, pipe: ZeroShotTextCategorizer, texts: Iterable[tuple[int, str]], n: int, batch_size: int = 256
) -> list[Task]:
    """Choose the texts whose labels teach most to a component of a pipeline, which has labels.

    texts (Iterable[tuple[int, str]]): Numbers and texts; blank ones are left out. Read once, in bounded memory.
    n (int): How many to choose.
    batch_size (int): How many texts are scored together.
    RETURNS (list[Task]): At most n, the one that teaches most first.
    RAISES (ZeroShotError): Z200 if all texts are blank, Z240 or the like if the model has no encoder.
    """
    label_set = pipe.label_set()
    rules = pipe.rules(label_set)
    pool: list[tuple[float, int, Task]] = []
    pairs = ((text, number) for number, text in texts if not is_blank(text))
    with nlp.select_pipes(disable=unneeded_pipes(nlp, pipe)):
        for doc, number in nlp.pipe(pairs, as_tuples=True, batch_size=batch_size):
            cats = pipe.own_cats(doc.cats)
            unsure = uncertainty(np.array(list(cats.values())), label_set, rules)
            task = Task(number, doc.text, pipe.decide(doc).labels, max(cats.values()), unsure)
            heapq.heappush(pool, (unsure, -number, task))
            if len(pool) > max(POOL * n, SMALLEST_POOL):
                heapq.heappop(pool)
    if not pool:
        raise ZeroShotError("Z200", reason="all are blank")
    tasks = [task for _, _, task in sorted(pool, reverse=True)]
    vectors = pipe.embed([task.text for task in tasks])
    return [tasks[i] for i in spread(np.array([task.uncertainty for task in tasks]), vectors, n)]


def uncertainty(scores: Floats1d, label_set: LabelSet, rules: Sequence[Rule]) -> float:
    """How unsure a text's decisions are, from 0 to 1: 1 minus the margin between the best two labels that compete, or
    minus twice the distance of a label on its own from its threshold. Of several groups the most unsure counts."""
    found = 0.0
    for group, rule in zip(label_set.groups, rules):
        own = scores[group.columns]
        if group.exclusive:
            second, best = np.sort(own)[-2:]
            found = max(found, 1.0 - float(best - second))
        else:
            labels = label_set.labels[group.columns]
            limits = np.array([rule.label_thresholds.get(label, rule.threshold) for label in labels])
            found = max(found, 1.0 - 2.0 * float(np.abs(own - limits).min()))
    return found


def spread(weights: Floats1d, vectors: Floats2d, n: int) -> list[int]:
    """Choose n rows one by one: each time that of the largest weight times squared distance from those chosen; a copy
    of one only when no other is left. Vectors of shape (rows, width) have length one."""
    chosen: list[int] = []
    distances = np.ones(len(weights))
    left = np.ones(len(weights), dtype=bool)
    for _ in range(min(n, len(weights))):
        gains = np.where(left, weights * distances, -1.0)
        # equal gains (all zero, where only copies are left): the largest weight
        best = int(np.lexsort((np.where(left, weights, -1.0), gains))[-1])
        chosen.append(best)
        left[best] = False
        apart = np.maximum(2.0 - 2.0 * (vectors @ vectors[best]), 0.0)
        distances = apart if len(chosen) == 1 else np.minimum(distances, apart)
        # rounding: a copy of a text is at distance 0
        distances[distances < 1e-6] = 0.0
    return chosen


def write_review(
    nlp: Language,
    pipe: ZeroShotTextCategorizer,
    texts: Iterable[tuple[int, str]],
    output: Path,
    n: int,
    tool: Tool,
    batch_size: int = 256,
) -> int:
    """Write what choose_for_review chooses as a tool imports it. RETURNS (int): How many texts there are.
    RAISES (ZeroShotError): Z084 for a name that the tool does not import."""
    if output.suffix != ENDINGS[tool]:
        raise ZeroShotError("Z084", path=str(output), known=ENDINGS[tool])
    several = not pipe.label_set().exclusive
    tasks = choose_for_review(nlp, pipe, texts, n, batch_size)
    if tool == "prodigy":
        lines = [json.dumps(_prodigy(task, pipe.labels), ensure_ascii=False) for task in tasks]
    else:
        rows = [_label_studio(task) if tool == "label-studio" else _argilla(task, several) for task in tasks]
        lines = [json.dumps(rows, ensure_ascii=False, indent=2)]
    output.write_text("\n".join(lines) + "\n", encoding="utf8")
    return len(tasks)


def _prodigy(task: Task, labels: Sequence[str]) -> dict[str, Any]:
    """A task of the interface `choice`: https://prodi.gy/docs/api-interfaces#choice."""
    meta = {"row": task.number, "suggested": ", ".join(task.suggested), "score": round(task.score, 3)}
    return {"text": task.text, "options": [{"id": label, "text": label} for label in labels], "meta": meta}


def _label_studio(task: Task) -> dict[str, Any]:
    """A task with a prediction: https://labelstud.io/guide/predictions, for <Choices name="labels" toName="text">."""
    result = {"from_name": "labels", "to_name": "text", "type": "choices", "value": {"choices": task.suggested}}
    prediction = {"model_version": AGENT, "score": task.score, "result": [result] if task.suggested else []}
    return {"data": {"text": task.text, "row": task.number}, "predictions": [prediction]}


def _argilla(task: Task, several: bool) -> dict[str, Any]:
    """A record of `dataset.records.from_json`: https://docs.argilla.io/latest/reference/argilla/records/records."""
    record: dict[str, Any] = {"id": str(task.number), "fields": {"text": task.text}}
    if task.suggested:
        value = task.suggested if several else task.suggested[0]
        record["suggestions"] = {"labels": {"value": value, "agent": AGENT}}
    return record
