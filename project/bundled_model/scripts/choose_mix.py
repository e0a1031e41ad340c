"""Print what every mix of encoders is worth on the held-out sets, by the cosine alone, and choose the shares."""

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .data import Data, LabelSet, Strings
from .measures import macro_f1
from .mix import give, load_weights, weights_of
from .network import Network

NEAR = 0.001  # of macro-F1: no difference on so few sets


@torch.inference_mode()
def vectors(net: Network, strings: Strings, numbers: np.ndarray, device: torch.device, size: int) -> Tensor:
    """RETURNS (Tensor): vectors (numbers, width) of length one."""
    order = np.argsort(strings.lengths[numbers], kind="stable")
    out = torch.zeros(len(numbers), net.word.weight.shape[1], device=device)
    for part in np.split(order, range(size, len(order), size)):
        with torch.autocast(device.type, torch.bfloat16):
            out[torch.from_numpy(part).to(device)] = net.read(*strings.rows(numbers[part], device))[0]
    return out


def score(net: Network, data: Data, sets: list[LabelSet], device: torch.device, size: int = 512) -> list[float]:
    """RETURNS (list[float]): the macro-F1 of each set, mean of its first two wordings."""
    found = []
    for one in sets:
        text = vectors(net, data.texts, one.text, device, size)
        chosen = [
            (text @ vectors(net, data.hypotheses, wording, device, size).T).argmax(1).cpu().numpy()
            for wording in one.wording[:2]
        ]
        found.append(float(np.mean([macro_f1(one.right, best) for best in chosen])))
    return found


def shares_of(encoders: int, steps: int) -> Iterator[tuple[float, ...]]:
    """Shares of the encoders, in steps; what is left to one is the base's."""
    for counts in itertools.product(range(steps + 1), repeat=encoders):
        if sum(counts) <= steps:
            yield tuple(count / steps for count in counts)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoders", type=Path, nargs="+", required=True, help="prefixes of trained encoders' files")
    parser.add_argument("--steps", type=int, default=10, help="of shares between 0 and 1")
    parser.add_argument("--texts", type=int, default=500, help="of each held-out set")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    device = torch.device(args.device)
    net = Network(json.loads((args.base / "config.json").read_text(encoding="utf8"))).eval()
    net.load_base(args.base)
    net = net.to(device)

    parts = [weights_of(net, encoder=True), *load_weights(net, args.encoders, encoder=True)]
    data = Data(args.data)
    sets = [one.limited(args.texts) for one in data.split()[1]]
    table = {}
    for shares in shares_of(len(args.encoders), args.steps):
        give(net, parts, [1 - sum(shares), *shares])
        found = score(net, data, sets, device)
        table[shares] = float(np.mean(found))
        print(*shares, f"{table[shares]:.4f}", *(f"{x:.3f}" for x in found), flush=True)
    best = max(table.values())
    # of those that are hardly worse, the one in their middle: one mix's luck on so few sets does not decide
    good = np.asarray([shares for shares, value in table.items() if value > best - NEAR])
    middle = good[np.square(good - good.mean(0)).sum(1).argmin()].tolist()
    print(f"chosen: {middle} {table[tuple(middle)]:.4f}, best {best:.4f}", flush=True)


if __name__ == "__main__":
    main()
