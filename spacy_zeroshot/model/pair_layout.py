"""The pair layout of stock checkpoints: one sequence per premise and hypothesis, exactly as they were trained."""

import inspect
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from .layouts import Item, Pass, sorted_slices
from .tokens import Tokens

# A stock model pads every token of a pass, in every layer.
EVENNESS = 0.85


class PairLayout:
    """Scores [CLS] premise [SEP] hypothesis [SEP] with any sequence classification model.

    module (PreTrainedModel): The model.
    tokens (Tokens): Its tokenizer.
    max_length (int): Tokens the model takes.
    multiple (int): Lengths are padded to a multiple of this.
    """

    # As large passes as a CPU runs at full speed; measured with a 22M model in float32, 8,192 are a sixth slower
    cached_tokens: Optional[int] = 1024

    def __init__(self, module: Any, tokens: Tokens, max_length: int, multiple: int = 1):
        self.module = module
        self.tokens = tokens
        self.max_length = max_length
        self.multiple = multiple
        # Some tokenizers emit token types that the model cannot take (a BERT tokenizer on a RoBERTa body).
        accepted = inspect.signature(module.forward).parameters
        types = getattr(module.config, "type_vocab_size", 0) or 0
        self._with_types = tokens.emits_types and "token_type_ids" in accepted and max(tokens.frame.types) < types

    def room(self, longest: int) -> int:
        return self.max_length - len(self.tokens.frame) - longest

    def passes(self, items: Sequence[Item], budget: int) -> Iterator[Pass]:
        pairs: List[Tuple[Item, int]] = [(item, h) for item in items for h in range(len(item.hypotheses))]
        numbers = np.asarray([item.first + h for item, h in pairs])
        extra = len(self.tokens.frame)
        lengths = [extra + len(item.premise) + len(item.hypotheses[h].ids) for item, h in pairs]
        for chosen in sorted_slices(lengths, budget, EVENNESS):
            # in bfloat16 every new shape costs a kernel compilation, so lengths are rounded
            padded = min(-(-lengths[chosen[0]] // self.multiple) * self.multiple, self.max_length)
            yield Pass(numbers[chosen], self._pad([pairs[i] for i in chosen], padded), sum(lengths[i] for i in chosen))

    def forward(self, batch: Dict[str, np.ndarray]) -> Any:
        import torch

        device = next(self.module.parameters()).device
        inputs = {name: torch.from_numpy(array).to(device) for name, array in batch.items()}
        return self.module(**inputs).logits

    def _pad(self, pairs: Sequence[Tuple[Item, int]], padded: int) -> Dict[str, np.ndarray]:
        frame = self.tokens.frame
        ids = np.full((len(pairs), padded), self.tokens.pad_id, dtype="int64")
        mask = np.zeros_like(ids)
        types = np.zeros_like(ids)
        for row, (item, h) in enumerate(pairs):
            parts = (frame.prefix, item.premise, frame.middle, item.hypotheses[h].ids, frame.suffix)
            start = 0
            for part, type_ in zip(parts, frame.types):
                end = start + len(part)
                ids[row, start:end] = part
                types[row, start:end] = type_
                start = end
            mask[row, :start] = 1
        batch = {"input_ids": ids, "attention_mask": mask}
        if self._with_types:
            batch["token_type_ids"] = types
        return batch


def max_positions(module: Any, tokenizer: Any) -> int:
    """Tokens a model takes: the least of what its tokenizer and its positions allow.

    module (PreTrainedModel): The model.
    tokenizer (PreTrainedTokenizerFast): Its tokenizer; some claim 1e30.
    RETURNS (int): The maximum length.
    """
    limits = [int(tokenizer.model_max_length)]
    positions = getattr(module.config, "max_position_embeddings", None)
    if positions and positions > 0:
        table = getattr(getattr(module.base_model, "embeddings", None), "position_embeddings", None)
        padding = getattr(table, "padding_idx", None)
        # RoBERTa-like models count positions from padding_idx + 1
        limits.append(positions if padding is None else positions - padding - 1)
    return min(limits)
