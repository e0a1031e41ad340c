"""Files of rows in every format, read in order and in bounded memory, with one bad row never losing another.

Rows stay raw until `parse_row`: raw rows are cheap to skip, to fingerprint and to send to another process. Whoever
parses them says what becomes of a bad one: readers.py names it in an error, the command annotate puts it aside.
"""

import codecs
import csv
import gzip
import io
import itertools
import json
import shutil
import tempfile
import zlib
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from .errors import ZeroShotError
from .util import require

FORMATS = ("txt", "jsonl", "json", "csv", "tsv", "parquet", "spacy")
# A longer field is taken for a quote that was never closed. The csv module's own default is 131,072 characters.
LONGEST_FIELD = 1 << 27
# Rows of a Parquet file that are held at a time
TABLE_ROWS = 1000


class RawRow(NamedTuple):
    """A row before it is parsed."""

    number: int  # its line (text formats) or its place, from 1
    content: str | dict[str, Any]  # a line, or the fields of a table's row or of a Doc
    key: bytes  # what it is fingerprinted by; equal in every run
    problem: str | None = None  # why it cannot be parsed, if that is known by now
    doc: bytes | None = None  # the Doc it is, serialised


class BadRow(Exception):
    """Says why a row cannot be used. Caught wherever rows are parsed."""


