"""What an annotation does, and the scorer that does it with one chunk: what the workers of every engine run."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.pipeline import MultiLabel_TextCategorizer, TextCategorizer
from spacy.tokens import Doc

from .annotation_journal import Chunk, Entry, digest_of, fingerprint, hash_folder
from .annotation_output import Annotated, Output, SpacyOutput
from .component import ZeroShotTextCategorizer
from .corpus import BadRow, RawRow, free_name, parse_row, text_of
from .decisions import Rule, decide
from .errors import ZeroShotError
from .loading import BUNDLED, FACTORY, import_code, load_pipeline, open_pipeline, use_gpu

# Called with the rows done, how much of the input that is, and rows that were left out since the last call
Watch = Callable[[int, float, Sequence[Mapping[str, Any]]], None]
COMMAND = "annotate"


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


def show(row: RawRow) -> str:
    """RETURNS (str): A row as the rejects show it; nothing of a Doc, which is no text."""
    return "" if row.doc else row.key.decode("utf8", "surrogatepass").encode("utf8", "backslashreplace").decode("utf8")


def changed_rows(job: Job, chunk: Chunk) -> ZeroShotError:
    """RETURNS (ZeroShotError): Z086 for rows that are not what an earlier run, or the main process, read."""
    detail = f"{chunk.rows[0].number} to {chunk.rows[-1].number} are not what they were"
    return ZeroShotError("Z086", path=str(job.source), parts=str(job.beside(".journal")), detail=f"rows {detail}")
