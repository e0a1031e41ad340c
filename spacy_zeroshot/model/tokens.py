"""Wordpieces: every text and every hypothesis is tokenised once, on its own."""

import json
import uuid
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
from thinc.types import Ints1d, Ints2d

from ..errors import ZeroShotError

# Hypotheses are few and come back with every batch; beyond this many the oldest half is forgotten.
CACHE_SIZE = 20_000


class Pieces(NamedTuple):
    """A tokenised text, without special tokens.

    ids (Ints1d): Shape (wordpieces,).
    offsets (Ints2d): Shape (wordpieces, 2): first and past-the-last character of each.
    """

    ids: Ints1d
    offsets: Ints2d


class Frame(NamedTuple):
    """The special tokens around a premise and a hypothesis: prefix premise middle hypothesis suffix.

    prefix, middle, suffix (Tuple[int, ...]): Token ids.
    types (Tuple[int, ...]): The token types of those and of the two texts, in reading order (five numbers).
    """

    prefix: Tuple[int, ...]
    middle: Tuple[int, ...]
    suffix: Tuple[int, ...]
    types: Tuple[int, int, int, int, int]

    def __len__(self) -> int:
        return len(self.prefix) + len(self.middle) + len(self.suffix)


class Ends(NamedTuple):
    """The special tokens around a text on its own.

    prefix, suffix (Tuple[int, ...]): Token ids.
    """

    prefix: Tuple[int, ...]
    suffix: Tuple[int, ...]

    def around(self, ids: Ints1d) -> Ints1d:
        """ids (Ints1d): Shape (n,): a text. RETURNS (Ints1d): Shape (n + special tokens,)."""
        return np.concatenate([self.prefix, ids, self.suffix]).astype("int64")


class Tokens:
    """A tokenizer that splits texts alone and knows how the model wants a pair to be framed.

    The two halves of a pair are tokenised independently by every family supported here, so a text needs
    tokenising once and not once per label.

    tokenizer (PreTrainedTokenizerFast): A fast tokenizer of transformers.
    name (str): The checkpoint's name, for errors.
    premise_lead, hypothesis_lead (str): A space that stands before them where the model reads them, or nothing:
        byte-level tokenizers make it part of the first word.
    """

    def __init__(self, tokenizer: Any, name: str, premise_lead: str = "", hypothesis_lead: str = ""):
        if not tokenizer.is_fast:
            raise ZeroShotError("Z028", "NLIClassifier", name=name)
        # A copy of our own: transformers changes truncation and padding of its one in place, which other threads
        # would see, and some tokenizer files (all-MiniLM) pad and cut to 128 by themselves.
        self._rust = _copy_of(tokenizer.backend_tokenizer)
        self._rust.no_truncation()
        self._rust.no_padding()
        self.frame = _learn_frame(self._rust)
        self.ends = _learn_ends(self._rust)
        # "[SEP]" in a user's text is text: it must not end the premise.
        self._rust.encode_special_tokens = True
        # DistilBERT's tokenizer file numbers both texts, but its model is not to see the numbers
        self.emits_types = "token_type_ids" in tokenizer.model_input_names
        self.pad_id = int(tokenizer.pad_token_id or 0)
        self._cache: Dict[str, Pieces] = {}
        self._leads = premise_lead, hypothesis_lead

    def split(self, texts: Sequence[str]) -> List[Pieces]:
        """Tokenise texts.

        texts (Sequence[str]): The texts; lone surrogates count as replacement characters.
        RETURNS (List[Pieces]): One per text.
        """
        return self._split(texts, self._leads[0])

    def split_cached(self, texts: Sequence[str]) -> List[Pieces]:
        """Tokenise hypotheses, remembering them.

        texts (Sequence[str]): The hypotheses.
        RETURNS (List[Pieces]): One per hypothesis.
        """
        missing = list(dict.fromkeys(text for text in texts if text not in self._cache))
        fresh = dict(zip(missing, self._split(missing, self._leads[1]))) if missing else {}
        found = [fresh.get(text) or self._cache[text] for text in texts]
        if fresh:
            # replaced in one step, so that threads see either the old or the new
            kept = self._cache if len(self._cache) < CACHE_SIZE else dict(list(self._cache.items())[CACHE_SIZE // 2 :])
            self._cache = {**kept, **fresh}
        return found

    def _split(self, texts: Sequence[str], lead: str) -> List[Pieces]:
        encodings = self._rust.encode_batch([lead + _encodable(text) for text in texts], add_special_tokens=False)
        return [Pieces(np.asarray(e.ids, dtype="int64"), _places(e.offsets, len(lead))) for e in encodings]


def _places(offsets: Sequence[Tuple[int, int]], lead: int) -> Ints2d:
    """Offsets, counted from the end of the lead. RETURNS (Ints2d): Shape (wordpieces, 2)."""
    return np.maximum(np.asarray(offsets, dtype="int64").reshape(-1, 2) - lead, 0)


def _copy_of(rust: Any) -> Any:
    """Copy a tokenizer. RETURNS (Tokenizer): Finds no special tokens in texts once it is told to encode them."""
    from tokenizers import Tokenizer

    content = rust.to_str()
    if type(rust.model).__name__ != "Unigram":
        return Tokenizer.from_str(content)
    # The vocabulary of a Unigram model (XLM-R, DeBERTa-v3) holds "</s>" as a piece like any other, which the model
    # finds by itself. So the pieces get names that nobody can write; the frame knows them by number.
    data = json.loads(content)
    special = {token["content"] for token in data["added_tokens"] if token["special"]}
    vocabulary = data["model"]["vocab"]
    hidden = special & {piece for piece, _ in vocabulary}
    secret = uuid.uuid4().hex
    data["model"]["vocab"] = [[secret + piece if piece in hidden else piece, score] for piece, score in vocabulary]
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] not in hidden]
    return Tokenizer.from_str(json.dumps(data))


def _encodable(text: str) -> str:
    """The text with "?" for lone surrogates, of the same length; other texts as they are."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _learn_ends(rust: Any) -> Ends:
    """Read the special tokens off one encoded text."""
    single = rust.encode("a")
    text = [i for i, owner in enumerate(single.sequence_ids) if owner == 0]
    return Ends(tuple(single.ids[: text[0]]), tuple(single.ids[text[-1] + 1 :]))


def _learn_frame(rust: Any) -> Frame:
    """Read the special tokens and token types off one encoded pair."""
    pair = rust.encode("a", "b")
    # 0 for the first text, 1 for the second, None for special tokens
    owners = pair.sequence_ids
    first = [i for i, owner in enumerate(owners) if owner == 0]
    second = [i for i, owner in enumerate(owners) if owner == 1]
    ids, types = pair.ids, pair.type_ids
    prefix, middle, suffix = (0, first[0]), (first[-1] + 1, second[0]), (second[-1] + 1, len(ids))

    def type_of(start: int, end: int, default: int) -> int:
        return types[start] if end > start else default

    a, b = types[first[0]], types[second[0]]
    return Frame(
        tuple(ids[slice(*prefix)]),
        tuple(ids[slice(*middle)]),
        tuple(ids[slice(*suffix)]),
        (type_of(*prefix, a), a, type_of(*middle, a), b, type_of(*suffix, b)),
    )
