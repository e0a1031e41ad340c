"""Giving memory that is free back to the system.

Passes of ever new sizes leave holes between what lives longer, and the C library keeps them: over a long stream the
process seems to grow, though nothing is held.
"""

import ctypes
import sys
from typing import Callable, Optional

# Questions between two times: a few milliseconds in minutes of work
EVERY = 2048


class Heap:
    """Counts what was scored, and from time to time gives free memory back. Only glibc needs it, and can do it."""

    def __init__(self) -> None:
        self._trim = _find_trim()
        self._scored = 0

    def count(self, questions: int) -> None:
        """Count. questions (int): How many were scored."""
        self._scored += questions
        if self._scored >= EVERY:
            self._scored = 0
            if self._trim is not None:
                self._trim(0)


def _find_trim() -> Optional[Callable[[int], int]]:
    """glibc's malloc_trim. RETURNS (Optional[Callable[[int], int]]): None on other systems."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
