"""The memory benchmark's own parts; the program itself runs for long and is no test."""

import pytest

from spacy_zeroshot.benchmarks.memory import MEGABYTE, Sample, generate_texts, growth, resident_memory


def samples(*megabytes: int) -> "list[Sample]":
    return [Sample(500 * i, size * MEGABYTE, float(i)) for i, size in enumerate(megabytes, start=1)]


def test_growth_leaves_out_the_first_thousand_documents():
    assert growth(samples(10, 100, 100, 100, 100, 100, 100)) == 0.0


def test_growth_compares_the_last_third_with_the_first():
    assert growth(samples(10, 100, 100, 150, 170, 110, 130)) == pytest.approx(0.2)


def test_growth_needs_two_samples_after_the_first_thousand():
    with pytest.raises(ValueError, match="1000"):
        growth(samples(10, 100))


def test_texts_differ_but_for_blank_ones_and_some_are_long():
    texts = list(generate_texts(500))
    visible = [text for text in texts if text.strip()]
    assert len(texts) == 500 and len(visible) == 499
    assert len(set(visible)) == len(visible)
    assert max(len(text.split()) for text in texts) == 1500
    assert texts == list(generate_texts(500))


def test_resident_memory_counts_what_is_held():
    before = resident_memory()
    held = bytearray(b"x" * (64 * MEGABYTE))
    assert resident_memory() - before > 32 * MEGABYTE
    assert len(held) == 64 * MEGABYTE
