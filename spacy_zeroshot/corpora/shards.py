"""A run's folder: numbered shards that are complete or absent, and a manifest of what they belong to."""

import contextlib
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional

from ..errors import ZeroShotError
from .files import disk_errors, write_complete
from .raw import RawRow

MANIFEST = "manifest.json"
LOCK = "lock"
# A shard of long texts ends earlier: it is held in memory.
MAX_BYTES = 8_000_000


class Shard(NamedTuple):
    """A range of the input's rows: the unit of work, of resuming, and of what a kill can lose.

    number (int): Its place, from 0.
    rows (List[RawRow]): Its rows.
    digest (str): A hash of them.
    """

    number: int
    rows: List[RawRow]
    digest: str


class ShardInfo(NamedTuple):
    """What became of a shard. Its file is written last, and says that the shard is complete.

    number (int): Its place.
    digest (str): The hash of its input rows.
    written (int): Records in its output.
    rejects (List[Dict[str, Any]]): Rows left out: number, error, and the row itself.
    """

    number: int
    digest: str
    written: int
    rejects: List[Dict[str, Any]]


def cut(rows: Iterable[RawRow], size: int) -> Iterator[Shard]:
    """Cut rows into shards. The cuts depend on the rows alone.

    rows (Iterable[RawRow]): The rows.
    size (int): Rows of a shard.
    YIELDS (Shard): The shards, in order.
    """
    number, held = 0, 0
    waiting: List[RawRow] = []
    for row in rows:
        waiting.append(row)
        held += len(row.key)
        if len(waiting) == size or held >= MAX_BYTES:
            yield Shard(number, waiting, _digest(waiting))
            number, waiting, held = number + 1, [], 0
    if waiting:
        yield Shard(number, waiting, _digest(waiting))


class RunFolder:
    """The folder OUTPUT.parts, beside the output until that is complete.

    folder (Path): The folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def exists(self) -> bool:
        return (self.folder / MANIFEST).exists()

    def create(self, settings: Dict[str, Any]) -> None:
        """Start a run. settings (Dict[str, Any]): What decides its result."""
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with write_complete(self.folder / MANIFEST) as file_:
            file_.write(json.dumps(settings, indent=2, sort_keys=True).encode())

    def settings(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What create() was given."""
        return json.loads((self.folder / MANIFEST).read_text(encoding="utf8"))

    def data_path(self, number: int) -> Path:
        """RETURNS (Path): A shard's output. number (int): Its place."""
        return self.folder / f"{number:06d}.data"

    def finished(self, number: int) -> Optional[ShardInfo]:
        """What became of a shard.

        number (int): Its place.
        RETURNS (Optional[ShardInfo]): None if it is not complete.
        """
        path = self._info_path(number)
        if not path.exists():
            return None
        return ShardInfo(**json.loads(path.read_text(encoding="utf8")))

    def finish(self, info: ShardInfo) -> None:
        """Say that a shard is complete. info (ShardInfo): What became of it."""
        with write_complete(self._info_path(info.number)) as file_:
            file_.write(json.dumps(info._asdict(), ensure_ascii=True).encode("ascii"))

    def remove(self) -> None:
        """Remove the folder, in one step as others see it."""
        trash = self.folder.with_name(self.folder.name + ".old")
        shutil.rmtree(trash, ignore_errors=True)
        if self.folder.exists():
            self.folder.rename(trash)
            shutil.rmtree(trash, ignore_errors=True)

    def clean(self) -> None:
        """Remove what a killed run left half-written."""
        shutil.rmtree(self.folder.with_name(self.folder.name + ".old"), ignore_errors=True)
        for path in self.folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)

    def _info_path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"


@contextlib.contextmanager
def only_run(output: Path) -> Iterator[None]:
    """Hold a lock on an output, which the operating system lets go when the process ends, however it ends.

    output (Path): What is written.
    RAISES (ZeroShotError): Z089 if another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        # Windows: two runs of one command would only do the same work twice
        yield
        return
    path = output.with_name(f".{output.name}.{LOCK}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file_ = path.open("wb")
    with file_:
        try:
            fcntl.flock(file_, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ZeroShotError("Z089", "annotate", output=str(output)) from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _digest(rows: List[RawRow]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(len(row.key).to_bytes(8, "little") + row.key)
    return digest.hexdigest()
