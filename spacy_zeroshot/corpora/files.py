"""Files that are complete or absent, and what to say when the disk is full."""

import contextlib
import errno
import glob
import os
from pathlib import Path
from typing import IO, Iterator

from ..errors import ZeroShotError

# What the operating system says of a disk, a quota or a file-size limit that is full, and of folders it protects
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def write_complete(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name only when everything has reached the disk.

    path (Path): The file. One that is there already is replaced in one step.
    YIELDS (IO[bytes]): Where to write.
    RAISES (ZeroShotError): Z083 if the disk is full or the folder cannot be written.
    """
    # the process's number, so that two workers never share a file
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            with temporary.open("wb") as file_:
                yield file_
                file_.flush()
                os.fsync(file_.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what writing raises into Z083. path (Path): What is written, for the message."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise ZeroShotError("Z083", "annotate", path=str(path), reason="there is no room left") from error
        raise ZeroShotError("Z083", "annotate", path=str(path), reason=error.strerror or str(error)) from error


def remove_temporaries(path: Path) -> None:
    """Remove what killed processes left of a file that write_complete was writing. path (Path): The file."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Let a folder's new names reach the disk. Windows has no such call and needs none.

    folder (Path): The folder.
    """
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
