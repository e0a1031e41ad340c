"""Train the encoder so that a text is nearest to its right label among those of its set: short, and held near the base.

What decides is the variety of label sets, and stopping early: trained for long, the encoder forgets labels it
does not see here. So it is mixed with another one afterwards (weights averaged, WiSE-FT, Wortsman et al. 2022;
mix.py). A GPU trains all of it; a CPU its upper layers, from the states before them that remember.py wrote.
"""

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .data import Data, nli_groups
from .network import Network, mean
from .remember import HOSTILE, States
from .teach import Taught

LENGTHS = np.asarray([8, 12, 16, 24, 32, 48, 64, 96, 128])  # strings are padded to one of these


class Reader:
    """Reads strings with the layers that are trained: all of them, or those above remembered states."""

    def __init__(self, data: Data, states: Path | None, args: argparse.Namespace) -> None:
        self.strings, self.first, self.device = (data.texts, data.hypotheses), args.first_layer, args.device
        self.states = [States(states, name) for name in ("texts", "hyps")] if states else []
        self.known = [np.ones(len(one.lengths), bool) for one in self.strings]
        for known, states_of in zip(self.known, self.states, strict=False):
            known[:] = np.isin(np.arange(len(known)), np.flatnonzero(states_of.rows >= 0))

    def __call__(self, net: Network, texts: np.ndarray, hypotheses: np.ndarray, drop: float) -> tuple[Tensor, Tensor]:
        """RETURNS (tuple[Tensor, Tensor]): vectors (n, width) of texts and of hypotheses, of length one."""
        numbers = texts, hypotheses
        lengths = np.concatenate([one.lengths[found] for one, found in zip(self.strings, numbers, strict=True)])
        padded = LENGTHS[np.searchsorted(LENGTHS, lengths)]
        # side by side: by length, texts before hypotheses
        order = np.argsort(padded, kind="stable")
        begin = np.concatenate([self._starts(kind, found) for kind, found in enumerate(numbers)])
        parts, groups, at = [], [], 0
        for length in np.unique(padded):
            rows = order[padded[order] == length]
            mask = torch.from_numpy(np.arange(length) < lengths[rows][:, None]).to(self.device)
            within = np.minimum(np.arange(length), lengths[rows][:, None] - 1)
            split = int((rows < len(texts)).sum())
            for kind, few in enumerate((slice(split), slice(split, None))):
                parts.append(
                    self._first(net, kind, (begin[rows[few]][:, None] + within[few]).ravel(), within[few].ravel())
                )
            groups.append((at, mask))
            at += mask.numel()
        x = torch.cat(parts)
        for layer in net.tower[self.first if self.states else 0 :]:
            x = layer.packed(x, groups, drop)
        means = [mean(x[start : start + mask.numel()].view(*mask.shape, -1), mask) for start, mask in groups]
        vectors = torch.cat(means)[torch.from_numpy(np.argsort(order)).to(self.device)]
        return vectors[: len(texts)], vectors[len(texts) :]

    def _starts(self, kind: int, numbers: np.ndarray) -> np.ndarray:
        if not self.states:
            return self.strings[kind].starts[numbers]
        return self.states[kind].starts[self.states[kind].rows[numbers]]

    def _first(self, net: Network, kind: int, at: np.ndarray, place: np.ndarray) -> Tensor:
        """States (tokens, width) before the first layer that is trained."""
        if self.states:
            return self.states[kind].flat[torch.from_numpy(at), 0].to(self.device)
        ids = torch.from_numpy(self.strings[kind].ids[at].astype("i8")).to(self.device)
        return net.embed(ids, torch.from_numpy(place).to(self.device))


