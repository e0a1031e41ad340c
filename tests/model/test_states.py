"""What is remembered of an encoder's states: bounded in memory, the rest in a file, never anything else."""

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.model.states import StateCache

WIDTH = 4


def matrix(number, rows=2):
    return torch.full((rows, WIDTH), float(number))


def key(number):
    return str(number).encode()


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True), max_size=12),
    st.sampled_from([0, 100, 1000]),
    st.sampled_from([0, 200, 10_000]),
)
def test_gives_what_was_added_or_nothing(batches, max_bytes, file_bytes):
    cache = StateCache(max_bytes, file_bytes)
    added = set()
    for numbers in batches:
        found = cache.get(list(map(key, numbers)))
        assert found.keys() <= set(map(key, added))
        for number in numbers:
            if key(number) in found:
                assert torch.equal(found[key(number)], matrix(number))
        cache.add({key(n): matrix(n) for n in numbers if key(n) not in found}, [key(n) for n in numbers])
        added.update(numbers)
        assert sum(states.nbytes for states in cache._known.values()) <= max_bytes
    if max_bytes + file_bytes >= 10_000:
        assert set(map(int, cache.get(list(map(key, range(10)))))) == added


def test_the_most_recent_stay():
    cache = StateCache(3 * matrix(0).nbytes)
    cache.add({key(n): matrix(n) for n in range(3)})
    cache.add({key(3): matrix(3)}, [key(0), key(3)])
    assert set(map(int, cache.get(list(map(key, range(4)))))) == {0, 2, 3}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_keeps_a_precision_in_memory_and_in_the_file(dtype):
    for max_bytes in (1000, 0):
        cache = StateCache(max_bytes, 1000, dtype)
        cache.add({b"a": torch.tensor([[0.1, 1 / 3]])})
        found = cache.get([b"a"])[b"a"]
        assert torch.equal(found, torch.tensor([[0.1, 1 / 3]], dtype=dtype))
        cache.clear()
        assert not cache.get([b"a"])


def test_keeps_no_view_of_a_batch():
    batch = torch.zeros(1000, WIDTH)
    cache = StateCache(1000)
    cache.add({b"a": batch[:2]})
    assert cache.get([b"a"])[b"a"].untyped_storage().nbytes() == 2 * WIDTH * 4


def test_threads_share_a_cache():
    cache = StateCache(200, 10_000)
    wrong = []

    def work(start):
        for number in range(start, start + 40):
            cache.add({key(number): matrix(number)})
            for found, states in cache.get(list(map(key, range(number + 1)))).items():
                if not torch.equal(states, matrix(int(found))):
                    wrong.append(found)

    threads = [threading.Thread(target=work, args=(100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
