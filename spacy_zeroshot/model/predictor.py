"""A loaded model at work: NLIInput in, NLIOutput out; and sentence embeddings."""

import contextlib
import copy
import os
import timeit
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from thinc.types import Floats2d, Ints1d
from torch import nn

from ..errors import ZeroShotError, warn
from .batching import Batch, HypothesisSet, PairScorer, Window, ranges, sorted_slices
from .bi_encoder import BiEncoder
from .checkpoint import Checkpoint, find_folder, find_head, is_decomposed, load_checkpoint, share_checkpoint
from .cross_encoder import CrossEncoder
from .decomposed import DecomposedScorer
from .device import choose_budget, choose_device, choose_dtype, choose_kernel, mind_fork, plain_tensors, to_host
from .masked_lm import MaskedLM, read_prompt
from .tokenization import PairTokenizer
from .types import ModelSpec, NLIInput, NLIOutput, WindowConfig, Wording

# Wordpieces that neighbouring windows of a long text share where it is embedded
EMBEDDING_OVERLAP = 64
# A GPU that cannot hold this many tokens cannot hold the model either.
SMALLEST_BUDGET = 64
# In bfloat16 every new shape costs a CPU a kernel: lengths are rounded up to a multiple of this
MULTIPLE = 16
# First and past-the-last, of wordpieces or of characters
Places = list[tuple[int, int]]


