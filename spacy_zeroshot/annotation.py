"""Annotates a corpus: cuts it into chunks, scores them, notes each in a journal, and makes the output of the journal.

The journal is one file beside the output that is only ever appended to. Killed at any point, the same call goes on
behind the last entry that is complete. A chunk is scored by itself and in batches of a fixed size, so its scores do
not depend, to the last bit, on who scores it or on what was scored before: the result is the same in the end.
"""

import contextlib
import errno
import glob
import hashlib
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from spacy.language import Language
from spacy.pipeline import MultiLabel_TextCategorizer, TextCategorizer
from spacy.tokens import Doc

from .annotation_output import FORMATS, Annotated, Columns, Output, SpacyOutput, make_output
from .component import ZeroShotTextCategorizer
from .corpus import BadRow, DataFile, RawRow, free_name, parse_row, split_name, text_of
from .decisions import Rule, decide
from .errors import ZeroShotError, named
from .loading import BUNDLED, FACTORY, import_code, load_pipeline, open_pipeline, use_gpu

Engine = Literal["local", "ray"]
# Called with the rows done, how much of the input that is, and rows that were left out since the last call
Watch = Callable[[int, float, Sequence[Mapping[str, Any]]], None]
COMMAND = "annotate"
# A chunk of long texts ends earlier: it is held in memory
MAX_BYTES = 8_000_000
# Bytes at both ends of a file that tell it from another
EDGE = 1 << 20
# Chunks that wait for each process: enough that none is idle, few enough to hold in memory
AHEAD = 2
# What the operating system says of a disk, a quota or a file-size limit that is full
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Summary(NamedTuple):
    """What a job came to.

    written (int): Records in the output.
    rejected (int): Rows left out, which are in the rejects file.
    resumed (int): Records that an earlier run had scored.
    """

    written: int
    rejected: int
    resumed: int


@dataclass(frozen=True)
class Job:
    """What to annotate and how: plain values that travel to every worker. annotate() documents them."""

    source: Path
    output: Path
    pipeline: str | None = None
    model: str | None = None
    labels: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    multi_label: bool | None = None
    component: str | None = None
    text_field: str = "text"
    labels_field: str = "labels"
    cats_field: str = "cats"
    threshold: float | None = None
    decided: bool = False
    batch_size: int = 256
    chunk_size: int = 512
    code: str | None = None
    gpu_id: int = -1

    def beside(self, ending: str) -> Path:
        """RETURNS (Path): A file beside the output."""
        return self.output.with_name(self.output.name + ending)

    @property
    def rejects(self) -> Path:
        """Where rows go that could not be used."""
        return self.beside(".rejects.jsonl")

    @property
    def receipt(self) -> Path:
        """What the complete output was made of: repeating the command has nothing to do."""
        return self.beside(".run.json")

    def open(self) -> Language:
        """RETURNS (Language): The pipeline, with what was given set. RAISES (ZeroShotError): As open_pipeline."""
        import_code(self.code)
        use_gpu(self.gpu_id)
        given = (self.model, self.labels or None, self.templates or None, self.multi_label, self.component)
        if self.pipeline and given == (None,) * len(given):
            # any pipeline will do that writes doc.cats
            return load_pipeline(self.pipeline)
        return open_pipeline(
            self.pipeline,
            model=self.model,
            labels=self.labels,
            templates=self.templates,
            multi_label=self.multi_label,
            component=self.component,
        )[0]

    def settings(self, nlp: Language) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): What decides the result. The engine and the number of processes do not."""
        name = self.model or self.pipeline or BUNDLED
        folder = nlp.path or (Path(__file__).parent / BUNDLED if name == BUNDLED else Path(name))
        given = {
            **{key: value for key, value in asdict(self).items() if key not in ("source", "output", "gpu_id")},
            "input": fingerprint(self.source),
            "version": version("spacy-zeroshot"),
            "weights": hash_folder(folder) if folder.is_dir() else "",
            "code": None if self.code is None else fingerprint(Path(self.code)),
        }
        # as it comes back from a file
        return json.loads(json.dumps(given))


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


class Chunk(NamedTuple):
    """Rows that are scored and noted together.

    number (int): Its place, from 0.
    rows (list[RawRow]): The rows.
    digest (str): A hash of them.
    fraction (float): How much of the input ends with them.
    """

    number: int
    rows: list[RawRow]
    digest: str
    fraction: float


class Entry(NamedTuple):
    """What became of a chunk: an entry of the journal.

    digest (str): The hash of its rows.
    rows, written (int): How many there were, and records made of them.
    rejects (list[dict[str, Any]]): Rows left out: number, error, and the row itself.
    keys (list[str]): The keys of the records' scores.
    data (bytes): The packed records.
    """

    digest: str
    rows: int
    written: int
    rejects: list[dict[str, Any]]
    keys: list[str]
    data: bytes = b""

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): A line of JSON that ends with the data's size, then the data."""
        return json.dumps({**self._asdict(), "data": len(self.data)}).encode("ascii") + b"\n" + self.data


