"""Clocks: programs timed in turn, round after round, so that a slow moment of the machine meets them all."""

import statistics
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, Mapping, NamedTuple, Sequence

# A single timing shorter than this is repeated: the scheduler's noise is some milliseconds.
SHORTEST = 0.2
MEGABYTE = 1 << 20
STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")


class Spread(NamedTuple):
    """Several measurements of one quantity.

    median, low, high (float): The middle one, the least and the largest.
    """

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """RETURNS (Spread): Of at least one value. values (Sequence[float]): The measurements."""
    return Spread(statistics.median(values), min(values), max(values))


def time_in_turn(
    programs: Mapping[str, Callable[[], object]], rounds: int, finish: Callable[[], None]
) -> Dict[str, List[float]]:
    """Time programs in turn: A B C, A B C, ...

    programs (Mapping[str, Callable[[], object]]): The programs by name.
    rounds (int): How often each is timed.
    finish (Callable[[], None]): Waits until a device has done what was asked; called before each look at the clock.
    RETURNS (Dict[str, List[float]]): Seconds of one run of each, round by round.
    """
    seconds: Dict[str, List[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            seconds[name].append(_time(program, finish))
    return seconds


def synchroniser(device: str) -> Callable[[], None]:
    """What waits for a device.

    device (str): A torch device string.
    RETURNS (Callable[[], None]): Waits for a GPU; does nothing for a CPU, which has done its work when it returns.
    """
    if not device.startswith("cuda"):
        return _nothing
    import torch

    return torch.cuda.synchronize


def forget_peak(device: str) -> None:
    """Begin a new measurement of peak memory. device (str): A torch device string."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    elif RESET.exists():
        RESET.write_text("5", encoding="ascii")


def peak_memory(device: str) -> float:
    """Peak memory since forget_peak: of the GPU, or resident memory of this process.

    device (str): A torch device string.
    RETURNS (float): Megabytes. Where the system cannot forget a peak, that of the process so far.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device) / MEGABYTE
    if STATUS.exists():
        lines = STATUS.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MEGABYTE if sys.platform == "darwin" else 1024)


def _time(program: Callable[[], object], finish: Callable[[], None]) -> float:
    runs = 0
    finish()
    start = time.perf_counter()
    while True:
        program()
        finish()
        runs += 1
        passed = time.perf_counter() - start
        if passed >= SHORTEST:
            return passed / runs


def _nothing() -> None:
    pass
