"""Train the interaction layers and the head on remembered states of a frozen encoder.

Labelled texts teach which labels hold (each label on its own) and, where labels compete, to add to what the
cosine knows. The cosine takes part in that loss with noise, and sometimes not at all: on label sets that the
encoder was trained on it is better than on new ones. NLI pairs teach what a text says of a hypothesis. With `--keep`
pairs alone teach, and labelled texts say what is not to change (Learning without Forgetting, Li and Hoiem 2016).
"""

import argparse
import copy
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .data import Data, LabelSet, nli_groups
from .measures import macro_f1
from .network import Network
from .remember import HOSTILE, States

BUCKETS = 24, 40, 64, 128  # lengths of texts: all of one step fall into one, so that little is spent on padding
NLI_HYPOTHESES = 4


class Batch:
    """Texts with m candidate hypotheses each; target: which of them hold (texts, m)."""

    def __init__(
        self,
        texts: States,
        hypotheses: States,
        numbers: np.ndarray,
        candidates: np.ndarray,
        device: str,
        target: np.ndarray | None = None,
    ) -> None:
        self.there = torch.from_numpy(candidates >= 0).to(device)
        levels, mask = texts.padded(numbers)
        begun, owner = hypotheses.packed(candidates)
        self.levels, self.mask = [level.to(device) for level in levels], mask.to(device)
        self.begun, self.owner, self.m = begun.to(device), owner.to(device), candidates.shape[1]
        vectors = hypotheses.vectors[hypotheses.rows[np.maximum(candidates, 0)]]
        self.cosine = (texts.vectors[texts.rows[numbers]][:, None] * vectors).sum(-1).to(device)
        self.target = torch.from_numpy(np.zeros(candidates.shape) if target is None else target).float().to(device)

    def margins(self, net: Network, drop: float) -> Tensor:
        """RETURNS (Tensor): the head's margins of entailment (texts, m)."""
        with torch.autocast(self.begun.device.type, torch.bfloat16):
            head = net.entail(self.levels, self.mask, self.begun, self.owner, self.m, drop)
        return head[..., 1] - head[..., 0]


