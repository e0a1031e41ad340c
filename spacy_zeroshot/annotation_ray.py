"""The Ray engine: read_datasource -> map_batches (actors that hold the pipeline) -> write_datasink.

This process only cuts the input and says where each chunk lies. Read tasks read their own chunks, actors score them,
and write tasks leave an entry of the journal for each. So the input and the output's folder must lie where every
machine sees them. A worker that dies is started anew, and its chunks are scored again.
"""

import itertools
import logging
import os
import pickle
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from .annotation_job import COMMAND, Job, Scorer, Watch, changed_rows
from .annotation_journal import Chunk, Entry, Journal, digest_of, write_complete
from .annotation_output import Output
from .component import ZeroShotTextCategorizer
from .corpus import DataFile
from .errors import ZeroShotError, named
from .util import require

# Read tasks for each worker, so that none waits long for the last
TASKS = 4
# Of a CPU, for reading and writing
SMALL = 0.1
# Ray's own store carries a few chunks at a time
STORE_BYTES = 200_000_000
# Seconds between looks at what is done
EVERY = 0.5


class Place(NamedTuple):
    """Where a chunk lies: its number, its first row's offset and number, how many rows it has, and their hash."""

    chunk: int
    offset: int
    first: int
    rows: int
    digest: str


def score_on_ray(
    job: Job, output: Output, file: DataFile, chunks: Iterable[Chunk], journal: Journal, n_workers: int, watch: Watch
) -> None:
    """Score what the journal does not hold yet, on the cluster this process is connected to, or a local one started
    for it. Leaves an entry for every chunk in journal.parts.

    RAISES (ZeroShotError): Z085 without Ray, Z086 if the input has changed, Z090 if Ray gives up.
    """
    ray = require("ray", "ray", "--engine ray")
    require("ray.data", "ray", "--engine ray")
    places: list[Place] = []
    before = journal.entries(with_data=False)
    for chunk in chunks:
        old = next(before, None)
        if old is not None and old.digest != chunk.digest:
            raise changed_rows(job, chunk)
        if old is None and journal.read_part(chunk, with_data=False) is None:
            first = chunk.rows[0]
            places.append(Place(chunk.number, first.offset, first.number, len(chunk.rows), chunk.digest))
    if not places:
        return
    journal.parts.mkdir(exist_ok=True)
    there = len(os.listdir(journal.parts))
    all_rows = sum(place.rows for place in places)
    started = _connect(ray, n_workers)
    failures: list[BaseException] = []
    try:
        # another thread, so that this one shows progress and can be interrupted
        work = threading.Thread(
            target=_run, args=(ray, _absolute(job), output, file.form, places, n_workers, failures), daemon=True
        )
        work.start()
        while work.is_alive():
            work.join(EVERY)
            share = (len(os.listdir(journal.parts)) - there) / len(places)
            if share > 0.0:
                watch(round(share * all_rows), min(share, 1.0), ())
    finally:
        if started:
            ray.shutdown()
    if failures:
        lines = [line for line in str(failures[0]).splitlines() if line.strip()] or [type(failures[0]).__name__]
        raise ZeroShotError("Z090", reason=lines[-1].strip().rstrip(".")) from failures[0]
    if not all(journal.part(place.chunk).exists() for place in places):
        reason = f"{journal.parts} lacks results: the workers must see the same folder as this process"
        raise ZeroShotError("Z090", reason=reason)


def _run(
    ray: Any,
    job: Job,
    output: Output,
    form: str,
    places: Sequence[Place],
    n_workers: int,
    failures: list[BaseException],
) -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    n_workers = min(n_workers, len(places))
    gpus = 1 if ray.cluster_resources().get("GPU", 0) >= n_workers else 0
    source = _source(job.source, places, job)
    try:
        ray.data.read_datasource(
            # the scorers may hold all CPUs there are, and reading must go on
            source,
            num_cpus=SMALL,
            override_num_blocks=min(len(places), TASKS * n_workers),
        ).map_batches(
            RayScorer,
            batch_size=1,
            fn_constructor_args=(job, output, form, bool(gpus)),
            compute=ray.data.ActorPoolStrategy(size=n_workers),
            num_cpus=1 - 2 * SMALL,
            num_gpus=gpus,
        ).write_datasink(_sink(job), ray_remote_args={"num_cpus": SMALL})
    except (ray.exceptions.RayError, RuntimeError, OSError, ValueError, TypeError) as error:
        failures.append(error)


