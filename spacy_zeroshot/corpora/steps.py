"""A job's way through its input, the same for every engine."""

from typing import Iterator, NamedTuple, Optional

from ..errors import ZeroShotError
from .job import Job
from .raw import Input
from .shards import RunFolder, Shard, ShardInfo, cut


class Step(NamedTuple):
    """A finished shard.

    info (ShardInfo): What became of it.
    fraction (float): How much of the input lies before its end, between 0 and 1.
    fresh (bool): Whether it was scored in this run, not in one before.
    """

    info: ShardInfo
    fraction: float
    fresh: bool


def shards_to_do(job: Job, run: RunFolder, source: Input) -> "Iterator[tuple[Shard, float, Optional[ShardInfo]]]":
    """Cut the input, and look which shards an earlier run finished.

    job (Job): The job.
    run (RunFolder): Its folder.
    source (Input): Its input.
    YIELDS (tuple[Shard, float, Optional[ShardInfo]]): A shard, how much of the input lies before its end, and what
        became of it if it is complete.
    RAISES (ZeroShotError): Z086 if the input is not what that run read, Z043 if there are no rows.
    """
    last = -1
    for shard in cut(source.rows(), job.shard_size):
        done = run.finished(shard.number)
        if done is not None and done.digest != shard.digest:
            first, end = shard.rows[0].number, shard.rows[-1].number
            detail = f"{source.unit}s {first} to {end} are not what they were"
            raise ZeroShotError("Z086", "annotate", path=str(job.source), parts=str(job.parts), detail=detail)
        last = shard.number
        yield shard, source.fraction(), done
    if last < 0:
        raise ZeroShotError("Z043", "annotate", path=str(job.source))
