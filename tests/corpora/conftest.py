"""Small corpora, and jobs with a tiny model."""

import gzip
import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from spacy_zeroshot.corpora.job import Job
from spacy_zeroshot.corpora.pipelines import PipelineSpec

from ..tiny import words

LABELS = ("sport", "politics", "music")


def texts_of(count: int) -> List[str]:
    """Texts of different lengths, a blank one among them."""
    return [" ".join(words(1 + 7 * i % 23)) + f" {i}" if i != 3 else "" for i in range(count)]


def rows_of(path: Path) -> List[Dict[str, Any]]:
    """The rows of a .jsonl or .jsonl.gz file."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="session")
def spec(shared_folder: Path) -> PipelineSpec:
    """A pipeline around a tiny checkpoint."""
    return PipelineSpec(model=str(shared_folder), labels=LABELS)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Thirty rows with a number each."""
    path = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"id": i, "text": text}) for i, text in enumerate(texts_of(30))]
    path.write_text("\n".join(lines) + "\n", encoding="utf8")
    return path


@pytest.fixture
def make_job(spec: PipelineSpec, tmp_path: Path) -> Callable[..., Job]:
    """A function that makes a job: source (Path), the output's name, and further settings."""

    def make(source: Path, name: str = "out.jsonl", **settings: Any) -> Job:
        return Job(source, tmp_path / name, spec, **{"shard_size": 8, "batch_size": 4, **settings})

    return make
