"""Free memory goes back to the system."""

import ctypes
import sys

import pytest

from spacy_zeroshot.benchmarks.memory import resident_memory
from spacy_zeroshot.model.heap import EVERY, Heap

GLIBC = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "malloc_trim")


@pytest.mark.skipif(not GLIBC, reason="only glibc keeps holes")
def test_holes_are_given_back():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    size, count = 100_000, 600
    blocks = [libc.malloc(size) for _ in range(count)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    # every other block stays, so that nothing at the heap's end can go by itself
    for block in blocks[::2]:
        libc.free(block)
    heap = Heap()
    before = resident_memory()
    heap.count(EVERY - 1)
    assert resident_memory() >= before - size
    heap.count(1)
    assert resident_memory() < before - size * count // 4
    for block in blocks[1::2]:
        libc.free(block)
