"""Annotated records as .jsonl, .parquet or .spacy: packed part by part, then all parts as one file.

Every encoding is deterministic, so the same parts give the same bytes.
"""

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple, Protocol

import srsly
from spacy.tokens import Doc, DocBin

from .corpus import free_name, plain
from .errors import ZeroShotError
from .util import require

FORMATS = ("jsonl", "parquet", "spacy")
# Arrays of bytes in a DocBin, and lists with one entry per document
BLOBS = ("tokens", "spaces", "lengths")
LISTS = ("cats", "flags", "span_groups", "user_data")
# Bytes of parts that make one row group of a Parquet file
GROUP_BYTES = 16_000_000


class Annotated(NamedTuple):
    """A scored record: the input's fields, which of them is the text, the document, its scores and decided labels."""

    fields: dict[str, Any]
    text_field: str
    doc: Doc
    cats: dict[str, float]
    labels: list[str]


class Columns(NamedTuple):
    """The fields that annotation adds; and whether the cats of a .spacy file are the decisions, 1.0 or 0.0."""

    labels: str
    cats: str
    decided: bool = False


class Part(Protocol):
    """Packed records, and the keys of their scores."""

    @property
    def data(self) -> bytes: ...

    @property
    def keys(self) -> Sequence[str]: ...


# Reads all parts from the start
Parts = Callable[[], Iterable[Part]]


class Output(Protocol):
    """A format."""

    def pack(self, records: Sequence[Annotated]) -> bytes:
        """Make a part of records."""

    def merge(self, parts: Parts, file: IO[bytes]) -> None:
        """Make one file of all parts, in order."""


def make_output(form: str, gzipped: bool, columns: Columns, schema: Any) -> Output:
    """RETURNS (Output): A format of FORMATS. schema (pa.Schema): The input's, if it has one. RAISES: Z085."""
    if form == "spacy":
        return SpacyOutput(columns)
    return JsonlOutput(columns, gzipped) if form == "jsonl" else ParquetOutput(columns, schema)


def to_row(record: Annotated, columns: Columns) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The input's fields, "text" if none has that name, labels and scores. A field that is
    in the way of labels or scores is kept under another name."""
    names = (columns.labels, columns.cats)
    row = {free_name(name, names, record.fields): value for name, value in record.fields.items()}
    row.setdefault("text", record.doc.text)
    return {**row, columns.labels: record.labels, columns.cats: record.cats}


class JsonlOutput:
    """JSON lines: {"text", ..., "labels": [...], "cats": {...}}."""

    def __init__(self, columns: Columns, gzipped: bool = False):
        self.columns = columns
        self.gzipped = gzipped

    def pack(self, records: Sequence[Annotated]) -> bytes:
        rows = (to_row(record, self.columns) for record in records)
        data = b"".join(json.dumps(row, ensure_ascii=False, default=plain).encode("utf8") + b"\n" for row in rows)
        # gzip files can be joined like plain ones; without a time they are the same in every run
        return gzip.compress(data, mtime=0) if self.gzipped else data

    def merge(self, parts: Parts, file: IO[bytes]) -> None:
        for part in parts():
            file.write(part.data)


class ParquetOutput:
    """Parquet. Columns have the types of a Parquet input; else parts are JSON lines, and types are found when all are
    there."""

    def __init__(self, columns: Columns, schema: Any):
        self.columns = columns
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

    def _extend(self, schema: Any, scores: Any) -> Any:
        """RETURNS (pa.Schema): A schema with the fields for labels and scores."""
        labels = self.pa.field(self.columns.labels, self.pa.list_(self.pa.string()))
        return schema.append(labels).append(self.pa.field(self.columns.cats, scores))

    def pack(self, records: Sequence[Annotated]) -> bytes:
        if self._schema is None:
            return JsonlOutput(self.columns).pack(records)
        rows = [to_row(record, self.columns) for record in records]
        for row in rows:
            row[self.columns.cats] = list(row[self.columns.cats].items())
        schema = self._extend(self._schema, self.pa.map_(self.pa.string(), self.pa.float64()))
        sink = self.pa.BufferOutputStream()
        with self.pa.ipc.new_stream(sink, schema) as stream:
            stream.write_table(self.pa.Table.from_pylist(rows, schema=schema))
        return sink.getvalue().to_pybytes()

    def merge(self, parts: Parts, file: IO[bytes]) -> None:
        types = ColumnTypes()
        keys: dict[str, None] = {}
        for part in parts():
            keys.update(dict.fromkeys(part.keys))
            for row in self._rows(part) if self._schema is None else ():
                types.see({name: value for name, value in row.items() if name not in self.columns[:2]})
        # Parquet has no struct without fields
        scores = self.pa.struct([(key, self.pa.float64()) for key in keys]) if keys else self.pa.null()
        schema = self._extend(types.schema(self.pa) if self._schema is None else self._schema, scores)
        with self.pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for rows in self._groups(parts):
                for row in rows:
                    row[self.columns.cats] = dict(row[self.columns.cats]) or None
                fitted = rows if self._schema is not None else [types.fit(row) for row in rows]
                writer.write_table(self.pa.Table.from_pylist(fitted, schema=schema))

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

    def _rows(self, part: Part) -> list[dict[str, Any]]:
        if self._schema is None:
            return [json.loads(line) for line in part.data.splitlines()]
        return self.pa.ipc.open_stream(part.data).read_all().to_pylist()


class ColumnTypes:
    """Finds column types for rows that come without a schema, in one pass and without holding them.

    A column whose values are all of one kind gets that type; one that mixes kinds, or holds objects, becomes text:
    strings as they are, anything else as JSON.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, set[str]] = {}

    def see(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            self._kinds.setdefault(name, set()).add(_kind(value))

    def schema(self, pa: Any) -> Any:
        types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "texts": pa.list_(pa.string())}
        return pa.schema([(name, types.get(self._type(name), pa.string())) for name in self._kinds])

    def fit(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._fit(name, value) if name in self._kinds else value for name, value in row.items()}

    def _type(self, name: str) -> str:
        kinds = self._kinds[name] - {"null"}
        if kinds == {"int", "float"}:
            return "float"
        return kinds.pop() if len(kinds) == 1 else "text"

    def _fit(self, name: str, value: Any) -> Any:
        if value is None or isinstance(value, str) or self._type(name) in ("bool", "int", "texts"):
            return value
        return float(value) if self._type(name) == "float" else json.dumps(value, ensure_ascii=False)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "text"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "texts"
    return {float: "float", str: "text"}.get(type(value), "object")


