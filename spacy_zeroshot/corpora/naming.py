"""What a file's name says of its format."""

from pathlib import Path
from typing import Sequence, Tuple

from ..errors import ZeroShotError


def split_name(path: Path, known: Sequence[str]) -> Tuple[str, bool]:
    """Read a format off a name.

    path (Path): A file, e.g. news.jsonl.gz.
    known (Sequence[str]): The formats that will do, without dots.
    RETURNS (Tuple[str, bool]): The format, and whether the file is gzipped.
    RAISES (ZeroShotError): Z084 for any other name.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    gzipped = suffixes[-1:] == [".gz"]
    form = "".join(suffixes[-2:-1] if gzipped else suffixes[-1:]).lstrip(".")
    if form not in known:
        names = ", ".join(f".{name}" for name in known)
        raise ZeroShotError("Z084", "annotate", path=str(path), known=f"{names}, plain or with .gz")
    return form, gzipped
