"""The journal of an annotation: chunks of a file in, what became of each to the disk, safe from a kill at any point."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from .corpus import DataFile, RawRow
from .errors import ZeroShotError

# A chunk of long texts ends earlier: it is held in memory
MAX_BYTES = 8_000_000
# Bytes at both ends of a file that tell it from another
EDGE = 1 << 20


class Chunk(NamedTuple):
    """Rows that are scored and noted together."""

    number: int  # its place, from 0
    rows: list[RawRow]
    digest: str  # a hash of the rows
    start: float  # how much of the input lies before it
    stop: float  # how much of the input ends with it


class Entry(NamedTuple):
    """What became of a chunk: an entry of the journal."""

    chunk: int
    digest: str
    rows: int
    written: int  # records made of the rows
    rejects: list[dict[str, Any]]  # rows left out: number, error, and the row itself
    data: bytes = b""  # the packed records

    def to_bytes(self) -> bytes:
        return _line({**self._asdict(), "data": len(self.data)}) + self.data

    def counts(self) -> dict[str, int]:
        return {"rows": self.rows, "written": self.written, "rejected": len(self.rejects)}

    @classmethod
    def read(cls, file: IO[bytes]) -> "Entry | None":
        """The next entry of a file; None if no other is complete."""
        line = file.readline()
        if not line.endswith(b"\n"):
            return None
        head = json.loads(line)
        data = file.read(head["data"])
        return cls(**{**head, "data": data}) if len(data) == head["data"] else None


class Journal:
    """OUTPUT.journal: a line with the run's settings, then an entry for every chunk, in the order they were done. Of a
    finished run a line is left that also says what it came to."""

    def __init__(self, path: Path, source: Path):
        self.path = path
        self.source = source
        # where each chunk's entry begins, and the hash of its rows
        self.known: dict[int, tuple[int, str]] = {}

    def head(self) -> dict[str, Any] | None:
        """The first line; None if there is no run."""
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            line = file.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def close(self, head: dict[str, Any]) -> None:
        """Leave this line alone of a run that is finished."""
        with write_complete(self.path) as file:
            file.write(_line(head))

    def entries(self) -> Iterator[Entry]:
        """The known ones, in the order of their chunks."""
        with self.path.open("rb") as file:
            for _, (start, _) in sorted(self.known.items()):
                file.seek(start)
                entry = Entry.read(file)
                assert entry is not None
                yield entry

    def missing(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Those without an entry. RAISES (ZeroShotError): Z086 if the rows of one with an entry have changed."""
        for chunk in chunks:
            if chunk.number not in self.known:
                yield chunk
            elif self.known[chunk.number][1] != chunk.digest:
                raise self.changed(chunk.rows[0].number, chunk.rows[-1].number)

    def changed(self, first: int, last: int) -> ZeroShotError:
        detail = f"rows {first} to {last} are not what they were"
        return ZeroShotError("Z086", path=str(self.source), parts=str(self.path), detail=detail)

    @contextlib.contextmanager
    def opened(self, head: dict[str, Any]) -> Iterator[Callable[[Entry], None]]:
        """Go on with the run of this first line, or begin it. YIELDS (Callable): Appends an entry and sees it to the
        disk. RAISES (ZeroShotError): Z089 if another process is at work on the journal."""
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # without a buffer: what a full disk did not take is not tried again when the file is closed
            opened = self.path.open("ab", buffering=0)

        def write(data: bytes) -> int:
            start, left = opened.seek(0, os.SEEK_END), memoryview(data)
            with disk_errors(self.path):
                while left:
                    left = left[opened.write(left) :]
                os.fsync(opened.fileno())
            return start

        def append(entry: Entry) -> None:
            self.known[entry.chunk] = (write(entry.to_bytes()), entry.digest)

        with opened:
            lock(opened, str(self.path).removesuffix(".journal"))
            if self.head() != head:
                opened.truncate(0)
                write(_line(head))
            with self.path.open("rb") as file:
                end = len(file.readline())
                while (entry := Entry.read(file)) is not None:
                    self.known[entry.chunk] = (end, entry.digest)
                    end = file.tell()
            opened.truncate(end)
            yield append


def _line(head: dict[str, Any]) -> bytes:
    return json.dumps(head).encode("ascii") + b"\n"


def cut(file: DataFile, size: int) -> Iterator[Chunk]:
    """Cut a file into chunks of at most `size` rows. The cuts depend on the rows alone."""
    number, held, start = 0, 0, 0.0
    rows: list[RawRow] = []
    for row in file.rows():
        rows.append(row)
        held += len(row.key)
        if len(rows) == size or held >= MAX_BYTES:
            yield Chunk(number, rows, digest_of(rows), start, file.fraction())
            number, rows, held, start = number + 1, [], 0, file.fraction()
    if rows:
        yield Chunk(number, rows, digest_of(rows), start, 1.0)


def digest_of(rows: Sequence[RawRow]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(len(row.key).to_bytes(8, "little") + row.key)
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """A quick look at a file: its size, and a hash of its first and last mebibyte."""
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(EDGE))
        file.seek(max(size - EDGE, 0))
        digest.update(file.read(EDGE))
    return f"{size} bytes, {digest.hexdigest()[:32]}"


def lock(file: IO[bytes], output: str) -> None:
    """Lock an open file until it is closed or the process ends; not on Windows, which has no such lock.
    RAISES (ZeroShotError): Z089 if another run holds it."""
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ZeroShotError("Z089", output=output) from error


@contextlib.contextmanager
def write_complete(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name when everything has reached the disk. RAISES (ZeroShotError): Z083."""
    temporary = path.with_name(f".{path.name}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ZeroShotError("Z083", path=str(path), reason=error.strerror or str(error)) from error
