"""Wordpieces: every text and every hypothesis is tokenised once, on its own."""

import itertools
import json
import os
import re
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from thinc.types import Ints1d, Ints2d

from .batching import HypothesisSet
from .cache import Cache
from .types import SLOT, Wording

# Hypotheses that are remembered: labels come back with every batch.
CACHE_SIZE = 20_000
# A label in capitals that is longer is a word
LONGEST_ACRONYM = 4
_PARALLELISM = "TOKENIZERS_PARALLELISM"
_set_keys = itertools.count()


class SpecialTokens(NamedTuple):
    """The special tokens around a pair: prefix premise middle hypothesis suffix."""

    prefix: tuple[int, ...]
    middle: tuple[int, ...]
    suffix: tuple[int, ...]
    types: tuple[int, int, int, int, int]  # token types of those and of the two texts, in reading order


class PairTokenizer:
    """A tokenizer that reads texts alone and knows the special tokens around one and around a pair. Every family
    supported here tokenises the two halves of a pair independently. A lead is a space that stands before premises or
    hypotheses where the model reads them, or nothing: byte-level tokenizers make it part of the first word."""

    def __init__(self, tokenizer: Any, premise_lead: str = "", hypothesis_lead: str = "", respell_labels: bool = False):
        # Our own: transformers changes truncation and padding of its one in place.
        files = isinstance(tokenizer, TokenizerFiles)
        self._rust = tokenizer.rust if files else _private(json.loads(tokenizer.backend_tokenizer.to_str()))
        self.pair = _pair_tokens(self._rust)
        self.single = _single_tokens(self._rust)
        self._around = [np.array(tokens, dtype="int64") for tokens in self.single]
        # DistilBERT's tokenizer file numbers both texts, but its model is not to see the numbers
        self.emits_types = "token_type_ids" in tokenizer.model_input_names
        self.pad_id = int(tokenizer.pad_token_id or 0)
        self.unknown_id = tokenizer.unk_token_id
        self._leads = premise_lead, hypothesis_lead
        self._respell_labels = respell_labels
        # encode_batch_fast computes no offsets; older tokenizers lack it
        self._encode_fast = getattr(self._rust, "encode_batch_fast", self._rust.encode_batch)
        self._pieces: Cache[Wording, tuple[Ints1d, tuple[int, int]]] = Cache(CACHE_SIZE)
        self._sets: Cache[tuple[Wording | str, ...], HypothesisSet] = Cache(CACHE_SIZE // 20)

    def encode(self, texts: Sequence[str]) -> list[Ints1d]:
        """The wordpieces of premises, without special tokens."""
        return [np.array(found.ids, dtype="int64") for found in self._encode(texts, self._leads[0], self._encode_fast)]

    def offsets(self, text: str) -> Ints2d:
        """First and past-the-last character of each wordpiece of a premise, shape (wordpieces, 2)."""
        lead = self._leads[0]
        found = self._rust.encode(lead + _without_surrogates(text), add_special_tokens=False).offsets
        return np.maximum(np.asarray(found, dtype="int64").reshape(-1, 2) - len(lead), 0)

    def hypothesis_set(self, hypotheses: tuple[Wording | str, ...]) -> HypothesisSet:
        """The hypotheses of a premise, remembered."""
        found = self._sets.get(hypotheses)
        if found is None:
            wordings = [Wording(SLOT, one) if isinstance(one, str) else one for one in hypotheses]
            pieces, spans = zip(*self._pieces.compute(wordings, self._encode_wordings), strict=True)
            found = HypothesisSet(tuple(one.text for one in wordings), pieces, spans, next(_set_keys))
            self._sets.add({hypotheses: found})
        return found

    def add_special_tokens(self, ids: Ints1d) -> Ints1d:
        """The wordpieces of one text as the model reads it on its own."""
        return np.concatenate((self._around[0], ids, self._around[1]))

    def _encode_wordings(self, wordings: Sequence[Wording]) -> list[tuple[Ints1d, tuple[int, int]]]:
        """The wordpieces of hypotheses, and which of them belong to the label."""
        lead, found = self._leads[1], []
        if self._respell_labels:
            plain = partial(plain_label, n_pieces=lambda word: len(self.encode([word])[0]))
            wordings = [one if one.template == SLOT else one._replace(label=plain(one.label)) for one in wordings]
        encodings = self._encode([wording.text for wording in wordings], lead, self._rust.encode_batch)
        for wording, encoding in zip(wordings, encodings, strict=True):
            start, stop = (place + len(lead) for place in wording.span)
            own = [i for i, (first, last) in enumerate(encoding.offsets) if first < stop and last > start]
            # a label that the tokenizer drops has no wordpieces
            span = (own[0], own[-1] + 1) if own and wording.template != SLOT else (0, len(encoding.ids))
            found.append((np.array(encoding.ids, dtype="int64"), span))
        return found

    def _encode(self, texts: Sequence[str], lead: str, encode: Callable[..., list[Any]]) -> list[Any]:
        wanted = [lead + text for text in texts] if lead else list(texts)
        try:
            return encode(wanted, add_special_tokens=False)
        except (TypeError, UnicodeError):
            return encode(list(map(_without_surrogates, wanted)), add_special_tokens=False)


class TokenizerFiles:
    """The tokenizer of a folder of the bundled layout, with what is needed of transformers' own: that one would hold
    the vocabulary once more, 90 MB of it, and every component a copy."""

    def __init__(self, folder: Path):
        self._files = {name: (folder / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")}
        content, settings = (json.loads(data) for data in self._files.values())
        numbers = {token["content"]: token["id"] for token in content["added_tokens"]}
        self.pad_token_id, self.unk_token_id = numbers[settings["pad_token"]], numbers[settings["unk_token"]]
        self.model_max_length: int = settings["model_max_length"]
        self.model_input_names: list[str] = settings["model_input_names"]
        self.rust = _private(content)

    def save_pretrained(self, folder: Path) -> None:
        """Write the files as they were."""
        for name, data in self._files.items():
            (folder / name).write_bytes(data)


def _private(data: dict[str, Any]) -> Any:
    """A tokenizer.json's tokenizer that finds no special tokens in texts: "[SEP]" in one must not end the premise."""
    from tokenizers import Tokenizer

    if data["model"]["type"] == "Unigram":
        # Its vocabulary (XLM-R, DeBERTa-v3) holds "</s>" as a piece like any other, which the model finds by itself.
        # So these pieces get names that nobody can write; special tokens are known by number.
        special = {token["content"] for token in data["added_tokens"] if token["special"]}
        vocabulary = data["model"]["vocab"]
        hidden = special & {piece for piece, _ in vocabulary}
        secret = uuid.uuid4().hex
        data["model"]["vocab"] = [[secret + piece if piece in hidden else piece, score] for piece, score in vocabulary]
        data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] not in hidden]
    rust = Tokenizer.from_str(json.dumps(data))
    # some tokenizer files (all-MiniLM) pad and cut to 128 by themselves
    rust.no_truncation()
    rust.no_padding()
    rust.encode_special_tokens = True
    return rust


def plain_label(label: str, n_pieces: Callable[[str], int]) -> str:
    """A label as it would stand in a sentence, which is how a model has read labels in training: "OUT_OF_SCOPE",
    "out-of-scope" and "OutOfScope" as "out of scope", "Sci/Tech" as "Sci, Tech". A word's capitals stay where the
    vocabulary spells it no better without: "HR", "YouTube", "Gesundheit". n_pieces: Wordpieces of a word."""
    words = label.replace("_", " ") if " " in label else re.sub("[_-]", " ", label)
    words = re.sub(r"(?<=[^\W\d]{2})\s*[/|]\s*(?=[^\W\d]{2})", ", ", words)
    if words.isupper() and len(words) > LONGEST_ACRONYM:
        words = words.lower()
    plain = []
    for word in words.split():
        apart = re.sub("(?<=[a-z])(?=[A-Z])", " ", word).lower()
        plain.append(min((apart, word) if " " in apart else (word, apart), key=n_pieces))
    return " ".join(plain) or label


def _without_surrogates(text: str) -> str:
    """The text with "?" for lone surrogates, of the same length."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _single_tokens(rust: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens before and after one text."""
    single = rust.encode("a")
    text = [i for i, owner in enumerate(single.sequence_ids) if owner == 0]
    return tuple(single.ids[: text[0]]), tuple(single.ids[text[-1] + 1 :])


def _pair_tokens(rust: Any) -> SpecialTokens:
    """The special tokens and token types of a pair."""
    pair = rust.encode("a", "b")
    # 0 for the first text, 1 for the second, None for special tokens
    first, second = ([i for i, owner in enumerate(pair.sequence_ids) if owner == text] for text in (0, 1))
    ids, types = pair.ids, pair.type_ids
    a, b = types[first[0]], types[second[0]]
    places = slice(first[0]), slice(first[-1] + 1, second[0]), slice(second[-1] + 1, None)
    prefix, middle, suffix = (tuple(ids[place]) for place in places)
    before, between, after = ((types[place] or [default])[0] for place, default in zip(places, (a, a, b), strict=True))
    return SpecialTokens(prefix, middle, suffix, (before, a, between, b, after))


def _before_fork() -> None:
    # The threads of the Rust half do not live on in a forked child: it would hang, or warn and go on with one thread.
    _chosen.append(os.environ.get(_PARALLELISM))
    os.environ[_PARALLELISM] = "false"


def _after_fork_in_parent() -> None:
    chosen = _chosen.pop()
    if chosen is None:
        del os.environ[_PARALLELISM]
    else:
        os.environ[_PARALLELISM] = chosen


_chosen: list[str | None] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent)
