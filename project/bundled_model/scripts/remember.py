"""Read a part of the training texts and their hypotheses once with the frozen encoder, and keep the states on disk.

The interaction layers start from these states: with them remembered, a step of training costs a quarter.
"""

import argparse
import copy
import json
import time
from pathlib import Path

import numpy as np
import torch

from .data import Data, LabelSet, Strings
from .network import Network

HOSTILE = (  # many sets of one kind, or noisy ones: drawn less
    *(
        "mhc_",
        "mlma_",
        "tweeteval_hate",
        "tweeteval_offensive",
        "edos",
        "cold_",
        "kmhas",
        "apeach",
        "curse",
        "malicious",
    ),
    *("toxic", "toldbr", "germeval", "hatecheck", "xed_"),
)


BLOCK = 1024  # strings


class States:
    """States of strings, one after the other in one file: (tokens, levels, width) bfloat16, seen as int16.

    On a GPU all of them are in its memory.
    """

    def __init__(self, folder: Path, name: str, device: str = "cpu") -> None:
        saved = np.load(folder / f"{name}.npz")
        self.lengths, self.vectors = saved["lengths"].astype("i8"), torch.from_numpy(saved["vectors"])
        self.starts = np.cumsum(self.lengths) - self.lengths
        flat = torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c")[: int(self.lengths.sum())])
        self.flat = flat.to(device).view(torch.bfloat16)
        self.rows = np.full(int(saved["numbers"].max()) + 1, -1, "i8")  # by the number of a string
        self.rows[saved["numbers"]] = np.arange(len(self.lengths))

    def knows(self, numbers: np.ndarray) -> bool:
        """Whether all of these are remembered."""
        return bool(numbers.max() < len(self.rows) and self.rows[numbers].min() >= 0)

    def of_labels(self, hypotheses: Strings) -> "States":
        """Of hypotheses, the states of their labels' own pieces: those that go through the interaction layers."""
        numbers = np.flatnonzero(self.rows >= 0)
        first, last = np.zeros((2, len(self.lengths)), "i8")
        first[self.rows[numbers]], last[self.rows[numbers]] = hypotheses.spans[numbers].T
        out = copy.copy(self)
        out.lengths = last - first
        out.starts = np.cumsum(out.lengths) - out.lengths
        index = np.repeat(self.starts + first - out.starts, out.lengths) + np.arange(out.lengths.sum())
        out.flat = self.flat[torch.from_numpy(index).to(self.flat.device)]
        return out

    def padded(self, numbers: np.ndarray, multiple: int = 8) -> tuple[list[torch.Tensor], torch.Tensor]:
        """RETURNS: states (n, longest, width) of each level, mask (n, longest)."""
        rows = self.rows[numbers]
        lengths = self.lengths[rows]
        longest = -(-int(lengths.max()) // multiple) * multiple
        place = np.arange(longest)
        mask = place < lengths[:, None]
        at = torch.from_numpy(np.where(mask, self.starts[rows][:, None] + place, 0)).to(self.flat.device)
        return list(self.flat[at].permute(2, 0, 1, 3).contiguous()), torch.from_numpy(mask)

    def packed(self, numbers: np.ndarray, multiple: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
        """numbers (texts, m), -1 for none. RETURNS: states (texts, n, width) of a text's strings, owners (texts, n)."""
        rows = np.where(numbers >= 0, self.rows[numbers], 0)
        lengths = np.where(numbers >= 0, self.lengths[rows], 0)
        totals = lengths.sum(1)
        longest = -(-int(totals.max()) // multiple) * multiple
        at, owner = np.zeros((len(rows), longest), "i8"), np.full((len(rows), longest), -1, "i8")
        flat = lengths.ravel()
        within = np.arange(flat.sum()) - np.repeat(np.cumsum(flat) - flat, flat)
        inside = np.arange(longest) < totals[:, None]
        at[inside] = np.repeat(self.starts[rows].ravel(), flat) + within
        owner[inside] = np.repeat(np.tile(np.arange(rows.shape[1]), len(rows)), flat)
        return self.flat[torch.from_numpy(at).to(self.flat.device), 0], torch.from_numpy(owner)


@torch.inference_mode()
def remember(
    net: Network, strings: Strings, numbers: np.ndarray, levels: int, folder: Path, name: str, device: str
) -> None:
    """Write these strings' vectors and the first `levels` levels of states; what is done can be read at any time."""
    blocks = np.split(numbers, range(BLOCK, len(numbers), BLOCK))  # sorted by length within a block only
    numbers = np.concatenate([block[np.argsort(strings.lengths[block], kind="stable")] for block in blocks])
    lengths = strings.lengths[numbers]
    width, begin, at = net.word.weight.shape[1], time.time(), 0
    shape = int(lengths.sum()), levels, width
    vectors = np.zeros((len(numbers), width), "f4")
    start, told, path = 0, begin, folder / f"{name}.npz"
    if path.exists() and np.array_equal((saved := np.load(path))["numbers"], numbers[: len(saved["numbers"])]):
        start = len(saved["numbers"])  # it was stopped: go on
        vectors[:start], at = saved["vectors"], int(lengths[:start].sum())
    states = np.lib.format.open_memmap(folder / f"{name}.npy", "r+" if start else "w+", np.int16, shape)
    while start < len(numbers):
        longest = -(-int(lengths[start]) // 8) * 8  # few shapes: each costs a kernel of its own in bfloat16
        part = numbers[start : min(start + 4096 // longest, (start // BLOCK + 1) * BLOCK)]
        part = part[strings.lengths[part] <= longest]
        ids, mask = strings.rows(part, torch.device(device))
        vector, found = net.read(ids, mask)
        vectors[start : start + len(part)] = vector.float().cpu().numpy()
        flat = torch.stack(found[:levels], 2)[mask].contiguous()
        states[at : at + len(flat)] = flat.view(torch.int16).cpu().numpy()
        at, start = at + len(flat), start + len(part)
        if time.time() > told + 30 or start == len(numbers):
            told = time.time()
            states.flush()
            done = {"numbers": numbers[:start], "lengths": lengths[:start], "vectors": vectors[:start]}
            np.savez(folder / f"{name}.new.npz", **done)
            (folder / f"{name}.new.npz").replace(path)
            print(f"{name}: {start:,} strings, {at:,} of {shape[0]:,} tokens, {told - begin:.0f} s", flush=True)


def unique_in_order(numbers: np.ndarray) -> np.ndarray:
    """The distinct numbers, in the order in which they come first."""
    return numbers[np.sort(np.unique(numbers, return_index=True)[1])]


def choose(
    data: Data, sets: list[LabelSet], per_set: int, premises: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple[ndarray, ndarray]): numbers of texts and hypotheses to remember, in an order that may be cut."""
    rng = np.random.default_rng(seed)
    rank = rng.permutation(len(data.texts.lengths))  # the same texts of sets that share them
    far = len(rank) * (data.texts.lengths > 64)  # long ones last
    texts = []
    for one in sets:
        most = per_set // 3 if one.name.startswith(HOSTILE) else per_set
        # as many of each label, as far as there are
        left = np.argsort(rank[one.text])
        turn = np.zeros(len(one.text))
        for column in one.right.T:
            rows = left[column[left]]
            turn[rows] = np.arange(len(rows))
        texts.append(one.text[np.lexsort((rank[one.text] + 4 * far[one.text], turn))[:most]])
    own = np.unique(data.nli[:, 0])
    own = own[np.argsort(rank[own] + far[own])][:premises]
    pairs = data.nli[np.isin(data.nli[:, 0], own)]
    pairs = pairs[np.argsort(rank[pairs[:, 0]], kind="stable")]
    hypotheses = [*(one.wording.ravel() for one in sets), pairs[:, 1]]
    chosen = np.unique(np.concatenate([*texts, own]))
    return chosen[np.argsort(rank[chosen])], unique_in_order(np.concatenate(hypotheses))


def held_out(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """RETURNS (tuple[ndarray, ndarray]): numbers of the texts and of the hypotheses that training is watched by."""
    sets, pairs = data.watched()
    texts = [one.text for one in sets] + [found[:, 0] for found in pairs.values()]
    hypotheses = [one.wording.ravel() for one in sets] + [found[:, 1] for found in pairs.values()]
    return np.unique(np.concatenate(texts)), np.unique(np.concatenate(hypotheses))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "folder", type=Path, help="where the states go: 2.3 KB a token of a text, 0.8 KB of a hypothesis"
    )
    parser.add_argument("--weights", type=Path, nargs="+", required=True, help="prefixes of .npz files, later ones win")
    parser.add_argument("--per-set", type=int, default=400, help="texts of a label set")
    parser.add_argument("--premises", type=int, default=20_000, help="texts of NLI pairs")
    parser.add_argument("--only", choices=("texts", "hyps"), help="one of both, to run them side by side")
    parser.add_argument("--held-out", action="store_true", help="what training is watched by, instead")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    net = Network(json.loads((args.base / "config.json").read_text(encoding="utf8")))
    net.load_base(args.base)
    for prefix in args.weights:
        net.load(prefix)
    net = net.eval().bfloat16().to(args.device)
    data = Data(args.data)
    if args.held_out:
        texts, hypotheses = held_out(data)
    else:
        texts, hypotheses = choose(data, data.split()[0], args.per_set, args.premises)
    names = [f"{'dev_' if args.held_out else ''}{kind}" for kind in ("hyps", "texts")]
    args.folder.mkdir(parents=True, exist_ok=True)
    print(
        f"{len(texts):,} texts, {data.texts.lengths[texts].sum():,} tokens; {len(hypotheses):,} hypotheses, "
        f"{data.hypotheses.lengths[hypotheses].sum():,} tokens",
        flush=True,
    )
    if args.only != "texts":
        remember(net, data.hypotheses, hypotheses, 1, args.folder, names[0], args.device)
    if args.only != "hyps":
        remember(net, data.texts, texts, len(net.cross), args.folder, names[1], args.device)


if __name__ == "__main__":
    main()
