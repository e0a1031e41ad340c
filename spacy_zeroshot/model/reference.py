"""transformers' own zero-shot pipeline: what `zeroshot benchmark` and benchmarks/ compare with."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification
from transformers import pipeline as transformers_pipeline
from transformers.utils import logging

CLASSES = ("contradiction", "neutral", "entailment")
MEGABYTE = 1 << 20
# Linux: the peak of resident memory, and where it is reset
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


class ReferencePipeline:
    """The zero-shot-classification pipeline of transformers.

    name (str): A checkpoint that transformers loads by itself.
    device (str): A torch device string.
    precision (str): "float32", its default, or "bfloat16" or "float16".
    """

    def __init__(self, name: str, device: str = "cpu", precision: str = "float32"):
        # it says which device it is on, among other things
        logging.set_verbosity_error()
        module = AutoModelForSequenceClassification.from_pretrained(name).to(getattr(torch, precision))
        self.tokenizer = AutoTokenizer.from_pretrained(name)
        self._pipeline = transformers_pipeline(
            "zero-shot-classification", model=module, tokenizer=self.tokenizer, device=device
        )

    def score(
        self, texts: Sequence[str], labels: Sequence[str], batch_size: int, template: str
    ) -> list[dict[str, float]]:
        """Score texts. batch_size (int): Pairs in a forward pass; its default is 1."""
        results = self._pipeline(list(texts), list(labels), batch_size=batch_size, hypothesis_template=template)
        return [dict(zip(result["labels"], result["scores"])) for result in results]

    def count(self, texts: Sequence[str]) -> list[int]:
        """RETURNS (list[int]): Wordpieces of each text, without special tokens."""
        encoded = self.tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]


def write_stock_checkpoint(bundled: Path, folder: Path) -> Path:
    """Write a checkpoint of the bundled model's size that transformers loads: its encoder with a fresh head.

    The head's weights are drawn large enough that scores differ between labels: equal scores could hide an error.

    bundled (Path): The folder of the bundled model, or another of its layout.
    folder (Path): Where to write.
    RETURNS (Path): The folder.
    """
    sizes = json.loads((bundled / "config.json").read_text(encoding="utf8"))["encoder"]
    id2label = dict(enumerate(CLASSES))
    config = BertConfig(**sizes, id2label=id2label, label2id={label: number for number, label in id2label.items()})
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    module = BertForSequenceClassification(config)
    torch.nn.init.normal_(module.classifier.weight)
    torch.random.set_rng_state(torch_state)
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
    """Where programs run: waits for it, and reads its memory.

    name (str): A torch device string.
    """

    def __init__(self, name: str = "cpu"):
        self.name = name
        self.is_gpu = name.startswith("cuda")

    def finish(self) -> None:
        """Wait until all work is done. A CPU's is done when a call returns."""
        if self.is_gpu:
            torch.cuda.synchronize(self.name)

    def forget_peak(self) -> None:
        """Begin a new measurement of the peak of memory, where the system can forget one."""
        if self.is_gpu:
            torch.cuda.reset_peak_memory_stats(self.name)
        elif RESET.exists():
            RESET.write_text("5", encoding="ascii")

    def peak(self) -> float:
        """RETURNS (float): Peak memory since forget_peak in megabytes: of the GPU, or resident of this process."""
        if self.is_gpu:
            return torch.cuda.max_memory_allocated(self.name) / MEGABYTE
        return _status("VmHWM")

    def resident(self) -> float:
        """RETURNS (float): Memory in use now, in megabytes."""
        return torch.cuda.memory_allocated(self.name) / MEGABYTE if self.is_gpu else _status("VmRSS")


def describe_machine(device: Device) -> str:
    """RETURNS (str): Processor or card, threads and versions, for the line above a table of figures."""
    import platform

    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text(encoding="utf8").splitlines() if cpus.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    known = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in flags]
    processor = f"{(models or [platform.processor() or platform.machine()])[0]} ({', '.join(known)})"
    card = f"{torch.cuda.get_device_name(device.name)}, " if device.is_gpu else ""
    return f"{card}{processor}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _status(field: str) -> float:
    """A field of this process's status in megabytes; where there is none, the peak so far."""
    if STATUS.exists():
        lines: list[Any] = STATUS.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MEGABYTE if sys.platform == "darwin" else 1024)
