"""Writing folders whole or not at all."""

import contextlib
import shutil
import uuid
from pathlib import Path
from typing import Iterator


@contextlib.contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """An empty folder beside another one, whose place it takes when all is written.

    If writing fails, what was there before stays as it was. A model may so be saved into the very folder that its
    weights are mapped from, and no file of an older save is left beside the new ones.

    folder (Path): The folder to write; need not be there.
    YIELDS (Path): Where to write.
    """
    mark = f".{folder.name}-{uuid.uuid4().hex[:8]}"
    fresh, old = folder.with_name(f"{mark}-new"), folder.with_name(f"{mark}-old")
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if folder.exists():
            folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