class Sampler:
    """Draws texts with candidates, right one first, and groups of NLI pairs, of about the same length."""

    def __init__(self, data: Data, args: argparse.Namespace) -> None:
        self.rng, self.args, self.data = np.random.default_rng(args.seed), args, data
        self.refresh()

    def refresh(self) -> None:
        """Take what is remembered by now: remember.py may still be at work."""
        args, data = self.args, self.data
        self.texts = texts = States(args.states, "texts", args.device)
        self.hypotheses = hypotheses = States(args.states, "hyps", args.device).of_labels(data.hypotheses)
        known = np.zeros(len(data.texts.lengths), bool)
        known[np.flatnonzero(texts.rows >= 0)] = True
        lengths = data.texts.lengths
        self.sets = sets = [s for s in data.split()[0] if hypotheses.knows(s.wording)]
        pairs = data.nli[known[data.nli[:, 0]]]
        pairs = pairs[np.isin(pairs[:, 1], np.flatnonzero(hypotheses.rows >= 0))]
        groups = nli_groups(pairs, NLI_HYPOTHESES)
        self.buckets: list[tuple[int, list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]] = []
        shares = []
        for low, high in zip((0, *BUCKETS), BUCKETS, strict=False):
            rows = [np.flatnonzero(known[s.text] & (lengths[s.text] > low) & (lengths[s.text] <= high)) for s in sets]
            counts = np.asarray([len(r) for r in rows], float)
            weight = np.sqrt(counts) * np.where(counts >= 8, 1.0, 0.0)
            weight *= [args.rare if s.name.startswith(HOSTILE) else 1.0 for s in sets]
            own = groups[(lengths[groups[:, 0]] > low) & (lengths[groups[:, 0]] <= high)]
            own = own if len(own) or not self.buckets else self.buckets[-1][3]  # long premises may be left out
            if not weight.sum() or not len(own):
                continue
            self.buckets.append((high, rows, weight / weight.sum(), own, self._chances(own)))
            shares.append((weight.sum() * 20 + len(own)) * high)
        self.shares = np.asarray(shares) / sum(shares)
        print(f"{len(sets)} label sets, {known.sum():,} texts, {len(pairs):,} NLI pairs", flush=True)

    def draw(self) -> tuple[list[Batch], Batch]:
        """RETURNS: labelled batches, one NLI batch whose answers are in `.answers`."""
        high, rows, weight, groups, chances = self.buckets[int(self.rng.choice(len(self.buckets), p=self.shares))]
        factor = min(1.0, 40 / high)
        chosen = self.rng.choice(len(self.sets), size=self.args.sets, p=weight)
        per = max(4, round(self.args.texts * factor / self.args.sets))
        labelled = [self._labelled(self.sets[n], rows[n][self.rng.integers(0, len(rows[n]), per)]) for n in chosen]
        drawn = groups[self.rng.choice(len(groups), max(4, round(self.args.nli * factor)), p=chances)]
        candidates, answers = (
            drawn[:, 1 : 1 + NLI_HYPOTHESES].astype("i8"),
            np.maximum(drawn[:, 1 + NLI_HYPOTHESES :], 0),
        )
        batch = Batch(self.texts, self.hypotheses, drawn[:, 0], candidates, self.args.device, answers)
        return labelled, batch

    def _chances(self, groups: np.ndarray) -> np.ndarray:
        """How often each group is drawn: all alike, but for files that would have less than their least share."""
        files = np.searchsorted(self.data.nli_files, groups[:, 0], side="right")
        _, places, counts = np.unique(files, return_inverse=True, return_counts=True)
        shares = np.maximum(counts / len(groups), self.args.least_share)
        return (shares / shares.sum() / counts)[places]

    def _labelled(self, one: LabelSet, rows: np.ndarray) -> Batch:
        rng, m = self.rng, min(self.args.hypotheses, len(one.labels))
        wording = one.wording[rng.integers(0, len(one.templates) if rng.random() < 0.6 else len(one.wording))]
        right = one.right[rows]
        vectors = self.hypotheses.vectors[self.hypotheses.rows[wording]]
        cosine = (self.texts.vectors[self.texts.rows[one.text[rows]]] @ vectors.T).numpy()
        noise = rng.gumbel(size=cosine.shape)
        hard = np.where(rng.random((len(rows), 1)) < 0.5, self.args.hard, 0.0)  # the other half at random
        priority = cosine * hard + noise - 1e3 * right
        first = (noise + 1e3 * right).argmax(1)[:, None]
        others = np.argsort(-np.where(np.arange(right.shape[1]) == first, -np.inf, priority), 1)[:, : m - 1]
        picked = np.concatenate([first, others], 1)
        target = np.take_along_axis(right, picked, 1)
        # a second right label says nothing where labels compete, and may be missing where it holds: left out
        candidates = np.where((np.arange(m) > 0) & target, -1, wording[picked])
        return Batch(self.texts, self.hypotheses, one.text[rows], candidates, self.args.device, target)


