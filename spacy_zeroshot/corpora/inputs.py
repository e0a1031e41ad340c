"""Rows of a corpus file, in order and in bounded memory. Rows stay raw: whoever scores them parses them.

Raw rows are cheap to skip and to fingerprint, which is what a resumed run does with those that are done.
"""

import csv
import gzip
import io
import json
import sys
from pathlib import Path
from typing import IO, Any, Iterator, List, Optional, Tuple

from ..errors import ZeroShotError
from .naming import split_name
from .raw import UNREADABLE, Input, RawRow, unreadable
from .tables import open_parquet

BOM = b"\xef\xbb\xbf"


def open_input(path: Path) -> Input:
    """Open a corpus by its name's format.

    path (Path): A .txt, .jsonl, .csv, .parquet or .spacy file, plain or with .gz.
    RETURNS (Input): The corpus.
    RAISES (ZeroShotError): Z080 if it cannot be read, Z084 if its format is not known, Z085 without pyarrow.
    """
    form, _ = split_name(path, ("txt", "jsonl", "csv", "parquet", "spacy"))
    try:
        if form in ("txt", "jsonl"):
            return Lines(path, form)
        if form == "csv":
            return Table(path)
        if form == "parquet":
            return open_parquet(path)
        return Docs(path)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


class Lines:
    """A file with one row per line: .txt or .jsonl. Lines end at a line feed only.

    path (Path): The file.
    form (str): "txt" or "jsonl".
    """

    unit = "line"
    schema = None

    def __init__(self, path: Path, form: str):
        self.kind = form
        self.fields: Optional[List[str]] = ["text"] if form == "txt" else None
        self._path = path
        self._stream, self._raw, self._size = _open_bytes(path)

    def rows(self) -> Iterator[RawRow]:
        try:
            with self._raw, self._stream:
                for number, line in enumerate(self._stream, start=1):
                    content = line.rstrip(b"\r\n")
                    if number == 1 and content.startswith(BOM):
                        content = content[len(BOM) :]
                    # a blank line of text is a blank text; one of JSON lines is nothing
                    if content.strip() or self.kind == "txt":
                        yield RawRow(number, content, content)
        except UNREADABLE as error:
            raise unreadable(self._path, error) from error

    def fraction(self) -> float:
        return _fraction(self._raw, self._size)


class Table:
    """A .csv file with a header.

    path (Path): The file.
    """

    kind = "table"
    unit = "line"
    schema = None

    def __init__(self, path: Path):
        self._path = path
        self._stream, self._raw, self._size = _open_bytes(path)
        # surrogateescape lets a row that is not UTF-8 through to be rejected alone
        text = io.TextIOWrapper(self._stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        # long texts are what this is for; the default allows 131,072 characters
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        self._reader = csv.reader(text, strict=True)
        try:
            self.fields: Optional[List[str]] = next(self._reader, [])
        except csv.Error as error:
            raise unreadable(path, error) from error
        if len(set(self.fields or [])) < len(self.fields or []):
            raise ZeroShotError("Z080", "annotate", path=str(path), reason="its header names a column twice")

    def rows(self) -> Iterator[RawRow]:
        header = self.fields or []
        with self._raw, self._stream:
            while True:
                number = self._reader.line_num + 1
                try:
                    row = next(self._reader, None)
                except csv.Error as error:
                    yield RawRow(number, b"", str(error).encode(), f"not a row of a CSV file: {error}")
                    continue
                except UNREADABLE as error:
                    raise unreadable(self._path, error) from error
                if row is None:
                    return
                if row:
                    yield _table_row(number, row, header)

    def fraction(self) -> float:
        return _fraction(self._raw, self._size)


class Docs:
    """A .spacy file (DocBin), which its format makes us read whole.

    path (Path): The file.
    """

    kind = "doc"
    unit = "row"
    fields: Optional[List[str]] = None
    schema: Any = None

    def __init__(self, path: Path):
        from spacy.tokens import DocBin

        stream, raw, _ = _open_bytes(path)
        with raw, stream:
            data = stream.read()
        try:
            self._bin = DocBin().from_bytes(data)
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise unreadable(path, ValueError("it is not a DocBin")) from error
        self._done = 0

    def rows(self) -> Iterator[RawRow]:
        from spacy.vocab import Vocab

        packed = self._bin
        for index, doc in enumerate(packed.get_docs(Vocab())):
            parts = [packed.tokens[index].tobytes(), packed.spaces[index].tobytes(), packed.span_groups[index]]
            parts += [packed.user_data[index] or b"", json.dumps(packed.cats[index]).encode()]
            self._done = index + 1
            yield RawRow(index + 1, doc.to_bytes(), b"\0".join(parts))

    def fraction(self) -> float:
        return self._done / max(len(self._bin), 1)


def _open_bytes(path: Path) -> Tuple[IO[bytes], IO[bytes], int]:
    """The decompressed stream, the file under it, and that file's size."""
    raw = path.open("rb")
    stream = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
    return stream, raw, path.stat().st_size  # type: ignore[return-value]


def _fraction(raw: IO[bytes], size: int) -> float:
    return 1.0 if raw.closed or not size else min(raw.tell() / size, 1.0)


def _table_row(number: int, row: List[str], header: List[str]) -> RawRow:
    key = "\x1f".join(row).encode("utf8", "surrogateescape")
    if len(row) != len(header):
        return RawRow(number, key, key, f"it has {len(row)} columns, the header {len(header)}")
    return RawRow(number, dict(zip(header, row)), key)
