"""The Ray engine: a dataset of places in the input, mapped by actors that hold the pipeline and read their own chunks.

This process says where each chunk lies, and takes what became of it into the journal. So the input must lie where every
machine sees it. A worker that dies is started anew by Ray, and its chunks are scored again.
"""

import contextlib
import io
import itertools
import logging
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from typing import Any

from .annotation_journal import Chunk, Entry, Journal, digest_of
from .component import ZeroShotTextCategorizer
from .corpus import DataFile, RawRow
from .errors import ZeroShotError
from .util import require

# Blocks for each worker, so that none waits long for the last
BLOCKS = 16
# Ray's own store carries a few chunks at a time
STORE_BYTES = 200_000_000


def score_on_ray(
    make_scorer: Callable[[], Any], chunks: Iterable[Chunk], journal: Journal, n_workers: int
) -> Generator[tuple[Entry, float], None, None]:
    """Score chunks of the journal's source, in any order. YIELDS (tuple[Entry, float]): Entries, and the share of the
    chunks done. RAISES (ZeroShotError): Z085 without Ray, Z086 if the input has changed, Z090 if Ray gives up."""
    ray = require("ray", "ray", "--engine ray")
    require("ray.data", "ray", "--engine ray")
    places = [
        {"chunk": chunk.number, "first": chunk.rows[0].number, "rows": len(chunk.rows), "digest": chunk.digest}
        for chunk in chunks
    ]
    if not places:
        return
    n_workers = min(n_workers, len(places))
    with _connected(ray, n_workers):
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        gpus = 1 if ray.cluster_resources().get("GPU", 0) >= n_workers else 0
        dataset = ray.data.from_items(places, override_num_blocks=min(len(places), BLOCKS * n_workers))
        # every entry is a block of its own, and comes as soon as it is there
        dataset.context.target_max_block_size = 1
        scored = dataset.map_batches(
            RayScorer,
            batch_size=1,
            fn_constructor_args=(make_scorer, Journal(journal.path.resolve(), journal.source.resolve()), bool(gpus)),
            compute=ray.data.ActorPoolStrategy(size=n_workers),
            num_gpus=gpus,
        )
        try:
            for done, row in enumerate(scored.iter_rows(), start=1):
                entry = Entry.read(io.BytesIO(row["entry"]))
                assert entry is not None
                yield entry, done / len(places)
        except (ray.exceptions.RayError, RuntimeError, OSError, ValueError, TypeError) as error:
            lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            raise ZeroShotError("Z090", reason=lines[-1].strip().rstrip(".")) from error


class RayScorer:
    """Opens the pipeline once, on the GPU that Ray has given it or the CPU; reads its own chunks, and scores them."""

    def __init__(self, make_scorer: Callable[[], Any], journal: Journal, gpu: bool):
        import spacy

        # without CuPy spaCy stays on the CPU, and the models move alone
        alone = gpu and not spacy.prefer_gpu(0)
        self._scorer = make_scorer()
        self._journal = journal
        self._rows: Iterator[RawRow] = iter(())
        self._next = sys.maxsize
        for _, pipe in self._scorer.nlp.pipeline if alone else ():
            if isinstance(pipe, ZeroShotTextCategorizer):
                shim: Any = pipe.model.shims[0]
                shim.spec = replace(shim.spec, device="cuda")

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Score the one chunk whose place is in the columns."""
        (number,), (first,), (count,), (digest,) = (batch[name] for name in ("chunk", "first", "rows", "digest"))
        if first < self._next:
            # a chunk before the last one, of a worker that died
            self._rows = DataFile(self._journal.source).rows()
        rows = list(itertools.islice(itertools.dropwhile(lambda row: row.number < first, self._rows), int(count)))
        self._next = rows[-1].number + 1 if rows else sys.maxsize
        if digest_of(rows) != digest:
            raise self._journal.changed(int(first), int(first + count - 1))
        return {"entry": [self._scorer.score(Chunk(int(number), rows, digest, 0.0, 0.0)).to_bytes()]}


@contextlib.contextmanager
def _connected(ray: Any, n_workers: int) -> Iterator[None]:
    """To the cluster there is, the one that RAY_ADDRESS names, or one on this machine."""
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(address="auto", **options)
    except ConnectionError:
        ray.init(num_cpus=n_workers + 1, object_store_memory=STORE_BYTES, include_dashboard=False, **options)
    try:
        yield
    finally:
        ray.shutdown()
