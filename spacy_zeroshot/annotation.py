"""Annotates a corpus: cuts it into chunks, scores them, notes each in a journal, and makes the output of the journal.

The journal is a file beside the output that is only ever appended to. Killed at any point, the same call goes on with
the chunks that are not in it. A chunk is scored by itself and in batches of a fixed size, so its scores do not depend,
to the last bit, on who scores it or on what was scored before: the result is the same in the end.
"""

import contextlib
import io
import itertools
import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import version
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Literal, NamedTuple

import spacy
from spacy.language import Language
from spacy.pipeline import MultiLabel_TextCategorizer, TextCategorizer
from spacy.tokens import Doc

from .annotation_journal import Chunk, Entry, Journal, cut, digest_of, fingerprint, write_complete
from .annotation_output import FORMATS, Annotated, Columns, JsonlOutput, SpacyOutput, make_output
from .component import ZeroShotTextCategorizer
from .corpus import BadRow, DataFile, RawRow, free_name, parse_row, split_name, text_of
from .decisions import Rule, decide, default_rule
from .errors import ZeroShotError, named
from .loading import BUNDLED, find_component, import_code, load_pipeline, open_pipeline, use_gpu
from .util import hash_files, require

# Called with the rows done, how much of the input that is, and rows that were left out since the last call
Watch = Callable[[int, float, Sequence[Mapping[str, Any]]], None]
MakeScorer = Callable[[], "Scorer"]
# Scored chunks, and how much of the input is done with them
Scored = Generator[tuple[Entry, float], None, None]
# Chunks that wait for each process: enough that none is idle, few enough to hold in memory
AHEAD = 2
THREADS = "OMP_NUM_THREADS"
# Blocks of Ray for each worker, so that none waits long for the last
BLOCKS = 16
# Ray's own store carries a few chunks at a time
STORE_BYTES = 200_000_000


class Summary(NamedTuple):
    """What annotation came to."""

    written: int  # records in the output
    rejected: int  # rows left out, which are in the rejects file
    resumed: int  # records that an earlier run had scored


