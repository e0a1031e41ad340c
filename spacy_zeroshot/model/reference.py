"""transformers' own zero-shot pipeline, and the machine it runs on: for `zeroshot benchmark` and benchmarks/."""

import json
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification
from transformers import pipeline as transformers_pipeline
from transformers.utils import logging

from ..labels import DEFAULT_TEMPLATE

CLASSES = ("contradiction", "neutral", "entailment")
MEGABYTE = 1 << 20
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
        """Score texts, so many pairs in a forward pass; its default is 1."""
        results = self._pipeline(list(texts), list(labels), batch_size=batch_size, hypothesis_template=DEFAULT_TEMPLATE)
        return [dict(zip(result["labels"], result["scores"])) for result in results]


def write_stock_checkpoint(bundled: Path, folder: Path) -> Path:
    """Write a checkpoint of the bundled model's size that transformers loads: its encoder with a fresh head, whose
    weights are large enough that scores differ between labels. RETURNS (Path): The folder."""
    sizes = json.loads((bundled / "config.json").read_text(encoding="utf8"))["encoder"]
    id2label = dict(enumerate(CLASSES))
    config = BertConfig(**sizes, id2label=id2label, label2id={label: number for number, label in id2label.items()})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = BertForSequenceClassification(config)
        torch.nn.init.normal_(module.classifier.weight)
    weights = load_file(bundled / "model.safetensors")
    own = {
        f"bert.{key.removeprefix('encoder.')}": w.float() for key, w in weights.items() if key.startswith("encoder.")
    }
    module.load_state_dict(own, strict=False)
    module.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(bundled / name, folder / name)
    return folder


class Device:
    """A torch device: waits for it, and reads its memory in megabytes (0.0 where the system does not tell)."""

    def __init__(self, name: str = "cpu"):
        self.name = name
        self.is_gpu = name.startswith("cuda")

    def finish(self) -> None:
        """Wait until all work is done. A CPU's is done when a call returns."""
        if self.is_gpu:
            torch.cuda.synchronize(self.name)

    def forget_peak(self) -> None:
        """Begin a new measurement of the peak."""
        if self.is_gpu:
            torch.cuda.reset_peak_memory_stats(self.name)
        elif RESET.exists():
            RESET.write_text("5", encoding="ascii")

    def peak(self) -> float:
        """RETURNS (float): Peak memory since forget_peak: of the GPU, or resident of this process."""
        return torch.cuda.max_memory_allocated(self.name) / MEGABYTE if self.is_gpu else _status("VmHWM")

    def resident(self) -> float:
        """RETURNS (float): Memory in use now."""
        return torch.cuda.memory_allocated(self.name) / MEGABYTE if self.is_gpu else _status("VmRSS")


def describe_machine(device: Device) -> str:
    """RETURNS (str): Processor or card, threads and versions, for the line above a table of figures."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf8").splitlines() if cpus.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    processor = f"{models[0] if models else platform.machine()} ({', '.join(known)})"
    card = f"{torch.cuda.get_device_name(device.name)}, " if device.is_gpu else ""
    return f"{card}{processor}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _status(field: str) -> float:
    lines = STATUS.read_text(encoding="ascii").splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), 0.0)
