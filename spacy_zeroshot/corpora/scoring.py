"""Scores a shard: rows in, a file of annotated records out. What every engine's workers run."""

from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ..errors import ZeroShotError
from .choices import category_keys, choices_of, choose_labels
from .files import write_complete
from .job import Job
from .outputs import Annotated, Columns, Output, make_output
from .records import BadRow, Record, parse, show
from .shards import RunFolder, Shard, ShardInfo

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc


class ShardScorer:
    """Holds an open pipeline and scores shards with it, one at a time.

    A shard is scored by itself and in batches of a fixed size, so that its scores do not depend, to the last bit, on
    who scores it or what was scored before.

    job (Job): What to do.
    nlp (Language): The job's pipeline.
    """

    def __init__(self, job: Job, nlp: "Language"):
        self.job = job
        self.nlp = nlp
        self.run = RunFolder(job.parts)
        self.choices = choices_of(nlp, job.threshold)
        if not self.choices:
            raise ZeroShotError("Z062", "annotate", name=job.pipeline.pipeline, pipes=nlp.pipe_names)
        self._errors: Dict[int, str] = {}
        # spaCy declares that a handler never returns, and documents handlers that do
        nlp.set_error_handler(self._note_error)  # type: ignore[arg-type]

    def output(self, schema: Any) -> Output:
        """RETURNS (Output): The job's output format. schema (Any): The input's pyarrow schema, if it has one."""
        job = self.job
        columns = Columns(job.labels_field, job.cats_field, category_keys(self.choices), job.decided)
        form, gzipped = job.output_format
        return make_output(form, gzipped, columns, schema)

    def score(self, shard: Shard, kind: str, unit: str, output: Output) -> ShardInfo:
        """Score a shard and write it. One that is complete already is left as it is.

        shard (Shard): Its rows.
        kind (str): How to parse them.
        unit (str): What their numbers count.
        output (Output): What output() gave.
        RETURNS (ShardInfo): What became of it.
        RAISES (ZeroShotError): Z083 if it cannot be written.
        """
        done = self.run.finished(shard.number)
        if done is not None:
            return done
        rejects: List[Dict[str, Any]] = []
        records: List[Record] = []
        rows = {row.number: row for row in shard.rows}
        for row in shard.rows:
            try:
                records.append(parse(row, kind, self.job.text_field))
            except BadRow as reason:
                rejects.append({unit: row.number, "error": str(reason), "content": show(row, kind)})
        # a memory zone frees the words of these texts; without it the vocabulary grows with the corpus
        with self.nlp.memory_zone():
            scored, errors = self._annotate(records)
            rejects += [{unit: n, "error": error, "content": show(rows[n], kind)} for n, error in errors.items()]
            with write_complete(self.run.data_path(shard.number)) as file_:
                output.write_shard(scored, file_)
            written = len(scored)
            del scored
        rejects.sort(key=lambda reject: reject[unit])
        info = ShardInfo(shard.number, shard.digest, written, rejects)
        self.run.finish(info)
        return info

    def _annotate(self, records: Sequence[Record]) -> Tuple[List[Annotated], Dict[int, str]]:
        self._errors = {}
        ready: Dict[int, Record] = {}
        scored = []
        for doc, number in self.nlp.pipe(self._texts(records, ready), as_tuples=True, batch_size=self.job.batch_size):
            record = ready.pop(number)
            cats = dict(doc.cats)
            scored.append(Annotated(record.fields, doc.text, doc, cats, choose_labels(cats, self.choices)))
        return scored, self._errors

    def _texts(self, records: Sequence[Record], ready: Dict[int, Record]) -> Iterator[Tuple[Union[str, "Doc"], int]]:
        for record in records:
            doc: Optional[Doc] = None
            if record.doc is not None:
                doc, record = self._unpack(record)
            if len(record.text) > self.nlp.max_length:
                limit = self.nlp.max_length
                self._errors[record.number] = f"its text has {len(record.text)} characters, nlp.max_length is {limit}"
                continue
            ready[record.number] = record
            yield (record.text if doc is None else doc), record.number

    def _unpack(self, record: Record) -> Tuple["Doc", Record]:
        """A Doc that came in keeps what it has; its gold cats and user data become fields."""
        from spacy.tokens import Doc

        doc = Doc(self.nlp.vocab).from_bytes(record.doc or b"")
        fields: Dict[str, Any] = {"text": doc.text}
        names = [key for key in doc.user_data if isinstance(key, str)]
        for name in names:
            value = doc.user_data.pop(name)
            fields.update(value if name == "meta" and isinstance(value, dict) else {name: value})
        if doc.cats:
            fields["cats"] = dict(doc.cats)
            doc.cats = {}
        if self.job.output_format[0] != "spacy":
            shown = doc.to_json()
            fields.update({name: shown[name] for name in ("ents", "spans") if shown.get(name)})
        return doc, Record(record.number, fields, doc.text)

    def _note_error(self, name: str, pipe: Any, docs: "List[Doc]", error: Exception) -> None:
        for doc in docs:
            self._errors[doc._context] = f"{name}: {error}"
