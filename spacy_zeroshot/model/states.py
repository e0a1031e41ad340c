"""States of an encoder that is not trained, remembered by token ids: in memory, and beyond that in a temporary file."""

import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

import torch
from torch import Tensor


class StateCache:
    """Remembers a matrix for each sequence of token ids. Threads may share it.

    max_bytes (int): What is kept in memory, the most recent last to go; 0 keeps nothing.
    file_bytes (int): What is kept of the rest in a temporary file, which goes with the cache.
    dtype (torch.dtype | None): The precision to keep, None for that of what is added.
    """

    def __init__(self, max_bytes: int, file_bytes: int = 0, dtype: torch.dtype | None = None):
        self.max_bytes = max_bytes
        self.dtype = dtype
        self._known: dict[bytes, Tensor] = {}
        self._file = _StateFile(file_bytes)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Tensor]:
        """What is known of the keys."""
        known = self._known
        found = {key: known[key] for key in keys if key in known}
        return found | self._file.read(key for key in keys if key not in known)

    def add(self, fresh: Mapping[bytes, Tensor], recent: Sequence[bytes] = ()) -> None:
        """Remember matrices. recent (Sequence[bytes]): Keys that were just used: they stay the longest."""
        known = self._known
        used = {key: known[key] for key in recent if key in known}
        # clones: a view would keep the batch it was cut from
        added = {key: states.to(self.dtype or states.dtype).clone() for key, states in fresh.items()}
        merged = {key: states for key, states in known.items() if key not in used} | used | added
        size = sum(states.nbytes for states in merged.values())
        for key in list(merged):
            if size <= self.max_bytes:
                break
            states = merged.pop(key)
            size -= states.nbytes
            self._file.write(key, states)
        # replaced in one step, so that threads see either the old or the new
        self._known = merged

    def clear(self) -> None:
        """Forget everything: the weights have changed."""
        self._known = {}
        self._file = _StateFile(self._file.max_bytes)


class _StateFile:
    """Matrices in a temporary file, which the system removes once it is closed."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self._places: dict[bytes, tuple[int, Tensor]] = {}  # where it begins, and an empty one of its shape
        self._end = 0
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()

    def write(self, key: bytes, states: Tensor) -> None:
        if not self.max_bytes:
            return
        with self._lock:
            if key in self._places or self._end + states.nbytes > self.max_bytes:
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the cache lives)
            self._file.seek(self._end)
            self._file.write(states.detach().cpu().contiguous().view(torch.uint8).numpy().data)
            self._places[key] = self._end, states.to("meta")
            self._end += states.nbytes

    def read(self, keys: Iterable[bytes]) -> dict[bytes, Tensor]:
        found: dict[bytes, Tensor] = {}
        if self._file is None:
            return found
        with self._lock:
            for key in keys:
                if key in self._places:
                    start, empty = self._places[key]
                    self._file.seek(start)
                    raw = bytearray(self._file.read(empty.nbytes))
                    found[key] = torch.frombuffer(raw, dtype=empty.dtype).view(empty.shape)
        return found