class DataFile:
    """An open file, of the format that its name says. RAISES (ZeroShotError): Z043 for an empty file, Z080 if it cannot
    be read, Z084 for an unknown format, Z085 without pyarrow."""

    def __init__(self, path: Path):
        self.path = path
        self.form, gzipped = split_name(path, FORMATS)
        # the fields and the pyarrow schema, of a format that declares them
        self.fields: list[str] | None = None
        self.schema: Any = None
        self._done = self._total = 0
        readers = {"parquet": self._table_rows, "spacy": self._doc_rows, "json": self._list_rows}
        readers |= {"csv": self._csv_rows, "tsv": self._csv_rows}
        with _reading(path), ExitStack() as opened:
            self._raw = opened.enter_context(path.open("rb"))
            self._size = path.stat().st_size
            self._stream: Any = gzip.GzipFile(fileobj=self._raw) if gzipped else self._raw
            rows = readers.get(self.form, self._line_rows)() if self._stream.peek(1) else iter(())
            # what is wrong with the whole file shows before the first row
            first = list(itertools.islice(rows, 1))
            if not first:
                raise ZeroShotError("Z043", path=str(path))
            self._rows = itertools.chain(first, rows)
            opened.pop_all()

    def rows(self) -> Iterator[RawRow]:
        """The rows, once; one that cannot be read has a problem. RAISES (ZeroShotError): Z080 for a damaged file."""
        with _reading(self.path), self._raw:
            yield from self._rows

    def close(self) -> None:
        """Close the file. Reading all rows does it, too."""
        self._raw.close()

    def fraction(self) -> float:
        """How much of the file has been read, between 0 and 1."""
        if self._total:
            return self._done / self._total
        return 1.0 if self._raw.closed else min(self._raw.tell() / max(self._size, 1), 1.0)

    def text_field(self, name: str, fields: Sequence[str] | None) -> str:
        """The field with the text: that of this name, among those the file declares or else a row has; in formats that
        are texts, "text". RAISES (ZeroShotError): Z088 if it is not there."""
        known = fields if self.fields is None else self.fields
        if self.form in ("txt", "spacy"):
            return "text"
        if known is not None and name not in known:
            raise ZeroShotError("Z088", path=str(self.path), field=name, fields=list(known), option="--text-field")
        return name

    # One generator for each format. It declares the fields, if the format does, before the first row

    def _line_rows(self) -> Iterator[RawRow]:
        for number, line in enumerate(decode_lines(self._stream, "surrogateescape"), start=1):
            content = line.rstrip("\r\n")
            # a blank line of text is a blank text; one of JSON lines is nothing
            if content.strip() or self.form == "txt":
                yield RawRow(number, content, content.encode("utf8", "surrogatepass"))

    def _csv_rows(self) -> Iterator[RawRow]:
        csv.field_size_limit(LONGEST_FIELD)
        lines = decode_lines(self._stream, "surrogateescape")
        # those to parse again, after one whose quote is never closed
        again: deque[str] = deque()

        def feed(taken: list[str]) -> Iterator[str]:
            while (line := again.popleft() if again else next(lines, None)) is not None:
                taken.append(line)
                yield line

        number = 1
        while True:
            taken: list[str] = []
            problem = None
            try:
                # a reader takes no line beyond its row
                cells = next(csv.reader(feed(taken), strict=True, delimiter="\t" if self.form == "tsv" else ","), None)
            except csv.Error as error:
                # only the first line is bad
                again.extendleft(reversed(taken[1:]))
                del taken[1:]
                cells, problem = [], f"is not a row of a CSV file: {error}"
            if cells is None:
                return
            if self.fields is None:
                if problem:
                    raise _unreadable(self.path, f"its header {problem}")
                self._declare([cell.strip() or f"column_{i}" for i, cell in enumerate(cells, start=1)])
            elif cells or problem:
                if cells and len(cells) != len(self.fields):
                    problem = f"has {len(cells)} columns, the header {len(self.fields)}"
                key = "".join(taken).rstrip("\r\n").encode("utf8", "surrogatepass")
                yield RawRow(number, dict(zip(self.fields, cells)), key, problem and f"it {problem}")
            number += len(taken)

    def _table_rows(self) -> Iterator[RawRow]:
        pa, pq = require("pyarrow", "parquet", "Parquet"), require("pyarrow.parquet", "parquet", "Parquet")
        source: IO[bytes] = self._raw
        if self._stream is not self._raw:
            # Parquet is read from its end, so it must lie open on disk
            source = tempfile.TemporaryFile()  # noqa: SIM115
            shutil.copyfileobj(self._stream, source)
        try:
            table = pq.ParquetFile(source)
            self._total = table.metadata.num_rows
            self.schema = pa.schema([_to_microseconds(pa, field) for field in table.schema_arrow])
            self._declare(self.schema.names)
            for batch in table.iter_batches(batch_size=TABLE_ROWS):
                for fields in pa.Table.from_batches([batch]).cast(self.schema, safe=False).to_pylist():
                    self._done += 1
                    yield RawRow(self._done, fields, json.dumps(plain(fields)).encode("ascii"))
        except pa.ArrowException as error:
            raise _unreadable(self.path, str(error)) from error

    def _list_rows(self) -> Iterator[RawRow]:
        try:
            items = json.loads("".join(decode_lines(self._stream, "strict")))
        except (ValueError, RecursionError) as error:
            raise _unreadable(self.path, f"it is not JSON: {error}") from error
        if not isinstance(items, list):
            raise _unreadable(self.path, "it is not a JSON list")
        self._total = len(items)
        for self._done, item in enumerate(items, start=1):
            line = json.dumps(item, ensure_ascii=False)
            yield RawRow(self._done, line, line.encode("utf8", "surrogatepass"))

    def _doc_rows(self) -> Iterator[RawRow]:
        try:
            packed = DocBin().from_bytes(self._stream.read())
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise _unreadable(self.path, "it is not a DocBin") from error
        self._total = len(packed)
        for i, doc in enumerate(packed.get_docs(Vocab())):
            # the key is not doc.to_bytes(), whose strings come in any order
            parts = [packed.tokens[i].tobytes(), packed.spaces[i].tobytes(), packed.span_groups[i]]
            parts += [packed.user_data[i] or b"", json.dumps(packed.cats[i]).encode()]
            self._done = i + 1
            yield RawRow(i + 1, doc_fields(doc), b"\0".join(parts), doc=doc.to_bytes())

    def _declare(self, fields: list[str]) -> None:
        if len(set(fields)) < len(fields):
            raise _unreadable(self.path, "it names a column twice")
        self.fields = fields


def parse_row(row: RawRow, form: str) -> dict[str, Any]:
    """A row's fields. RAISES (BadRow): If it has none."""
    if row.problem is not None:
        raise BadRow(row.problem)
    if isinstance(row.content, dict):
        if form in ("csv", "tsv"):
            _check_unicode("".join(row.content.values()))
        return row.content
    _check_unicode(row.content)
    if form == "txt":
        return {"text": row.content}
    try:
        fields = json.loads(row.content)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"it is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadRow("it is not a JSON object")
    if "\\u" in row.content:
        # JSON can smuggle in halves of surrogate pairs, which no output can hold
        _check_unicode(json.dumps(fields, ensure_ascii=False))
    return fields