def annotate(
    source: Path | str,
    output: Path | str,
    pipeline: str | None = None,
    *,
    text_field: str = "text",
    labels_field: str = "labels",
    cats_field: str = "cats",
    threshold: float | None = None,
    decided: bool = False,
    batch_size: int = 256,
    chunk_size: int = 512,
    code: Path | str | None = None,
    gpu_id: int = -1,
    engine: Literal["local", "ray"] = "local",
    n_process: int = 1,
    overwrite: bool = False,
    watch: Watch | None = None,
    **opening: Any,
) -> Summary:
    """Annotate a corpus. Killed at any point, the same call goes on where it stopped, to the same result.

    Every field of the input is kept. Rows that cannot be used go to OUTPUT.rejects.jsonl.

    source (Path | str): A .txt, .jsonl, .json, .csv, .tsv, .parquet or .spacy file, plain or with .gz.
    output (Path | str): A .jsonl, .jsonl.gz, .parquet or .spacy file.
    pipeline (str | None): A saved pipeline, or what names a checkpoint; the bundled one if no `model` is given.
    text_field (str): The input's field with the text.
    labels_field, cats_field (str): The output's fields for the decided labels and the scores.
    threshold (float | None): The score a label must reach, in place of the pipeline's own settings.
    decided (bool): Whether the doc.cats of a .spacy file are the decisions, 1.0 or 0.0, which spaCy can train on.
    batch_size (int): Texts scored together.
    chunk_size (int): Rows that are noted together: what a kill can lose, for each process.
    code (Path | str | None): A Python file that registers functions of the pipeline.
    gpu_id (int): The GPU for spaCy's work; -1 for the CPU.
    engine (Literal["local", "ray"]): This machine, or the machines of a Ray cluster.
    n_process (int): Processes, or Ray workers, that score.
    overwrite (bool): Replace an output, or the beginning of one, that was made differently.
    watch (Watch | None): Called as rows are done.
    **opening (Any): model, labels, templates, hypotheses, multi_label, component: as loading.open_pipeline has them.
    RETURNS (Summary): What it came to.
    RAISES (ZeroShotError): Z043, Z060, Z080 to Z090, Z093, Z094, and what the pipeline says of its settings.
    """
    tell = (lambda *_: None) if watch is None else watch
    path, columns = Path(output), Columns(labels_field, cats_field, decided)
    if labels_field == cats_field:
        raise ZeroShotError("Z060", what="--cats-field", value=cats_field, reason="it is --labels-field, too")
    form, gzipped = split_name(path, FORMATS[:1] if path.suffix == ".gz" else FORMATS)
    with contextlib.closing(DataFile(Path(source))) as file:
        chunks = cut(file, chunk_size)
        first = next(chunks)
        fields: dict[str, Any] = {}
        for row in first.rows:
            with contextlib.suppress(BadRow):
                fields.update(parse_row(row, file.form))
        text_field = file.text_field(text_field, list(fields) or None)
        given = {"pipeline": pipeline, **opening}
        given = {name: _full(value) for name, value in given.items() if value not in (None, (), [])}
        packer = make_output(form, gzipped, columns, file.schema)
        make_scorer = partial(Scorer, given, _full(code), gpu_id, threshold, file.form, text_field, batch_size, packer)
        scorer = make_scorer()
        settings = {**scorer.settings(), "chunk_size": chunk_size, "input": fingerprint(file.path)}
        # as they come back from a file
        settings = json.loads(json.dumps(settings))
        journal = Journal(path.with_name(f"{path.name}.journal"), file.path)
        if (done := look(path, journal, settings, overwrite)) is not None:
            return done
        totals: Counter[str] = Counter()
        with journal.opened({"settings": settings}) as append:
            for entry in journal.entries():
                totals.update(entry.counts())
            resumed = totals["written"]
            missing = journal.missing(itertools.chain([first], chunks))
            if engine == "ray":
                scored = score_on_ray(make_scorer, missing, journal, n_process)
            elif n_process > 1:
                scored = score_in_processes(make_scorer, missing, n_process)
            else:
                scored = (
                    (scorer.score(chunk, lambda n, part: tell(totals["rows"] + n, part, ())), chunk.stop)
                    for chunk in missing
                )
            # closed at once, so that no process outlives an interrupt
            with contextlib.closing(scored):
                for entry, fraction in scored:
                    append(entry)
                    totals.update(entry.counts())
                    tell(totals["rows"], fraction, entry.rejects)
            rejects = path.with_name(f"{path.name}.rejects.jsonl")
            rejects.unlink(missing_ok=True)
            if totals["rejected"]:
                with write_complete(rejects) as written:
                    for reject in (reject for entry in journal.entries() for reject in entry.rejects):
                        written.write(f"{json.dumps(reject, ensure_ascii=False)}\n".encode("utf8", "backslashreplace"))
            if totals["written"]:
                with write_complete(path) as written:
                    packer.merge(journal.entries, written)
        if not totals["written"]:
            reason = next(journal.entries()).rejects[0]["error"].rstrip(".")
            journal.path.unlink()
            count = f"{totals['rejected']:,}"
            raise ZeroShotError("Z094", count=count, path=str(source), reason=reason, rejects=str(rejects))
        # killed before this, the next run finds a complete journal and makes the output again
        summary = Summary(totals["written"], totals["rejected"], resumed)
        journal.close({"settings": settings, "output": fingerprint(path), "summary": summary})
        return summary


def _full(name: Any) -> Any:
    """A path that means the same in a worker's folder; anything else as it is."""
    is_path = isinstance(name, (str, Path)) and name != BUNDLED and Path(name).exists()
    return str(Path(name).resolve()) if is_path else name


def look(output: Path, journal: Journal, settings: dict[str, Any], overwrite: bool) -> Summary | None:
    """What an earlier run came to, if its output is there and unchanged. RAISES (ZeroShotError): Z081, Z082, Z086."""
    head = journal.head() or {}
    before = head.get("settings")
    if "summary" in head:
        if before == settings and output.exists() and head["output"] == fingerprint(output):
            return Summary(*head["summary"])
    elif before == settings:
        return None
    elif before is not None and not overwrite:
        names = [name for name in settings if before.get(name) != settings[name]]
        if names == ["input"]:
            detail = f"it was {before['input']}, it is {settings['input']}"
            raise ZeroShotError("Z086", path=str(journal.source), parts=str(journal.path), detail=detail)
        changes = ", ".join(f"{name} was {before.get(name)!r}, is {settings[name]!r}" for name in names)
        raise ZeroShotError("Z081", parts=str(journal.path), changes=changes)
    if output.exists() and (not overwrite or output.samefile(journal.source)):
        raise ZeroShotError("Z082", output=str(output))
    return None


