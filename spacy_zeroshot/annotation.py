"""Annotates a corpus: cuts it into chunks, scores them, notes each in a journal, and makes the output of the journal.

The journal is one file beside the output that is only ever appended to. Killed at any point, the same call goes on
behind the last entry that is complete. A chunk is scored by itself and in batches of a fixed size, so its scores do
not depend, to the last bit, on who scores it or on what was scored before: the result is the same in the end.
"""

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Literal, NamedTuple

from .annotation_job import COMMAND, Job, Scorer, Watch, changed_rows
from .annotation_journal import (
    Chunk,
    Entry,
    Journal,
    cut,
    fingerprint,
    only_run,
    remove_temporaries,
    write_complete,
)
from .annotation_output import FORMATS, Columns, Output, make_output
from .corpus import BadRow, DataFile, RawRow, parse_row, split_name
from .errors import ZeroShotError, named

Engine = Literal["local", "ray"]
# Chunks that wait for each process: enough that none is idle, few enough to hold in memory
AHEAD = 2


class Summary(NamedTuple):
    """What a job came to.

    written (int): Records in the output.
    rejected (int): Rows left out, which are in the rejects file.
    resumed (int): Records that an earlier run had scored.
    """

    written: int
    rejected: int
    resumed: int


def annotate(
    source: Path | str,
    output: Path | str,
    pipeline: str | None = None,
    *,
    model: str | None = None,
    labels: Sequence[str] = (),
    templates: Sequence[str] = (),
    multi_label: bool | None = None,
    component: str | None = None,
    text_field: str = "text",
    labels_field: str = "labels",
    cats_field: str = "cats",
    threshold: float | None = None,
    decided: bool = False,
    batch_size: int = 256,
    chunk_size: int = 512,
    code: Path | str | None = None,
    gpu_id: int = -1,
    engine: Engine = "local",
    n_process: int = 1,
    overwrite: bool = False,
    watch: Watch | None = None,
) -> Summary:
    """Annotate a corpus. Killed at any point, the same call goes on where it stopped, to the same result.

    Every field of the input is kept. Rows that cannot be used go to OUTPUT.rejects.jsonl.

    source (Path | str): A .txt, .jsonl, .csv, .tsv, .parquet or .spacy file, plain or with .gz.
    output (Path | str): A .jsonl, .jsonl.gz, .parquet or .spacy file.
    pipeline, model, labels, templates, multi_label, component: What scores, as loading.open_pipeline has them.
    text_field (str): The input's field with the text.
    labels_field, cats_field (str): The output's fields for the decided labels and the scores.
    threshold (float | None): The score a label must reach, in place of the pipeline's own settings.
    decided (bool): Whether the doc.cats of a .spacy file are the decisions, 1.0 or 0.0, which spaCy can train on.
    batch_size (int): Texts scored together.
    chunk_size (int): Rows that are noted together: what a kill can lose, for each process.
    code (Path | str | None): A Python file that registers functions of the pipeline.
    gpu_id (int): The GPU for spaCy's work; -1 for the CPU.
    engine (Engine): "local", or "ray" for the machines of a Ray cluster.
    n_process (int): Processes, or Ray workers, that score.
    overwrite (bool): Replace an output, or the beginning of one, that was made differently.
    watch (Watch | None): Called as rows are done.
    RETURNS (Summary): What it came to.
    RAISES (ZeroShotError): Z043, Z060, Z080 to Z090, Z093, Z094, and what the pipeline says of its settings.
    """
    job = Job(
        *(Path(source), Path(output), pipeline, model, tuple(labels), tuple(templates), multi_label, component),
        *(text_field, labels_field, cats_field, threshold, decided, batch_size, chunk_size),
        None if code is None else str(code),
        gpu_id,
    )
    if labels_field == cats_field:
        raise ZeroShotError("Z060", what="--cats-field", value=cats_field, reason="it is --labels-field, too")
    form, gzipped = split_name(job.output, FORMATS[:1] if job.output.suffix == ".gz" else FORMATS)
    tell: Watch = _tell_nobody if watch is None else watch
    with only_run(job.output), contextlib.closing(DataFile(job.source)) as file:
        for path in (job.output, job.rejects, job.receipt):
            remove_temporaries(path)
        output_format = make_output(form, gzipped, Columns(labels_field, cats_field, decided), file.schema)
        scorer = Scorer(job, output_format)
        journal = Journal(job.beside(".journal"))
        settings = job.settings(scorer.nlp)
        if is_complete(job, settings):
            journal.remove()
            return Summary(**json.loads(job.receipt.read_text(encoding="utf8"))["summary"])
        chunks = cut(file, chunk_size)
        first = next(chunks)
        check_text_field(job, file, first)
        begin(job, journal, settings, overwrite)
        chunks = itertools.chain([first], chunks)
        if engine == "ray":
            from .annotation_ray import score_on_ray

            score_on_ray(job, output_format, file, chunks, journal, n_process, tell)
            # what its workers left is taken into the journal now
            with contextlib.closing(DataFile(job.source)) as again:
                summary = score_here(
                    scorer, again, cut(again, chunk_size), journal, 1, lambda done, _, rejects: tell(done, 1.0, rejects)
                )
        else:
            summary = score_here(scorer, file, chunks, journal, n_process, tell)
        finish(job, journal, output_format, settings, summary)
        return summary


