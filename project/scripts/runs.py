"""What is run, and the file of results: one JSON line for each run, so that a stopped study goes on."""

import hashlib
import json
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Sequence, Set

# Roads that learn nothing, that look texts up, and that train
ZERO, SIMILARITY, TUNED = "zero-shot", "similarity", "zero-shot, tuned"
BAYES, NEIGHBOURS, MIXED = "naive Bayes", "neighbours", "neighbours + zero-shot, tuned"
FINE_TUNED, DISTILLED = "fine-tuned NLI", "distilled textcat"
ROADS = (ZERO, SIMILARITY, TUNED, BAYES, NEIGHBOURS, MIXED, FINE_TUNED, DISTILLED)
# Need no labelled text at all
FROM_ZERO = (ZERO, SIMILARITY, DISTILLED)
# The same whatever is drawn
FIXED = (ZERO, SIMILARITY)
# Learn from texts, so from augmented ones, too
AUGMENTED = (BAYES, NEIGHBOURS, FINE_TUNED, DISTILLED)
ALL = -1


class Run(NamedTuple):
    """One thing to measure.

    set (str): The data set.
    road (str): One of ROADS.
    labelled (int): Labelled texts; ALL for all there are.
    seed (int): Of their draw, and of training.
    augmented (bool): Whether a changed copy of every labelled text is learned from, too.
    """

    set: str
    road: str
    labelled: int
    seed: int = 0
    augmented: bool = False


def plan(sets: Sequence[str], counts: Sequence[int], seeds: int, roads: Sequence[str] = ROADS) -> List[Run]:
    """List all runs, the costly ones first, so that processes end together.

    sets (Sequence[str]): Names of the data sets.
    counts (Sequence[int]): Numbers of labelled texts.
    seeds (int): How many draws.
    roads (Sequence[str]): The roads.
    RETURNS (List[Run]): The runs.
    """
    return sorted(_all(sets, counts, seeds, roads), key=_cost, reverse=True)


def read_results(path: Path) -> List[Dict[str, object]]:
    """RETURNS (List[Dict[str, object]]): The results in a file; a line that was cut off by a kill is left out."""
    found = []
    if path.exists():
        for line in path.read_text(encoding="utf8").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def stamp(*settings: object) -> str:
    """RETURNS (str): What tells results of these settings from those of others."""
    return hashlib.sha256(json.dumps(settings, default=str).encode()).hexdigest()[:12]


def finished(results: Sequence[Dict[str, object]], stamped: str) -> Set[Run]:
    """RETURNS (Set[Run]): The runs that need not be run again. stamped (str): What results must be stamped with."""
    kept = [each for each in results if each["stamp"] == stamped]
    return {Run(**{name: each[name] for name in Run._fields}) for each in kept}  # type: ignore[arg-type]


def newest(results: Sequence[Dict[str, object]]) -> List[Dict[str, object]]:
    """RETURNS (List[Dict[str, object]]): The results with the settings of the last one."""
    return [each for each in results if each["stamp"] == results[-1]["stamp"]]


def add_result(path: Path, run: Run, **values: object) -> None:
    """Add a line. path (Path): The file. run (Run): The run. values: What was measured."""
    broken = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with path.open("a", encoding="utf8") as lines:
        lines.write(("\n" if broken else "") + json.dumps({**run._asdict(), **values}) + "\n")


def _all(sets: Sequence[str], counts: Sequence[int], seeds: int, roads: Sequence[str]) -> Iterator[Run]:
    for name in sets:
        for road in roads:
            for count in [0] if road in FIXED else counts:
                if count == 0 and road not in FROM_ZERO:
                    continue
                for seed in range(1 if road in FIXED else seeds):
                    yield Run(name, road, count, seed)
                    if road in AUGMENTED and count:
                        yield Run(name, road, count, seed, True)


def _cost(run: Run) -> float:
    weight = {FINE_TUNED: 1000.0, DISTILLED: 10.0}.get(run.road, 1.0)
    return weight * (1e6 if run.labelled == ALL else run.labelled + 1)
