"""Run the study: python -m scripts.study DATA. Stopped, the same command goes on where it was."""

import multiprocessing
import os
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Annotated, Any, Dict, List, Optional

import typer

from spacy_zeroshot.cli.guard import guarded, note
from spacy_zeroshot.corpora.pipelines import hash_checkpoint
from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.metrics import figures

from .prepare import prepare
from .roads import Material, follow
from .runs import ALL, ROADS, Run, add_result, finished, plan, read_results, stamp
from .sets import SETS, Set, Texts, gold, read_set

RESULTS = "results.jsonl"


# Texts to draw from, texts to measure on, numbers of labelled texts, draws, steps of fine-tuning at most
FULL: Dict[str, Any] = {"train": 1500, "test": 400, "counts": (0, 8, 16, 32, 64, 128, ALL), "seeds": 3, "steps": 0}
QUICK: Dict[str, Any] = {"train": 300, "test": 150, "counts": (0, 8, 32), "seeds": 1, "steps": 20}
CHARACTERS = 600

_materials: Dict[str, Material] = {}


def study(
    data: Annotated[Path, typer.Argument(help="The folder with clf/study/ and clf/eval/")],
    work: Annotated[Path, typer.Option(help="Where results and what can be reused are kept")] = Path("work"),
    model: Annotated[str, typer.Option(help="The NLI checkpoint")] = "bundled",
    sentence_model: Annotated[str, typer.Option(help="The checkpoint for similarity")] = "bundled",
    config: Annotated[Path, typer.Option(help="The config of fine-tuning")] = Path("../configs/fine_tune.cfg"),
    quick: Annotated[bool, typer.Option("--quick", help="Few texts and runs: minutes, and a rough picture")] = False,
    n_process: Annotated[int, typer.Option(min=1, help="Processes, of one thread each")] = 2,
    only: Annotated[Optional[List[str]], typer.Option("--road", help="Only these roads")] = None,
    seeds: Annotated[int, typer.Option(min=0, help="Draws; 0 for the study's own number")] = 0,
) -> None:
    """Measure every road at every number of labelled texts, on every set."""
    with guarded():
        _study(data, work, model, sentence_model, config, QUICK if quick else FULL, n_process, only, seeds)


def _study(
    data: Path,
    work: Path,
    model: str,
    sentence_model: str,
    config: Path,
    size: Dict[str, Any],
    n_process: int,
    only: Optional[List[str]],
    seeds: int,
) -> None:
    unknown = [road for road in only or () if road not in ROADS]
    if unknown:
        reason = f"the roads are {', '.join(ROADS)}"
        raise ZeroShotError("Z060", "study", what="--road", value=", ".join(unknown), reason=reason)
    if not config.is_file():
        raise ZeroShotError("Z060", "study", what="--config", value=str(config), reason="there is no such file")
    work.mkdir(parents=True, exist_ok=True)
    path = work / RESULTS
    arguments = (data, work, model, sentence_model, config, size)
    # computed here, read by the others
    start = time.monotonic()
    for chosen in SETS:
        load(chosen, *arguments)
        note(f"{chosen.name}: ready after {time.monotonic() - start:,.0f} s")
    hashes = hash_checkpoint(model), hash_checkpoint(sentence_model)
    stamped = stamp(model, sentence_model, hashes, config.read_text(encoding="utf8"), CHARACTERS, size)
    done = finished(read_results(path), stamped)
    runs = plan([chosen.name for chosen in SETS], size["counts"], seeds or size["seeds"], only or ROADS)
    todo = [run for run in runs if run not in done]
    note(f"{len(todo)} runs to do, {len(runs) - len(todo)} done before")
    context = multiprocessing.get_context("spawn")
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(n_process, mp_context=context, initializer=_begin, initargs=arguments) as pool:
        waiting = {pool.submit(measure, run): run for run in todo}
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                run = waiting.pop(future)
                found = future.result()
                add_result(path, run, **found, stamp=stamped)
                name = f"{run.set}, {run.road}, {'all' if run.labelled == ALL else run.labelled}"
                note(f"{name}, seed {run.seed}: macro-F1 {found['macro_f1']:.3f} ({len(waiting)} left)")
    note(f"{path}: complete after {time.monotonic() - start:,.0f} s")


def load(
    chosen: Set, data: Path, work: Path, model: str, sentence_model: str, config: Path, size: Dict[str, Any]
) -> Material:
    """Read a set, and compute its arrays unless they are there.

    chosen (Set): The set.
    data, work, model, sentence_model, config, size: As of the command.
    RETURNS (Material): What the roads work with.
    """
    for name in (chosen.train, chosen.test):
        if not (data / name).is_file():
            raise ZeroShotError("Z060", "study", what="file", value=str(data / name), reason="there is no such file")
    texts: Texts = read_set(chosen, data, size["train"], size["test"], CHARACTERS)
    prepared = prepare(chosen, texts, model, sentence_model, work / chosen.name)
    return Material(chosen, texts, prepared, model, config, size["steps"])


def measure(run: Run) -> Dict[str, Any]:
    """Run a road and measure its decisions.

    run (Run): What to run, in a process that _begin has prepared.
    RETURNS (Dict[str, Any]): "micro_f1", "macro_f1", "seconds" of processor time, "texts" measured on, and "drawn",
        how many labelled ones there were.
    """
    material = _materials[run.set]
    start = time.process_time()
    chosen = follow(run, material)
    result = figures(gold(material.texts.test, material.set.labels), chosen)
    return {
        "micro_f1": round(result.micro_f1, 4),
        "macro_f1": round(result.macro_f1, 4),
        "seconds": round(time.process_time() - start, 1),
        "texts": len(material.texts.test),
        "drawn": len(material.texts.train) if run.labelled == ALL else run.labelled,
    }


def _begin(*arguments: Any) -> None:
    import torch

    torch.set_num_threads(1)
    _materials.update((chosen.name, load(chosen, *arguments)) for chosen in SETS)


if __name__ == "__main__":
    typer.run(study)