def _tell_nobody(done: int, fraction: float, rejects: Sequence[Mapping[str, Any]]) -> None:
    """A Watch that shows nothing."""


def score_here(
    scorer: Scorer, file: DataFile, chunks: Iterable[Chunk], journal: Journal, n_process: int, watch: Watch
) -> Summary:
    """Score what the journal does not hold yet, and append it in order. RETURNS (Summary): What it came to."""
    written = rejected = resumed = done = 0
    fraction = 0.0
    before = journal.entries(with_data=False)
    with journal.appending() as append, contextlib.closing(before):

        def known() -> Iterator[tuple[Chunk, Entry | None, bool]]:
            for chunk in chunks:
                old = next(before, None)
                if old is not None and old.digest != chunk.digest:
                    raise changed_rows(scorer.job, chunk)
                yield chunk, old or journal.read_part(chunk), old is not None

        def score(chunk: Chunk) -> Entry:
            step = (chunk.fraction - fraction) / len(chunk.rows)
            return scorer.score(chunk.rows, file.form, lambda n: watch(done + n, fraction + n * step, ()))

        if n_process == 1:
            scored = ((chunk, entry or score(chunk), is_old) for chunk, entry, is_old in known())
        else:
            scored = score_in_processes(scorer, file.form, known(), n_process)
        # closed at once, so that no process outlives an interrupt
        with contextlib.closing(scored):
            for chunk, entry, is_old in scored:
                if not is_old:
                    append(entry)
                written, rejected, done = written + entry.written, rejected + len(entry.rejects), done + entry.rows
                resumed += entry.written if is_old else 0
                fraction = chunk.fraction
                if not is_old:
                    watch(done, fraction, entry.rejects)
    return Summary(written, rejected, resumed)


