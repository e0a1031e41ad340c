"""The Ray engine: the same shards, scored by stateful workers of Ray Data on one machine or many.

Workers read the input and write the shards themselves, so both must lie where every machine sees them; only shard
numbers and counts pass through Ray. A worker that dies is started anew, and its shard is scored again.
"""

import logging
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from ..errors import ZeroShotError
from ..model.shim import Placement
from .inputs import open_input
from .job import Job
from .raw import Input
from .scoring import ShardScorer
from .shards import RunFolder, Shard, cut
from .steps import Step, shards_to_do

# Ray's own store carries shard numbers only.
STORE_BYTES = 200_000_000


def require_ray() -> Any:
    """RETURNS (module): ray. RAISES (ZeroShotError): Z085 if Ray Data is not installed."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ZeroShotError("Z085", "annotate", what="--engine ray", package="ray[data]", extra="ray") from error
    return ray


def run_on_ray(job: Job, run: RunFolder, source: Input, n_workers: int) -> Iterator[Step]:
    """Score a corpus with Ray Data, on the cluster this process is connected to, or a local one started for it.

    job (Job): The job.
    run (RunFolder): Its folder.
    source (Input): Its input.
    n_workers (int): Workers. Each gets a GPU if the cluster has any.
    YIELDS (Step): Every shard, in any order.
    RAISES (ZeroShotError): Z085 without Ray, Z090 if Ray gives up.
    """
    ray = require_ray()
    todo: List[Dict[str, Any]] = []
    fractions: Dict[int, float] = {}
    for shard, fraction, done in shards_to_do(job, run, source):
        if done is not None:
            yield Step(done, fraction, False)
            continue
        todo.append({"shard": shard.number, "digest": shard.digest})
        fractions[shard.number] = fraction
    if not todo:
        return
    started = _connect(ray, n_workers)
    try:
        for number in _score_all(ray, job, todo, n_workers):
            info = run.finished(number)
            if info is None:
                reason = f"shard {number} is not in {run.folder}: the workers must see the same folder as this process"
                raise ZeroShotError("Z090", "annotate", reason=reason)
            yield Step(info, fractions[number], True)
    except (ray.exceptions.RayError, RuntimeError) as error:
        raise ZeroShotError("Z090", "annotate", reason=_first_line(error)) from error
    finally:
        if started:
            ray.shutdown()


class RayWorker:
    """Opens the pipeline once and scores the shards it is given.

    job (Job): The job.
    gpu (bool): Whether Ray has given the worker a GPU.
    """

    def __init__(self, job: Job, gpu: bool):
        self._job = job
        self._scorer = ShardScorer(job, _open_pipeline(job, gpu))
        self._source, self._shards = self._open()
        self._output = self._scorer.output(self._source.schema)

    def __call__(self, row: Dict[str, Any]) -> Dict[str, Any]:
        """Score a shard.

        row (Dict[str, Any]): Its number, and the hash of its rows as the driver read them.
        RETURNS (Dict[str, Any]): Its number.
        RAISES (ZeroShotError): Z086 if this machine reads other rows.
        """
        shard = self._read(row["shard"])
        if shard.digest != row["digest"]:
            detail = f"a worker reads other rows in shard {shard.number}"
            path, parts = str(self._job.source), str(self._job.parts)
            raise ZeroShotError("Z086", "annotate", path=path, parts=parts, detail=detail)
        self._scorer.score(shard, self._source.kind, self._source.unit, self._output)
        return {"shard": shard.number}

    def _open(self) -> Tuple[Input, Iterator[Shard]]:
        source = open_input(self._job.source)
        return source, cut(source.rows(), self._job.shard_size)

    def _read(self, number: int) -> Shard:
        """Shards come in rising order, but for one that another worker lost: then the input is read again."""
        for shard in self._shards:
            if shard.number == number:
                return shard
            if shard.number > number:
                break
        self._source, self._shards = self._open()
        return next(shard for shard in self._shards if shard.number == number)


def _open_pipeline(job: Job, gpu: bool) -> Any:
    """The job's pipeline, on the one GPU that Ray lets this process see, if any."""
    import spacy

    # without CuPy spaCy stays on the CPU, and the model moves alone
    alone = gpu and not spacy.prefer_gpu(0)
    nlp = job.pipeline.open()
    if alone:
        pipe: Any
        for _, pipe in nlp.pipeline:
            for shim in getattr(getattr(pipe, "model", None), "shims", ()):
                if isinstance(getattr(shim, "placement", None), Placement):
                    shim.placement = shim.placement._replace(device="cuda")
    return nlp


def _absolute(job: Job) -> Job:
    """The job with paths that mean the same in a worker's folder."""
    spec = job.pipeline
    folder = str(Path(spec.pipeline).resolve()) if spec.pipeline and Path(spec.pipeline).exists() else spec.pipeline
    model = str(Path(spec.model).resolve()) if Path(spec.model).exists() else spec.model
    spec = spec._replace(pipeline=folder, model=model)
    return job._replace(source=job.source.resolve(), output=job.output.resolve(), pipeline=spec)


def _connect(ray: Any, n_workers: int) -> bool:
    if ray.is_initialized():
        return False
    options: Dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        # a running cluster: RAY_ADDRESS, or one on this machine
        ray.init(address="auto", **options)
    except ConnectionError:
        ray.init(num_cpus=n_workers, object_store_memory=STORE_BYTES, include_dashboard=False, **options)
    return True


def _score_all(ray: Any, job: Job, todo: List[Dict[str, Any]], n_workers: int) -> Iterator[int]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    n_workers = min(n_workers, len(todo))
    gpus = 1 if ray.cluster_resources().get("GPU", 0) >= n_workers else 0
    rows = ray.data.from_items(todo, override_num_blocks=len(todo))
    scored = rows.map(
        RayWorker,
        fn_constructor_args=(_absolute(job), bool(gpus)),
        compute=ray.data.ActorPoolStrategy(size=n_workers, max_tasks_in_flight_per_actor=2),
        num_cpus=1,
        num_gpus=gpus,
    )
    for row in scored.iter_rows():
        yield int(row["shard"])


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
