"""Everything about a GPU in one short run: python -m benchmarks.gpu.

Sections: the machine, speed, parity with the CPU, larger checkpoints, CuPy and training, running out of memory. Each
fails alone, is skipped when time is short, and adds lines to a table that is printed in the end; figures go to
gpu.json. `--device cpu --tiny` tries the program itself anywhere.
"""

import contextlib
import gc
import json
import shutil
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import spacy
import thinc.api
import torch
import typer
from spacy.training import Example
from transformers import AutoModelForSequenceClassification, BartConfig, BertConfig

import spacy_zeroshot.bundled
from benchmarks._shared import WORDPIECES, count_wordpieces, finish, make_labels, make_texts
from spacy_zeroshot.cli.benchmark import Program, Scores, component
from spacy_zeroshot.cli.benchmark import pipeline as reference
from spacy_zeroshot.model.reference import (
    CLASSES,
    TOKENIZER_FILES,
    Device,
    ReferencePipeline,
    describe_machine,
    write_stock_checkpoint,
)

BUNDLED = Path(spacy_zeroshot.bundled.__path__[0])
# Seconds kept free for the sections that follow
RESERVE = {"machine": 100, "speed": 55, "parity": 45, "larger": 22, "training": 9, "memory": 1}
# Memory that the third of the texts may take more than what is loaded, in megabytes
ROOM = 300