def kept_loss(margin: Tensor, batch: Batch, first: Network, args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """How far the margins of labels are from what they were at the start, squared; nothing among rivals."""
    with torch.no_grad():
        was = batch.margins(first, 0.0)
    return args.keep * F.mse_loss(margin[batch.there], was[batch.there]), margin.new_zeros(())


def labelled_loss(
    margin: Tensor, batch: Batch, evidence: nn.ParameterDict, args: argparse.Namespace
) -> tuple[Tensor, Tensor]:
    """Each label on its own, and the right one among its rivals."""
    there, target = batch.there.float(), batch.target
    both = margin + evidence["scale"] * batch.cosine + evidence["offset"]
    weight = torch.where(target > 0, args.right_weight, 1.0) * there
    alone = (F.binary_cross_entropy_with_logits(both, target, reduction="none") * weight).sum() / weight.sum()
    # a constant error of each label, as new label sets have it, and some texts without any help of the cosine
    noise = args.noise * torch.randn(1, margin.shape[1], device=margin.device)
    help_ = (torch.rand(len(margin), 1, device=margin.device) > args.alone).float()
    rivals = args.sharpness * (args.head_share * margin + batch.cosine * help_ + noise * help_)
    rivals = rivals.masked_fill(~batch.there, -1e4)
    log_p = rivals.log_softmax(1)
    smooth = (log_p * there).sum(1) / there.sum(1)
    listed = -(1 - args.smoothing) * log_p[:, 0] - args.smoothing * smooth
    has = target[:, 0] * (there.sum(1) > 1)
    return alone, (listed * has).sum() / has.sum().clamp(min=1)


@torch.no_grad()
def watch(net: Network, dev: "Dev", device: str) -> str:
    """What the held-out sets say: the cosine with some of the head, the head alone, NLI accuracy at its best offset."""
    joint, alone = [], []
    for right, batches in dev.sets:
        head = np.concatenate([batch.margins(net, 0.0).cpu().numpy() for batch in batches])
        cosine = np.concatenate([batch.cosine.cpu().numpy() for batch in batches])
        joint.append([macro_f1(right, (cosine + r * head).argmax(1)) for r in (0.0, 0.002, 0.004, 0.008)])
        alone.append(macro_f1(right, head.argmax(1)))
    told = "cosine + (0, .002, .004, .008) head " + " ".join(f"{x:.4f}" for x in np.mean(joint, 0))
    told += f", head {np.mean(alone):.4f}"
    for name, (answers, batches) in dev.pairs.items():
        found = np.concatenate([batch.margins(net, 0.0)[:, 0].cpu().numpy() for batch in batches])
        cosine = np.concatenate([batch.cosine[:, 0].cpu().numpy() for batch in batches])
        both = found + 20 * cosine
        best = max(float(((both > b) == answers).mean()) for b in np.quantile(both, np.linspace(0.3, 0.9, 61)))
        told += f", {name} {best:.4f}"
    return told


class Dev:
    """Batches of held-out texts and pairs, ready to be scored again and again."""

    def __init__(self, data: Data, texts: States, hypotheses: States, device: str, most: int = 10_000) -> None:
        self.names, self.sets, self.pairs = [], [], {}
        sets, pairs = data.watched()
        for one in (one.limited(most) for one in sets):
            for wording in one.wording[[0, len(one.templates) - 1]] if one.name.endswith("native") else one.wording[:2]:
                batches = [
                    Batch(texts, hypotheses, part, np.tile(wording, (len(part), 1)), device)
                    for part in np.split(one.text, range(50, len(one.text), 50))
                ]
                self.names.append(one.name)
                self.sets.append((one.right, batches))
        for name, found in ((name, found[: 4 * most]) for name, found in pairs.items()):
            batches = [
                Batch(texts, hypotheses, part[:, 0], part[:, 1:2].astype("i8"), device)
                for part in np.split(found, range(50, len(found), 50))
            ]
            self.pairs[name] = found[:, 2] == 1, batches


def train(net: Network, sampler: Sampler, dev: Dev | None, args: argparse.Namespace) -> Iterator[tuple[int, Network]]:
    """Train for so many seconds; yields (step, averaged network) at each check and at the end."""
    evidence = nn.ParameterDict({"scale": torch.tensor(20.0), "offset": torch.tensor(-16.4)}).to(args.device)
    first = with_own_layers(net).requires_grad_(False) if args.keep else None
    layers, head = list(net.cross.parameters()), [*net.pooler.parameters(), *net.classifier.parameters()]
    optimizer = torch.optim.AdamW(
        [
            {"params": layers, "lr": args.rate, "base": args.rate},
            {"params": head, "lr": args.head_rate, "base": args.head_rate},
            {"params": list(evidence.values()), "lr": 0.02, "base": 0.02, "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
        weight_decay=0.01,
        fused=True,
    )
    trained = layers + head
    average = [p.detach().clone() for p in trained]
    worker = ThreadPoolExecutor(1)  # draws a batch while the one before computes
    drawn = worker.submit(sampler.draw)
    begin, step, sums, checked, spent = time.time(), 0, np.zeros(3), time.time(), 0.0
    while True:
        gone = (time.time() - begin - spent) / args.seconds
        if args.steps:
            gone = step / args.steps
        if gone >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * min(1.0, (step + 1) / args.warmup) * (1 - gone)
        labelled, pairs = drawn.result()
        drawn = worker.submit(sampler.draw)
        margins = [(b.margins(net, args.dropout), b) for b in labelled]
        if first is None:
            losses = [labelled_loss(margin, b, evidence, args) for margin, b in margins]
        else:
            losses = [kept_loss(margin, b, first, args) for margin, b in margins]
        alone, listed = torch.stack([torch.stack(both) for both in losses]).mean(0)
        both = pairs.margins(net, args.dropout) + evidence["scale"] * pairs.cosine + evidence["offset"]
        nli = F.binary_cross_entropy_with_logits(both, pairs.target, reduction="none")
        nli = (nli * pairs.there).sum() / pairs.there.sum()
        loss = alone + listed + args.nli_weight * nli
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        torch._foreach_lerp_(average, [p.detach() for p in trained], 1 - min(args.average, (1 + step) / (10 + step)))
        sums += [x.item() for x in (alone, listed, nli)]
        if step % args.log_every == 0:
            values = " ".join(
                f"{name} {x / args.log_every:.4f}" for name, x in zip(("alone", "rivals", "nli"), sums, strict=True)
            )
            scale, offset = (x.item() for x in (evidence["scale"], evidence["offset"]))
            print(f"step {step} {time.time() - begin:.0f} s {values} scale {scale:.2f} offset {offset:.2f}", flush=True)
            sums[:] = 0
        if time.time() - checked > args.check_every:
            pause = time.time()
            if args.device == "cpu":
                drawn.result()
                sampler.refresh()
            yield step, averaged(net, average, dev, args)
            spent += time.time() - pause
            checked = time.time()
    yield step, averaged(net, average, dev, args)


def with_own_layers(net: Network) -> Network:
    """A network with copies of the interaction layers and the head; it shares the encoder."""
    out = copy.copy(net)
    out._modules = dict(net._modules)
    out.cross = copy.deepcopy(net.cross)
    out.pooler, out.classifier = copy.deepcopy(net.pooler), copy.deepcopy(net.classifier)
    return out


def averaged(net: Network, average: list[Tensor], dev: Dev | None, args: argparse.Namespace) -> Network:
    """A network with the averaged layers, after a look at the held-out sets; it shares the encoder."""
    out = with_own_layers(net)
    own = [*out.cross.parameters(), *out.pooler.parameters(), *out.classifier.parameters()]
    with torch.no_grad():
        for p, value in zip(own, average, strict=True):
            p.copy_(value)
    if dev is not None:
        print("check:", watch(out, dev, args.device), flush=True)
    return out


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("states", type=Path, help="folder that remember.py wrote")
    parser.add_argument("output", type=Path, help=".npz to write")
    parser.add_argument("--weights", type=Path, nargs="+", required=True, help="prefixes of .npz files, later ones win")
    parser.add_argument("--seconds", type=float, default=2700)
    parser.add_argument("--steps", type=int, default=0, help="instead of seconds")
    parser.add_argument("--rate", type=float, default=1.5e-4)
    parser.add_argument("--head-rate", type=float, default=4e-4)
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--keep", type=float, default=0.0, help="labels teach nothing, but keep their margins: weight")
    parser.add_argument("--least-share", type=float, default=0.0, help="of a file of NLI pairs among those drawn")
    parser.add_argument("--texts", type=int, default=48, help="labelled texts a step")
    parser.add_argument("--sets", type=int, default=4, help="label sets a step")
    parser.add_argument("--nli", type=int, default=32, help="groups of NLI pairs a step")
    parser.add_argument("--hypotheses", type=int, default=6, help="candidates of a labelled text")
    parser.add_argument("--hard", type=float, default=200.0, help="how much a negative's cosine counts in drawing it")
    parser.add_argument("--rare", type=float, default=0.35, help="factor of drawing hostile sets")
    parser.add_argument("--right-weight", type=float, default=3.0)
    parser.add_argument("--nli-weight", type=float, default=3.0)
    parser.add_argument("--sharpness", type=float, default=150.0, help="of the cosine, where labels compete")
    parser.add_argument("--head-share", type=float, default=0.003, help="the head's margin beside a cosine")
    parser.add_argument("--noise", type=float, default=0.004, help="added to each label's cosines")
    parser.add_argument("--alone", type=float, default=0.3, help="share of texts without the cosine's help")
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--watched", type=int, default=100, help="texts of each held-out set that are looked at")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--log-every", type=int, default=50)
    parser.add_argument("--check-every", type=float, default=300)
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    net = Network(json.loads((args.base / "config.json").read_text(encoding="utf8")))
    net.load_base(args.base)
    for prefix in args.weights:
        net.load(prefix)
    net = net.to(args.device)
    data = Data(args.data)
    sampler = Sampler(data, args)
    dev = None
    if (args.states / "dev_texts.npz").exists():
        held = [States(args.states, f"dev_{kind}", args.device) for kind in ("texts", "hyps")]
        held[1] = held[1].of_labels(data.hypotheses)
        dev = Dev(data, *held, args.device, most=args.watched)
        print("before:", watch(net, dev, args.device), flush=True)
    for step, out in train(net, sampler, dev, args):
        out.save(args.output, encoder=False)
        print(f"{args.output}: step {step}", flush=True)


if __name__ == "__main__":
    main()