@dataclass(eq=False)
class Predictor:
    """A checkpoint on a device, ready to score, to embed and, if trainable, to learn: its weights are in float32 then,
    it computes in `dtype` by autocast, and `frozen` parts are not trained."""

    checkpoint: Checkpoint
    scorer: PairScorer
    dtype: torch.dtype
    budget: int  # padded tokens in one forward pass
    trainable: bool = False
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.tokenizer = self.scorer.tokenizer
        self.device = self.checkpoint.device
        self._warned: set[str] = set()
        self._process = os.getpid()

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The weights by name."""
        return dict(self.checkpoint.module.named_parameters())

    def predict(self, batch: NLIInput) -> NLIOutput:
        """Score premises on their hypotheses. Equal ones are scored once."""
        mind_fork(self._process)
        sets, set_of = _distinct(batch.hypotheses)
        row_of: dict[tuple[str, int], int] = {}
        rows = [row_of.setdefault(key, len(row_of)) for key in zip(batch.premises, set_of, strict=True)]
        distinct = NLIInput([text for text, _ in row_of], [sets[number] for _, number in row_of], batch.windows)
        windows, tokenized, output = self._plan(distinct)
        logits = self._run(partial(self.scorer.batches, windows, tokenized), self.scorer.forward)
        if not np.isfinite(logits).all():
            raise ZeroShotError("Z013", detail="NaN or infinity", precision=str(self.dtype).removeprefix("torch."))
        output = output._replace(logits=logits)
        return output if len(row_of) == len(rows) else _take(output, np.array(rows))

    def begin_update(self, batch: NLIInput) -> tuple[NLIOutput, Callable[[Floats2d], None]]:
        """As predict; the callback takes the gradient of the logits and adds to the gradients of the weights."""
        windows, sets, output = self._plan(batch)
        with torch.inference_mode(False), torch.enable_grad(), self.autocast():
            batches = self.scorer.batches(windows, sets, self.budget)
            outputs = [(part.pairs, self.scorer.forward(part).float()) for part in batches]

        def backprop(d_logits: Floats2d) -> None:
            given = np.asarray(d_logits, dtype="float32")
            with torch.inference_mode(False):
                gradients = [torch.from_numpy(given[pairs]).to(self.device) for pairs, _ in outputs]
                torch.autograd.backward([logits for _, logits in outputs], gradients)

        logits = self._gather([(pairs, to_host(logits)) for pairs, logits in outputs])
        return output._replace(logits=logits), backprop

    def embed(self, texts: Sequence[str]) -> Floats2d:
        """Embed texts, rows of length one. A long one gets the mean of its windows' embeddings."""
        mind_fork(self._process)
        encoder = self.scorer.encoder
        if not texts:
            return np.zeros((0, getattr(self.checkpoint.config, "hidden_size", 0)), dtype="float32")
        overlap = min(EMBEDDING_OVERLAP, encoder.max_tokens // 2)
        windows: list[Ints1d] = []
        owners: list[int] = []
        for number, ids in enumerate(self.tokenizer.encode(texts)):
            for start, end in split_windows(len(ids), encoder.max_tokens, overlap):
                windows.append(ids[start:end])
                owners.append(number)
        lengths = np.array([len(ids) for ids in windows]) + sum(map(len, self.tokenizer.single))

        def batches(budget: int) -> Iterator[Batch]:
            for chosen in sorted_slices(lengths, budget, encoder.evenness):
                yield Batch(chosen, [windows[i] for i in chosen], int(lengths[chosen].sum()))

        vectors = self._run(batches, lambda part: encoder.embed_batch(part.inputs))
        sums = np.zeros((len(texts), vectors.shape[1]), dtype="float32")
        np.add.at(sums, owners, vectors)
        # all zeros only if windows point in opposite directions
        return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)

    def set_training(self, dropout: float | None) -> None:
        """Switch to training with a dropout rate (at 0.0 no mask is sampled), or to scoring with None."""
        module = self.checkpoint.module
        if dropout:
            set_dropout(module, dropout)
        module.training = bool(dropout)
        for name, part in module.named_children():
            part.train(bool(dropout) and name not in self.frozen)

    def autocast(self) -> Any:
        """What forward passes run in."""
        if not self.trainable or self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def _plan(self, batch: NLIInput) -> tuple[list[Window], list[HypothesisSet], NLIOutput]:
        """Tokenise premises and cut them into windows. RETURNS: those, the hypothesis sets, and no logits yet."""
        distinct, set_of = _distinct(batch.hypotheses)
        sets = [self.tokenizer.hypothesis_set(one) for one in distinct]
        rooms = [self._room(found) for found in sets]
        windows: list[Window] = []
        spans: Places = []
        n_windows = []
        first = 0
        pieces = self.tokenizer.encode(batch.premises)
        self._warn_of_unknown(batch.premises, pieces)
        for text, ids, number in zip(batch.premises, pieces, set_of, strict=True):
            cut, characters = self._cut(text, len(ids), rooms[number], batch.windows)
            spans += characters
            n_windows.append(len(cut))
            for start, end in cut:
                windows.append(Window(ids[start:end], number, first))
                first += len(sets[number].texts)
        n_hypotheses = np.array([len(texts) for texts in batch.hypotheses], dtype="int64")
        places = np.array(spans, dtype="int64").reshape(-1, 2)
        none = np.zeros((0, self.scorer.classes), dtype="float32")
        return windows, sets, NLIOutput(none, places, np.array(n_windows, dtype="int64"), n_hypotheses)

    def _room(self, hypotheses: HypothesisSet) -> int:
        lengths = [len(ids) for ids in hypotheses.pieces]
        labels = [ids[start:stop] for ids, (start, stop) in zip(hypotheses.pieces, hypotheses.spans, strict=True)]
        self._warn_of_unknown(hypotheses.texts, labels)
        room = self.scorer.max_premise_tokens(max(lengths))
        if room < 1:
            longest = int(np.argmax(lengths))
            most = self.scorer.max_premise_tokens(0) - 1
            raise ZeroShotError("Z011", hypothesis=hypotheses.texts[longest], length=lengths[longest], room=most)
        return room

    def _cut(self, text: str, length: int, room: int, how: WindowConfig) -> tuple[Places, Places]:
        """The wordpieces of a text's windows, and their characters; the first and the last reach the text's ends."""
        if length <= room:
            return [(0, length)], [(0, len(text))]
        if how.long_text == "truncate":
            self._warn_once("Z101", length=length, room=room)
        cut = [(0, room)] if how.long_text == "truncate" else split_windows(length, room, how.overlap)
        offsets = self.tokenizer.offsets(text)
        starts = [0 if start == 0 else int(offsets[start, 0]) for start, _ in cut]
        ends = [len(text) if end == length else int(offsets[end - 1, 1]) for _, end in cut]
        return cut, list(zip(starts, ends))

    def _run(self, batches: Callable[[int], Iterator[Batch]], forward: Callable[[Batch], torch.Tensor]) -> Floats2d:
        """One array of the results of all batches; where a GPU runs out of memory, again with half the budget. It works
        on one batch while the CPU lays out the next: nothing here waits for results."""
        with torch.inference_mode(), self.autocast():
            while True:
                try:
                    return self._gather([(part.pairs, to_host(forward(part))) for part in batches(self.budget)])
                except torch.cuda.OutOfMemoryError:
                    if self.budget <= SMALLEST_BUDGET:
                        raise
                    before, self.budget = self.budget, self.budget // 2
                    torch.cuda.empty_cache()
                    self._warn_once("Z103", before=before, after=self.budget)

    def _gather(self, outputs: Sequence[tuple[Ints1d, torch.Tensor]]) -> Floats2d:
        """One array of the results of all batches, in the order of their numbers."""
        if not outputs:
            return np.zeros((0, self.scorer.classes), dtype="float32")
        if self.device.type == "cuda":
            # for these results alone: other threads have more for the device to do
            done = torch.cuda.current_stream(self.device).record_event()
            done.synchronize()
        numbers = np.concatenate([part for part, _ in outputs])
        flat = np.empty((len(numbers), outputs[0][1].shape[1]), dtype="float32")
        flat[numbers] = np.concatenate([values.numpy() for _, values in outputs])
        return flat

    def _warn_of_unknown(self, texts: Sequence[str], pieces: Sequence[Ints1d]) -> None:
        """Say once that most of a text, or of a label, is in no wordpiece: the model does not know its script."""
        unknown = self.tokenizer.unknown_id
        # one look at all of them: hardly any has one
        if pieces and "Z102" not in self._warned and (not min(map(len, pieces)) or unknown in np.concatenate(pieces)):
            for text, ids in zip(texts, pieces, strict=True):
                if 2 * np.count_nonzero(ids == unknown) >= len(ids) and any(map(str.isalpha, text)):
                    self._warn_once("Z102", text=text, name=self.checkpoint.name)

    def _warn_once(self, code: str, **values: Any) -> None:
        if code not in self._warned:
            self._warned.add(code)
            warn(code, **values)


