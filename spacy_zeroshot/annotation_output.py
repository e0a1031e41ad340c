"""Annotated records as .jsonl, .parquet or .spacy: packed part by part, then merged. Same parts, same bytes."""

import contextlib
import gzip
import json
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

import srsly
from spacy.tokens import Doc, DocBin
from spacy.util import minibatch

from .annotation_journal import Entry
from .corpus import free_name, plain
from .errors import ZeroShotError
from .util import require

FORMATS = ("jsonl", "parquet", "spacy")
# Parts that make one row group of a Parquet file
GROUP = 16

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
    """JSON lines. Every output packs records as a part, and merges all parts, in order, into one file."""

    def __init__(self, columns: Columns, gzipped: bool = False):
        self.columns = columns
        self.gzipped = gzipped

    def pack(self, records: Sequence[Annotated]) -> bytes:
        rows = (self.to_row(record) for record in records)
        data = b"".join(json.dumps(row, ensure_ascii=False, default=plain).encode("utf8") + b"\n" for row in rows)
        # gzip files can be joined like plain ones; without a time they are the same in every run
        return gzip.compress(data, mtime=0) if self.gzipped else data

    def merge(self, parts: Parts, file: IO[bytes]) -> None:
        for part in parts():
            file.write(part.data)

    def to_row(self, record: Annotated) -> dict[str, Any]:
        """The input's fields, "text" if none has that name, and labels and scores, which rename fields in their way."""
        row = {free_name(name, self.columns[:2], record.fields): value for name, value in record.fields.items()}
        row.setdefault("text", record.doc.text)
        return {**row, self.columns.labels: record.labels, self.columns.cats: record.cats}


class ParquetOutput(JsonlOutput):
    """Parquet, its parts as Arrow streams. A column has the type it has in a Parquet input, or that which Arrow finds
    for its values; objects, and values of several kinds, become JSON text."""

    def __init__(self, columns: Columns, schema: Any):
        super().__init__(columns)
        names = [] if schema is None else schema.names
        self._types = {free_name(name, columns[:2], names): schema.field(name).type for name in names}
        self._types[columns.labels] = self.pa.list_(self.pa.string())

    @property
    def pa(self) -> Any:
        """pyarrow: not an attribute, because an output travels to other processes."""
        require("pyarrow.parquet", "parquet", "Parquet")
        return require("pyarrow", "parquet", "Parquet")

    def pack(self, records: Sequence[Annotated]) -> bytes:
        rows = [self.to_row(record) for record in records]
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: self._to_array([row.get(name) for row in rows], self._types.get(name)) for name in names}
        # Parquet has no struct without fields
        columns[self.columns.cats] = self.pa.array([record.cats or None for record in records])
        table = self.pa.table(columns)
        sink = self.pa.BufferOutputStream()
        with self.pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return sink.getvalue().to_pybytes()

    def merge(self, parts: Parts, file: IO[bytes]) -> None:
        types: dict[str, Any] = {}
        for table in self._tables(parts):
            for field in table.schema:
                types[field.name] = self._common_type(types.get(field.name, field.type), field.type)
        # what annotation adds comes last
        schema = self.pa.schema([(name, types[name]) for name in sorted(types, key=lambda name: name in self.columns)])
        with self.pa.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            for tables in minibatch(self._tables(parts), GROUP):
                arrays = [[self._fit(table, field) for field in schema] for table in tables]
                writer.write_table(self.pa.concat_tables([self.pa.table(each, schema=schema) for each in arrays]))

    def _tables(self, parts: Parts) -> Iterator[Any]:
        return (self.pa.ipc.open_stream(part.data).read_all() for part in parts())

    def _to_array(self, values: list[Any], known: Any) -> Any:
        types = self.pa.types
        with contextlib.suppress(self.pa.ArrowInvalid, self.pa.ArrowTypeError, OverflowError):
            array = self.pa.array(values, known)
            inner = array.type.value_type if types.is_list(array.type) else array.type
            if known is not None or not types.is_nested(inner):
                return array
        return self._to_text(values)

    def _to_text(self, values: list[Any]) -> Any:
        texts = [
            value if value is None or isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
            for value in values
        ]
        return self.pa.array(texts, self.pa.string())

    def _common_type(self, *types: Any) -> Any:
        schemas = [self.pa.schema([("", each)]) for each in types]
        try:
            return self.pa.unify_schemas(schemas, promote_options="permissive").field(0).type
        except self.pa.ArrowException:
            return self.pa.string()

    def _fit(self, table: Any, field: Any) -> Any:
        """A column of a part, as a field of the whole has it."""
        if field.name not in table.column_names:
            return self.pa.nulls(len(table), field.type)
        column = table[field.name]
        if column.type == field.type:
            return column
        if field.type == self.pa.string():
            return self._to_text(column.to_pylist())
        if self.pa.types.is_struct(field.type):
            return self.pa.array(column.to_pylist(), field.type)
        return column.cast(field.type, safe=False)


class SpacyOutput(JsonlOutput):
    """A DocBin. doc.user_data holds "meta", the other fields of the input, and the decided labels."""

    # DocBin.merge() would hold all documents. Here the file's fields, which are compressed msgpack, are written one by
    # one, and the parts read again for each; only the strings are held, as they must be sorted and unique.
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
        sizes: Counter[str] = Counter()
        strings: set[str] = set()
        for message in _messages(parts):
            strings.update(message["strings"])
            sizes.update({name: len(value) for name, value in message.items()})
        compressor = zlib.compressobj()
        for piece in _pieces({**_message(self.pack([])), "strings": sorted(strings)}, sizes, parts):
            file.write(compressor.compress(piece))
        file.write(compressor.flush())


def make_output(form: str, gzipped: bool, columns: Columns, schema: Any) -> JsonlOutput:
    """schema (pa.Schema | None): The input's. RAISES (ZeroShotError): Z085 without pyarrow."""
    if form == "spacy":
        return SpacyOutput(columns)
    return JsonlOutput(columns, gzipped) if form == "jsonl" else ParquetOutput(columns, schema)


def _pieces(empty: dict[str, Any], sizes: Mapping[str, int], parts: Parts) -> Iterator[bytes]:
    """The msgpack of all parts. empty: The fields of a DocBin without documents, of which those that grow with every
    document are empty; and their sizes."""
    packer = srsly.msgpack.Packer(use_bin_type=True)
    yield packer.pack_map_header(len(empty))
    for name, value in empty.items():
        yield packer.pack(name)
        if value == []:
            yield packer.pack_array_header(sizes[name])
            yield from (packer.pack(entry) for message in _messages(parts) for entry in message[name])
        elif value == b"":
            if sizes[name] >= 2**32:
                # msgpack's own limit, and so DocBin's
                raise ZeroShotError("Z093", size=f"{sizes[name]:,}", what=name)
            # the header of bytes, which Packer does not write alone
            yield b"\xc6" + struct.pack(">I", sizes[name])
            yield from (message[name] for message in _messages(parts))
        else:
            yield packer.pack(value)


def _message(packed: bytes) -> dict[str, Any]:
    return srsly.msgpack_loads(zlib.decompress(packed))


def _messages(parts: Parts) -> Iterator[dict[str, Any]]:
    return (_message(part.data) for part in parts())
