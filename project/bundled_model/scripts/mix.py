"""Mix encoders: the mean of their weights, by their shares. What is left to one is the base's (WiSE-FT, Wortsman et al.
2022; several: model soups, of the same authors).

Interaction layers and heads likewise, by shares that are one together.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from .network import ENCODER, Network

Weights = dict[str, Tensor]


def weights_of(net: Network, encoder: bool) -> Weights:
    """Copies of the weights of the encoder, but for the words, or of all others."""
    named = net.named_parameters()
    return {n: p.detach().clone() for n, p in named if n != "word.weight" and n.startswith(ENCODER) == encoder}


def load_weights(net: Network, prefixes: Sequence[Path], encoder: bool) -> list[Weights]:
    """The weights of trained encoders, or interaction layers, on top of what a network has. It keeps those it has."""
    before, found = weights_of(net, encoder), []
    for prefix in prefixes:
        net.load(prefix, encoder, not encoder)
        found.append(weights_of(net, encoder))
        give(net, [before], [1.0])
    return found


@torch.no_grad()
def give(net: Network, parts: Sequence[Weights], shares: Sequence[float]) -> None:
    """Give a network the mean of weights by their shares."""
    own = dict(net.named_parameters())
    for name in parts[0]:
        own[name].copy_(sum(share * part[name] for share, part in zip(shares, parts, strict=True)))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("output", type=Path, help=".npz to write")
    parser.add_argument("--encoders", type=Path, nargs="+", required=True, help="prefixes of .npz files")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.6], help="of these; the rest is the base's")
    parser.add_argument("--interaction", type=Path, nargs="+", help="prefixes of .npz files with interaction layers")
    parser.add_argument("--interaction-shares", type=float, nargs="+", default=[1.0], help="of these")
    args = parser.parse_args(argv)
    net = Network(json.loads((args.base / "config.json").read_text(encoding="utf8")))
    net.load_base(args.base)
    encoders = load_weights(net, args.encoders, encoder=True)
    give(net, [weights_of(net, encoder=True), *encoders], [1 - sum(args.shares), *args.shares])
    if args.interaction:
        give(net, load_weights(net, args.interaction, encoder=False), args.interaction_shares)
    net.save(args.output, encoder=True)


if __name__ == "__main__":
    main()
