"""Stock NLI checkpoints: one sequence for each premise and hypothesis, exactly as they were trained."""

import inspect
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from .batching import EVENNESS, Batch, HypothesisSet, Window, pad, ranges, sorted_slices
from .bi_encoder import PooledEncoder
from .checkpoint import Checkpoint
from .device import to_device
from .tokenization import PairTokenizer


class CrossEncoder:
    """Scores [CLS] premise [SEP] hypothesis [SEP] with any sequence classification model. A PairScorer."""

    # As large as a CPU runs at full speed; measured with a 22M model in float32, 8,192 are a sixth slower
    cpu_tokens = 1024

    def __init__(self, checkpoint: Checkpoint, tokenizer: PairTokenizer, order: tuple[int, ...], multiple: int):
        self._checkpoint = checkpoint
        self.module = checkpoint.module
        self.tokenizer = tokenizer
        self.order = list(order)  # as find_head gives it
        self.classes = max(2, len(order))
        self.multiple = multiple
        self.max_length = checkpoint.max_length
        accepted = inspect.signature(self.module.forward).parameters
        # an encoder-decoder keeps nothing for a next token
        self._options = {"use_cache": False} if "use_cache" in accepted else {}
        # Some tokenizers emit token types that the model cannot take (a BERT tokenizer on a RoBERTa body).
        n_types = getattr(self.module.config, "type_vocab_size", 0) or 0
        self._with_types = (
            tokenizer.emits_types and "token_type_ids" in accepted and max(tokenizer.pair.types) < n_types
        )

    @property
    def encoder(self) -> PooledEncoder:
        return PooledEncoder(self._checkpoint, self.tokenizer, self.multiple)

    def max_premise_tokens(self, longest_hypothesis: int) -> int:
        prefix, middle, suffix, _ = self.tokenizer.pair
        return self.max_length - len(prefix) - len(middle) - len(suffix) - longest_hypothesis

    def batches(self, windows: Sequence[Window], sets: Sequence[HypothesisSet], budget: int) -> Iterator[Batch]:
        prefix, middle, suffix, types = self.tokenizer.pair
        heads = [np.concatenate([prefix, window.ids, middle]).astype("int64") for window in windows]
        tails = [np.concatenate([piece, suffix]).astype("int64") for found in sets for piece in found.pieces]
        if self._with_types:
            head_types = [np.repeat(types[:3], (len(prefix), len(part.ids), len(middle))) for part in windows]
            tail_types = [np.repeat(types[3:], (len(ids) - len(suffix), len(suffix))) for ids in tails]
        sizes = np.array([len(found.pieces) for found in sets], dtype="int64")
        set_of = np.array([window.set for window in windows], dtype="int64")
        firsts = np.array([window.first for window in windows], dtype="int64")
        # every pair: its number, its window, and its hypothesis among those of all sets
        counts = sizes[set_of]
        numbers = ranges(firsts, counts)
        head_of = np.repeat(np.arange(len(windows)), counts)
        tail_of = ranges((np.cumsum(sizes) - sizes)[set_of], counts)
        head_lengths, tail_lengths = (np.fromiter(map(len, many), "int64", len(many)) for many in (heads, tails))
        lengths = head_lengths[head_of] + tail_lengths[tail_of]
        for chosen in sorted_slices(lengths, budget, EVENNESS):
            pairs = list(zip(head_of[chosen].tolist(), tail_of[chosen].tolist(), strict=True))
            rows = [np.concatenate([heads[i], tails[j]]) for i, j in pairs]
            ids, mask = pad(rows, self.tokenizer.pad_id, self.multiple, self.max_length)
            inputs = {"input_ids": ids, "attention_mask": mask}
            if self._with_types:
                rows = [np.concatenate([head_types[i], tail_types[j]]) for i, j in pairs]
                inputs["token_type_ids"], _ = pad(rows, 0, self.multiple, self.max_length)
            yield Batch(numbers[chosen], inputs, int(lengths[chosen].sum()))

    def forward(self, batch: Batch) -> Tensor:
        inputs = {name: to_device(array, self._checkpoint.device) for name, array in batch.inputs.items()}
        logits = self.module(**inputs, **self._options).logits.float()
        if len(self.order) == 1:
            return torch.cat([logits, torch.zeros_like(logits)], dim=-1)
        return logits[:, self.order]

    def forget(self) -> None:
        """Nothing is remembered."""