def doc_fields(doc: Doc) -> dict[str, Any]:
    """A Doc's "text", "cats", what user_data["meta"] holds, and other user data; none covers another."""
    own = {key: value for key, value in doc.user_data.items() if isinstance(key, str)}
    meta = own.pop("meta", {})
    fields: dict[str, Any] = {"text": doc.text, **({"cats": dict(doc.cats)} if doc.cats else {})}
    pairs = [*(meta.items() if isinstance(meta, dict) else [("meta", meta)]), *own.items()]
    names = [name for name, _ in pairs]
    for name, value in pairs:
        fields[free_name(name, fields, names)] = value
    return fields


def free_name(name: str, taken: Collection[str], others: Collection[str] = ()) -> str:
    """The name if it is not taken; else input_NAME, input_NAME_2, ..., the first that nothing else has."""
    if name not in taken:
        return name
    names = itertools.chain([f"input_{name}"], (f"input_{name}_{i}" for i in itertools.count(2)))
    return next(fresh for fresh in names if fresh not in taken and fresh not in others)


def text_of(fields: dict[str, Any], name: str) -> str:
    """A row's text. RAISES (BadRow): If it has none."""
    text = fields.get(name)
    if not isinstance(text, str):
        raise BadRow(f"its field {name!r} is {'missing' if name not in fields else 'not a string'}")
    return text


def plain(value: Any) -> Any:
    """A value that JSON and msgpack can hold: dates become ISO strings, bytes base64, huge integers strings."""
    if value is None or isinstance(value, (float, str)) or (isinstance(value, int) and -(2**63) <= value < 2**63):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return codecs.encode(value, "base64").decode("ascii").replace("\n", "")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def decode_lines(stream: Any, errors: str = "replace") -> Iterator[str]:
    """Decode a stream of bytes line by line, in the encoding that its byte order mark says, or UTF-8. Lines keep their
    ends, which are line feeds only."""
    if not hasattr(stream, "peek"):
        stream = io.BufferedReader(stream)
    head = stream.peek(4)[:4]
    encoding = json.detect_encoding(head)
    # with a mark; or UTF-16 without one
    if encoding in ("utf-16", "utf-32") or b"\0\0" in (head[::2], head[1::2]):
        yield from io.TextIOWrapper(stream, encoding, newline="\n")
        return
    if encoding == "utf-8-sig":
        stream.read(len(codecs.BOM_UTF8))
    for line in stream:
        yield line.decode("utf-8", errors)


def split_name(path: Path, known: Sequence[str]) -> tuple[str, bool]:
    """The format that a name says, and whether it is gzipped. RAISES (ZeroShotError): Z084."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    gzipped = suffixes[-1:] == [".gz"]
    form = "".join(suffixes[-2:-1] if gzipped else suffixes[-1:]).lstrip(".")
    if form not in known:
        names = ", ".join(f".{name}" for name in known)
        raise ZeroShotError("Z084", path=str(path), known=f"{names}, plain or with .gz")
    return form, gzipped


def _check_unicode(text: str) -> None:
    try:
        text.encode("utf8")
    except UnicodeEncodeError as error:
        # bytes that are no UTF-8 have been decoded to these surrogates
        is_byte = 0xDC80 <= ord(text[error.start]) <= 0xDCFF
        raise BadRow(f"it is not {'UTF-8' if is_byte else 'valid Unicode'}") from None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    # of a damaged file: from the operating system, gzip, zlib, a decoder
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error) or type(error).__name__) from error


def _unreadable(path: Path, reason: str) -> ZeroShotError:
    return ZeroShotError("Z080", path=str(path), reason=reason.rstrip("."))


def _to_microseconds(pa: Any, field: Any) -> Any:
    """Python's times end at the microsecond."""
    if getattr(field.type, "unit", None) != "ns":
        return field
    if pa.types.is_timestamp(field.type):
        return field.with_type(pa.timestamp("us", tz=field.type.tz))
    return field.with_type(pa.time64("us") if pa.types.is_time64(field.type) else pa.duration("us"))