class Run:
    """One run: its deadline, its table and its figures.

    seconds (float): For everything.
    device (str): "cuda" or "cpu".
    tiny (bool): A few texts and small models.
    """

    def __init__(self, seconds: float, device: str, tiny: bool, scratch: Path):
        self.start = time.perf_counter()
        self.seconds = seconds
        self.device = Device(device)
        self.tiny = tiny
        self.scratch = scratch
        self.table: list[str] = []
        self.figures: dict[str, Any] = {}
        self.failed: dict[str, str] = {}
        self.reserve = 0.0
        # what transformers' pipeline computes in: a CPU has no fast float16
        self.half = "float16" if self.device.is_gpu else "bfloat16"
        self.stock = write_stock_checkpoint(BUNDLED, scratch / "stock")
        self.reference = ReferencePipeline(str(self.stock), device, "float32" if tiny else self.half)
        lengths = partial(count_wordpieces, self.reference)
        self.texts = make_texts(24 if tiny else 12_000, WORDPIECES, lengths)

    def left(self) -> float:
        return self.seconds - (time.perf_counter() - self.start)

    def add(self, line: str) -> None:
        """Add a line to the table."""
        self.table.append(line)
        print(f"[{time.perf_counter() - self.start:6.1f} s] {line}", flush=True)

    def has_time(self, what: str) -> bool:
        """Whether there is time for a piece, besides what later sections need; says so if not."""
        if self.left() > self.reserve:
            return True
        self.add(f"SKIPPED for lack of time: {what}")
        return False

    @contextlib.contextmanager
    def piece(self, name: str) -> Iterator[None]:
        """A piece of work: whatever it raises is noted, and the run goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a section fails alone
            self.failed[name] = traceback.format_exc()
            self.add(f"{name}: FAILED {type(error).__name__}: {str(error).splitlines()[:1]}")
            print(self.failed[name], flush=True)
        gc.collect()
        if self.device.is_gpu:
            torch.cuda.empty_cache()

    def time(self, call: Callable[[], object]) -> float:
        finish(self.device)
        start = time.perf_counter()
        call()
        finish(self.device)
        return time.perf_counter() - start

    def rate(self, program: Program, labels: Sequence[str], first: int, most: int) -> float:
        """Texts per second: a warm-up, a guess, and one run of about a second. Notes the figures."""
        most = min(most, len(self.texts))
        count = min(first, most)

        def once() -> object:
            return program.score(self.texts[:count], labels)

        self.time(once)
        for _ in range(2):
            guess = self.time(once)
            count = int(max(count, min(most, count * (0.1 if self.tiny else 1.0) / guess)))
        self.device.forget_peak()
        seconds = self.time(once)
        peak = self.device.peak()
        self.figures[f"{program.name}, {len(labels)} labels"] = {"texts": count, "seconds": seconds, "peak_mb": peak}
        self.add(f"{program.name}, {len(labels)} labels: {count / seconds:,.1f} texts/s, peak {peak:,.0f} MB")
        return count / seconds


def machine(run: Run) -> None:
    """Card, versions, and the rate of a large matrix product."""
    side = 8192 if run.device.is_gpu else 512
    left, right = (torch.randn(side, side, device=run.device.name, dtype=torch.bfloat16) for _ in range(2))
    run.time(lambda: left @ right)
    seconds = run.time(lambda: [left @ right for _ in range(20)])
    rate = run.figures["matmul_tflops"] = 2.0 * side**3 * 20 / seconds / 1e12
    versions = f"spaCy {spacy.__version__}, thinc {thinc.__version__}, spacy-zeroshot {spacy_zeroshot.__version__}"
    run.add(f"{describe_machine(run.device)}, {versions}; bfloat16 product {rate:,.1f} TFLOP/s")


def speed(run: Run) -> None:
    """The bundled model beside transformers' pipeline at its best batch size, and where the time goes."""
    placed = {"device": run.device.name}
    ours = component("bundled", "bundled", **placed)
    paired = component("pairs", str(run.stock), precision=run.half, **placed)
    for count in (3, 5) if run.tiny else (10, 50, 150):
        labels = make_labels(count)
        if not run.has_time(f"speed with {count} labels"):
            continue
        mine = run.rate(ours, labels, 4 if run.tiny else max(128, 8000 // count), 12_000)
        theirs = [
            run.rate(reference(run.reference, size), labels, 2 if run.tiny else -(-2 * size // count), 400)
            for size in ((4,) if run.tiny else (128, 512))
            if run.has_time(f"transformers, batch {size}, {count} labels")
        ]
        if theirs:
            run.figures[f"ratio, {count} labels"] = mine / max(theirs)
            run.add(f"RATIO with {count} labels: {mine / max(theirs):.1f}x")
        if count <= 10 and run.has_time("pairs"):
            run.rate(paired, labels, 2 if run.tiny else 64, 2000)
    with run.piece("profile"):
        profile(run, ours, make_labels(3 if run.tiny else 10))


def profile(run: Run, program: Program, labels: Sequence[str]) -> None:
    """The share of the time in which the GPU computes, and microseconds of spaCy's tokenizer a text."""
    texts = run.texts[:2000]
    run.time(lambda: program.score(texts, labels))
    wall = run.time(lambda: program.score(texts, labels))
    nlp = spacy.blank("xx")
    tokenizer = run.time(lambda: [nlp.make_doc(text) for text in texts])
    busy = ""
    if run.device.is_gpu:
        from torch.profiler import ProfilerActivity
        from torch.profiler import profile as traced

        with traced(activities=[ProfilerActivity.CUDA]) as trace:
            program.score(texts, labels)
            finish(run.device)
        kernels = sum(event.self_device_time_total for event in trace.key_averages()) / 1e6
        run.figures["gpu_busy"] = kernels / wall
        busy = f", GPU busy {kernels / wall:.0%}"
    each = 1e6 * wall / len(texts)
    run.add(
        f"profile, {len(labels)} labels: {each:,.0f} us a text, of them spaCy's tokenizer "
        f"{1e6 * tokenizer / len(texts):,.0f}{busy}"
    )


def parity(run: Run) -> None:
    """Scores on this device against the CPU in float32, and pairs against transformers' pipeline."""
    texts, labels = run.texts[: 4 if run.tiny else 64], make_labels(10)
    expected = component("cpu", "bundled", precision="float32", device="cpu").score(texts, labels)
    for precision in ("float32", "bfloat16", *(("float16",) if run.device.is_gpu else ())):
        with run.piece(f"parity in {precision}"):
            own = component(precision, "bundled", precision=precision, device=run.device.name).score(texts, labels)
            run.figures[f"parity {precision}"] = difference(own, expected)
            run.add(f"parity, bundled in {precision} against float32 on the CPU: {difference(own, expected):.1e}")
    with run.piece("parity of pairs"):
        theirs = ReferencePipeline(str(run.stock), run.device.name).score(texts[:4], labels, 8)
        own = component("pairs", str(run.stock), precision="float32", device=run.device.name).score(texts[:4], labels)
        run.add(f"parity, pairs against transformers' pipeline in float32: {difference(own, theirs):.1e}")


def larger(run: Run) -> None:
    """Stock checkpoints of other sizes, pair by pair, with random weights."""
    labels = make_labels(3 if run.tiny else 10)
    for name in ("bert-base", "bart-large"):
        if not run.has_time(name):
            continue
        with run.piece(name):
            folder = str(random_checkpoint(run, name))
            precision = run.half if run.device.is_gpu else "float32"
            first, most = (2, 6) if run.tiny else (64, 3000)
            mine = run.rate(component(name, folder, precision=precision, device=run.device.name), labels, first, most)
            pipeline = ReferencePipeline(folder, run.device.name, precision)
            theirs = run.rate(reference(pipeline, 4 if run.tiny else 128), labels, 2 if run.tiny else 26, 400)
            run.figures[f"ratio, {name}"] = mine / theirs
            run.add(f"RATIO of {name}: {mine / theirs:.1f}x")


def training(run: Run) -> None:
    """thinc's devices and allocator, saving and loading, training beside spaCy's own textcat."""
    texts, labels = run.texts[: 6 if run.tiny else 200], make_labels(5)
    if run.device.is_gpu:
        spacy.require_gpu()
        thinc.api.set_gpu_allocator("pytorch")
    nlp = spacy.blank("xx")
    nlp.add_pipe("zero_shot_textcat", config={"labels": labels})
    before = [doc.cats for doc in nlp.pipe(texts)]
    plain = all(type(value) is float for cats in before for value in cats.values())
    run.add(f"{type(thinc.api.get_current_ops()).__name__}: {len(before)} docs, plain floats {plain}")
    with run.piece("saving"), tempfile.TemporaryDirectory() as folder:
        nlp.to_disk(folder)
        after = [doc.cats for doc in spacy.load(folder).pipe(texts)]
        run.add(f"saved and loaded: largest difference {difference(before, after):.1e}")
    with run.piece("training"):
        thinc.api.fix_random_seed(0)
        learner = spacy.blank("xx")
        learner.add_pipe("zero_shot_textcat", config={"labels": labels, "trainable": True})
        learner.add_pipe("textcat")
        gold = [{label: float(i % len(labels) == n) for n, label in enumerate(labels)} for i in range(10)]
        examples = [Example.from_dict(learner.make_doc(t), {"cats": cats}) for t, cats in zip(run.texts, gold)]
        optimizer = learner.initialize(lambda: examples)
        optimizer.learn_rate = 5e-5
        losses: list[float] = []
        for _ in range(3 if run.tiny else 10):
            step: dict[str, float] = {}
            seconds = run.time(lambda step=step: learner.update(examples, sgd=optimizer, losses=step))  # type: ignore[misc]
            losses.append(step["zero_shot_textcat"])
        run.add(f"training: loss {losses[0]:.3f} -> {losses[-1]:.3f} in {len(losses)} steps, {seconds:.3f} s a step")
    spacy.require_cpu()


def memory(run: Run) -> None:
    """A GPU without room: the batch is halved until it fits, and every document is scored."""
    if not run.device.is_gpu:
        run.add("memory: nothing to run out of on a CPU")
        return
    texts, labels = run.texts[:3000], make_labels(10)
    program = component("out of memory", "bundled", precision="float32", device=run.device.name)
    expected = program.score(texts, labels)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (ROOM << 20)) / total)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scored = program.score(texts, labels)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    said = {str(warning.message)[:100] for warning in caught}
    run.add(f"memory: {len(scored)} of {len(texts)} docs, difference {difference(expected, scored):.1e}, said {said}")


def difference(first: Scores, second: Scores) -> float:
    """The largest difference of a score."""
    return max(abs(one[label] - other[label]) for one, other in zip(first, second) for label in one)


def random_checkpoint(run: Run, name: str) -> Path:
    """A stock checkpoint with random weights and the bundled tokenizer."""
    folder = run.scratch / name
    folder.mkdir()
    sizes = json.loads((BUNDLED / "config.json").read_text(encoding="utf8"))["encoder"]
    classes = {"id2label": dict(enumerate(CLASSES)), "label2id": {label: i for i, label in enumerate(CLASSES)}}
    common = {"vocab_size": sizes["vocab_size"], "pad_token_id": sizes["pad_token_id"], **classes}
    config: BertConfig | BartConfig
    if name == "bert-base":
        small = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
        config = BertConfig(**common, **(small if run.tiny else {}))
    else:
        small = {"d_model": 64}
        for part in ("encoder", "decoder"):
            small |= {f"{part}_layers": 2, f"{part}_ffn_dim": 128, f"{part}_attention_heads": 4}
        config = BartConfig(**common, bos_token_id=0, eos_token_id=2, **(small if run.tiny else {}))
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    for file in TOKENIZER_FILES:
        shutil.copy(BUNDLED / file, folder / file)
    if name == "bart-large":  # BART has no token types
        settings = folder / "tokenizer_config.json"
        inputs = {"model_input_names": ["input_ids", "attention_mask"]}
        settings.write_text(json.dumps(json.loads(settings.read_text(encoding="utf8")) | inputs), encoding="utf8")
    return folder


SECTIONS: dict[str, Callable[[Run], None]] = {
    "machine": machine,
    "speed": speed,
    "parity": parity,
    "larger": larger,
    "training": training,
    "memory": memory,
}


def main(
    device: Annotated[str, typer.Option(help="cuda or cpu.")] = "cuda",
    seconds: Annotated[float, typer.Option(help="For everything.")] = 150.0,
    only: Annotated[str, typer.Option(help="Sections, with commas between them.")] = ",".join(SECTIONS),
    tiny: Annotated[bool, typer.Option("--tiny", help="A few texts and small models: tries the program.")] = False,
    output: Annotated[Path, typer.Option(help="A folder for gpu.json.")] = Path("build/gpu"),
) -> None:
    """Measure on a GPU, within the time given, and print a table."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(seconds, device, tiny, Path(scratch))
        for name in only.split(","):
            run.reserve = 0.0 if tiny else RESERVE[name]
            if run.left() < 4:
                run.add(f"SKIPPED for lack of time: {name}")
                continue
            with run.piece(name):
                SECTIONS[name](run)
            found = {"seconds": seconds - run.left(), "table": run.table, "figures": run.figures, "failed": run.failed}
            (output / "gpu.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf8")
    print("\n" + "\n".join(run.table) + f"\n{len(run.failed)} pieces failed, {seconds - run.left():.0f} s")
    raise typer.Exit(1 if run.failed else 0)


if __name__ == "__main__":
    typer.run(main)
