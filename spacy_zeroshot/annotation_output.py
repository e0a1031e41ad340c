"""Annotated records as .jsonl, .parquet or .spacy: packed part by part, then all parts as one file.

Every encoding is deterministic, so the same parts give the same bytes.
"""

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple

import srsly
from spacy.tokens import Doc, DocBin

from .annotation_journal import Entry
from .corpus import free_name, plain
from .errors import ZeroShotError
from .util import require

FORMATS = ("jsonl", "parquet", "spacy")
# Arrays of bytes in a DocBin, and lists with one entry per document
BLOBS = ("tokens", "spaces", "lengths")
LISTS = ("cats", "flags", "span_groups", "user_data")
# Bytes of parts that make one row group of a Parquet file
GROUP_BYTES = 16_000_000

# Reads all parts from the start
Parts = Callable[[], Iterable[Entry]]


class Annotated(NamedTuple):
    """A scored record."""

    fields: dict[str, Any]  # of the input
    text_field: str  # which of them is the text
    doc: Doc
    cats: dict[str, float]
    labels: list[str]  # that were decided


class Columns(NamedTuple):
    """What annotation adds."""

    labels: str
    cats: str
    decided: bool = False  # the cats of a .spacy file are the decisions, 1.0 or 0.0


class JsonlOutput:
    """JSON lines: {"text", ..., "labels": [...], "cats": {...}}."""

    def __init__(self, columns: Columns, gzipped: bool = False):
        self.columns = columns
        self.gzipped = gzipped

    def pack(self, records: Sequence[Annotated]) -> bytes:
        """Make a part of records."""
        rows = (self.to_row(record) for record in records)
        data = b"".join(json.dumps(row, ensure_ascii=False, default=plain).encode("utf8") + b"\n" for row in rows)
        # gzip files can be joined like plain ones; without a time they are the same in every run
        return gzip.compress(data, mtime=0) if self.gzipped else data

    def merge(self, parts: Parts, file: IO[bytes]) -> None:
        """Make one file of all parts, in order."""
        for part in parts():
            file.write(part.data)

    def to_row(self, record: Annotated) -> dict[str, Any]:
        """The input's fields, "text" if none has that name, labels and scores. A field that is in the way of these is
        kept under another name."""
        names = self.columns[:2]
        row = {free_name(name, names, record.fields): value for name, value in record.fields.items()}
        row.setdefault("text", record.doc.text)
        return {**row, self.columns.labels: record.labels, self.columns.cats: record.cats}


class ParquetOutput(JsonlOutput):
    """Parquet. Columns have the types of a Parquet input; else parts are JSON lines, and types are found when all are
    there: the type of a column's values, or text, as JSON, where they are of several kinds or objects."""

    def __init__(self, columns: Columns, schema: Any):
        super().__init__(columns)
        self._schema: Any = None
        if schema is not None:
            names = [free_name(name, columns[:2], schema.names) for name in schema.names]
            fields = [field.with_name(name) for field, name in zip(schema, names)]
            self._schema = self.pa.schema(fields + [self.pa.field("text", self.pa.string())] * ("text" not in names))

    @property
    def pa(self) -> Any:
        """pyarrow: not an attribute, because an output travels to other processes."""
        require("pyarrow.parquet", "parquet", "Parquet")
        return require("pyarrow", "parquet", "Parquet")

    def pack(self, records: Sequence[Annotated]) -> bytes:
        if self._schema is None:
            return super().pack(records)
        rows = [self.to_row(record) for record in records]
        for row in rows:
            # which keys there are is known when all parts are
            row[self.columns.cats] = json.dumps(row[self.columns.cats])
        sink = self.pa.BufferOutputStream()
        schema = self._with_scores(self._schema, self.pa.string())
        with self.pa.ipc.new_stream(sink, schema) as stream:
            stream.write_table(self.pa.Table.from_pylist(rows, schema=schema))
        return sink.getvalue().to_pybytes()

    def merge(self, parts: Parts, file: IO[bytes]) -> None:
        kinds: dict[str, set[Any]] = {}
        keys: dict[str, None] = {}
        for row in (row for part in parts() for row in self._rows(part)):
            keys.update(dict.fromkeys(row[self.columns.cats]))
            for name, value in row.items() if self._schema is None else ():
                kinds.setdefault(name, set()).add(self._kind(value))
        types = {name: self._type(found) for name, found in kinds.items() if name not in self.columns[:2]}
        # Parquet has no struct without fields
        scores = self.pa.struct([(key, self.pa.float64()) for key in keys]) if keys else self.pa.null()
        fields = self.pa.schema(list(types.items())) if self._schema is None else self._schema
        schema = self._with_scores(fields, scores)
        with self.pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for rows in self._groups(parts):
                for row in rows:
                    row.update({name: self._fit(row[name], types[name]) for name in types.keys() & row.keys()})
                    row[self.columns.cats] = row[self.columns.cats] or None
                writer.write_table(self.pa.Table.from_pylist(rows, schema=schema))

    def _with_scores(self, schema: Any, scores: Any) -> Any:
        labels = self.pa.field(self.columns.labels, self.pa.list_(self.pa.string()))
        return schema.append(labels).append(self.pa.field(self.columns.cats, scores))

    def _rows(self, part: Entry) -> list[dict[str, Any]]:
        if self._schema is None:
            return [json.loads(line) for line in part.data.splitlines()]
        rows = self.pa.ipc.open_stream(part.data).read_all().to_pylist()
        return [{**row, self.columns.cats: json.loads(row[self.columns.cats])} for row in rows]

    def _groups(self, parts: Parts) -> Iterator[list[dict[str, Any]]]:
        waiting: list[dict[str, Any]] = []
        size = 0
        for part in parts():
            waiting += self._rows(part)
            size += len(part.data)
            if size >= GROUP_BYTES:
                yield waiting
                waiting, size = [], 0
        if waiting:
            yield waiting

    def _kind(self, value: Any) -> Any:
        """A value's type; None for no value."""
        if isinstance(value, bool):
            return self.pa.bool_()
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return self.pa.int64()
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return self.pa.list_(self.pa.string())
        return None if value is None else self.pa.float64() if isinstance(value, float) else self.pa.string()

    def _type(self, kinds: set[Any]) -> Any:
        """The type of a column with values of such types."""
        kinds = kinds - {None}
        if kinds == {self.pa.int64(), self.pa.float64()}:
            return self.pa.float64()
        return kinds.pop() if len(kinds) == 1 else self.pa.string()

    def _fit(self, value: Any, type_: Any) -> Any:
        if value is None or isinstance(value, str) or type_ not in (self.pa.string(), self.pa.float64()):
            return value
        return float(value) if type_ == self.pa.float64() else json.dumps(value, ensure_ascii=False)


