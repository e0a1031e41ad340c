"""Annotated records as .jsonl, .parquet or .spacy: a shard at a time, then all shards as one file.

Every encoding is deterministic, so the same shards give the same bytes.
"""

import gzip
import json
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Protocol, Sequence

from .docbins import merge_docbins
from .records import plain

if TYPE_CHECKING:
    from spacy.tokens import Doc

FORMATS = ("jsonl", "parquet", "spacy")


class Annotated(NamedTuple):
    """A scored record.

    fields (Dict[str, Any]): The input's fields.
    text (str): The text.
    doc (Doc): The scored document.
    cats (Dict[str, float]): Its scores.
    labels (List[str]): The decided labels.
    """

    fields: Dict[str, Any]
    text: str
    doc: "Doc"
    cats: Dict[str, float]
    labels: List[str]


class Columns(NamedTuple):
    """What annotation adds, and under which names.

    labels (str): The field of the decided labels.
    cats (str): The field of the scores.
    keys (Sequence[str]): The keys of every doc.cats.
    decided (bool): Whether the cats of a .spacy file are the decisions, 1.0 or 0.0, in place of the scores.
    """

    labels: str
    cats: str
    keys: Sequence[str]
    decided: bool = False


class Output(Protocol):
    """A format."""

    def write_shard(self, records: Sequence[Annotated], file_: IO[bytes]) -> None:
        """Write a shard. records (Sequence[Annotated]): Its records. file_ (IO[bytes]): Where to."""

    def merge(self, shards: Sequence[Path], file_: IO[bytes]) -> None:
        """Make one file of all shards. shards (Sequence[Path]): In order. file_ (IO[bytes]): Where to."""


def make_output(form: str, gzipped: bool, columns: Columns, schema: Any) -> Output:
    """Choose a format.

    form (str): One of FORMATS.
    gzipped (bool): Whether the file is compressed (.jsonl).
    columns (Columns): What is added.
    schema (Any): The input's pyarrow schema, if it has one.
    RETURNS (Output): The format.
    RAISES (ZeroShotError): Z085 without pyarrow.
    """
    if form == "spacy":
        return SpacyOutput(columns)
    if form == "parquet":
        from .tables import require_pyarrow

        require_pyarrow()
        return ParquetOutput(columns, schema) if schema is not None else InferredParquetOutput(columns)
    return JsonlOutput(columns, gzipped)


def to_row(record: Annotated, columns: Columns) -> Dict[str, Any]:
    """A record as fields. An input field whose name annotation needs is kept as input_NAME.

    record (Annotated): The record.
    columns (Columns): What is added.
    RETURNS (Dict[str, Any]): The input's fields, "text" if it had none of that name, labels and scores.
    """
    taken = (columns.labels, columns.cats)
    row = {f"input_{name}" if name in taken else name: value for name, value in record.fields.items()}
    row.setdefault("text", record.text)
    row[columns.labels] = record.labels
    row[columns.cats] = record.cats
    return row


class JsonlOutput:
    """JSON lines: {"text", ..., "labels": [...], "cats": {...}}.

    columns (Columns): What is added.
    gzipped (bool): Whether to compress.
    """

    def __init__(self, columns: Columns, gzipped: bool):
        self.columns = columns
        self.gzipped = gzipped

    def write_shard(self, records: Sequence[Annotated], file_: IO[bytes]) -> None:
        data = b"".join(_json_line(to_row(record, self.columns)) for record in records)
        # gzip files can be joined like plain ones; without a time they are the same in every run
        file_.write(gzip.compress(data, mtime=0) if self.gzipped else data)

    def merge(self, shards: Sequence[Path], file_: IO[bytes]) -> None:
        for path in shards:
            file_.write(path.read_bytes())


class ParquetOutput:
    """Parquet from Parquet: the input's columns with their types, and a row group per shard.

    columns (Columns): What is added.
    schema (pa.Schema): The input's.
    """

    def __init__(self, columns: Columns, schema: Any):
        from .tables import extend_schema, require_pyarrow

        taken = (columns.labels, columns.cats)
        renamed = [f"input_{name}" if name in taken else name for name in schema.names]
        fields = [field.with_name(name) for field, name in zip(schema, renamed)]
        pa = require_pyarrow()
        if "text" not in renamed:
            fields.append(pa.field("text", pa.string()))
        self.columns = columns
        self.schema = extend_schema(pa.schema(fields), columns.keys, columns.labels, columns.cats)

    def write_shard(self, records: Sequence[Annotated], file_: IO[bytes]) -> None:
        from .tables import write_table

        write_table((to_row(record, self.columns) for record in records), self.schema, file_, max(len(records), 1))

    def merge(self, shards: Sequence[Path], file_: IO[bytes]) -> None:
        from .tables import BATCH, read_table, write_table

        write_table((row for path in shards for row in read_table(path)), self.schema, file_, BATCH)


class InferredParquetOutput:
    """Parquet from rows without a schema: shards are JSON lines, and the types are found when all are there.

    columns (Columns): What is added.
    """

    def __init__(self, columns: Columns):
        self.columns = columns
        self._lines = JsonlOutput(columns, False)

    def write_shard(self, records: Sequence[Annotated], file_: IO[bytes]) -> None:
        self._lines.write_shard(records, file_)

    def merge(self, shards: Sequence[Path], file_: IO[bytes]) -> None:
        from .tables import BATCH, ColumnTypes, extend_schema, write_table

        types = ColumnTypes()
        for row in self._rows(shards):
            types.see(self._split(row)[0])
        schema = extend_schema(types.schema(), self.columns.keys, self.columns.labels, self.columns.cats)
        write_table((self._fit(row, types) for row in self._rows(shards)), schema, file_, BATCH)

    def _rows(self, shards: Sequence[Path]) -> Iterator[Dict[str, Any]]:
        for path in shards:
            with path.open("rb") as lines:
                yield from map(json.loads, lines)

    def _split(self, row: Dict[str, Any]) -> "tuple[Dict[str, Any], Dict[str, Any]]":
        ours = (self.columns.labels, self.columns.cats)
        return {k: v for k, v in row.items() if k not in ours}, {k: row[k] for k in ours}

    def _fit(self, row: Dict[str, Any], types: Any) -> Dict[str, Any]:
        fields, ours = self._split(row)
        return {**types.fit(fields), **ours}


class SpacyOutput:
    """A DocBin. doc.user_data holds "meta", the other fields of the input, "labels", and "scores".

    columns (Columns): What is added.
    """

    def __init__(self, columns: Columns):
        self.columns = columns

    def write_shard(self, records: Sequence[Annotated], file_: IO[bytes]) -> None:
        file_.write(self._pack(records))

    def merge(self, shards: Sequence[Path], file_: IO[bytes]) -> None:
        merge_docbins(shards, self._pack([]), file_)

    def _pack(self, records: Sequence[Annotated]) -> bytes:
        from spacy.tokens import DocBin

        packed = DocBin(store_user_data=True)
        for record in records:
            doc = record.doc
            meta = plain({name: value for name, value in record.fields.items() if value != record.text})
            if meta:
                doc.user_data["meta"] = meta
            doc.user_data[self.columns.labels] = record.labels
            if self.columns.decided:
                doc.user_data[self.columns.cats] = record.cats
                doc.cats = {key: float(key in record.labels) for key in record.cats}
            else:
                doc.cats = record.cats
            packed.add(doc)
        return packed.to_bytes()


def _json_line(row: Dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, default=plain).encode("utf8") + b"\n"
