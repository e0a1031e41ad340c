"""Annotate, killed again and again: python -m spacy_zeroshot.corpora.kill_study.

Runs the annotate command on made-up texts once in peace; then again, killed (SIGKILL) at random moments and resumed
each time; and compares the two results byte by byte.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, List

import typer

from ..cli.guard import fail, note
from ..model.source import BUNDLED
from .study import LABELS, made_up_texts


def study(
    texts: Annotated[int, typer.Option(help="How many texts")] = 100_000,
    kills: Annotated[int, typer.Option(help="How often to kill")] = 10,
    form: Annotated[str, typer.Option("--format", help="jsonl, parquet or spacy")] = "jsonl",
    model: Annotated[str, typer.Option(help="The checkpoint")] = BUNDLED,
    n_process: Annotated[int, typer.Option(help="Processes")] = 1,
    shard_size: Annotated[int, typer.Option(help="Rows of a shard")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the moments")] = 0,
) -> None:
    """Kill annotate at random moments, and look whether the result is the same."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "texts.jsonl"
        with source.open("w", encoding="utf8") as file_:
            file_.writelines(json.dumps({"text": text}) + "\n" for text in made_up_texts(texts))
        peace, war = (Path(scratch) / f"{name}.{form}" for name in ("peace", "war"))
        options = ["--model", model, "--labels", ",".join(LABELS), "--shard-size", str(shard_size)]
        options += ["--n-process", str(n_process)]
        start = time.monotonic()
        subprocess.run(_command(source, peace, options), check=True)
        seconds = time.monotonic() - start
        killed = 0
        for _ in range(kills):
            process = subprocess.Popen(_command(source, war, options), stderr=subprocess.DEVNULL)
            try:
                process.wait(chance.uniform(0.0, 2.0 * seconds / (kills + 1)))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                killed += 1
        subprocess.run(_command(source, war, options), check=True)
        if peace.read_bytes() != war.read_bytes():
            fail(f"{texts:,} texts, killed {killed} times: the results differ")
        note(f"{texts:,} texts, killed {killed} times and resumed: {peace.stat().st_size:,} bytes, identical")


def _command(source: Path, output: Path, options: List[str]) -> List[str]:
    return [sys.executable, "-m", "spacy", "zeroshot", "annotate", str(source), str(output), *options]


if __name__ == "__main__":
    typer.run(study)
