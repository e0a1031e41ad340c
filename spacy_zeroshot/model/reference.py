"""transformers' own zero-shot pipeline, and the machine it runs on: for `zeroshot benchmark` and benchmarks/."""

import json
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification
from transformers import pipeline as transformers_pipeline
from transformers.utils import logging

from .types import DEFAULT_TEMPLATE

CPU_FLAGS = {"avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16"}
CLASSES = ("contradiction", "neutral", "entailment")
# Linux: memory of this process and its peak, and where the peak is reset
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


class ReferencePipeline:
    """The zero-shot-classification pipeline of transformers, for a checkpoint that it loads by itself."""

    def __init__(self, name: str, device: str = "cpu", precision: str = "float32"):
        # it says which device it is on, among other things
        logging.set_verbosity_error()
        module = AutoModelForSequenceClassification.from_pretrained(name).to(getattr(torch, precision))
        self.tokenizer = AutoTokenizer.from_pretrained(name)
        self._pipeline = transformers_pipeline(
            "zero-shot-classification", model=module, tokenizer=self.tokenizer, device=device
        )

    def score(self, texts: Sequence[str], labels: Sequence[str], batch_size: int) -> list[dict[str, float]]:
        results = self._pipeline(list(texts), list(labels), batch_size=batch_size, hypothesis_template=DEFAULT_TEMPLATE)
        return [dict(zip(result["labels"], result["scores"])) for result in results]


def write_stock_checkpoint(bundled: Path, folder: Path) -> Path:
    """Write an NLI checkpoint for pairs of the bundled model's size, with its tokenizer and random weights."""
    body = json.loads((bundled / "config.json").read_text(encoding="utf8"))["encoder"]
    config = BertConfig(**body, id2label=dict(enumerate(CLASSES)), label2id={name: i for i, name in enumerate(CLASSES)})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = BertForSequenceClassification(config)
        # so large that scores differ between labels
        torch.nn.init.normal_(module.classifier.weight)
    module.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(bundled / name, folder / name)
    return folder


class Device:
    """A torch device, and the memory in megabytes that is taken of it; 0.0 where the system does not tell."""

    def __init__(self, name: str = "cpu"):
        self.name = name
        self.is_gpu = name.startswith("cuda")

    def forget_peak(self) -> None:
        if self.is_gpu:
            torch.cuda.reset_peak_memory_stats(self.name)
        elif RESET.exists():
            RESET.write_text("5", encoding="ascii")

    def peak(self) -> float:
        return torch.cuda.max_memory_allocated(self.name) / (1 << 20) if self.is_gpu else _status("VmHWM")

    def resident(self) -> float:
        return torch.cuda.memory_allocated(self.name) / (1 << 20) if self.is_gpu else _status("VmRSS")


def describe_machine(device: Device) -> str:
    """Processor or card, threads and versions, for the line above a table of figures."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf8").splitlines() if cpus.exists() else []
    info = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    known = sorted(CPU_FLAGS & set(info.get("flags", "").split()))
    processor = f"{info.get('model name', platform.machine())} ({', '.join(known)})"
    card = f"{torch.cuda.get_device_name(device.name)}, " if device.is_gpu else ""
    return f"{card}{processor}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _status(field: str) -> float:
    lines = STATUS.read_text(encoding="ascii").splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)
