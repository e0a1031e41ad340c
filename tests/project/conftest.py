"""The study's scripts are no part of the package: they lie in project/."""

import gzip
import json
import sys
from pathlib import Path
from typing import Any, Iterator

import pytest

from ..tiny import SENTENCES

PROJECT = Path(__file__).parents[2] / "project"
sys.path.insert(0, str(PROJECT))


@pytest.fixture(scope="session")
def study_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny files under the names of the study's sets."""
    pytest.importorskip("sklearn", reason="the extra examples is not installed")
    from scripts.sets import SETS

    folder = tmp_path_factory.mktemp("data")
    for chosen in SETS:
        for name, count in ((chosen.train, 60), (chosen.test, 24)):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with gzip.open(path, "wt", encoding="utf8") as lines:
                lines.writelines(json.dumps(row) + "\n" for row in _rows(chosen.labels, count))
    return folder


def _rows(labels: Any, count: int) -> Iterator[Any]:
    for i in range(count):
        # the sentence tells the label
        kind = i % len(labels)
        yield {"text": f"{SENTENCES[kind]} Number {i}.", "labels": [labels[kind]]}
    yield {"text": "Two labels.", "labels": list(labels[:2])}
    yield {"text": "Another label.", "labels": ["unknown"]}
