"""A run that is killed goes on where it stopped, and its result is the same to the last byte."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import spacy

from spacy_zeroshot.corpora.annotate import annotate
from spacy_zeroshot.corpora.job import Job
from spacy_zeroshot.corpora.pipelines import PipelineSpec
from spacy_zeroshot.corpora.shards import RunFolder
from spacy_zeroshot.errors import ZeroShotError

from .conftest import LABELS, rows_of


@pytest.fixture(scope="module")
def textcat(tmp_path_factory) -> PipelineSpec:
    """A pipeline without torch, so that a forked child can run it."""
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    config = {"model": {"@architectures": "spacy.TextCatBOW.v3", "exclusive_classes": True, "ngram_size": 1,
                        "no_output_layer": False, "length": 64}}  # fmt: skip
    pipe = nlp.add_pipe("textcat", config=config)
    for label in LABELS:
        pipe.add_label(label)
    nlp.initialize()
    folder = tmp_path_factory.mktemp("textcat") / "pipeline"
    nlp.to_disk(folder)
    return PipelineSpec(pipeline=str(folder))


def die_at(job: Job, steps: int, before: bool) -> bool:
    """Run a job in a child that ends without a word before or after it has moved its nth file into place."""
    child = os.fork()
    if child == 0:
        real, done = os.replace, 0

        def replace(source, target):
            nonlocal done
            done += 1
            if done == steps and before:
                os.kill(os.getpid(), signal.SIGKILL)
            real(source, target)
            if done == steps:
                os.kill(os.getpid(), signal.SIGKILL)

        os.replace = replace
        annotate(job)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a Unix")
def test_killed_at_every_step(textcat, corpus, tmp_path):
    name = "out.spacy"
    lines = corpus.read_text().splitlines()
    lines[11] = "{broken"
    corpus.write_text("\n".join(lines))
    whole = Job(corpus, tmp_path / "whole" / name, textcat, shard_size=8)
    annotate(whole)
    # a manifest, two files for each of four shards, the output, the rejects, the receipt
    for steps in range(1, 13):
        job = whole._replace(output=tmp_path / str(steps) / name)
        # in turn: before the file is in place, and after
        assert die_at(job, steps, before=steps % 2 == 0)
        annotate(job)
        assert job.output.read_bytes() == whole.output.read_bytes()
        assert job.rejects.read_bytes() == whole.rejects.read_bytes()
        assert {path.name for path in job.output.parent.iterdir()} == {name, job.rejects.name, job.receipt.name}
    assert not die_at(whole._replace(output=tmp_path / "once" / name), 13, True)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a Unix")
@pytest.mark.parametrize("n_process", [1, 2])
def test_killed_at_random(spec, corpus, tmp_path, n_process):
    job = Job(corpus, tmp_path / "out.spacy", spec, shard_size=2, batch_size=2)
    whole = job._replace(output=tmp_path / "whole.spacy")
    annotate(whole)
    command = [sys.executable, "-m", "spacy", "zeroshot", "annotate", str(corpus), str(job.output)]
    command += ["--model", spec.model, "--labels", ",".join(LABELS), "--shard-size", "2", "--batch-size", "2"]
    command += ["--n-process", str(n_process)]
    chance = random.Random(n_process)
    run = RunFolder(job.parts)

    def finished():
        # several processes do not finish shards in order
        return sum(run.finished(number) is not None for number in range(15))

    # several processes take long to start, so they are killed once
    for goal in (2, 9)[: 3 - n_process]:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and finished() < goal:
            time.sleep(0.005)
        time.sleep(chance.random() * 0.05)
        process.kill()
        process.wait()
    assert job.output.exists() or finished()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "30 texts labelled" in done.stderr
    assert job.output.read_bytes() == whole.output.read_bytes()


@pytest.fixture
def half_done(textcat, corpus, tmp_path):
    """A job of which the last shards are missing."""
    job = Job(corpus, tmp_path / "out.jsonl", textcat, shard_size=8)
    steps = []

    class Stop(Exception):
        pass

    def stop(step):
        steps.append(step)
        if len(steps) == 2:
            raise Stop

    with pytest.raises(Stop):
        annotate(job, watch=stop)
    return job


def test_what_is_done_is_not_done_again(half_done):
    steps = []
    summary = annotate(half_done, watch=steps.append)
    assert [step.fresh for step in steps] == [False, False, True, True]
    assert summary == (30, 0, 16) and len(rows_of(half_done.output)) == 30


def test_z081_changed_settings(half_done, tmp_path):
    changed = half_done._replace(threshold=0.9, text_field="id")
    with pytest.raises(ZeroShotError, match=r"Z081.*text_field was 'text', is 'id', threshold was None, is 0.9"):
        annotate(changed)
    assert annotate(half_done._replace(threshold=0.9), overwrite=True) == (30, 0, 0)


def test_z081_changed_weights(half_done, textcat, tmp_path):
    other = Path(shutil.copytree(str(textcat.pipeline), tmp_path / "other"))
    again = half_done._replace(pipeline=PipelineSpec(pipeline=str(other)))
    with pytest.raises(ZeroShotError, match=r"Z081.*pipeline was"):
        annotate(again)
    meta = other / "meta.json"
    meta.write_text(meta.read_text() + " ")
    with pytest.raises(ZeroShotError, match=r"Z081.*weights was"):
        annotate(again)


def test_z086_changed_input(half_done):
    source = half_done.source
    content = source.read_bytes()
    source.write_bytes(content + b'{"text": "one more"}\n')
    with pytest.raises(ZeroShotError, match=r"Z086.*bytes"):
        annotate(half_done)
    source.write_bytes(content)
    assert annotate(half_done).resumed == 16


def test_z086_changed_in_the_middle(half_done, monkeypatch):
    """A change that a look at both ends of the file does not show."""
    from spacy_zeroshot.corpora import job as job_module

    known = job_module.fingerprint(half_done.source)
    content = half_done.source.read_bytes()
    half_done.source.write_bytes(content.replace(b'"id": 9', b'"id": 8'))
    monkeypatch.setattr(job_module, "fingerprint", lambda path: known)
    with pytest.raises(ZeroShotError, match=r"Z086.*lines 9 to 16 are not what they were"):
        annotate(half_done)


def test_z087_a_worker_that_dies(textcat, corpus, tmp_path):
    """A pipeline that kills its process stands for a worker that runs out of memory."""
    folder = Path(shutil.copytree(str(textcat.pipeline), tmp_path / "deadly"))
    code = tmp_path / "deadly_pipe.py"
    code.write_text(
        "import os, multiprocessing\nfrom spacy.language import Language\n"
        "@Language.component('deadly', assigns=['doc.cats'])\ndef deadly(doc):\n"
        "    if multiprocessing.parent_process() is not None:\n        os.kill(os.getpid(), 9)\n    return doc\n"
    )
    script = tmp_path / "main.py"
    script.write_text(
        "import sys, spacy, deadly_pipe\nfrom pathlib import Path\n"
        "from spacy_zeroshot.corpora.annotate import annotate\nfrom spacy_zeroshot.corpora.job import Job\n"
        "from spacy_zeroshot.corpora.pipelines import PipelineSpec\n"
        "if __name__ == '__main__':\n"
        f"    nlp = spacy.load({str(folder)!r}); nlp.add_pipe('deadly'); nlp.to_disk({str(folder)!r})\n"
        f"    annotate(Job(Path({str(corpus)!r}), Path({str(tmp_path / 'o.jsonl')!r}),"
        f" PipelineSpec(pipeline={str(folder)!r})), n_process=2)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert "Z087" in done.stderr, done.stderr
