"""Small helpers without a better place: folders written whole, optional packages, progress."""

import hashlib
import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from .errors import ZeroShotError

T = TypeVar("T")
# track(items, total, description): passes items on and shows how far they are
Track = Callable[[Iterable[T], int | None, str], Iterable[T]]


def no_progress(items: Iterable[T], total: int | None = None, description: str = "") -> Iterable[T]:
    """A Track that shows nothing: what the functions of the library use unless the command line hands them a bar."""
    return items


def first_line(error: BaseException) -> str:
    """The first line of an exception's message without its full stop, or the name of its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def require(module: str, extra: str, what: str) -> Any:
    """Import a module that only the extra of that name installs. what: Needs it, for the error Z085."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ZeroShotError("Z085", what=what, package=module.split(".")[0], extra=extra) from error


def hash_files(paths: Iterable[Path]) -> str:
    """SHA-256 of the contents of files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def check_output(output: Path, overwrite: bool) -> None:
    if output.exists() and not output.is_dir():
        raise ZeroShotError("Z060", what="--output", value=str(output), reason="it is a file, not a folder")
    if output.is_dir() and any(output.iterdir()) and not overwrite:
        raise ZeroShotError("Z092", output=str(output))


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside another one, whose place it takes when all is written; if that fails, the other stays. So
    a model may be saved into the very folder its weights are mapped from, and no file of an older save is left."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True) as beside:
        fresh, old = Path(beside, "new"), Path(beside, "old")
        fresh.mkdir()
        yield fresh
        if folder.exists():
            folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