def read_entry(file: IO[bytes], with_data: bool = True) -> Entry | None:
    """RETURNS (Entry | None): The next entry of an open file; None if no other is complete."""
    line = file.readline()
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    end = file.tell() + head["data"]
    if os.fstat(file.fileno()).st_size < end:
        return None
    head["data"] = file.read(head["data"]) if with_data else b""
    file.seek(end)
    return Entry(**head)


class Journal:
    """OUTPUT.journal: a line with the run's settings, then an entry for every chunk, in order."""

    def __init__(self, path: Path):
        self.path = path
        # where workers of a cluster leave entries, until these are taken into the journal
        self.parts = path.with_name(path.name + ".parts")

    def create(self, settings: dict[str, Any]) -> None:
        """Begin a run."""
        self.remove()
        with write_complete(self.path) as file:
            file.write(json.dumps(settings).encode("ascii") + b"\n")

    def settings(self) -> dict[str, Any] | None:
        """RETURNS (dict[str, Any] | None): What the run began with; None if there is no run."""
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            return json.loads(file.readline())

    def entries(self, with_data: bool = True) -> Generator[Entry, None, None]:
        """YIELDS (Entry): All that are complete."""
        with self.path.open("rb") as file:
            file.readline()
            while (entry := read_entry(file, with_data)) is not None:
                yield entry

    @contextlib.contextmanager
    def appending(self) -> Iterator[Callable[[Entry], None]]:
        """YIELDS (Callable): Appends an entry behind the last complete one, and sees it to the disk."""
        with self.path.open("rb") as file:
            end = len(file.readline())
            while read_entry(file, False) is not None:
                end = file.tell()
        with disk_errors(self.path):
            # without a buffer: what a full disk did not take is not tried again when the file is closed
            opened = self.path.open("r+b", buffering=0)
        with opened:
            opened.truncate(end)
            opened.seek(end)

            def append(entry: Entry) -> None:
                left = memoryview(entry.to_bytes())
                with disk_errors(self.path):
                    while left:
                        left = left[opened.write(left) :]
                    os.fsync(opened.fileno())

            yield append

    def part(self, number: int) -> Path:
        """RETURNS (Path): Where a worker of a cluster leaves the entry of a chunk."""
        return self.parts / f"{number:09d}"

    def read_part(self, chunk: Chunk, with_data: bool = True) -> Entry | None:
        """RETURNS (Entry | None): A worker's entry of this very chunk; None if there is none."""
        if not self.part(chunk.number).exists():
            return None
        with self.part(chunk.number).open("rb") as file:
            entry = read_entry(file, with_data)
        return entry if entry is not None and entry.digest == chunk.digest else None

    def remove(self) -> None:
        """Remove the journal and what belongs to it."""
        shutil.rmtree(self.parts, ignore_errors=True)
        self.path.unlink(missing_ok=True)
        remove_temporaries(self.path)


