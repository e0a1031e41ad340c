"""Texts as the pieces a masked language model is trained on."""

from typing import Any, Dict, List, NamedTuple, Sequence

import numpy as np

Piece = Dict[str, List[int]]
# One piece in twenty is set aside to measure on, but no more than this many
MOST_HELD_OUT = 100
# Texts tokenised together
BATCH = 256


class Pieces(NamedTuple):
    """Tokenised texts.

    train (List[Piece]): What is learned from.
    held_out (List[Piece]): What the loss is measured on; empty if there are fewer than 20 pieces.
    """

    train: List[Piece]
    held_out: List[Piece]


def cut_pieces(tokenizer: Any, texts: Sequence[str], max_length: int, seed: int) -> Pieces:
    """Tokenise texts; a long one becomes several pieces, so nothing is cut off.

    tokenizer (PreTrainedTokenizerFast): The tokenizer.
    texts (Sequence[str]): The texts.
    max_length (int): Wordpieces of a piece, special tokens included.
    seed (int): Of the choice of those held out.
    RETURNS (Pieces): The pieces.
    """
    pieces: List[Piece] = []
    for start in range(0, len(texts), BATCH):
        pieces += _tokenize(tokenizer, texts[start : start + BATCH], max_length)
    order = np.random.default_rng(seed).permutation(len(pieces))
    count = min(len(pieces) // 20, MOST_HELD_OUT)
    return Pieces([pieces[i] for i in order[count:]], [pieces[i] for i in order[:count]])


def _tokenize(tokenizer: Any, texts: Sequence[str], max_length: int) -> List[Piece]:
    encoded = tokenizer(
        list(texts),
        truncation=True,
        max_length=max_length,
        padding=False,
        return_overflowing_tokens=True,
        return_special_tokens_mask=True,
    )
    keys = [key for key in encoded if key in (*tokenizer.model_input_names, "special_tokens_mask")]
    rows = [dict(zip(keys, values)) for values in zip(*(encoded[key] for key in keys))]
    # a blank text has special tokens only, and nothing to mask
    return [row for row in rows if not all(row["special_tokens_mask"])]