def score_in_processes(
    scorer: Scorer, form: str, chunks: Iterable[tuple[Chunk, Entry | None, bool]], n_process: int
) -> Generator[tuple[Chunk, Entry, bool], None, None]:
    """Score chunks in other processes. YIELDS: All of them, in order. RAISES (ZeroShotError): Z087 if one dies."""
    others = set(multiprocessing.active_children())
    waiting: deque[tuple[Chunk, Entry | Future[Entry], bool]] = deque()
    # spawn: a forked child would inherit locks of torch's threads
    start = (scorer.job, scorer.output, form)
    pool = ProcessPoolExecutor(n_process, multiprocessing.get_context("spawn"), _start_worker, start)
    try:
        # children take it from here, before they import torch
        with _environment("OMP_NUM_THREADS", str(max(1, _cores() // n_process))):
            for chunk, entry, is_old in chunks:
                waiting.append((chunk, entry or pool.submit(_score_in_worker, chunk.rows), is_old))
                while len(waiting) > AHEAD * n_process:
                    yield _take(waiting)
            while waiting:
                yield _take(waiting)
        pool.shutdown()
    except BrokenProcessPool as error:
        raise ZeroShotError("Z087") from error
    finally:
        for child in set(multiprocessing.active_children()) - others:
            child.kill()
        pool.shutdown(cancel_futures=True)
        # its semaphores go with it, also where the process ends without Python's own clearing up
        del pool


def _take(waiting: deque[tuple[Chunk, Entry | Future[Entry], bool]]) -> tuple[Chunk, Entry, bool]:
    chunk, entry, is_old = waiting.popleft()
    return chunk, entry.result() if isinstance(entry, Future) else entry, is_old


# Inside a worker process: what it was started with, and its scorer once it has opened the pipeline
_WORKER: dict[str, Any] = {}


def _start_worker(job: Job, output: Output, form: str) -> None:
    # the parent ends its workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _WORKER.update(job=job, output=output, form=form)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _score_in_worker(rows: list[RawRow]) -> Entry:
    with named(COMMAND):
        if "scorer" not in _WORKER:
            _WORKER["scorer"] = Scorer(_WORKER["job"], _WORKER["output"])
        return _WORKER["scorer"].score(rows, _WORKER["form"])


def _end_with_parent() -> None:
    """A killed parent cannot stop its children; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """A variable of the environment, unless the user has set it."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)


def check_text_field(job: Job, file: DataFile, first: Chunk) -> None:
    """Look for the text field in the header, or else in all of the first chunk. RAISES (ZeroShotError): Z088."""
    seen: dict[str, None] = {}
    if file.fields is None:
        for row in first.rows:
            with contextlib.suppress(BadRow):
                seen.update(dict.fromkeys(parse_row(row, file.form)))
        if not seen:
            return
    file.check_field(job.text_field, "--text-field", list(seen))


def begin(job: Job, journal: Journal, settings: dict[str, Any], overwrite: bool) -> None:
    """Go on with a journal, or begin one. RAISES (ZeroShotError): Z081, Z082 or Z086 if something is in the way."""
    before = journal.settings()
    if before == settings:
        return
    if before is not None and not overwrite:
        names = [name for name in settings if before.get(name) != settings[name]]
        if names == ["input"]:
            detail = f"it was {before['input']}, it is {settings['input']}"
            raise ZeroShotError("Z086", path=str(job.source), parts=str(journal.path), detail=detail)
        changes = ", ".join(f"{name} was {before.get(name)!r}, is {settings[name]!r}" for name in names)
        raise ZeroShotError("Z081", parts=str(journal.path), changes=changes)
    if before is None and job.output.exists() and (not overwrite or job.output.samefile(job.source)):
        raise ZeroShotError("Z082", output=str(job.output))
    journal.create(settings)


def is_complete(job: Job, settings: dict[str, Any]) -> bool:
    """RETURNS (bool): Whether the output is there already, made with these settings and not changed since."""
    if not job.receipt.exists() or not job.output.exists():
        return False
    receipt = json.loads(job.receipt.read_text(encoding="utf8"))
    return receipt["settings"] == settings and receipt["output"] == fingerprint(job.output)


def finish(job: Job, journal: Journal, output: Output, settings: dict[str, Any], summary: Summary) -> None:
    """Make the output. Killed in between, the next run finds a complete journal and makes it again."""
    if summary.rejected:
        with write_complete(job.rejects) as file:
            for entry in journal.entries(with_data=False):
                for reject in entry.rejects:
                    line = json.dumps(reject, ensure_ascii=False) + "\n"
                    file.write(line.encode("utf8", "backslashreplace"))
    else:
        job.rejects.unlink(missing_ok=True)
    if not summary.written:
        first = next(reject for entry in journal.entries(with_data=False) for reject in entry.rejects)
        journal.remove()
        count, reason = f"{summary.rejected:,}", first["error"].rstrip(".")
        raise ZeroShotError("Z094", count=count, path=str(job.source), reason=reason, rejects=str(job.rejects))
    with write_complete(job.output) as file:
        output.merge(lambda: journal.entries(), file)
    receipt = {"output": fingerprint(job.output), "settings": settings, "summary": summary._asdict()}
    with write_complete(job.receipt) as file:
        file.write(json.dumps(receipt, indent=2).encode() + b"\n")
    journal.remove()
