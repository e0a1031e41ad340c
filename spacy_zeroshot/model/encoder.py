"""Sentence embeddings of tokenised texts: one vector of length one for each."""

from typing import Dict, Iterator, List, NamedTuple, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from thinc.types import Ints1d
from torch import Tensor

from ..errors import ZeroShotError
from .checkpoint import Checkpoint
from .flat_rows import lay_flat, segment_mean
from .layouts import sorted_slices
from .pair_layout import EVENNESS as PADDED_EVENNESS
from .pair_layout import max_positions
from .pooling import Pooling
from .shared_layout import EVENNESS, SUPPORTED
from .shared_premise import encode_texts
from .tokens import Tokens


class Slice(NamedTuple):
    """Texts that go through the encoder together.

    chosen (List[int]): Their numbers.
    texts (List[Ints1d]): Token ids of each, without special tokens.
    """

    chosen: List[int]
    texts: List[Ints1d]


class SentenceEncoder:
    """An encoder and its pooling.

    Encoders with BERT's layers read their texts laid flat, without padding (see shared_premise); others are given
    padded batches.

    checkpoint (Checkpoint): An encoder without a head, on its device, in its precision.
    tokens (Tokens): Its tokenizer.
    pooling (Pooling): What becomes of the last states.
    multiple (int): Tokens are filled up to a multiple of this: in bfloat16 every new shape costs a kernel.
    name (str): The checkpoint's name, for errors.
    component (str): Who asks, for errors.
    RAISES (ZeroShotError): Z240 for an encoder-decoder, whose last states are the decoder's.
    """

    def __init__(
        self, checkpoint: Checkpoint, tokens: Tokens, pooling: Pooling, multiple: int, name: str, component: str
    ):
        config = checkpoint.config
        if getattr(config, "is_encoder_decoder", False):
            reason = f"a {config.model_type} model has a decoder"
            raise ZeroShotError("Z240", component, name=name, reason=reason)
        self.checkpoint = checkpoint
        self.module = checkpoint.module
        self.tokens = tokens
        self.pooling = pooling
        self.multiple = multiple
        positions = max_positions(self.module, checkpoint.tokenizer)
        self.max_length = min(positions, pooling.max_length or positions)
        absolute = getattr(config, "position_embedding_type", "absolute") == "absolute"
        self.is_flat = config.model_type in SUPPORTED and absolute

    @property
    def room(self) -> int:
        """RETURNS (int): Wordpieces a text may have."""
        return self.max_length - len(self.tokens.ends.prefix) - len(self.tokens.ends.suffix)

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    def slices(self, texts: Sequence[Ints1d], budget: int) -> Iterator[Slice]:
        """Cut texts into passes.

        texts (Sequence[Ints1d]): Token ids of each, at most `room`.
        budget (int): Padded tokens in one pass; a single text may exceed it.
        YIELDS (Slice): Texts of about one length, the longest first.
        """
        extra = self.max_length - self.room
        lengths = [len(text) + extra for text in texts]
        for chosen in sorted_slices(lengths, budget, EVENNESS if self.is_flat else PADDED_EVENNESS):
            yield Slice(chosen, [texts[i] for i in chosen])

    def vectors(self, texts: Sequence[Ints1d]) -> Tensor:
        """Embed texts in one pass.

        texts (Sequence[Ints1d]): Token ids of each.
        RETURNS (Tensor): Shape (texts, width), float32, rows of length one.
        """
        rows = [self.tokens.ends.around(text) for text in texts]
        return F.normalize(self._flat(rows) if self.is_flat else self._padded(rows), dim=-1)

    def _flat(self, rows: Sequence[Ints1d]) -> Tensor:
        flat = lay_flat(rows, self.device)
        states = encode_texts(self.module, flat)
        if self.pooling.mode == "cls":
            return states.last[flat.where.view(flat.mask.shape)[:, 0]].float()
        return segment_mean(states.last, flat.owner, len(rows))

    def _padded(self, rows: Sequence[Ints1d]) -> Tensor:
        batch = pad(rows, self.tokens.pad_id, min(self.multiple, 8), self.max_length)
        inputs = {name: torch.from_numpy(array).to(self.device) for name, array in batch.items()}
        states = self.module(**inputs).last_hidden_state.float()
        if self.pooling.mode == "cls":
            return states[:, 0]
        mask = inputs["attention_mask"].unsqueeze(-1).float()
        return (states * mask).sum(1) / mask.sum(1)


def pad(rows: Sequence[Ints1d], pad_id: int, multiple: int, longest: int) -> Dict[str, np.ndarray]:
    """Rows of token ids as a padded batch.

    rows (Sequence[Ints1d]): Token ids of each, with special tokens.
    pad_id (int): What rows are filled with.
    multiple (int): The length is rounded up to a multiple of this.
    longest (int): But not above this.
    RETURNS (Dict[str, np.ndarray]): "input_ids" and "attention_mask", shape (rows, length).
    """
    length = min(-(-max(len(row) for row in rows) // multiple) * multiple, longest)
    ids = np.full((len(rows), length), pad_id, dtype="int64")
    mask = np.zeros_like(ids)
    for row, values in enumerate(rows):
        ids[row, : len(values)] = values
        mask[row, : len(values)] = 1
    return {"input_ids": ids, "attention_mask": mask}
