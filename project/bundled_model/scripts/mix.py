"""Mix a trained encoder with another, or with the base's: share * trained + (1 - share) * other.

Interaction layers and head may come from another file, or a share of them.
"""

import argparse
import json
from pathlib import Path

from .network import Network


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("encoder", type=Path, help="prefix of the trained encoder's .npz files")
    parser.add_argument("output", type=Path, help=".npz to write")
    parser.add_argument("--share", type=float, default=0.6, help="of the trained encoder")
    parser.add_argument("--other", type=Path, help="prefix of the other encoder's .npz files; else the base's")
    parser.add_argument("--interaction", type=Path, help="prefix of .npz files with interaction layers")
    parser.add_argument("--interaction-share", type=float, default=1.0, help="of these; the rest of the encoder's file")
    args = parser.parse_args(argv)
    net = Network(json.loads((args.base / "config.json").read_text(encoding="utf8")))
    net.load_base(args.base)
    if args.other:
        net.mix(args.other, 1.0)
    net.mix(args.encoder, args.share)
    if args.interaction:
        net.mix(args.interaction, 1.0, args.interaction_share)
    net.save(args.output, encoder=True)


if __name__ == "__main__":
    main()