def _source(path: Path, places: Sequence[Place], job: Job) -> Any:
    """A Datasource whose blocks are chunks: their number and their pickled rows."""
    import pyarrow as pa
    from ray.data import Datasource
    from ray.data.block import BlockMetadata
    from ray.data.datasource import ReadTask

    def read(mine: Sequence[Place]) -> Iterator[pa.Table]:
        file = DataFile(path)
        # a format without offsets is read from its start
        start = (mine[0].offset, mine[0].first) if mine[0].offset > 0 else ()
        rows = file.rows(*start)
        for place in mine:
            rows = itertools.dropwhile(lambda row, first=place.first: row.number < first, rows)  # type: ignore[misc]
            found = list(itertools.islice(rows, place.rows))
            if digest_of(found) != place.digest:
                with named(COMMAND):
                    raise changed_rows(job, Chunk(place.chunk, found, "", 0.0))
            yield pa.table({"chunk": [place.chunk], "rows": pa.array([pickle.dumps(found)], pa.large_binary())})

    class Chunks(Datasource):
        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(
            self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
        ) -> list[Any]:
            size = -(-len(places) // parallelism)
            parts = [places[start : start + size] for start in range(0, len(places), size)]
            return [
                ReadTask(
                    lambda mine=mine: read(mine),  # type: ignore[misc]
                    BlockMetadata(num_rows=len(mine), size_bytes=None, input_files=None, exec_stats=None),
                )
                for mine in parts
            ]

    return Chunks()


class RayScorer:
    """Opens the pipeline once, and scores the chunks it is given.

    job, output, form: As Scorer has them, and the input's format.
    gpu (bool): Whether Ray has given this actor a GPU, the one that its process sees.
    """

    def __init__(self, job: Job, output: Output, form: str, gpu: bool):
        import spacy

        # without CuPy spaCy stays on the CPU, and the models move alone
        alone = gpu and not spacy.prefer_gpu(0)
        with named(COMMAND):
            self._scorer = Scorer(job, output)
        self._form = form
        for _, pipe in self._scorer.nlp.pipeline if alone else ():
            if isinstance(pipe, ZeroShotTextCategorizer):
                shim: Any = pipe.model.shims[0]
                shim.spec = replace(shim.spec, device="cuda")

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Score chunks. batch: Columns "chunk" and "rows". RETURNS: Columns "chunk" and "entry"."""
        with named(COMMAND):
            entries: list[Entry] = [self._scorer.score(pickle.loads(rows), self._form) for rows in batch["rows"]]
        return {"chunk": list(batch["chunk"]), "entry": [entry.to_bytes() for entry in entries]}


def _sink(job: Job) -> Any:
    """A Datasink that writes each entry into a file of its own, complete or not at all."""
    from ray.data.block import BlockAccessor
    from ray.data.datasource import Datasink

    class Parts(Datasink):  # type: ignore[type-arg]
        def write(self, blocks: Iterable[Any], ctx: Any) -> None:
            journal = Journal(job.beside(".journal"))
            for block in blocks:
                for row in BlockAccessor.for_block(block).to_arrow().to_pylist():
                    with named(COMMAND), write_complete(journal.part(row["chunk"])) as file:
                        file.write(row["entry"])

    return Parts()


def _absolute(job: Job) -> Job:
    """The job with paths that mean the same in a worker's folder."""

    def full(name: str | None) -> str | None:
        return str(Path(name).resolve()) if name and Path(name).exists() else name

    return replace(
        job,
        source=job.source.resolve(),
        output=job.output.resolve(),
        pipeline=full(job.pipeline),
        model=full(job.model),
        code=full(job.code),
    )


def _connect(ray: Any, n_workers: int) -> bool:
    """RETURNS (bool): Whether a cluster was started: else there is a connection, or RAY_ADDRESS names one."""
    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(address="auto", **options)
    except ConnectionError:
        ray.init(num_cpus=n_workers + 1, object_store_memory=STORE_BYTES, include_dashboard=False, **options)
    return True
