"""What pack.py wrote, as the other steps use it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

HELD_OUT = (  # training sets that no step trains on: everything is chosen by them
    "tweeteval_sentiment",
    "rasa_financial",
    "app_reviews",
    "chatbot_ko",
    "symptom2disease",
    "waimai_zh",
    "it_tickets",
    "clothing_class",
    "vsmec_emotion_vi",
)


class Strings:
    """Token ids of distinct strings, padded where they are taken."""

    def __init__(self, ids: np.ndarray, lengths: np.ndarray, spans: np.ndarray) -> None:
        self.ids, self.lengths = ids, lengths.astype("i4")
        self.spans = spans.astype("i4")  # (strings, 2): first and past-the-last piece of the label in its template
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])[:-1]

    def rows(self, numbers: np.ndarray, device: torch.device, multiple: int = 8) -> tuple[Tensor, Tensor]:
        """RETURNS (tuple[Tensor, Tensor]): ids and mask (rows, longest, rounded up)."""
        lengths = self.lengths[numbers]
        longest = -(-int(lengths.max()) // multiple) * multiple
        place = np.arange(longest)
        mask = place < lengths[:, None]
        at = np.minimum(self.starts[numbers][:, None] + place, len(self.ids) - 1)
        ids = np.where(mask, self.ids[at], 1).astype("i8")
        return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


@dataclass
class LabelSet:
    """Texts (numbers), their right labels, and the hypotheses (numbers) of every wording of the labels."""

    name: str
    labels: list[str]
    templates: list[str]
    text: np.ndarray  # (texts,)
    right: np.ndarray  # (texts, labels) bool
    wording: np.ndarray  # (wordings, labels); the first ones are the templates in order
    rows_of: list[np.ndarray] = field(default_factory=list)

    def limited(self, most: int, seed: int = 0) -> "LabelSet":
        """At most so many of its texts, drawn at random."""
        keep = np.sort(np.random.default_rng(seed).permutation(len(self.text))[:most])
        return LabelSet(self.name, self.labels, self.templates, self.text[keep], self.right[keep], self.wording)


class Data:
    """All that is packed in one file."""

    def __init__(self, path: Path) -> None:
        packed = np.load(path)
        meta: dict[str, list[Any]] = json.loads(bytes(packed["meta"]))
        self.texts, self.hypotheses = (
            Strings(*(packed[f"{kind}.{part}"] for part in ("ids", "lengths", "spans"))) for kind in ("texts", "hyps")
        )
        self.sets = [self._set(packed, info) for info in meta["sets"]]
        self.nli: np.ndarray = packed["nli"]  # (pairs, 3): text, hypothesis, entailed; sorted by text
        self.nli_files: list[int] = meta["nli_files"]  # the first text of each file of pairs but the first one
        self.probes = {name: packed[f"probe.{name}"] for name in meta["probes"]}  # pairs kept from training

    @staticmethod
    def _set(packed: Any, info: dict[str, Any]) -> LabelSet:
        key = f"set.{info['name']}"
        right = np.unpackbits(packed[f"{key}.right"], axis=1)[:, : len(info["labels"])].astype(bool)
        return LabelSet(
            info["name"], info["labels"], info["templates"], packed[f"{key}.text"], right, packed[f"{key}.wording"]
        )

    def split(self) -> tuple[list[LabelSet], list[LabelSet]]:
        """RETURNS (tuple[list[LabelSet], list[LabelSet]]): sets to train on, sets to choose by (native ones beside)."""
        held = [s for s in self.sets if s.name.split("#")[0].removesuffix("_native") in HELD_OUT]
        names = {s.name for s in held}
        return [s for s in self.sets if s.name not in names], held

    def watched(self, texts: int = 1000, pairs: int = 5000) -> tuple[list[LabelSet], dict[str, np.ndarray]]:
        """RETURNS: a sample of the held-out sets and of the pairs kept from training, to look at while training."""
        rng = np.random.default_rng(0)
        few = {name: found[np.sort(rng.permutation(len(found))[:pairs])] for name, found in self.probes.items()}
        return [one.limited(texts) for one in self.split()[1]], few


def nli_groups(pairs: np.ndarray, size: int) -> np.ndarray:
    """Pairs sorted by text -> (groups, 1 + 2 * size): a text, at most `size` hypotheses (-1 for none), answers."""
    out = []
    for part in np.split(pairs, np.flatnonzero(np.diff(pairs[:, 0])) + 1):
        for start in range(0, len(part), size):
            few = part[start : start + size]
            row = np.full(1 + 2 * size, -1, "i4")
            row[0], row[1 : 1 + len(few)], row[1 + size : 1 + size + len(few)] = few[0, 0], few[:, 1], few[:, 2]
            out.append(row)
    return np.asarray(out)