class Sampler:
    """Draws texts of several label sets, and NLI groups."""

    def __init__(self, data: Data, known: list[np.ndarray], args: argparse.Namespace) -> None:
        texts, hypotheses = known
        self.args, self.rng = args, np.random.default_rng(args.seed)
        self.sets = [one for one in data.split()[0] if hypotheses[one.wording].all()]
        self.rows = [np.flatnonzero(texts[one.text]) for one in self.sets]
        # by the root of their number, so that small sets are seen too
        weight = np.sqrt([min(len(rows), 20_000) * (len(rows) >= 8) for rows in self.rows])
        weight *= [args.rare if one.name.startswith(HOSTILE) else 1.0 for one in self.sets]
        self.weight = weight / weight.sum()
        self.groups = nli_groups(data.nli[texts[data.nli[:, 0]] & hypotheses[data.nli[:, 1]]], 4)

    def draw(self) -> tuple[list[tuple[np.ndarray, np.ndarray, np.ndarray]], np.ndarray]:
        """RETURNS: (texts, hypotheses, right) of each label set drawn, and NLI groups."""
        labelled = []
        for number in self.rng.choice(len(self.sets), size=self.args.sets, p=self.weight):
            one, rows = self.sets[number], self.rows[number]
            picked = rows[self.rng.integers(0, len(rows), max(1, self.args.texts // self.args.sets))]
            wording, right = one.wording[self.rng.integers(0, len(one.wording))], one.right[picked]
            # the right ones first, then others at random
            columns = np.argsort(self.rng.random(len(one.labels)) - right.any(0))[: self.args.most_labels]
            labelled.append((one.text[picked], wording[columns], right[:, columns]))
        return labelled, self.groups[self.rng.integers(0, len(self.groups), self.args.nli)]


def nearest(cosines: Tensor, right: Tensor, sharpness: Tensor) -> Tensor:
    """-log of the right ones' share, mean over the rows that have a right one."""
    z, has = cosines * sharpness, right.any(1)
    loss = torch.logsumexp(z, 1) - torch.logsumexp(z.masked_fill(~right, -1e4), 1)
    return (loss * has).sum() / has.sum().clamp(min=1)


class Trainer:
    """The encoder that learns, the base that it is held near, and where both read."""

    def __init__(self, net: Network, data: Data, args: argparse.Namespace) -> None:
        self.net, self.base, self.args = net, copy.deepcopy(net).eval().requires_grad_(False), args
        self.reader = Reader(data, args.states, args)
        self.sampler = Sampler(data, self.reader.known, args)
        # of cosines: of a text with labels of its set, and with any
        self.sharpness = nn.Parameter(torch.full((2,), math.log(30.0), device=args.device))
        self.taught = Taught(args.teacher) if args.teacher else None
        if self.taught is not None:
            labels = np.unique(np.concatenate([one.wording.ravel() for one in self.sampler.sets]))
            self.labels = labels[self.taught.of(1, labels)[0]]

    def losses(self) -> Tensor:
        """RETURNS (Tensor): of one batch (4,): of label sets, of NLI, of leaving the base, of leaving the teacher."""
        args, rng, device = self.args, self.sampler.rng, self.args.device
        labelled, groups = self.sampler.draw()
        half = (groups.shape[1] - 1) // 2
        candidates, answers = groups[:, 1 : 1 + half], groups[:, 1 + half :]
        there = candidates >= 0
        texts = np.concatenate([*(found[0] for found in labelled), groups[:, 0]])
        hypotheses = np.concatenate([*(found[1] for found in labelled), candidates[there]])
        if self.taught is not None:
            hypotheses = np.concatenate([hypotheses, rng.choice(self.labels, args.any_labels)])
        few = [rng.permutation(len(found))[: args.anchor_texts] for found in (texts, hypotheses)]
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            now = text, own = self.reader(self.net, texts, hypotheses, args.dropout)
            with torch.no_grad():
                was = self.reader(self.base, texts[few[0]], hypotheses[few[1]], 0.0)
        moved = [1 - (a * b[torch.from_numpy(rows)]).sum(-1) for a, b, rows in zip(was, now, few, strict=True)]
        sharpness, listed, row, column = self.sharpness.exp(), [], 0, 0
        for numbers, wording, right in labelled:
            cosines = text[row : row + len(numbers)] @ own[column : column + len(wording)].T
            listed.append(nearest(cosines, torch.from_numpy(right).to(device), sharpness[0]))
            row, column = row + len(numbers), column + len(wording)
        # an entailed hypothesis is nearer to its premise than those of other premises
        owner = np.nonzero(there)[0]
        good = torch.from_numpy((owner == np.arange(len(groups))[:, None]) & (answers[there] == 1)).to(device)
        entailed = nearest(text[row:] @ own[column : column + len(owner)].T, good, sharpness[0])
        found = [torch.stack(listed).mean(), entailed, moved[0].mean() + moved[1].mean()]
        return torch.stack([*found, self._from_teacher(texts, hypotheses, text, own, sharpness[1])])

    def _from_teacher(
        self, texts: np.ndarray, hypotheses: np.ndarray, text: Tensor, own: Tensor, sharpness: Tensor
    ) -> Tensor:
        """Kullback-Leibler divergence of the shares of any labels in a text, as the teacher gives them."""
        if self.taught is None:
            return torch.zeros((), device=text.device)
        (rows, wanted), (columns, labels) = self.taught.of(0, texts), self.taught.of(1, hypotheses)
        share = (wanted @ labels.T / self.args.teacher_temperature).softmax(1).to(text.device)
        z = (text[rows] @ own[columns].T * sharpness).log_softmax(1)
        return nn.functional.kl_div(z, share, reduction="batchmean")


def train(net: Network, data: Data, args: argparse.Namespace) -> Iterator[int]:
    """Train the encoder. Its weights are the averaged ones whenever this yields the number of steps, and at the end."""
    trainer = Trainer(net, data, args)
    if args.start:
        net.mix(args.start, 1.0)
    net.requires_grad_(False)
    trained = [] if args.first_layer else [net.pos, net.kind, *net.ln.parameters()]
    trained += net.tower[args.first_layer :].parameters()
    for p in trained:
        p.requires_grad_()
    groups = [{"params": trained, "lr": args.rate, "base": args.rate}]
    groups.append({"params": [trainer.sharpness], "lr": 0.03, "base": 0.03, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
    average = [p.detach().clone() for p in trained]
    weights = torch.tensor([1.0, args.nli_weight, args.anchor, args.teacher_weight], device=args.device)
    begin, step, saved, sums = time.time(), 0, time.time(), torch.zeros(4)
    net.train()
    while (gone := step / args.steps if args.steps else (time.time() - begin) / args.seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * min(1.0, (step + 1) / args.warmup) * (1 - gone)
        losses = trainer.losses()
        optimizer.zero_grad(set_to_none=True)
        (losses * weights).sum().backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        torch._foreach_lerp_(average, [p.detach() for p in trained], 1 - min(args.average, (1 + step) / (10 + step)))
        sums += losses.detach().cpu()
        if step % 20 == 0:
            told = zip(("sets", "nli", "base", "teacher"), (sums / 20).tolist(), strict=True)
            print(f"step {step} {time.time() - begin:.0f} s", *(f"{name} {x:.4f}" for name, x in told), flush=True)
            sums.zero_()
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
    parser.add_argument("--states", type=Path, help="folder of states before the first layer that is trained")
    parser.add_argument("--teacher", type=Path, help="what teach.py wrote")
    parser.add_argument("--teacher-weight", type=float, default=0.5)
    parser.add_argument("--teacher-temperature", type=float, default=0.05)
    parser.add_argument("--any-labels", type=int, default=72, help="labels of any sets in a step, for the teacher")
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
    parser.add_argument("--texts", type=int, default=800, help="in a step")
    parser.add_argument("--nli", type=int, default=512, help="groups of NLI pairs in a step")
    parser.add_argument("--sets", type=int, default=12, help="label sets in a step")
    parser.add_argument("--most-labels", type=int, default=64)
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