def load_predictor(spec: ModelSpec, trainable: bool, train_encoder: bool) -> Predictor:
    """Load a checkpoint. Trained weights are a model's own, and float32; the encoder may be left out of that."""
    device = choose_device(spec.device)
    kernel = choose_kernel(spec.backend, spec.precision, device, trainable)
    if kernel and spec.backend == "auto":
        plain = load_predictor(replace(spec, backend="torch"), trainable, train_encoder)
        try:
            return faster_of(plain, load_predictor(replace(spec, backend="openvino"), trainable, train_encoder))
        except ZeroShotError as error:
            if error.code != "Z035":
                raise
            warn("Z111", name=spec.name, reason=str(error))
            return plain
    dtype = choose_dtype("float32" if kernel else spec.precision, device)
    folder = find_folder(spec)
    frozen = ("encoder",) if is_decomposed(folder) and not train_encoder else ()
    if not trainable:
        checkpoint = share_checkpoint(spec, folder, device, dtype)
    elif frozen:
        # several hold one encoder, once in memory
        base = share_checkpoint(spec, folder, device, torch.float32)
        with plain_tensors():
            module = copy.deepcopy(base.module, {id(base.module.encoder): base.module.encoder})
        checkpoint = replace(base, module=module, base=base)
    else:
        checkpoint = load_checkpoint(spec, device, torch.float32, folder)
    few_shapes = device.type == "cpu" and (dtype != torch.float32 or kernel)
    scorer = _make_scorer(spec, checkpoint, MULTIPLE if few_shapes else 1)
    if kernel:
        from .openvino import run_by_openvino

        scorer = run_by_openvino(scorer, kernel, spec.name)
    width = getattr(checkpoint.config, "hidden_size", 1024)
    budget = spec.max_batch_tokens or choose_budget(scorer.cpu_tokens, checkpoint.device, width)
    return Predictor(checkpoint, scorer, dtype, budget, trainable, frozen)


def _make_scorer(spec: ModelSpec, checkpoint: Checkpoint, multiple: int) -> PairScorer:
    if spec.architecture == "MaskedLMClassifier":
        if checkpoint.is_decomposed:
            raise ZeroShotError("Z245", name=spec.name, reason="it compares texts with hypotheses")
        return MaskedLM(checkpoint, read_prompt(spec.prompt, checkpoint.tokenizer, spec.name), min(multiple, 8))
    tokenizer = PairTokenizer(checkpoint.tokenizer, respell_labels=getattr(checkpoint.config, "respell_labels", False))
    if spec.architecture == "SimilarityClassifier":
        return BiEncoder(checkpoint, tokenizer, spec, multiple)
    order = find_head(checkpoint.config, spec.name, spec.entailment, spec.contradiction)
    if checkpoint.is_decomposed:
        return DecomposedScorer(checkpoint.module, tokenizer, checkpoint.max_length, multiple)
    return CrossEncoder(checkpoint, tokenizer, order, min(multiple, 8))


def split_windows(length: int, room: int, overlap: int) -> Places:
    """Cover `length` wordpieces with windows of `room`; neighbours share exactly `overlap`, the last may be shorter."""
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

    def seconds(predictor: Predictor) -> float:
        predictor.predict(trial)  # compiles
        return min(timeit.repeat(lambda: predictor.predict(trial), number=1, repeat=3))

    return one if seconds(one) <= seconds(other) else other


def set_dropout(module: nn.Module, rate: float) -> None:
    """Set every dropout rate: of modules, and of attention, which many families keep as a number of their own."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = rate
        for name, value in vars(part).items():
            if isinstance(value, float) and "drop" in name and "layerdrop" not in name:
                setattr(part, name, rate)


def _distinct(sets: Sequence[tuple[Wording | str, ...]]) -> tuple[list[tuple[Wording | str, ...]], list[int]]:
    """The distinct sets of hypotheses, and which one each premise has. Most share one object, which is hashed once."""
    number_of: dict[tuple[Wording | str, ...], int] = {}
    objects = {id(one): one for one in sets}
    numbers = {key: number_of.setdefault(one, len(number_of)) for key, one in objects.items()}
    return list(number_of), [numbers[id(one)] for one in sets]


def _take(output: NLIOutput, rows: Ints1d) -> NLIOutput:
    """The output of premises by their numbers, which may repeat."""
    n_windows, n_hypotheses = output.n_windows, output.n_hypotheses
    n_pairs = n_windows * n_hypotheses
    pairs = ranges((np.cumsum(n_pairs) - n_pairs)[rows], n_pairs[rows])
    windows = ranges((np.cumsum(n_windows) - n_windows)[rows], n_windows[rows])
    return NLIOutput(output.logits[pairs], output.windows[windows], n_windows[rows], n_hypotheses[rows])
