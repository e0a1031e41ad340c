"""The command benchmark: what it measures is right, whatever the machine's speed."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spacy_zeroshot.cli import benchmark
from spacy_zeroshot.cli.benchmark import Program, time_in_turn
from spacy_zeroshot.model.reference import Device, describe_machine

from ..util import run_cli


def test_texts_differ_and_are_the_same_everywhere() -> None:
    texts = benchmark.make_texts(64)
    assert len(set(texts)) == 64 and texts == benchmark.make_texts(64)
    assert 50 < np.mean([len(text.split()) for text in texts]) < 100


def test_programs_run_in_turn() -> None:
    order: list[str] = []

    def call(name: str) -> None:
        order.append(name)
        time.sleep(0.21)

    seconds = time_in_turn({name: lambda name=name: call(name) for name in "ab"}, 2)  # type: ignore[misc]
    assert order == ["a", "b", "a", "b"]
    assert all(value >= 0.2 for values in seconds.values() for value in values)


def test_short_programs_are_repeated() -> None:
    runs: list[None] = []
    seconds = time_in_turn({"a": lambda: runs.append(time.sleep(0.02))}, 1)
    assert len(runs) > 2 and seconds["a"][0] < 0.2


def test_peak_memory_is_that_since_forgotten() -> None:
    device = Device()
    device.forget_peak()
    before = device.peak()
    block = np.ones(50_000_000, dtype="float64")
    assert device.peak() - before > 300
    del block
    if sys.platform == "linux":
        device.forget_peak()
        assert device.peak() - before < 200
        assert device.peak() >= device.resident() > 50


def test_the_machine_is_named() -> None:
    assert "threads, torch" in describe_machine(Device())


def test_programs_are_measured_on_their_texts() -> None:
    seen: dict[str, set[int]] = {"a": set(), "b": set()}

    def program(name: str) -> Program:
        def score(texts: Sequence[str], labels: Sequence[str]) -> list[dict[str, float]]:
            seen[name].add(len(texts))
            time.sleep(0.21)
            return []

        return Program(name, score)

    first, second = benchmark.measure([(program("a"), ["x"] * 4), (program("b"), ["x"])], ["l", "m"], 1, Device())
    assert seen == {"a": {4}, "b": {1}}
    assert (first.program, first.labels) == ("a", 2) and first.memory >= 0.0
    assert 3 < second.median / first.median < 5


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TEXTS": 2, "PAIRS": 4, "SENTENCES": 1}.items():
        monkeypatch.setattr(benchmark, name, value)


@pytest.mark.slow
def test_the_command_prints_a_table(nli_folder: Path, tiny: None) -> None:
    result = run_cli("benchmark", "--model", str(nli_folder), "--labels", "2,3", "--rounds", "1")
    assert result.exit_code == 0, result.output
    rows = [line.split("|")[1:3] for line in result.stdout.splitlines() if line.startswith("|")][2:]
    assert [(name.strip(), count.strip()) for name, count in rows] == [
        (name, count)
        for count in "23"
        for name in (f"component, {nli_folder}", *(f"transformers, batch {size}" for size in (1, 8, 32)))
    ]


@pytest.mark.slow
def test_the_command_prints_json(nli_folder: Path, tiny: None) -> None:
    arguments = ["--model", str(nli_folder), "--labels", "2", "--rounds", "2", "--json"]
    result = run_cli("benchmark", *arguments, "--precision", "float32")
    found: dict[str, Any] = json.loads(result.stdout)
    assert len(found["speeds"]) == 4 and "torch" in found["machine"]
    assert all(len(speed["seconds"]) == 2 for speed in found["speeds"])


@pytest.mark.parametrize("labels", ["", "two", "0", "-1", "2,"])
def test_numbers_that_are_none_Z060(labels: str) -> None:
    result = run_cli("benchmark", "--labels", labels)
    assert result.exit_code == 1 and "[Z060] benchmark: --labels" in result.output


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    result = run_cli("benchmark", "--model", str(tmp_path / "missing/model"))
    assert result.exit_code == 1 and "[Z02" in result.output
