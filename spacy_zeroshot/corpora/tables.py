"""Parquet in and out. pyarrow is an extra, and is imported at first use."""

import gzip
import json
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any, Dict, Iterable, Iterator, List, Optional, Sequence

from ..errors import ZeroShotError
from .raw import Input, RawRow, unreadable
from .records import plain

BATCH = 1000


def require_pyarrow() -> Any:
    """RETURNS (module): pyarrow. RAISES (ZeroShotError): Z085 if it is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ZeroShotError("Z085", "annotate", what="Parquet", package="pyarrow", extra="parquet") from error
    return pyarrow


def open_parquet(path: Path) -> Input:
    """Open a .parquet or .parquet.gz file.

    path (Path): The file.
    RETURNS (Input): The corpus.
    RAISES (ZeroShotError): Z080 if it cannot be read, Z085 without pyarrow.
    """
    return ParquetRows(path)


class ParquetRows:
    """A Parquet file, read batch by batch.

    path (Path): The file.
    """

    kind = "table"
    unit = "row"

    def __init__(self, path: Path):
        pa = require_pyarrow()
        self._path = path
        try:
            self._file = pa.parquet.ParquetFile(_unzipped(path) if path.suffix == ".gz" else path)
        except pa.ArrowException as error:
            raise unreadable(path, error) from error
        # Python's times end at the microsecond
        self.schema = pa.schema([_to_microseconds(pa, field) for field in self._file.schema_arrow])
        self.fields: Optional[List[str]] = list(self.schema.names)
        self._done = 0

    def rows(self) -> Iterator[RawRow]:
        pa = require_pyarrow()
        try:
            for batch in self._file.iter_batches(batch_size=BATCH):
                table = pa.Table.from_batches([batch]).cast(self.schema, safe=False)
                for fields in table.to_pylist():
                    self._done += 1
                    key = json.dumps(plain(fields), ensure_ascii=True).encode("ascii")
                    yield RawRow(self._done, fields, key)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self._path, error) from error

    def fraction(self) -> float:
        return self._done / max(self._file.metadata.num_rows, 1)


def extend_schema(schema: Any, keys: Sequence[str], labels_field: str, cats_field: str) -> Any:
    """A schema with the columns that annotation adds.

    schema (pa.Schema): The fields.
    keys (Sequence[str]): The keys of every doc.cats, in order.
    labels_field (str): The column of the decided labels.
    cats_field (str): The column of the scores, a struct with one number per key.
    RETURNS (pa.Schema): The schema.
    """
    pa = require_pyarrow()
    scores = pa.struct([pa.field(key, pa.float64()) for key in keys])
    return schema.append(pa.field(labels_field, pa.list_(pa.string()))).append(pa.field(cats_field, scores))


def write_table(rows: Iterable[Dict[str, Any]], schema: Any, file_: IO[bytes], group: int) -> None:
    """Write rows as Parquet.

    rows (Iterable[Dict[str, Any]]): The rows.
    schema (pa.Schema): Their columns.
    file_ (IO[bytes]): Where to write.
    group (int): Rows of a row group, which is what is held in memory.
    """
    pa = require_pyarrow()
    with pa.parquet.ParquetWriter(file_, schema, compression="zstd") as writer:
        waiting: List[Dict[str, Any]] = []
        for row in rows:
            waiting.append(row)
            if len(waiting) == group:
                writer.write_table(pa.Table.from_pylist(waiting, schema=schema))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_pylist(waiting, schema=schema))


def read_table(path: Path) -> Iterator[Dict[str, Any]]:
    """YIELDS (Dict[str, Any]): The rows of a file that write_table wrote. path (Path): The file."""
    pa = require_pyarrow()
    for batch in pa.parquet.ParquetFile(path).iter_batches(batch_size=BATCH):
        yield from batch.to_pylist()


class ColumnTypes:
    """Finds column types for rows that come without a schema, in one pass and without holding them.

    A column whose values are all of one kind gets that type; one that mixes kinds, or holds objects, becomes text:
    strings as they are, anything else as JSON.
    """

    def __init__(self) -> None:
        self._kinds: Dict[str, set] = {}

    def see(self, row: Dict[str, Any]) -> None:
        """Look at a row. row (Dict[str, Any]): Fields as JSON gives them."""
        for name, value in row.items():
            self._kinds.setdefault(name, set()).add(_kind(value))

    def schema(self) -> Any:
        """RETURNS (pa.Schema): The columns, in the order of their first appearance."""
        pa = require_pyarrow()
        types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "texts": pa.list_(pa.string())}
        return pa.schema([(name, types.get(self._type(name), pa.string())) for name in self._kinds])

    def fit(self, row: Dict[str, Any]) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): The row with values of its columns' types. row (Dict[str, Any]): Its fields."""
        return {name: self._fit(name, value) for name, value in row.items()}

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


def _to_microseconds(pa: Any, field: Any) -> Any:
    types = pa.types
    if types.is_timestamp(field.type) and field.type.unit == "ns":
        return field.with_type(pa.timestamp("us", tz=field.type.tz))
    if types.is_time64(field.type) and field.type.unit == "ns":
        return field.with_type(pa.time64("us"))
    if types.is_duration(field.type) and field.type.unit == "ns":
        return field.with_type(pa.duration("us"))
    return field


def _unzipped(path: Path) -> IO[bytes]:
    """Parquet is read from its end, so it must lie open on disk."""
    opened = tempfile.TemporaryFile()  # noqa: SIM115
    with gzip.open(path, "rb") as packed:
        shutil.copyfileobj(packed, opened)
    opened.seek(0)
    return opened
