"""A loaded model at work: NLIInput in, NLIOutput out; and sentence embeddings."""

import contextlib
import os
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from thinc.types import Floats2d, Ints1d, Ints2d
from torch import nn

from ..errors import ZeroShotError, warn
from .batching import Batch, HypothesisSet, PairScorer, Window, ranges, sorted_slices
from .checkpoint import Checkpoint
from .device import Budget, mind_fork, to_host, wait_for
from .tokenization import PairTokenizer
from .types import NLIInput, NLIOutput, WindowConfig

# Wordpieces that neighbouring windows of a long text share where it is embedded
EMBEDDING_OVERLAP = 64


class Plan(NamedTuple):
    """A tokenised input."""

    windows: list[Window]  # premise by premise
    sets: list[HypothesisSet]
    spans: Ints2d  # shape (windows, 2): first and past-the-last character of each
    n_windows: Ints1d  # shape (premises,)
    n_hypotheses: Ints1d  # shape (premises,)

    @property
    def n_pairs(self) -> int:
        return int((self.n_windows * self.n_hypotheses).sum())


class Predictor:
    """A checkpoint on a device, in a precision, ready to score, to embed and, if trainable, to learn.

    A trainable one has its weights in float32, and computes in `dtype` by autocast; `frozen` parts are not trained.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: PairTokenizer,
        scorer: PairScorer,
        device: torch.device,
        dtype: torch.dtype,
        max_batch_tokens: int | None = None,
        trainable: bool = False,
        frozen: tuple[str, ...] = (),
    ):
        self.checkpoint = checkpoint
        self.tokenizer = tokenizer
        self.scorer = scorer
        self.device = device
        self.dtype = dtype
        self.trainable = trainable
        self.frozen = frozen
        width = getattr(checkpoint.config, "hidden_size", 1024)
        self._budget = Budget(max_batch_tokens, scorer.cpu_tokens, device, width)
        self._warned_of_cut = False
        self._process = os.getpid()

    @property
    def budget(self) -> int:
        return self._budget.tokens

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The weights by name."""
        return dict(self.checkpoint.module.named_parameters())

    def predict(self, batch: NLIInput) -> NLIOutput:
        """Score premises on their hypotheses. Equal ones are scored once.

        RAISES (ZeroShotError): Z011, Z012 for what does not fit, Z013 for logits that are not finite.
        """
        self._process = mind_fork(self._process)
        sets, set_of = self._hypothesis_sets(batch.hypotheses)
        row_of: dict[tuple[str, int], int] = {}
        rows = [row_of.setdefault(key, len(row_of)) for key in zip(batch.premises, set_of, strict=True)]
        plan = self._plan([text for text, _ in row_of], sets, [number for _, number in row_of], batch.windows)
        with torch.inference_mode(), self.autocast():
            logits = self._score(plan)
        if not np.isfinite(logits).all():
            raise ZeroShotError("Z013", detail="NaN or infinity", precision=str(self.dtype).removeprefix("torch."))
        output = NLIOutput(logits, plan.spans, plan.n_windows, plan.n_hypotheses)
        return output if len(row_of) == len(rows) else _take(output, np.array(rows))

    def begin_update(self, batch: NLIInput) -> tuple[NLIOutput, Callable[[Floats2d], None]]:
        """As predict; the callback takes the gradient of the logits and adds to the gradients of the weights."""
        sets, set_of = self._hypothesis_sets(batch.hypotheses)
        plan = self._plan(batch.premises, sets, set_of, batch.windows)
        with torch.inference_mode(False), torch.enable_grad(), self.autocast():
            outputs = [
                (part.pairs, self.scorer.forward(part).float())
                for part in self.scorer.batches(plan.windows, plan.sets, self.budget)
            ]
        flat = self._gather([(pairs, to_host(logits)) for pairs, logits in outputs], plan.n_pairs, self.scorer.classes)

        def backprop(d_logits: Floats2d) -> None:
            given = np.asarray(d_logits, dtype="float32")
            with torch.inference_mode(False):
                gradients = [torch.from_numpy(given[pairs]).to(self.device) for pairs, _ in outputs]
                torch.autograd.backward([logits for _, logits in outputs], gradients)

        return NLIOutput(flat, plan.spans, plan.n_windows, plan.n_hypotheses), backprop

    def embed(self, texts: Sequence[str]) -> Floats2d:
        """Embed texts. A long one gets the mean of its windows' embeddings. Equal texts are embedded once.

        RETURNS (Floats2d): Shape (texts, width), float32, rows of length one.
        RAISES (ZeroShotError): Z240 if the model makes no sentence embeddings.
        """
        self._process = mind_fork(self._process)
        encoder = self.scorer.encoder
        row_of: dict[str, int] = {}
        rows = [row_of.setdefault(text, len(row_of)) for text in texts]
        overlap = min(EMBEDDING_OVERLAP, encoder.max_tokens // 2)
        windows: list[Ints1d] = []
        owners: list[int] = []
        for number, ids in enumerate(self.tokenizer.encode(list(row_of))):
            for start, end in split_windows(len(ids), encoder.max_tokens, overlap):
                windows.append(ids[start:end])
                owners.append(number)
        if not windows:
            return np.zeros((0, getattr(self.checkpoint.config, "hidden_size", 0)), dtype="float32")
        lengths = np.array([len(ids) for ids in windows]) + sum(map(len, self.tokenizer.single))

        def batches(done: NDArray[np.bool_], budget: int) -> Iterator[Batch]:
            missing = np.flatnonzero(~done)
            for chosen in sorted_slices(lengths[missing], budget, encoder.evenness):
                numbers = missing[chosen]
                yield Batch(numbers, [windows[i] for i in numbers], int(lengths[numbers].sum()))

        with torch.inference_mode(), self.autocast():
            outputs = self._run(len(windows), batches, lambda part: encoder.embed_batch(part.inputs))
        vectors = self._gather(outputs, len(windows), outputs[0][1].shape[1])
        sums = np.zeros((len(row_of), vectors.shape[1]), dtype="float32")
        np.add.at(sums, owners, vectors)
        # all zeros only if windows point in opposite directions
        sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        return sums[rows]

    def set_training(self, dropout: float | None) -> None:
        """Switch to training with a dropout rate (at 0.0 no mask is sampled), or to scoring with None."""
        module = self.checkpoint.module
        if dropout:
            set_dropout(module, dropout)
        module.training = bool(dropout)
        for name, part in module.named_children():
            part.train(bool(dropout) and name not in self.frozen)

    def forget(self) -> None:
        """Drop what was computed with weights that have changed."""
        self.scorer.forget()

    def autocast(self) -> Any:
        """What forward passes run in."""
        if not self.trainable or self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def _hypothesis_sets(self, hypotheses: Sequence[tuple[str, ...]]) -> tuple[list[HypothesisSet], list[int]]:
        """The distinct sets, and the number of each premise's one."""
        sets: list[HypothesisSet] = []
        by_key: dict[Hashable, int] = {}
        by_id: dict[int, int] = {}
        numbers = []
        for texts in hypotheses:
            number = by_id.get(id(texts))
            if number is None:
                found = self.tokenizer.hypothesis_set(texts)
                number = by_id[id(texts)] = by_key.setdefault(found.key, len(sets))
                if number == len(sets):
                    sets.append(found)
            numbers.append(number)
        return sets, numbers

    def _plan(
        self, premises: Sequence[str], sets: list[HypothesisSet], set_of: Sequence[int], how: WindowConfig
    ) -> Plan:
        """Tokenise premises and cut them into windows."""
        room = [self._room(found) for found in sets]
        size = [len(found.texts) for found in sets]
        distinct = list(dict.fromkeys(premises))
        pieces: Iterable[Ints1d] = self.tokenizer.encode(distinct)
        if len(distinct) < len(premises):
            pieces_of = dict(zip(distinct, pieces, strict=True))
            pieces = [pieces_of[text] for text in premises]
        windows: list[Window] = []
        spans: list[tuple[int, int]] = []
        n_windows = np.ones(len(premises), dtype="int64")
        first = 0
        for row, (text, ids, number) in enumerate(zip(premises, pieces, set_of, strict=True)):
            if len(ids) <= room[number]:
                windows.append(Window(ids, number, first))
                spans.append((0, len(text)))
                first += size[number]
                continue
            cut = self._cut(len(ids), room[number], how)
            spans.extend(self._spans(text, len(ids), cut))
            n_windows[row] = len(cut)
            for start, end in cut:
                windows.append(Window(ids[start:end], number, first))
                first += size[number]
        n_hypotheses = np.array(size, dtype="int64")[np.asarray(set_of, dtype="int64")]
        return Plan(windows, sets, np.array(spans, dtype="int64").reshape(-1, 2), n_windows, n_hypotheses)

    def _room(self, hypotheses: HypothesisSet) -> int:
        lengths = [len(ids) for ids in hypotheses.pieces]
        room = self.scorer.max_premise_tokens(max(lengths))
        if room < 1:
            longest = int(np.argmax(lengths))
            most = self.scorer.max_premise_tokens(0) - 1
            raise ZeroShotError("Z011", hypothesis=hypotheses.texts[longest], length=lengths[longest], room=most)
        return room

    def _cut(self, length: int, room: int, how: WindowConfig) -> list[tuple[int, int]]:
        if how.long_text != "truncate":
            return split_windows(length, room, how.overlap)
        if not self._warned_of_cut:
            self._warned_of_cut = True
            warn("Z101", length=length, room=room)
        return [(0, room)]

    def _spans(self, text: str, length: int, cut: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """The characters of windows; the first and the last one reach the text's ends."""
        offsets = self.tokenizer.offsets(text)
        for start, end in cut:
            first = 0 if start == 0 else int(offsets[start, 0])
            yield first, len(text) if end == length else int(offsets[end - 1, 1])

    def _score(self, plan: Plan) -> Floats2d:
        def batches(done: NDArray[np.bool_], budget: int) -> Iterator[Batch]:
            windows = plan.windows
            if done.any():
                missing = np.logical_or.reduceat(~done, [window.first for window in windows])
                windows = [windows[i] for i in np.flatnonzero(missing)]
            return self.scorer.batches(windows, plan.sets, budget)

        outputs = self._run(plan.n_pairs, batches, self.scorer.forward) if plan.windows else []
        return self._gather(outputs, plan.n_pairs, self.scorer.classes)

    def _run(
        self,
        size: int,
        batches: Callable[[NDArray[np.bool_], int], Iterator[Batch]],
        forward: Callable[[Batch], torch.Tensor],
    ) -> list[tuple[Ints1d, torch.Tensor]]:
        """Compute the batches of all `size` things; where a GPU runs out of memory, go on with half the budget.

        A GPU works on one batch while the CPU lays out the next: nothing here waits for results. RETURNS: Numbers of
        things and their results, on their way to the CPU.
        """
        done = np.zeros(size, dtype=bool)
        outputs: list[tuple[Ints1d, torch.Tensor]] = []
        while True:
            try:
                for batch in batches(done, self.budget):
                    outputs.append((batch.pairs, to_host(forward(batch))))
                    done[batch.pairs] = True
                return outputs
            except torch.cuda.OutOfMemoryError:
                if not self._budget.halve():
                    raise

    def _gather(self, outputs: Sequence[tuple[Ints1d, torch.Tensor]], size: int, width: int) -> Floats2d:
        """One array of the results of all batches. RETURNS (Floats2d): Shape (size, width)."""
        flat = np.zeros((size, width), dtype="float32")
        wait_for(self.device)
        for numbers, values in outputs:
            flat[numbers] = values.numpy()
        return flat


def split_windows(length: int, room: int, overlap: int) -> list[tuple[int, int]]:
    """Cover `length` wordpieces with windows of `room`; neighbours share exactly `overlap`, the last may be shorter.

    RETURNS (list[tuple[int, int]]): First and past-the-last wordpiece of each window; at least one.
    RAISES (ZeroShotError): Z012 if the windows would not move on.
    """
    if length <= room:
        return [(0, length)]
    if overlap >= room:
        raise ZeroShotError("Z012", overlap=overlap, room=room)
    step = room - overlap
    count = 1 + -(-(length - room) // step)
    return [(i * step, min(i * step + room, length)) for i in range(count)]


def faster_of(one: Predictor, other: Predictor) -> Predictor:
    """The one of two predictors that scores faster on this machine, by the best of three short trials."""
    labels = tuple(f"This text is about {word}." for word in ("sport", "politics", "music", "food", "travel"))
    trial = NLIInput([f"The minister {'really ' * n}resigned." for n in range(8, 72, 8)], [labels] * 8)
    times: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(4):
        for number, predictor in enumerate((one, other)):
            start = time.perf_counter()
            predictor.predict(trial)
            times[number].append(time.perf_counter() - start)
    # the first round compiles
    return one if min(times[0][1:]) <= min(times[1][1:]) else other


def set_dropout(module: nn.Module, rate: float) -> None:
    """Set every dropout rate: of modules, and of attention, which many families keep as a number of their own."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = rate
        for name, value in vars(part).items():
            if isinstance(value, float) and "drop" in name and "layerdrop" not in name:
                setattr(part, name, rate)


def _take(output: NLIOutput, rows: Ints1d) -> NLIOutput:
    """The output of premises by their numbers, which may repeat."""
    n_windows, n_hypotheses = output.n_windows, output.n_hypotheses
    n_pairs = n_windows * n_hypotheses
    pairs = ranges((np.cumsum(n_pairs) - n_pairs)[rows], n_pairs[rows])
    windows = ranges((np.cumsum(n_windows) - n_windows)[rows], n_windows[rows])
    return NLIOutput(output.logits[pairs], output.windows[windows], n_windows[rows], n_hypotheses[rows])
