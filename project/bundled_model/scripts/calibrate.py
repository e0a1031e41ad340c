"""Choose what the head and the cosine are worth, on the held-out training sets and the pairs kept from training.

Where labels compete: E = (weight * head + scale * cosine) / temperature. Each label on its own, and NLI: the sigmoid of
sharpness * head + a * cosine + b (the sharpness goes into the classifier's weights).
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from .data import Data
from .measures import calibration_error, macro_f1, micro_f1
from .network import Network
from .remember import States
from .train_interaction import Dev

RATIOS = (0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012, 0.02)
SCALE = 60.0  # of the cosine where labels compete, before the temperature
COSINE_SCALES = (0.0, 10.0, 20.0, 30.0, 40.0, 60.0, 80.0, 100.0, 140.0)
SHARPNESS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.5)

ERROR, LOSS = 0.075, 0.025  # of calibration, and of F1


class Found(NamedTuple):
    """A set or pairs: what is right (texts, labels), and both kinds of evidence for it."""

    name: str
    right: np.ndarray
    head: np.ndarray
    cosine: np.ndarray


@torch.no_grad()
def evidence(net: Network, dev: Dev) -> tuple[list[Found], list[Found]]:
    """RETURNS (tuple[list[Found], list[Found]]): of label sets, of NLI pairs."""

    def found(name: str, right: np.ndarray, batches: list) -> Found:
        head = np.concatenate([batch.margins(net, 0.0).cpu().numpy() for batch in batches])
        return Found(name, right, head, np.concatenate([batch.cosine.cpu().numpy() for batch in batches]))

    sets = [found(name, right, batches) for name, (right, batches) in zip(dev.names, dev.sets, strict=True)]
    return sets, [found(name, answers[:, None], batches) for name, (answers, batches) in dev.pairs.items()]


def choose_ratio(sets: list[Found]) -> tuple[float, dict[float, float]]:
    """The head's margin beside a cosine, where labels compete, by the mean macro-F1: the least within a standard
    error of the best (Breiman et al. 1984), as it is the cosine that fits label sets of other kinds."""
    table = np.array([[macro_f1(s.right, (s.cosine + r * s.head).argmax(1)) for r in RATIOS] for s in sets])
    means = table.mean(0)
    lost = table[:, [means.argmax()]] - table
    near = lost.mean(0) <= lost.std(0) / max(1, len(sets) - 1) ** 0.5
    return RATIOS[int(near.argmax())], dict(zip(RATIOS, means.tolist(), strict=True))


def choose_temperature(sets: list[Found], ratio: float) -> float:
    """The temperature with the best log-likelihood of the right labels, all sets alike."""

    def loss(t: float) -> float:
        total = 0.0
        for s in sets:
            z = SCALE * (s.cosine + ratio * s.head) / t
            z = z - np.log(np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True)) - z.max(1, keepdims=True)
            total -= float((z * s.right).sum() / s.right.sum())
        return total

    temperatures = np.geomspace(0.1, 10, 60)
    return float(temperatures[np.argmin([loss(t) for t in temperatures])])


def choose_margin(sets: list[Found], pairs: list[Found]) -> tuple[float, float, float, dict[str, float]]:
    """RETURNS: sharpness, a, b, and what they reach.

    NLI accuracy and F1 at the threshold .5 count; an error of calibration above ERROR, over all sets together, costs,
    and so does an F1 that is more than LOSS below that of the best threshold.
    """
    best: tuple[float, float, float, float, dict[str, float]] = -np.inf, 1.0, 0.0, 0.0, {}
    right = np.concatenate([s.right.ravel() for s in sets])
    for a in COSINE_SCALES:
        raw_sets, raw_pairs = ([s.head + a * s.cosine for s in group] for group in (sets, pairs))
        together, middle = (np.concatenate([raw.ravel() for raw in group]) for group in (raw_sets, raw_pairs))
        offsets = -np.quantile(middle, np.linspace(0.3, 0.95, 160))
        f1 = [mean(micro_f1(s.right, raw + b > 0) for raw, s in zip(raw_sets, sets, strict=True)) for b in offsets]
        for b, found in zip(offsets.tolist(), f1, strict=True):
            accuracy = mean(((raw + b > 0) == s.right).mean() for raw, s in zip(raw_pairs, pairs, strict=True))
            lost = max(f1) - found
            for sharpness in SHARPNESS:
                error = calibration_error(sigmoid(sharpness * (together + b)), right)
                value = 2 * accuracy + found - 4 * (max(0.0, error - ERROR) + max(0.0, lost - LOSS))
                if value > best[0]:
                    told = {"nli": accuracy, "f1": found, "f1_at_best_threshold": max(f1), "ece": error}
                    told["ece, mean of the sets"] = mean(
                        calibration_error(sigmoid(sharpness * (raw + b)), s.right)
                        for raw, s in zip(raw_sets, sets, strict=True)
                    )
                    best = value, sharpness, sharpness * a, sharpness * b, told
    return best[1:]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def mean(values: Iterable[float]) -> float:
    """The mean as a float of Python."""
    return float(np.mean(list(values)))


def calibrate(sets: list[Found], pairs: list[Found]) -> dict:
    """RETURNS (dict): the choices, and under "told" what they were made by."""
    ratio, table = choose_ratio(sets)
    # an English template around labels of another language is no measure for everyone's scores
    sharpness, a, b, told = choose_margin([s for s in sets if not s.name.endswith("_native")], pairs)
    return {
        "similarity": [round(a, 4), round(b, 4), SCALE],
        "competition_temperature": round(choose_temperature(sets, ratio), 4),
        "competition_head_weight": round(SCALE * ratio / sharpness, 5),
        "sharpness": sharpness,
        "told": {"macro-F1 by ratio": table, "ratio": ratio, **told},
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("states", type=Path, help="folder that remember.py wrote with --held-out")
    parser.add_argument("output", type=Path, help="JSON to write")
    parser.add_argument("--weights", type=Path, nargs="+", required=True, help="prefixes of .npz files, later ones win")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    net = Network(json.loads((args.base / "config.json").read_text(encoding="utf8")))
    net.load_base(args.base)
    for prefix in args.weights:
        net.load(prefix)
    net = net.eval().to(args.device)
    data = Data(args.data)
    held = States(args.states, "dev_texts"), States(args.states, "dev_hyps").of_labels(data.hypotheses)
    choices = calibrate(*evidence(net, Dev(data, *held, args.device)))
    args.output.write_text(json.dumps(choices, indent=1) + "\n", encoding="utf8")
    print(json.dumps(choices, indent=1))


if __name__ == "__main__":
    main()
