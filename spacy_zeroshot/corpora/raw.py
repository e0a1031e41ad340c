"""A corpus file's rows before anyone has parsed them: what every format's reader gives."""

import zlib
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Protocol, Union

from ..errors import ZeroShotError

# What reading a damaged file raises: the operating system, gzip, zlib, a decoder
UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError)


class RawRow(NamedTuple):
    """A row as it was read.

    number (int): Its line (text formats) or its place, from 1.
    content (Union[bytes, Dict[str, Any]]): A line, a table's row by column, or a serialised Doc.
    key (bytes): What the row is fingerprinted by; equal in every run.
    problem (Optional[str]): Why it cannot be parsed, if that is known by now.
    """

    number: int
    content: Union[bytes, Dict[str, Any]]
    key: bytes
    problem: Optional[str] = None


class Input(Protocol):
    """A corpus file.

    kind (str): "txt", "jsonl", "table" or "doc": how to parse its rows (see records.py).
    unit (str): What a row's number counts: "line" or "row".
    fields (Optional[List[str]]): Its fields, where the file declares them.
    schema (Any): A pyarrow schema, where the file has one.
    """

    kind: str
    unit: str
    fields: Optional[List[str]]
    schema: Any

    def rows(self) -> Iterator[RawRow]:
        """YIELDS (RawRow): Every row. May be called once."""

    def fraction(self) -> float:
        """RETURNS (float): How much of the file has been read, between 0 and 1."""


def unreadable(path: Path, error: BaseException) -> ZeroShotError:
    """RETURNS (ZeroShotError): Z080 for what reading a file raised."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ZeroShotError("Z080", "annotate", path=str(path), reason=reason)