class SpacyOutput:
    """A DocBin. doc.user_data holds "meta", the other fields of the input, and the decided labels.

    DocBin.merge() would hold all documents as objects. Here the fields of the file, which are zlib-compressed msgpack
    of a few long arrays, are written one by one, and the parts read again for each; only the strings are held, as they
    must be sorted and unique.
    """

    def __init__(self, columns: Columns):
        self.columns = columns

    def pack(self, records: Sequence[Annotated]) -> bytes:
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
        sizes = dict.fromkeys((*BLOBS, *LISTS), 0)
        strings: set[str] = set()
        for message in _messages(parts):
            strings.update(message["strings"])
            for name in sizes:
                sizes[name] += len(message[name])
        common = {**_unpack(self.pack([])), "strings": sorted(strings)}
        packed = zlib.compressobj()
        file.write(packed.compress(_header(len(common), 0x80, 0xDE, 0xDF)))
        for name, value in common.items():
            file.write(packed.compress(srsly.msgpack_dumps(name)))
            for piece in _pieces(name, sizes[name], parts) if name in sizes else [srsly.msgpack_dumps(value)]:
                file.write(packed.compress(piece))
        file.write(packed.flush())


def _pieces(name: str, size: int, parts: Parts) -> Iterator[bytes]:
    """A field of all parts as msgpack."""
    if name in BLOBS:
        if size >= 2**32:
            # msgpack's own limit, and so DocBin's
            raise ZeroShotError("Z093", size=f"{size:,}", what=name)
        yield b"\xc6" + struct.pack(">I", size)
        for message in _messages(parts):
            yield message[name]
        return
    yield _header(size, 0x90, 0xDC, 0xDD)
    for message in _messages(parts):
        yield from map(srsly.msgpack_dumps, message[name])


def _header(size: int, small: int, medium: int, large: int) -> bytes:
    """msgpack's header of a map or an array."""
    if size < 16:
        return bytes([small | size])
    return bytes([medium]) + struct.pack(">H", size) if size < 2**16 else bytes([large]) + struct.pack(">I", size)


def _messages(parts: Parts) -> Iterator[dict[str, Any]]:
    return (_unpack(part.data) for part in parts())


def _unpack(data: bytes) -> dict[str, Any]:
    message = srsly.msgpack_loads(zlib.decompress(data))
    return {name: list(value) if name in LISTS else value for name, value in message.items()}
