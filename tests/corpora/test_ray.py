"""Ray gives what the local engine gives, also when a worker dies."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from spacy_zeroshot.corpora.annotate import annotate
from spacy_zeroshot.errors import ZeroShotError


def test_z085_without_ray(make_job, corpus, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ZeroShotError, match=r"Z085.*pip install 'spacy-zeroshot\[ray\]'"):
        annotate(make_job(corpus), engine="ray")


@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine, small."""
    ray = pytest.importorskip("ray", reason="the extra spacy-zeroshot[ray] is not installed")
    pytest.importorskip("ray.data", reason="the extra spacy-zeroshot[ray] is not installed")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(num_cpus=2, object_store_memory=200_000_000, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def our_workers():
    """Processes of Ray's workers that this process started, by way of Ray's daemon."""
    parents, workers = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            pid = int(folder.name)
            parents[pid] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
            if command.startswith(b"ray::") and b"RayWorker" in command:
                workers.append(pid)
    return [pid for pid in workers if parents.get(parents.get(pid, 0)) == os.getpid()]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [1, 2])
def test_ray_gives_the_same_bytes(cluster, make_job, corpus, workers):
    here, there = make_job(corpus, "here.spacy"), make_job(corpus, "there.spacy")
    annotate(here)
    assert annotate(there, engine="ray", n_process=workers) == (30, 0, 0)
    assert here.output.read_bytes() == there.output.read_bytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers in /proc")
def test_a_killed_worker_loses_nothing(cluster, make_job, corpus):
    here, there = (make_job(corpus, name, shard_size=1, batch_size=1) for name in ("here.jsonl", "there.jsonl"))
    annotate(here)
    killed = []

    def kill_one():
        while not killed and not there.output.exists():
            if len(list(there.parts.glob("*.json"))) > 3:
                for pid in our_workers()[:1]:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
            time.sleep(0.02)

    watcher = threading.Thread(target=kill_one)
    watcher.start()
    summary = annotate(there, engine="ray", n_process=2)
    watcher.join()
    assert killed and summary == (30, 0, 0)
    assert here.output.read_bytes() == there.output.read_bytes()


@pytest.mark.filterwarnings("ignore")
def test_z090_workers_that_fail(cluster, make_job, corpus):
    """A model that is gone when the workers want it."""
    job = make_job(corpus)
    gone = job._replace(pipeline=job.pipeline._replace(model=str(corpus.parent / "gone")))
    with pytest.raises(ZeroShotError, match=r"Z090.*run the same command again"):
        annotate(gone, engine="ray", n_process=1)
