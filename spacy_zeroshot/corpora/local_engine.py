"""The local engine: this process, or several on this machine."""

import multiprocessing
import os
import threading
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, Deque, Dict, Iterator, NamedTuple, Tuple

from ..errors import ZeroShotError
from .job import Job
from .outputs import Output
from .raw import Input
from .scoring import ShardScorer
from .shards import Shard, ShardInfo
from .steps import Step, shards_to_do

# Shards that wait for each process: enough that none is idle, few enough to hold in memory
AHEAD = 2


class Reading(NamedTuple):
    """How workers parse rows.

    kind (str): The input's kind.
    unit (str): What its row numbers count.
    schema (Any): Its pyarrow schema, if it has one.
    """

    kind: str
    unit: str
    schema: Any


def run_here(scorer: ShardScorer, source: Input, output: Output, n_process: int) -> Iterator[Step]:
    """Score a corpus on this machine.

    scorer (ShardScorer): The job and its open pipeline.
    source (Input): Its input.
    output (Output): Its output format.
    n_process (int): Processes; 1 for this one alone.
    YIELDS (Step): Every shard, in order.
    RAISES (ZeroShotError): Z087 if a process dies, and what scoring raises.
    """
    if n_process > 1:
        yield from _run_processes(scorer, source, n_process)
        return
    for shard, fraction, done in shards_to_do(scorer.job, scorer.run, source):
        info = done or scorer.score(shard, source.kind, source.unit, output)
        yield Step(info, fraction, done is None)


def _run_processes(scorer: ShardScorer, source: Input, n_process: int) -> Iterator[Step]:
    reading = Reading(source.kind, source.unit, source.schema)
    # spawn: a forked child would inherit locks of torch's threads
    pool = ProcessPoolExecutor(
        n_process, multiprocessing.get_context("spawn"), _start, (scorer.job, reading, max(1, _cores() // n_process))
    )
    waiting: Deque[Tuple[Future[ShardInfo], float]] = deque()
    try:
        with pool:
            for shard, fraction, done in shards_to_do(scorer.job, scorer.run, source):
                if done is not None:
                    yield Step(done, fraction, False)
                    continue
                waiting.append((pool.submit(_score, shard), fraction))
                if len(waiting) > AHEAD * n_process:
                    yield _next(waiting)
            while waiting:
                yield _next(waiting)
    except BrokenProcessPool as error:
        raise ZeroShotError("Z087", "annotate") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _next(waiting: "Deque[Tuple[Future[ShardInfo], float]]") -> Step:
    future, fraction = waiting.popleft()
    return Step(future.result(), fraction, True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Inside a worker process: what it was started with, and its scorer once it has opened the pipeline.
_WORKER: Dict[str, Any] = {}


def _start(job: Job, reading: Reading, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    _WORKER.update(job=job, reading=reading)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _score(shard: Shard) -> ShardInfo:
    if "scorer" not in _WORKER:
        job = _WORKER["job"]
        _WORKER["scorer"] = ShardScorer(job, job.pipeline.open())
        _WORKER["output"] = _WORKER["scorer"].output(_WORKER["reading"].schema)
    reading = _WORKER["reading"]
    return _WORKER["scorer"].score(shard, reading.kind, reading.unit, _WORKER["output"])


def _end_with_parent() -> None:
    """A killed parent cannot stop its children; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
