"""Sentence embeddings of texts of any length, for whoever needs them as plain arrays."""

import os
import threading
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
import torch
from thinc.types import Floats2d

from .budget import Budget
from .checkpoint import load_checkpoint
from .encoder import SentenceEncoder
from .pooling import read_pooling
from .precision import Precision, choose_device, choose_dtype
from .runtime import mind_fork
from .source import Source
from .tokens import Tokens
from .windows import split_windows

# Wordpieces that neighbouring windows of a long text share
OVERLAP = 64


class Embedder:
    """A sentence embedding model that is loaded at first use.

    source (Source): "bundled", a Hub name or a folder; any encoder, with or without a pooling of its own.
    precision (Precision): "auto", "float32", "bfloat16" or "float16".
    device (Optional[str]): A torch device, None to follow thinc.
    max_batch_tokens (int): Padded tokens in one forward pass.
    encoder (Optional[SentenceEncoder]): The model, if it was loaded before.
    """

    def __init__(
        self,
        source: Source,
        precision: Precision = "auto",
        device: Optional[str] = None,
        max_batch_tokens: int = 8192,
        encoder: Optional[SentenceEncoder] = None,
    ):
        self.source = source
        self.precision = precision
        self.device = device
        self._budget = Budget(max_batch_tokens)
        self._encoder = encoder
        self._lock = threading.Lock()
        self._process = os.getpid()

    def embed(self, texts: Sequence[str]) -> Floats2d:
        """Embed texts. A long one gets the mean of its windows' embeddings. Equal texts are embedded once.

        texts (Sequence[str]): The texts.
        RETURNS (Floats2d): Shape (texts, width), float32, rows of length one.
        RAISES (ZeroShotError): Z020 to Z024, Z027, Z028, Z240 if the model cannot be loaded.
        """
        self._process = mind_fork(self._process)
        encoder = self.encoder
        distinct = list(dict.fromkeys(texts))
        windows: List[np.ndarray] = []
        owners: List[int] = []
        overlap = min(OVERLAP, encoder.room // 2)
        for number, pieces in enumerate(encoder.tokens.split(distinct)):
            for start, end in split_windows(len(pieces.ids), encoder.room, overlap, self.source.component):
                windows.append(pieces.ids[start:end])
                owners.append(number)
        vectors = self._vectors(encoder, windows)
        sums = np.zeros((len(distinct), vectors.shape[1]), dtype="float32")
        np.add.at(sums, owners, vectors)
        # all zeros only if windows point in opposite directions
        sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        number_of = {text: number for number, text in enumerate(distinct)}
        return sums[[number_of[text] for text in texts]]

    @property
    def encoder(self) -> SentenceEncoder:
        """RETURNS (SentenceEncoder): Loaded on the first call, by one thread."""
        if self._encoder is None:
            with self._lock:
                if self._encoder is None:
                    self._encoder = self._load()
        return self._encoder

    def __getstate__(self) -> Dict[str, Any]:
        # loaded again where it arrives
        return {**self.__dict__, "_lock": None, "_encoder": None}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()
        self._process = os.getpid()

    def _vectors(self, encoder: SentenceEncoder, windows: Sequence[np.ndarray]) -> Floats2d:
        found = np.zeros((len(windows), encoder.module.config.hidden_size), dtype="float32")
        todo = list(range(len(windows)))
        while todo:
            try:
                with torch.inference_mode():
                    for slice_ in encoder.slices([windows[i] for i in todo], self._budget.tokens):
                        rows = [todo[i] for i in slice_.chosen]
                        found[rows] = encoder.vectors(slice_.texts).cpu().numpy()
                return found
            except torch.cuda.OutOfMemoryError:
                if not self._budget.halve(self.source.component):
                    raise
        return found

    def _load(self) -> SentenceEncoder:
        mind_fork(self._process)
        device = choose_device(self.device)
        return load_sentence_encoder(self.source, device, choose_dtype(self.precision, device))


def load_sentence_encoder(source: Source, device: torch.device, dtype: torch.dtype) -> SentenceEncoder:
    """Load a sentence embedding model.

    source (Source): The checkpoint.
    device (torch.device): Where to run.
    dtype (torch.dtype): What to compute in.
    RETURNS (SentenceEncoder): The model, ready to embed.
    RAISES (ZeroShotError): Z020 to Z024, Z027, Z028, Z240.
    """
    checkpoint = load_checkpoint(source, kind="encoder")
    pooling = read_pooling(source.pinned(checkpoint.config))
    module = checkpoint.module.to(device=device, dtype=dtype).eval()
    tokens = Tokens(checkpoint.tokenizer, source.name)
    multiple = 1 if dtype == torch.float32 else 16
    return SentenceEncoder(checkpoint._replace(module=module), tokens, pooling, multiple, source.name, source.component)