class SpacyOutput:
    """A DocBin. doc.user_data holds "meta", the other fields of the input, and the decided labels.

    DocBin.merge() would hold all documents. Here the fields of the file, which are zlib-compressed msgpack of a few
    long arrays, are written one by one, and the parts read again for each; only the strings are held, as they must be
    sorted and unique.
    """

    def __init__(self, columns: Columns):
        self.columns = columns

    def pack(self, records: Sequence[Annotated]) -> bytes:
        """Make a part of records."""
        packed = DocBin(store_user_data=True)
        for fields, text_field, doc, cats, labels in records:
            meta = plain({name: value for name, value in fields.items() if name != text_field})
            if meta:
                doc.user_data["meta"] = meta
            doc.user_data[self.columns.labels] = labels
            if self.columns.decided:
                doc.user_data[self.columns.cats] = cats
                cats = {key: float(key in labels) for key in cats}
            doc.cats = cats
            packed.add(doc)
        return packed.to_bytes()

    def merge(self, parts: Parts, file: IO[bytes]) -> None:
        """Make one file of all parts, in order. RAISES (ZeroShotError): Z093 if they are too long for a DocBin."""
        sizes = dict.fromkeys((*BLOBS, *LISTS), 0)
        strings: set[str] = set()
        for message in _messages(parts):
            strings.update(message["strings"])
            for name in sizes:
                sizes[name] += len(message[name])
        common = {**srsly.msgpack_loads(zlib.decompress(self.pack([]))), "strings": sorted(strings)}
        packed = zlib.compressobj()
        file.write(packed.compress(srsly.msgpack.Packer().pack_map_header(len(common))))
        for name, value in common.items():
            file.write(packed.compress(srsly.msgpack_dumps(name)))
            for piece in _pieces(name, sizes[name], parts) if name in sizes else [srsly.msgpack_dumps(value)]:
                file.write(packed.compress(piece))
        file.write(packed.flush())


Output = JsonlOutput | SpacyOutput


def make_output(form: str, gzipped: bool, columns: Columns, schema: Any) -> Output:
    """RETURNS (Output): A format of FORMATS. schema (pa.Schema): The input's, if it has one. RAISES: Z085."""
    if form == "spacy":
        return SpacyOutput(columns)
    return JsonlOutput(columns, gzipped) if form == "jsonl" else ParquetOutput(columns, schema)


def _pieces(name: str, size: int, parts: Parts) -> Iterator[bytes]:
    """A field of all parts as msgpack."""
    if name in LISTS:
        yield srsly.msgpack.Packer().pack_array_header(size)
        for message in _messages(parts):
            yield from map(srsly.msgpack_dumps, message[name])
        return
    if size >= 2**32:
        # msgpack's own limit, and so DocBin's
        raise ZeroShotError("Z093", size=f"{size:,}", what=name)
    # the header of bytes, which Packer does not write alone
    yield b"\xc6" + struct.pack(">I", size)
    for message in _messages(parts):
        yield message[name]


def _messages(parts: Parts) -> Iterator[dict[str, Any]]:
    return (srsly.msgpack_loads(zlib.decompress(part.data)) for part in parts())