def score_in_processes(make_scorer: MakeScorer, chunks: Iterable[Chunk], n_process: int) -> Scored:
    """Score chunks in other processes. RAISES (ZeroShotError): Z087 if one dies."""
    others = set(multiprocessing.active_children())
    waiting: deque[tuple[Future[Entry], float]] = deque()
    # spawn: a forked child would inherit locks of torch's threads
    pool = ProcessPoolExecutor(n_process, multiprocessing.get_context("spawn"), _start_worker, (make_scorer,))
    # the processes share the cores: torch reads the number of its threads when it is imported
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    before = os.environ.get(THREADS)
    os.environ[THREADS] = before or str(max(1, cores // n_process))
    try:
        for chunk in chunks:
            waiting.append((pool.submit(_score_in_worker, chunk), chunk.stop))
            yield from _take(waiting, AHEAD * n_process)
        yield from _take(waiting, 0)
        pool.shutdown()
    except BrokenProcessPool as error:
        raise ZeroShotError("Z087") from error
    finally:
        if before is None:
            del os.environ[THREADS]
        for child in set(multiprocessing.active_children()) - others:
            child.kill()
        pool.shutdown(cancel_futures=True)
        # its semaphores go with it, also where the process ends without Python's own clearing up
        del pool


def _take(waiting: deque[tuple[Future[Entry], float]], left: int) -> Scored:
    while len(waiting) > left:
        future, fraction = waiting.popleft()
        yield future.result(), fraction


# Inside a worker process
_make_scorer: MakeScorer


def _start_worker(make_scorer: MakeScorer) -> None:
    global _make_scorer
    _make_scorer = cache(make_scorer)
    # the parent ends its workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _score_in_worker(chunk: Chunk) -> Entry:
    with named("annotate"):
        return _make_scorer().score(chunk)


def _end_with_parent() -> None:
    """A killed parent cannot stop its children; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def score_on_ray(make_scorer: MakeScorer, chunks: Iterable[Chunk], journal: Journal, n_workers: int) -> Scored:
    """Score chunks in any order on Ray, by a dataset of their places in the input, mapped by actors that read their own
    chunks: so the input must lie where every machine sees it. A worker that dies is started anew, and its chunks are
    scored again. RAISES (ZeroShotError): Z085 without Ray, Z086 if the input has changed, Z090 if Ray gives up."""
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

    def __init__(self, make_scorer: MakeScorer, journal: Journal, gpu: bool):
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


@dataclass
class Scorer:
    """Opens the pipeline and scores chunks: what the workers of every engine run."""

    opening: dict[str, Any]
    code: str | None
    gpu_id: int
    threshold: float | None
    form: str
    text_field: str
    batch_size: int
    output: JsonlOutput

    def __post_init__(self) -> None:
        import_code(self.code)
        use_gpu(self.gpu_id)
        # a pipeline as it is need not have a component of ours
        as_it_is = list(self.opening) == ["pipeline"]
        self.nlp = load_pipeline(self.opening["pipeline"]) if as_it_is else open_pipeline(**self.opening)[0]
        self._rules = rules_of(self.nlp, self.threshold)
        self._errors: dict[int, str] = {}
        # spaCy declares that a handler never returns, and documents handlers that do
        self.nlp.set_error_handler(self._note_error)  # type: ignore[arg-type]

    def settings(self) -> dict[str, Any]:
        """What decides the result of a chunk. The engine and the number of processes do not."""
        name = self.opening.get("model") or self.opening.get("pipeline") or BUNDLED
        folder = self.nlp.path or (Path(__file__).parent / BUNDLED if name == BUNDLED else Path(name))
        files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".pyc")
        return {
            **{name: getattr(self, name) for name in ("form", "text_field", "threshold", "batch_size")},
            # apart: one column is called labels, as is what opens the pipeline
            "columns": self.output.columns,
            **self.opening,
            "code": None if self.code is None else fingerprint(Path(self.code)),
            "version": version("spacy-zeroshot"),
            "weights": hash_files(files),
        }

    def score(self, chunk: Chunk, on_doc: Callable[[int, float], object] | None = None) -> Entry:
        for _, pipe in self.nlp.pipeline:
            if isinstance(pipe, ZeroShotTextCategorizer):
                # what fails for every text, such as a checkpoint that is not there, fails before the first
                pipe.warm_up()
        self._errors = {}
        fields: dict[int, dict[str, Any]] = {}
        for row in chunk.rows:
            try:
                found = parse_row(row, self.form)
                text = text_of(found, self.text_field)
                if len(text) > self.nlp.max_length:
                    raise BadRow(f"its text has {len(text)} characters, nlp.max_length is {self.nlp.max_length}")
                fields[row.number] = found
            except BadRow as reason:
                self._errors[row.number] = str(reason)
        # a memory zone frees the words of these texts; without it the vocabulary grows with the corpus
        with self.nlp.memory_zone():
            records = list(self._annotate(chunk, fields, on_doc))
            data, written = self.output.pack(records), len(records)
            del records
        unit = "row" if self.form in ("parquet", "spacy") else "line"
        rejects = []
        for row in chunk.rows:
            if row.number in self._errors:
                # nothing is shown of a Doc, which is no text
                content = "" if row.doc else row.key.decode("utf8", "backslashreplace")
                rejects.append({unit: row.number, "error": self._errors[row.number], "content": content})
        return Entry(chunk.number, chunk.digest, len(chunk.rows), written, rejects, data)

    def _annotate(
        self, chunk: Chunk, fields: dict[int, dict[str, Any]], on_doc: Callable[[int, float], object] | None
    ) -> Iterator[Annotated]:
        docs = ((self._doc(row, fields[row.number]), row.number) for row in chunk.rows if row.number in fields)
        for done, (doc, number) in enumerate(self.nlp.pipe(docs, as_tuples=True, batch_size=self.batch_size), 1):
            if on_doc is not None:
                on_doc(done, chunk.start + (chunk.stop - chunk.start) * done / len(chunk.rows))
            labels = dict.fromkeys(label for pipe, rule in self._rules for label in decided(doc, pipe, rule))
            yield Annotated(fields[number], self.text_field, doc, dict(doc.cats), list(labels))

    def _doc(self, row: RawRow, fields: dict[str, Any]) -> Doc | str:
        """A text; or the Doc it came as, whose scores and user data have become fields."""
        if row.doc is None:
            return fields[self.text_field]
        doc = Doc(self.nlp.vocab).from_bytes(row.doc)
        if not isinstance(self.output, SpacyOutput):
            found = {key: doc.to_json()[key] for key in ("ents", "spans") if getattr(doc, key)}
            fields.update({free_name(key, fields): value for key, value in found.items()})
        doc.cats = {}
        doc.user_data = {key: value for key, value in doc.user_data.items() if not isinstance(key, str)}
        return doc

    def _note_error(self, name: str, pipe: object, docs: Sequence[Doc], error: Exception) -> None:
        for doc in docs:
            self._errors[doc._context] = f"{name}: {error}"


def rules_of(nlp: Language, threshold: float | None) -> list[tuple[Any, Rule | None]]:
    """The components that write doc.cats, and how labels are chosen of their keys; None where a component of ours does
    it itself. A threshold takes the place of their own settings. RAISES (ZeroShotError): Z062 if no component writes
    doc.cats, Z001 for one of ours without labels."""
    found: list[tuple[Any, Rule | None]] = []
    pipes: list[tuple[str, Any]] = nlp.pipeline
    for name, pipe in pipes:
        if isinstance(pipe, ZeroShotTextCategorizer):
            pipe.label_set()
            if threshold is not None:
                pipe.threshold, pipe.label_thresholds = threshold, []
                pipe.label_groups = [{**group, "threshold": threshold} for group in pipe.label_groups]
            found.append((pipe, None))
        elif "doc.cats" in nlp.get_pipe_meta(name).assigns:
            # spaCy's textcat decides for the best label, others by a threshold
            several = isinstance(pipe, MultiLabel_TextCategorizer)
            least = pipe.cfg["threshold"] if several and threshold is None else threshold
            found.append((pipe, default_rule(isinstance(pipe, TextCategorizer) and not several, least)))
    if not found:
        # says that there is none
        find_component(nlp)
    return found


def decided(doc: Doc, pipe: Any, rule: Rule | None) -> list[str]:
    """The keys of doc.cats that a component decides for."""
    if rule is None:
        return [pipe.key_prefix + label for label in pipe.decide(doc).labels]
    return decide({label: doc.cats[label] for label in getattr(pipe, "labels", ()) if label in doc.cats}, rule).labels
