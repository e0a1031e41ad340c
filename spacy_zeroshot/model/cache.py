"""What was computed of texts, hypotheses and label sets, kept within bounds."""

import tempfile
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import IO, Any, Generic, TypeVar

import torch
from torch import Tensor

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
# The size of a tensor, as a cache counts it
n_bytes = attrgetter("nbytes")


class Cache(Generic[Key, Value]):
    """Keeps values up to a total size, and at least the newest one; those used longest ago go first. Threads may share
    it: what is known is replaced in one step. It has no lock, which a forked process might inherit locked."""

    def __init__(self, limit: int, size: Callable[[Value], int] = lambda value: 1):
        self.limit = limit
        self._size = size
        self._known: dict[Key, Value] = {}

    def get(self, key: Key) -> Value | None:
        return self._known.get(key)

    def add(self, fresh: Mapping[Key, Value], recent: Iterable[Key] = ()) -> None:
        """Keep values. recent: Keys that were just used."""
        before = self._known
        used = {key: before[key] for key in recent if key in before}
        known = {key: value for key, value in before.items() if key not in used} | used | dict(fresh)
        total = sum(map(self._size, known.values()))
        for key in list(known)[:-1]:
            if total <= self.limit:
                break
            total -= self._size(known.pop(key))
        self._known = known

    def compute(self, keys: Sequence[Key], make: Callable[[Sequence[Key]], Iterable[Value]]) -> list[Value]:
        """The values of keys. Those that are not known are made together, and kept."""
        values: dict[Key, Any] = {key: self.get(key) for key in keys}
        missing = [key for key, value in values.items() if value is None]
        if missing:
            fresh = dict(zip(missing, make(missing), strict=True))
            self.add(fresh, keys)
            values.update(fresh)
        return [values[key] for key in keys]

    def clear(self) -> None:
        self._known = {}


class TensorFile(Cache[bytes, Tensor]):
    """Keeps float16 tensors, up to the limit, in a temporary file: memory does not bound how many."""

    def __init__(self, limit: int):
        self.limit = limit
        self.clear()

    def clear(self) -> None:
        self._file: IO[bytes] | None = None
        self._end = 0
        # by key: where it begins, and its shape
        self._places: dict[bytes, tuple[int, torch.Size]] = {}

    def get(self, key: bytes) -> Tensor | None:
        if self._file is None or key not in self._places:
            return None
        start, shape = self._places[key]
        self._file.seek(start)
        data = bytearray(self._file.read(2 * shape.numel()))
        return torch.frombuffer(data, dtype=torch.float16).view(shape)

    def add(self, fresh: Mapping[bytes, Tensor], recent: Iterable[bytes] = ()) -> None:
        self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 - closed with its last reference
        for key, tensor in fresh.items():
            if self._end + n_bytes(tensor) <= self.limit:
                self._file.seek(self._end)
                self._file.write(tensor.cpu().numpy().tobytes())
                self._places[key] = self._end, tensor.shape
                self._end += n_bytes(tensor)
