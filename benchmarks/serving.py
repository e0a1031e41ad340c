"""How fast docs/examples/serve.py answers: python -m benchmarks.serving.

Starts the service on a free port of this machine. Each client sends one text, waits for the answer, and sends the next.
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from benchmarks.corpora import LABELS, made_up_texts
from spacy_zeroshot.cli._print import make_console, print_table
from spacy_zeroshot.loading import open_pipeline

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
COLUMNS = ("clients", "requests/s", "median ms", "p95 ms", "texts in a batch")
WARM_UP = 20


@contextmanager
def service(pipeline: Path) -> Iterator[str]:
    """The address of the service, running."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "serve:app", "--app-dir", str(EXAMPLES), "--port", str(port)]
    quiet = ["--log-level", "warning"]
    with subprocess.Popen([*command, *quiet], env={**os.environ, "PIPELINE": str(pipeline)}) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            while process.poll() is None:
                try:
                    httpx.get(f"{address}/health")
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield address
        finally:
            process.send_signal(signal.SIGTERM)


def send(address: str, texts: Sequence[str], seconds: list[float]) -> None:
    """Be a client."""
    with httpx.Client(timeout=60) as client:
        for text in texts:
            start = time.perf_counter()
            client.post(f"{address}/classify", json={"texts": [text]}).raise_for_status()
            seconds.append(time.perf_counter() - start)


def measure(address: str, clients: int, requests: int) -> list[Any]:
    """A row of the table."""
    texts = list(made_up_texts(requests))
    seconds: list[float] = []
    threads = [threading.Thread(target=send, args=(address, texts[i::clients], seconds)) for i in range(clients)]
    before, start = httpx.get(f"{address}/health").json(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, after = time.perf_counter() - start, httpx.get(f"{address}/health").json()
    size = (after["texts"] - before["texts"]) / (after["batches"] - before["batches"])
    milliseconds = [1000 * each for each in seconds]
    p95 = statistics.quantiles(milliseconds, n=20)[-1]
    median = statistics.median(milliseconds)
    return [clients, *(f"{value:.1f}" for value in (len(seconds) / took, median, p95, size))]


def main(
    requests: Annotated[int, typer.Option(min=20, help="Requests for each number of clients.")] = 1000,
    model: Annotated[str, typer.Option(help='A checkpoint\'s folder or Hub name, or "bundled".')] = "bundled",
) -> None:
    """Print requests a second and latency at 1 and 16 clients, for short texts and three labels."""
    with tempfile.TemporaryDirectory() as folder:
        nlp, _ = open_pipeline(model=model, labels=LABELS)
        nlp.to_disk(folder)
        with service(Path(folder)) as address:
            send(address, list(made_up_texts(WARM_UP)), [])
            rows = [measure(address, clients, requests) for clients in (1, 16)]
    print_table(make_console(), COLUMNS, rows)


if __name__ == "__main__":
    typer.run(main)
