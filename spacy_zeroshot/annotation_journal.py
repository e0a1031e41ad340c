"""The journal of an annotation: chunks of a file in, what became of each to the disk, safe from a kill at any point."""

import contextlib
import errno
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from .corpus import DataFile, RawRow
from .errors import ZeroShotError

# A chunk of long texts ends earlier: it is held in memory
MAX_BYTES = 8_000_000
# Bytes at both ends of a file that tell it from another
EDGE = 1 << 20
# What the operating system says of a disk, a quota or a file-size limit that is full
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Chunk(NamedTuple):
    """Rows that are scored and noted together.

    number (int): Its place, from 0.
    rows (list[RawRow]): The rows.
    digest (str): A hash of them.
    fraction (float): How much of the input ends with them.
    """

    number: int
    rows: list[RawRow]
    digest: str
    fraction: float


class Entry(NamedTuple):
    """What became of a chunk: an entry of the journal.

    digest (str): The hash of its rows.
    rows, written (int): How many there were, and records made of them.
    rejects (list[dict[str, Any]]): Rows left out: number, error, and the row itself.
    keys (list[str]): The keys of the records' scores.
    data (bytes): The packed records.
    """

    digest: str
    rows: int
    written: int
    rejects: list[dict[str, Any]]
    keys: list[str]
    data: bytes = b""

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): A line of JSON that ends with the data's size, then the data."""
        return json.dumps({**self._asdict(), "data": len(self.data)}).encode("ascii") + b"\n" + self.data


def read_entry(file: IO[bytes], with_data: bool = True) -> Entry | None:
    """RETURNS (Entry | None): The next entry of an open file; None if no other is complete."""
    line = file.readline()
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    end = file.tell() + head["data"]
    if os.fstat(file.fileno()).st_size < end:
        return None
    head["data"] = file.read(head["data"]) if with_data else b""
    file.seek(end)
    return Entry(**head)


class Journal:
    """OUTPUT.journal: a line with the run's settings, then an entry for every chunk, in order."""

    def __init__(self, path: Path):
        self.path = path
        # where workers of a cluster leave entries, until these are taken into the journal
        self.parts = path.with_name(path.name + ".parts")

    def create(self, settings: dict[str, Any]) -> None:
        """Begin a run."""
        self.remove()
        with write_complete(self.path) as file:
            file.write(json.dumps(settings).encode("ascii") + b"\n")

    def settings(self) -> dict[str, Any] | None:
        """RETURNS (dict[str, Any] | None): What the run began with; None if there is no run."""
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            return json.loads(file.readline())

    def entries(self, with_data: bool = True) -> Generator[Entry, None, None]:
        """YIELDS (Entry): All that are complete."""
        with self.path.open("rb") as file:
            file.readline()
            while (entry := read_entry(file, with_data)) is not None:
                yield entry

    @contextlib.contextmanager
    def appending(self) -> Iterator[Callable[[Entry], None]]:
        """YIELDS (Callable): Appends an entry behind the last complete one, and sees it to the disk."""
        with self.path.open("rb") as file:
            end = len(file.readline())
            while read_entry(file, False) is not None:
                end = file.tell()
        with disk_errors(self.path):
            # without a buffer: what a full disk did not take is not tried again when the file is closed
            opened = self.path.open("r+b", buffering=0)
        with opened:
            opened.truncate(end)
            opened.seek(end)

            def append(entry: Entry) -> None:
                left = memoryview(entry.to_bytes())
                with disk_errors(self.path):
                    while left:
                        left = left[opened.write(left) :]
                    os.fsync(opened.fileno())

            yield append

    def part(self, number: int) -> Path:
        """RETURNS (Path): Where a worker of a cluster leaves the entry of a chunk."""
        return self.parts / f"{number:09d}"

    def read_part(self, chunk: Chunk, with_data: bool = True) -> Entry | None:
        """RETURNS (Entry | None): A worker's entry of this very chunk; None if there is none."""
        if not self.part(chunk.number).exists():
            return None
        with self.part(chunk.number).open("rb") as file:
            entry = read_entry(file, with_data)
        return entry if entry is not None and entry.digest == chunk.digest else None

    def remove(self) -> None:
        """Remove the journal and what belongs to it."""
        shutil.rmtree(self.parts, ignore_errors=True)
        self.path.unlink(missing_ok=True)
        remove_temporaries(self.path)


def cut(file: DataFile, size: int) -> Iterator[Chunk]:
    """Cut a file into chunks of at most `size` rows. The cuts depend on the rows alone."""
    number, held = 0, 0
    rows: list[RawRow] = []
    for row in file.rows():
        rows.append(row)
        held += len(row.key)
        if len(rows) == size or held >= MAX_BYTES:
            yield Chunk(number, rows, digest_of(rows), file.fraction())
            number, rows, held = number + 1, [], 0
    if rows:
        yield Chunk(number, rows, digest_of(rows), 1.0)


def digest_of(rows: Sequence[RawRow]) -> str:
    """RETURNS (str): A hash of rows."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(len(row.key).to_bytes(8, "little") + row.key)
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """RETURNS (str): A quick look at a file: its size, and a hash of its first and last mebibyte."""
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(EDGE))
        file.seek(max(size - EDGE, 0))
        digest.update(file.read(EDGE))
    return f"{size} bytes, {digest.hexdigest()[:32]}"


def hash_folder(folder: Path) -> str:
    """RETURNS (str): SHA-256 of all files of a folder, in hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        digest.update(str(path.relative_to(folder)).encode() + b"\0")
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def only_run(output: Path) -> Iterator[None]:
    """Hold a lock on an output, which the operating system lets go when the process ends, however it ends.

    RAISES (ZeroShotError): Z089 if another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        # Windows: two runs of one command would only do the same work twice
        yield
        return
    path = output.with_name(f".{output.name}.lock")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ZeroShotError("Z089", output=str(output)) from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def write_complete(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name only when everything has reached the disk.

    RAISES (ZeroShotError): Z083 if the disk is full or the folder cannot be written.
    """
    # the process's number, so that two workers never share a file
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            if os.name != "nt":
                # the name reaches the disk, too
                handle = os.open(path.parent, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def remove_temporaries(path: Path) -> None:
    """Remove what killed processes left of a file that write_complete was writing."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what writing raises into Z083."""
    try:
        yield
    except OSError as error:
        reason = "there is no room left" if error.errno in NO_ROOM else error.strerror or str(error)
        raise ZeroShotError("Z083", path=str(path), reason=reason) from error
