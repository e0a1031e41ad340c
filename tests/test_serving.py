"""docs/examples/serve.py: texts of several users in one batch, a bad request alone, an end without loss."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .util import LABELS, make_nlp

httpx = pytest.importorskip("httpx", reason="the development extra is not installed")
pytest.importorskip("fastapi", reason="the development extra is not installed")

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "serve.py"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pipeline(nli_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    make_nlp(nli_folder).to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def serve(pipeline: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("serve", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE", str(pipeline))
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def server(pipeline: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """The address of a running server, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "serve:app", "--app-dir", str(EXAMPLE.parent), "--port", str(port)]
    environment = {**os.environ, "PIPELINE": str(pipeline), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            assert httpx.get(f"{address}/health").status_code == 200
            break
        except httpx.TransportError:
            assert process.poll() is None
            time.sleep(0.2)
    yield address, process
    process.kill()
    process.wait()


def post(address: str, **job: Any) -> Any:
    return httpx.post(f"{address}/classify", json=job, timeout=60)


def test_many_at_once_share_batches_and_get_their_own_scores(
    server: tuple[str, subprocess.Popen], nli_folder: Path
) -> None:
    address, _ = server
    texts = [f"A man plays football in park {number}." for number in range(200)]
    before = httpx.get(f"{address}/health").json()
    with ThreadPoolExecutor(len(texts)) as pool:
        answers = list(pool.map(lambda text: post(address, texts=[text]).json(), texts))
    expected = [doc.cats for doc in make_nlp(nli_folder).pipe(texts)]
    for (found,), cats in zip(answers, expected):
        assert found["cats"] == pytest.approx(cats, abs=1e-5)
        assert found["labels"] == [max(cats, key=lambda label: cats[label])]
    after = httpx.get(f"{address}/health").json()
    assert after["texts"] - before["texts"] == 200
    # texts of several users were scored together
    assert after["batches"] - before["batches"] < 150


def test_own_labels_and_several_texts(server: tuple[str, subprocess.Popen]) -> None:
    answer = post(server[0], texts=["One.", "Two."], labels=["first", "second"]).json()
    assert [list(one["cats"]) for one in answer] == [["first", "second"]] * 2


def test_a_bad_request_is_answered_alone(server: tuple[str, subprocess.Popen]) -> None:
    jobs = [{"texts": ["A text."], "labels": ["a", "a"] if i == 3 else None} for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda job: post(server[0], **job), jobs))
    assert [answer.status_code for answer in answers] == [200] * 3 + [422] + [200] * 4
    assert answers[3].json()["detail"]["code"] == "Z002"
    assert "Z002" in answers[3].json()["detail"]["message"]
    assert post(server[0], texts=[]).status_code == 422
    assert post(server[0], texts=["A text."], labels=[" "]).json()["detail"]["code"] == "Z003"


def test_a_text_that_fails_leaves_the_batch_whole(serve: ModuleType) -> None:
    batch = [("One.", None, None), ("Two.", ["x", "x"], None), ("", ["a", "b"], None)]
    first, second, third = serve.score(batch)
    assert list(first["cats"]) == LABELS and second.code == "Z002"
    assert third == {"cats": {"a": 0.5, "b": 0.5}, "labels": []}


def test_sigterm_answers_what_has_arrived(server: tuple[str, subprocess.Popen]) -> None:
    address, process = server
    users = [[f"Text {number} of user {user}." for number in range(150)] for user in range(8)]
    with ThreadPoolExecutor(len(users)) as pool:
        before = httpx.get(f"{address}/health").json()
        answers = [pool.submit(post, address, texts=texts) for texts in users]
        while httpx.get(f"{address}/health").json() == before:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert [len(answer.result().json()) for answer in answers] == [150] * 8
    assert process.wait(timeout=30) in (0, -signal.SIGTERM)
    with pytest.raises(httpx.TransportError):
        post(address, texts=["Too late."])


def test_the_service_fits_on_a_page() -> None:
    assert len(EXAMPLE.read_text(encoding="utf8").splitlines()) < 60
