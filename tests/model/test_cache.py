"""What is remembered: never another value than the one that was made, and no more than the limit."""

import threading

import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.model.cache import Cache, TensorFile


def make(keys):
    return [str(key) * 2 for key in keys]


@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=5), max_size=12), st.integers(2, 20))
def test_gives_what_was_made_within_the_limit(batches, limit):
    cache = Cache(limit, len)
    for keys in batches:
        assert cache.compute(keys, make) == make(keys)
        # the newest one always stays
        kept = [value for value in map(cache.get, range(13)) if value]
        assert len(kept) == 1 or sum(map(len, kept)) <= limit


def test_what_is_known_is_not_made_again():
    cache, made = Cache(10), []
    for keys in ([1, 2, 1], [2, 3], [1, 2, 3]):
        cache.compute(keys, lambda missing: [made.append(key) or key for key in missing])
    assert made == [1, 2, 3]
    cache.clear()
    assert cache.get(1) is None


def test_the_most_recent_stay():
    cache = Cache(3)
    cache.compute([0, 1, 2], make)
    cache.compute([0, 3], make)
    assert [key for key in range(4) if cache.get(key)] == [0, 2, 3]


def test_threads_share_a_cache():
    cache = Cache(200, len)
    wrong = []

    def work(start):
        for number in range(start, start + 60):
            keys = list(range(max(0, number - 20), number))
            if cache.compute(keys, make) != make(keys):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(20 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_tensors_come_back_from_a_file_as_they_were():
    kept, made = TensorFile(limit=2 * 6 * 4), []

    def tensors(keys):
        made.extend(keys)
        return [torch.full((int(key), 2), int(key), dtype=torch.float16) for key in keys]

    for keys in ([b"1", b"3", b"1"], [b"3", b"2"], [b"1", b"2", b"3"], [b"9"], [b"9"]):
        for key, tensor in zip(keys, kept.compute(keys, tensors), strict=True):
            assert torch.equal(tensor, tensors([key])[0])
            made.pop()
    # what does not fit any more is made again
    assert made == [b"1", b"3", b"2", b"9", b"9"]
    kept.clear()
    kept.compute([b"1"], tensors)
    assert made[-1] == b"1"