class Scorer:
    """Scores chunks with an open pipeline, one at a time. What the workers of every engine run."""

    def __init__(self, job: Job, output: Output):
        self.job = job
        self.output = output
        self.nlp = job.open()
        self._choosers = choosers(self.nlp, job.threshold)
        self._errors: dict[int, str] = {}
        self._warm = False
        # spaCy declares that a handler never returns, and documents handlers that do
        self.nlp.set_error_handler(self._note_error)  # type: ignore[arg-type]

    def score(self, rows: Sequence[RawRow], form: str, on_doc: Callable[[int], None] = lambda done: None) -> Entry:
        """Score a chunk of a file of a format. on_doc (Callable): Called with the number of documents scored so far."""
        self._warm_up()
        self._errors = {}
        fields: dict[int, dict[str, Any]] = {}
        for row in rows:
            try:
                found = parse_row(row, form)
                text_of(found, self.job.text_field, form)
                fields[row.number] = found
            except BadRow as reason:
                self._errors[row.number] = str(reason)
        # a memory zone frees the words of these texts; without it the vocabulary grows with the corpus
        with self.nlp.memory_zone():
            records = list(self._annotate(rows, fields, form, on_doc))
            data, written = self.output.pack(records), len(records)
            keys = list(dict.fromkeys(key for record in records for key in record.cats))
            del records
        unit = "row" if form in ("parquet", "spacy") else "line"
        rejects = [
            {unit: row.number, "error": self._errors[row.number], "content": show(row)}
            for row in rows
            if row.number in self._errors
        ]
        return Entry(digest_of(rows), len(rows), written, rejects, keys, data)

    def _warm_up(self) -> None:
        """What fails for every text, such as a checkpoint that is not there, fails before the first."""
        if not self._warm:
            for _, pipe in self.nlp.pipeline:
                if isinstance(pipe, ZeroShotTextCategorizer):
                    pipe.warm_up()
            self._warm = True

    def _annotate(
        self, rows: Sequence[RawRow], fields: dict[int, dict[str, Any]], form: str, on_doc: Callable[[int], None]
    ) -> Iterator[Annotated]:
        name = "text" if form in ("txt", "spacy") else self.job.text_field
        docs = ((self._doc(row, fields[row.number], name), row.number) for row in rows if row.number in fields)
        short = ((doc, number) for doc, number in docs if doc is not None)
        for done, (doc, number) in enumerate(self.nlp.pipe(short, as_tuples=True, batch_size=self.job.batch_size), 1):
            labels = dict.fromkeys(label for choose in self._choosers for label in choose(doc))
            on_doc(done)
            yield Annotated(fields[number], name, doc, dict(doc.cats), list(labels))

    def _doc(self, row: RawRow, fields: dict[str, Any], name: str) -> Doc | str | None:
        """A text; or the Doc it came as, whose scores and user data have become fields."""
        text = fields[name]
        if len(text) > self.nlp.max_length:
            limit = self.nlp.max_length
            self._errors[row.number] = f"its text has {len(text)} characters, nlp.max_length is {limit}"
            return None
        if row.doc is None:
            return text
        doc = Doc(self.nlp.vocab).from_bytes(row.doc)
        if not isinstance(self.output, SpacyOutput):
            fields.update(
                {free_name(key, fields): doc.to_json()[key] for key in ("ents", "spans") if getattr(doc, key)}
            )
        doc.cats = {}
        for key in [key for key in doc.user_data if isinstance(key, str)]:
            del doc.user_data[key]
        return doc

    def _note_error(self, name: str, pipe: object, docs: Sequence[Doc], error: Exception) -> None:
        for doc in docs:
            self._errors[doc._context] = f"{name}: {error}"


def choosers(nlp: Language, threshold: float | None) -> list[Callable[[Doc], list[str]]]:
    """How the components that write doc.cats decide, each by its own settings, or by a threshold in their place.

    RETURNS (list[Callable]): Each takes a scored Doc, and gives keys of its doc.cats.
    RAISES (ZeroShotError): Z062 if no component writes doc.cats, Z001 for one of ours without labels.
    """
    found: list[Callable[[Doc], list[str]]] = []
    for name, pipe in nlp.pipeline:
        if isinstance(pipe, ZeroShotTextCategorizer):
            found.append(_choose_own(pipe, threshold))
        elif "doc.cats" in nlp.get_pipe_meta(name).assigns:
            found.append(_choose_other(pipe, threshold))
    if not found:
        shown = str(nlp.path) if nlp.path else nlp.meta["name"]
        raise ZeroShotError("Z062", name=shown, wanted=FACTORY, pipes=nlp.pipe_names)
    return found


