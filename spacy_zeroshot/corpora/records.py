"""From a raw row to a record: its fields and its text, or the reason why it has none."""

import base64
import json
from typing import Any, Dict, NamedTuple, Optional

from .raw import RawRow


class Record(NamedTuple):
    """A row that can be scored.

    number (int): Its line or place in the input, from 1.
    fields (Dict[str, Any]): All its fields by name, the text among them.
    text (str): The text.
    doc (Optional[bytes]): The Doc it came as, from Doc.to_bytes.
    """

    number: int
    fields: Dict[str, Any]
    text: str
    doc: Optional[bytes] = None


class BadRow(Exception):
    """Says why a row cannot be used. Caught where rows are parsed; the reason goes to the rejects."""


def parse(row: RawRow, kind: str, text_field: str) -> Record:
    """Parse a row.

    row (RawRow): The row.
    kind (str): The input's: "txt", "jsonl", "table" or "doc".
    text_field (str): The field that holds the text.
    RETURNS (Record): The record.
    RAISES (BadRow): If it cannot be used.
    """
    if row.problem is not None:
        raise BadRow(row.problem)
    if kind == "doc" and isinstance(row.content, bytes):
        return Record(row.number, {}, "", row.content)
    fields = _read_fields(row, kind)
    # text lines have no field names of their own
    name = "text" if kind == "txt" else text_field
    text = fields.get(name)
    if not isinstance(text, str):
        raise BadRow(f"its field {name!r} is {'missing' if name not in fields else 'not a string'}")
    if kind != "txt":
        _check_unicode(fields)
    return Record(row.number, fields, text)


def show(row: RawRow, kind: str) -> str:
    """A row for the rejects.

    row (RawRow): The row.
    kind (str): The input's: "txt", "jsonl", "table" or "doc".
    RETURNS (str): The line, or a table's values; nothing of a Doc, which is no text.
    """
    if kind == "doc":
        return ""
    content = row.content if isinstance(row.content, bytes) else row.key
    return content.decode("utf8", "backslashreplace").replace("\x1f", "," if kind == "table" else "\x1f")


def plain(value: Any) -> Any:
    """A value that JSON and msgpack can hold: dates become ISO strings, bytes base64, huge integers strings.

    value (Any): A field's value.
    RETURNS (Any): The same where possible.
    """
    if isinstance(value, bool) or value is None or isinstance(value, (float, str)):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _read_fields(row: RawRow, kind: str) -> Dict[str, Any]:
    if isinstance(row.content, dict):
        return row.content
    try:
        line = row.content.decode("utf8")
    except UnicodeDecodeError as error:
        raise BadRow(f"it is not UTF-8: {error.reason} at byte {error.start}") from None
    if kind == "txt":
        return {"text": line}
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"it is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadRow("it is not a JSON object")
    return fields


def _check_unicode(fields: Dict[str, Any]) -> None:
    """JSON and CSV can smuggle in halves of surrogate pairs, which no output can hold."""
    try:
        json.dumps(fields, ensure_ascii=False, default=str).encode("utf8")
    except UnicodeEncodeError:
        raise BadRow("it is not valid Unicode") from None
