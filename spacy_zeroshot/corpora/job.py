"""What to annotate and how: a few plain values that travel to every worker."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional, Tuple

from .. import __version__
from .naming import split_name
from .outputs import FORMATS
from .pipelines import PipelineSpec

if TYPE_CHECKING:
    from spacy.language import Language

SHARD_SIZE = 1000
EDGE = 1 << 20


class Job(NamedTuple):
    """An annotation job.

    source (Path): The input: .txt, .jsonl, .csv, .parquet or .spacy, plain or with .gz.
    output (Path): The output: .jsonl, .jsonl.gz, .parquet or .spacy.
    pipeline (PipelineSpec): What scores.
    text_field (str): The input's field with the text.
    labels_field (str): The output's field for the decided labels.
    cats_field (str): The output's field for the scores.
    threshold (Optional[float]): The score a label must reach, in place of the pipeline's own settings.
    decided (bool): Whether the doc.cats of a .spacy file are the decisions, 1.0 or 0.0, which spaCy can train on.
    batch_size (int): Texts scored together.
    shard_size (int): Rows of a shard.
    """

    source: Path
    output: Path
    pipeline: PipelineSpec = PipelineSpec()
    text_field: str = "text"
    labels_field: str = "labels"
    cats_field: str = "cats"
    threshold: Optional[float] = None
    decided: bool = False
    batch_size: int = 256
    shard_size: int = SHARD_SIZE

    @property
    def parts(self) -> Path:
        """Where the shards are until the output is complete."""
        return self.output.with_name(self.output.name + ".parts")

    @property
    def rejects(self) -> Path:
        """Where rows go that could not be used."""
        return self.output.with_name(self.output.name + ".rejects.jsonl")

    @property
    def receipt(self) -> Path:
        """What the complete output was made of: repeating the command has nothing to do."""
        return self.output.with_name(self.output.name + ".run.json")

    @property
    def output_format(self) -> Tuple[str, bool]:
        """RETURNS (Tuple[str, bool]): One of FORMATS, and whether it is gzipped. RAISES (ZeroShotError): Z084."""
        known = [name for name in FORMATS if name == "jsonl" or self.output.suffix != ".gz"]
        return split_name(self.output, known)

    def settings(self, nlp: "Language") -> Dict[str, Any]:
        """What decides the result. The engine and the number of processes do not.

        nlp (Language): The job's pipeline.
        RETURNS (Dict[str, Any]): The settings, fit for JSON.
        """
        return {
            "input": fingerprint(self.source),
            "version": __version__,
            **self.pipeline.fingerprint(nlp),
            "text_field": self.text_field,
            "labels_field": self.labels_field,
            "cats_field": self.cats_field,
            "threshold": self.threshold,
            "decided": self.decided,
            "batch_size": self.batch_size,
            "shard_size": self.shard_size,
        }


def fingerprint(path: Path) -> str:
    """A quick look at a file: its size, and a hash of its first and last mebibyte.

    path (Path): The file.
    RETURNS (str): Size and hash. What lies between is compared shard by shard as it is read.
    """
    size = path.stat().st_size
    with path.open("rb") as file_:
        digest = hashlib.sha256(file_.read(EDGE))
        file_.seek(max(size - EDGE, 0))
        digest.update(file_.read(EDGE))
    return f"{size} bytes, {digest.hexdigest()[:32]}"