def _choose_own(pipe: ZeroShotTextCategorizer, threshold: float | None) -> Callable[[Doc], list[str]]:
    pipe.label_set()
    if threshold is not None:
        pipe.threshold, pipe.label_thresholds = threshold, []
        if pipe.label_groups:
            pipe.label_groups = [{**group, "threshold": threshold} for group in pipe.label_groups]
    return lambda doc: [pipe.key_prefix + label for label in pipe.decide(doc).labels]


def _choose_other(pipe: Any, threshold: float | None) -> Callable[[Doc], list[str]]:
    several = isinstance(pipe, MultiLabel_TextCategorizer)
    best = isinstance(pipe, TextCategorizer) and not several
    limit = pipe.cfg.get("threshold") if several and threshold is None else threshold
    rule = Rule((0.0 if best else 0.5) if limit is None else float(limit), {}, 1 if best else None)
    labels = tuple(getattr(pipe, "labels", ()))
    return lambda doc: decide({label: doc.cats[label] for label in labels if label in doc.cats}, rule).labels


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


def cut(file: DataFile, size: int) -> Iterator[Chunk]:
    """Cut a file into chunks of at most `size` rows. The cuts depend on the rows alone."""
    number, held = 0, 0
    rows: list[RawRow] = []
    for row in file.rows():
        rows.append(row)
        held += len(row.key)
        if len(rows) == size or held >= MAX_BYTES:
            yield Chunk(number, rows, digest_of(rows), file.fraction())
            number, rows, held = number + 1, [], 0
    if rows:
        yield Chunk(number, rows, digest_of(rows), 1.0)


def digest_of(rows: Sequence[RawRow]) -> str:
    """RETURNS (str): A hash of rows."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(len(row.key).to_bytes(8, "little") + row.key)
    return digest.hexdigest()


def show(row: RawRow) -> str:
    """RETURNS (str): A row as the rejects show it; nothing of a Doc, which is no text."""
    return "" if row.doc else row.key.decode("utf8", "surrogatepass").encode("utf8", "backslashreplace").decode("utf8")


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


def changed_rows(job: Job, chunk: Chunk) -> ZeroShotError:
    """RETURNS (ZeroShotError): Z086 for rows that are not what an earlier run, or the main process, read."""
    detail = f"{chunk.rows[0].number} to {chunk.rows[-1].number} are not what they were"
    return ZeroShotError("Z086", path=str(job.source), parts=str(job.beside(".journal")), detail=f"rows {detail}")


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


def fingerprint(path: Path) -> str:
    """RETURNS (str): A quick look at a file: its size, and a hash of its first and last mebibyte."""
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(EDGE))
        file.seek(max(size - EDGE, 0))
        digest.update(file.read(EDGE))
    return f"{size} bytes, {digest.hexdigest()[:32]}"


def hash_folder(folder: Path) -> str:
    """RETURNS (str): SHA-256 of all files of a folder, in hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        digest.update(str(path.relative_to(folder)).encode() + b"\0")
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def only_run(output: Path) -> Iterator[None]:
    """Hold a lock on an output, which the operating system lets go when the process ends, however it ends.

    RAISES (ZeroShotError): Z089 if another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        # Windows: two runs of one command would only do the same work twice
        yield
        return
    path = output.with_name(f".{output.name}.lock")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ZeroShotError("Z089", output=str(output)) from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def write_complete(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name only when everything has reached the disk.

    RAISES (ZeroShotError): Z083 if the disk is full or the folder cannot be written.
    """
    # the process's number, so that two workers never share a file
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            if os.name != "nt":
                # the name reaches the disk, too
                handle = os.open(path.parent, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def remove_temporaries(path: Path) -> None:
    """Remove what killed processes left of a file that write_complete was writing."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what writing raises into Z083."""
    try:
        yield
    except OSError as error:
        reason = "there is no room left" if error.errno in NO_ROOM else error.strerror or str(error)
        raise ZeroShotError("Z083", path=str(path), reason=reason) from error
