"""Vectors of a teacher, a sentence encoder that reads English, of the English strings among the remembered ones.

The teacher saw a thousand million pairs of sentences on all subjects. It knows labels that no set here has; what it
finds near what keeps the encoder from forgetting them (train_encoder.py: --teacher).
"""

import argparse
import re
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import BertModel

from .data import Data, Strings
from .network import mean
from .remember import States

OTHER = re.compile(r"_(ko|ja|zh|de|fra?|es|pt|it|nl|ru|ar|hi|tr|vi|id|cs|fi|sv)\b|^(hindi|ar)_|native")  # names of sets


class Taught:
    """The teacher's vectors of texts and hypotheses, by their numbers."""

    def __init__(self, path: Path) -> None:
        saved = np.load(path)
        self.rows, self.vectors = [], []
        for kind in ("texts", "hyps"):
            numbers = saved[f"{kind}.numbers"]
            rows = np.full(int(numbers.max()) + 2, -1, "i8")
            rows[numbers] = np.arange(len(numbers))
            self.rows.append(rows)
            self.vectors.append(torch.from_numpy(saved[f"{kind}.vectors"].astype("f4")))

    def of(self, kind: int, numbers: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """RETURNS (tuple[Tensor, Tensor]): places of those that the teacher has read, and their vectors."""
        rows = self.rows[kind][np.minimum(numbers, len(self.rows[kind]) - 1)]
        known = np.flatnonzero(rows >= 0)
        return torch.from_numpy(known), self.vectors[kind][rows[known]]


def english(data: Data, kind: str, numbers: np.ndarray, spell: Tokenizer) -> tuple[np.ndarray, list[str]]:
    """RETURNS (tuple[ndarray, list[str]]): numbers of the English strings among these, and the strings."""
    strings: Strings = data.texts if kind == "texts" else data.hypotheses
    if kind == "texts":
        other = [one.text for one in data.sets if OTHER.search(one.name)]
        numbers = np.setdiff1d(numbers, np.concatenate(other) if other else [])
    spans = zip(strings.starts[numbers].tolist(), strings.lengths[numbers].tolist(), strict=True)
    texts = spell.decode_batch([strings.ids[start : start + n].tolist() for start, n in spans])
    keep = [i for i, text in enumerate(texts) if sum(map(str.isascii, text)) > 0.95 * len(text)]
    return numbers[keep], [texts[i] for i in keep]


@torch.inference_mode()
def read(teacher: BertModel, tokenizer: Tokenizer, texts: list[str], device: str) -> np.ndarray:
    """RETURNS (ndarray): vectors (texts, width) of length one."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    out = np.zeros((len(texts), teacher.config.hidden_size), "f2")
    for part in np.array_split(order, len(order) // 128 + 1):
        found = tokenizer.encode_batch([texts[i] for i in part])
        ids, mask = (
            torch.tensor([getattr(e, name) for e in found], device=device) for name in ("ids", "attention_mask")
        )
        states = teacher(input_ids=ids, attention_mask=mask).last_hidden_state
        out[part] = mean(states, mask).half().cpu().numpy()
    return out


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("states", type=Path, help="folder that remember.py wrote")
    parser.add_argument("output", type=Path, help=".npz to write")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of a BertModel with tokenizer.json")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    data, spell = Data(args.data), Tokenizer.from_file(str(args.base / "tokenizer.json"))
    teacher = BertModel.from_pretrained(args.teacher, add_pooling_layer=False).bfloat16().eval().to(args.device)
    tokenizer = Tokenizer.from_file(str(args.teacher / "tokenizer.json"))
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding(pad_to_multiple_of=8)
    out: dict[str, np.ndarray] = {}
    for kind in ("texts", "hyps"):
        numbers, texts = english(data, kind, np.flatnonzero(States(args.states, kind).rows >= 0), spell)
        print(f"{len(texts):,} English {kind}", flush=True)
        out |= {f"{kind}.numbers": numbers, f"{kind}.vectors": read(teacher, tokenizer, texts, args.device)}
    np.savez(args.output, **out)


if __name__ == "__main__":
    main()
