"""Annotates a corpus: cuts it into shards, lets an engine score them, and joins them when all are there."""

import json
from typing import Any, Callable, Dict, Iterator, Literal, NamedTuple, Optional

from ..errors import ZeroShotError
from .files import remove_temporaries, write_complete
from .inputs import open_input
from .job import Job, fingerprint
from .outputs import Output
from .raw import Input, unreadable
from .scoring import ShardScorer
from .shards import RunFolder, ShardInfo, only_run
from .steps import Step

Engine = Literal["local", "ray"]


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
    job: Job,
    *,
    engine: Engine = "local",
    n_process: int = 1,
    overwrite: bool = False,
    watch: Optional[Callable[[Step], None]] = None,
) -> Summary:
    """Annotate a corpus. Killed at any point, the same call goes on where it stopped, to the same result.

    job (Job): What to annotate and how.
    engine (Engine): "local", or "ray" for the machines of a Ray cluster.
    n_process (int): Processes, or Ray workers, that score.
    overwrite (bool): Replace an output, or the beginning of one, that was made differently.
    watch (Optional[Callable[[Step], None]]): Called with every finished shard.
    RETURNS (Summary): What it came to.
    RAISES (ZeroShotError): Z080 to Z090, Z093, and what the pipeline says of its settings.
    """
    with only_run(job.output):
        for path in (job.output, job.rejects, job.receipt):
            remove_temporaries(path)
        nlp = job.pipeline.open()
        scorer = ShardScorer(job, nlp)
        settings = _settings(job, nlp)
        if _is_complete(job, settings):
            scorer.run.remove()
            return Summary(**json.loads(job.receipt.read_text(encoding="utf8"))["summary"])
        source = open_input(job.source)
        _check_fields(job, source)
        _begin(job, scorer.run, settings, overwrite)
        output = scorer.output(source.schema)
        if engine == "ray":
            from .ray_engine import run_on_ray

            steps = run_on_ray(job, scorer.run, source, n_process)
        else:
            from .local_engine import run_here

            steps = run_here(scorer, source, output, n_process)
        summary = _follow(steps, watch)
        _finish(job, scorer.run, output, settings, summary)
        return summary


def _settings(job: Job, nlp: Any) -> Dict[str, Any]:
    try:
        return job.settings(nlp)
    except OSError as error:
        raise unreadable(job.source, error) from error


def _is_complete(job: Job, settings: Dict[str, Any]) -> bool:
    if not job.receipt.exists() or not job.output.exists():
        return False
    receipt = json.loads(job.receipt.read_text(encoding="utf8"))
    return receipt["settings"] == settings and receipt["output"] == fingerprint(job.output)


def _check_fields(job: Job, source: Input) -> None:
    if source.kind == "table" and job.text_field not in (source.fields or []):
        raise ZeroShotError(
            "Z088", "annotate", path=str(job.source), field=job.text_field, fields=", ".join(source.fields or [])
        )


def _begin(job: Job, run: RunFolder, settings: Dict[str, Any], overwrite: bool) -> None:
    run.clean()
    if run.exists:
        before = run.settings()
        if before == settings:
            return
        if not overwrite:
            raise _changed(job, before, settings)
        run.remove()
    elif job.output.exists() and (not overwrite or job.output.samefile(job.source)):
        raise ZeroShotError("Z082", "annotate", output=str(job.output))
    run.create(settings)


def _changed(job: Job, before: Dict[str, Any], now: Dict[str, Any]) -> ZeroShotError:
    names = [name for name in now if before.get(name) != now[name]]
    if names == ["input"]:
        detail = f"it was {before['input']}, it is {now['input']}"
        return ZeroShotError("Z086", "annotate", path=str(job.source), parts=str(job.parts), detail=detail)
    changes = ", ".join(f"{name} was {before.get(name)!r}, is {now[name]!r}" for name in names)
    return ZeroShotError("Z081", "annotate", parts=str(job.parts), changes=changes)


def _follow(steps: Iterator[Step], watch: Optional[Callable[[Step], None]]) -> Summary:
    written = rejected = resumed = 0
    for step in steps:
        written += step.info.written
        rejected += len(step.info.rejects)
        resumed += 0 if step.fresh else step.info.written
        if watch is not None:
            watch(step)
    return Summary(written, rejected, resumed)


def _finish(job: Job, run: RunFolder, output: Output, settings: Dict[str, Any], summary: Summary) -> None:
    """Join the shards. Killed in between, the next run finds all shards complete and joins them again."""
    shards = [run.data_path(info.number) for info in _infos(run)]
    with write_complete(job.output) as file_:
        output.merge(shards, file_)
    if summary.rejected:
        with write_complete(job.rejects) as file_:
            for info in _infos(run):
                for reject in info.rejects:
                    file_.write(json.dumps(reject, ensure_ascii=False).encode("utf8", "backslashreplace") + b"\n")
    else:
        job.rejects.unlink(missing_ok=True)
    receipt = {"output": fingerprint(job.output), "settings": settings, "summary": summary._asdict()}
    with write_complete(job.receipt) as file_:
        file_.write(json.dumps(receipt, indent=2).encode() + b"\n")
    run.remove()


def _infos(run: RunFolder) -> Iterator[ShardInfo]:
    number = 0
    while (info := run.finished(number)) is not None:
        yield info
        number += 1
