"""Train the encoder so that a text is nearest to its right label among those of its set: short, and held near the base.

What decides is the variety of label sets, and stopping early: trained for long, the encoder forgets labels it
does not see here. So it is mixed with the untrained one afterwards (weights averaged, WiSE-FT, Wortsman et al.
2022; mix.py). Made for a GPU.
"""

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .data import Data, LabelSet, nli_groups
from .network import Network
from .remember import HOSTILE

BUCKETS = 32, 64, 128
NLI_HYPOTHESES = 4


class Batch(NamedTuple):
    """Texts of several label sets and premises, and all their hypotheses."""

    labelled: list[tuple[np.ndarray, np.ndarray, np.ndarray]]  # texts, hypotheses, right of each label set
    groups: np.ndarray  # of NLI pairs
    texts: tuple[Tensor, Tensor]  # ids and mask of the labelled texts and the premises
    hypotheses: tuple[Tensor, Tensor]


class Sampler:
    """Draws texts of several label sets, and NLI groups, of about the same length."""

    def __init__(self, data: Data, sets: list[LabelSet], args: argparse.Namespace) -> None:
        self.data, self.sets, self.args, self.rng = data, sets, args, np.random.default_rng(args.seed)
        lengths, groups = data.texts.lengths, nli_groups(data.nli, NLI_HYPOTHESES)
        self.buckets, shares = [], []
        for low, high in zip((0, *BUCKETS), BUCKETS, strict=False):
            rows = [np.flatnonzero((lengths[s.text] > low) & (lengths[s.text] <= high)) for s in sets]
            counts = np.asarray([len(found) for found in rows], float)
            # by the root of their number, so that small sets are seen too
            weight = np.sqrt(np.minimum(counts, 20_000)) * (counts >= 8)
            weight *= [args.rare if s.name.startswith(HOSTILE) else 1.0 for s in sets]
            own = groups[(lengths[groups[:, 0]] > low) & (lengths[groups[:, 0]] <= high)]
            if weight.sum() and len(own):
                self.buckets.append((high, rows, weight / weight.sum(), own))
                shares.append((counts.sum() + len(own)) * high)
        self.shares = np.asarray(shares) / sum(shares)

    def draw(self) -> Batch:
        """Draw one batch."""
        high, rows, weight, groups = self.buckets[self.rng.choice(len(self.buckets), p=self.shares)]
        per = max(1, self.args.texts * BUCKETS[-1] // high // self.args.sets)
        labelled = []
        for number in self.rng.choice(len(self.sets), size=self.args.sets, p=weight):
            one = self.sets[number]
            picked = rows[number][self.rng.integers(0, len(rows[number]), per)]
            columns = self.rng.permutation(len(one.labels))[: self.args.most_labels]
            wording = one.wording[self.rng.integers(0, len(one.wording))]
            labelled.append((one.text[picked], wording[columns], one.right[picked][:, columns]))
        drawn = groups[self.rng.integers(0, len(groups), self.args.nli * BUCKETS[-1] // high)]
        candidates = drawn[:, 1 : 1 + NLI_HYPOTHESES]
        texts = np.concatenate([*(found[0] for found in labelled), drawn[:, 0]])
        hypotheses = np.concatenate([*(found[1] for found in labelled), candidates[candidates >= 0]])
        device = torch.device(self.args.device)
        return Batch(
            labelled, drawn, self.data.texts.rows(texts, device), self.data.hypotheses.rows(hypotheses, device)
        )


def nearest(cosines: Tensor, right: Tensor, sharpness: Tensor) -> Tensor:
    """-log of the right ones' share, mean over the rows that have a right one."""
    z, has = cosines * sharpness, right.any(1)
    loss = torch.logsumexp(z, 1) - torch.logsumexp(z.masked_fill(~right, -1e4), 1)
    return (loss * has).sum() / has.sum().clamp(min=1)


def one_step(net: Network, teacher: Network, sharpness: Tensor, batch: Batch, args: argparse.Namespace) -> Tensor:
    """RETURNS (Tensor): the loss of one batch."""
    labelled, groups, texts, hypotheses = batch
    candidates, answers = groups[:, 1 : 1 + NLI_HYPOTHESES], groups[:, 1 + NLI_HYPOTHESES :]
    there = candidates >= 0
    device = torch.device(args.device)
    with torch.autocast(device.type, torch.bfloat16):
        text, _ = net.read(*texts, drop=args.dropout)
        own, _ = net.read(*hypotheses, drop=args.dropout)
        with torch.no_grad():
            few = args.anchor_texts
            was = [teacher.read(ids[:few], mask[:few])[0] for ids, mask in (texts, hypotheses)]
    anchor = sum(
        (1 - (before * now[: len(before)]).sum(-1)).mean() for before, now in zip(was, (text, own), strict=True)
    )
    losses, row, column = [], 0, 0
    for numbers, wording, right in labelled:
        cosines = text[row : row + len(numbers)] @ own[column : column + len(wording)].T
        losses.append(nearest(cosines, torch.from_numpy(right).to(device), sharpness.exp()))
        row, column = row + len(numbers), column + len(wording)
    # an entailed hypothesis is nearer to its premise than those of other premises
    owner = np.nonzero(there)[0]
    good = (owner[None, :] == np.arange(len(groups))[:, None]) & (answers[there] == 1)[None, :]
    entailed = nearest(text[row:] @ own[column:].T, torch.from_numpy(good).to(device), sharpness.exp())
    return torch.stack(losses).mean() + args.nli_weight * entailed + args.anchor * anchor


def train(net: Network, data: Data, args: argparse.Namespace) -> Iterator[int]:
    """Train the encoder. Its weights are the averaged ones whenever this yields the number of steps, and at the end."""
    teacher = copy.deepcopy(net).eval().requires_grad_(False)
    if args.start:
        net.load(args.start)
    net.requires_grad_(False)
    trained = [] if args.first_layer else [net.pos, net.kind, *net.ln.parameters()]
    trained += net.tower[args.first_layer :].parameters()
    for p in trained:
        p.requires_grad_()
    sharpness = nn.Parameter(torch.tensor(math.log(30.0), device=args.device))
    groups = [{"params": trained, "lr": args.rate, "base": args.rate}]
    groups.append({"params": [sharpness], "lr": 0.03, "base": 0.03, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    average = [p.detach().clone() for p in trained]
    sets = data.split()[0]
    keep = np.random.default_rng(args.seed).random(len(sets)) >= args.leave_out
    sampler = Sampler(data, [one for one, kept in zip(sets, keep, strict=True) if kept], args)
    worker = ThreadPoolExecutor(1)  # draws a batch while the one before computes
    drawn = worker.submit(sampler.draw)
    begin, step, saved = time.time(), 0, time.time()
    net.train()
    while (gone := step / args.steps if args.steps else (time.time() - begin) / args.seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * min(1.0, (step + 1) / args.warmup) * (1 - gone)
        batch, drawn = drawn.result(), worker.submit(sampler.draw)
        loss = one_step(net, teacher, sharpness, batch, args)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        torch._foreach_lerp_(average, [p.detach() for p in trained], 1 - min(args.average, (1 + step) / (10 + step)))
        if step % 20 == 0:
            print(f"step {step} {time.time() - begin:.0f} s loss {loss.item():.4f}", flush=True)
        if time.time() > saved + args.save_every:
            swap(trained, average)
            yield step
            swap(trained, average)
            saved = time.time()
    swap(trained, average)
    net.eval()
    yield step


@torch.no_grad()
def swap(weights: list[Tensor], others: list[Tensor]) -> None:
    """Exchange the values of both."""
    for p, other in zip(weights, others, strict=True):
        value = p.detach().clone()
        p.copy_(other)
        other.copy_(value)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path, help=".npz to write")
    parser.add_argument("--start", type=Path, help="prefix of .npz files: go on from an encoder trained before")
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--steps", type=int, default=0, help="instead of seconds")
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--first-layer", type=int, default=0, help="the layers below stay as they are")
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--average", type=float, default=0.99)
    parser.add_argument("--anchor", type=float, default=1.0, help="weight of staying near the base's vectors")
    parser.add_argument("--anchor-texts", type=int, default=256)
    parser.add_argument("--nli-weight", type=float, default=0.3)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--texts", type=int, default=192, help="of 128 pieces in a step; more if shorter")
    parser.add_argument("--nli", type=int, default=128, help="groups of NLI pairs in a step, likewise")
    parser.add_argument("--sets", type=int, default=12, help="label sets in a step")
    parser.add_argument("--most-labels", type=int, default=64)
    parser.add_argument("--leave-out", type=float, default=0.0, help="share of the label sets, at random by the seed")
    parser.add_argument("--rare", type=float, default=0.35, help="factor of drawing hostile sets")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--save-every", type=float, default=300, help="seconds")
    args = parser.parse_args(argv)
    torch.manual_seed(args.seed)
    net = Network(json.loads((args.base / "config.json").read_text(encoding="utf8")))
    net.load_base(args.base)
    net = net.to(args.device)
    for step in train(net, Data(args.data), args):
        net.save(args.output, encoder=True)
        print(f"{args.output}: {step} steps", flush=True)


if __name__ == "__main__":
    main()
