"""A baseline without entailment: the cosine of a text's and a hypothesis' sentence embeddings."""

from pathlib import Path
from typing import Any, Dict, Iterator, Sequence, Tuple

import numpy as np
import torch
from spacy.util import minibatch
from thinc.types import Floats1d, Floats2d

from .decisions import Rule, default_rule
from .errors import ZeroShotError
from .hypotheses import check_template, fill_template
from .model.pair_layout import max_positions
from .model.precision import choose_device
from .rows import NLIPair

DEFAULT_TEMPLATE = "This text is about {}."


class CosineJudge:
    """Scores labels by embedding similarity: mean over the last layer's tokens, then the cosine.

    A text longer than the encoder takes is cut. A label's score is the mean of its hypotheses' cosines. In
    single-label mode the highest counts; in multi-label mode and for NLI a cosine of `threshold` or more does, which
    is not tuned.

    folder (str): An encoder's folder, or a name on the Hub.
    templates (Sequence[str]): Hypothesis templates.
    threshold (float): The cosine that counts as a yes.
    batch_size (int): Texts that are encoded together.
    RAISES (ZeroShotError): Z004 for a bad template, Z065 for a folder that holds no encoder.
    """

    def __init__(self, folder: str, templates: Sequence[str] = (), threshold: float = 0.5, batch_size: int = 128):
        self.templates = [check_template(t, "evaluate") for t in templates] or [DEFAULT_TEMPLATE]
        self.threshold = threshold
        self.batch_size = batch_size
        self.tokenizer, self.module = _load(folder)
        self.max_length = max_positions(self.module, self.tokenizer)

    def scores(self, texts: Sequence[str], labels: Sequence[str], compete: bool) -> Iterator[Floats1d]:
        hypotheses = [fill_template(template, label) for label in labels for template in self.templates]
        vectors = self._embed(hypotheses)
        for batch in minibatch(texts, self.batch_size):
            cosines = self._embed(batch) @ vectors.T
            yield from cosines.reshape(len(batch), len(labels), -1).mean(axis=-1)

    def entailed(self, pairs: Sequence[NLIPair]) -> Iterator[Tuple[int, bool]]:
        for batch in minibatch(enumerate(pairs), self.batch_size):
            premises = self._embed([pair.premise for _, pair in batch])
            hypotheses = self._embed([pair.hypothesis for _, pair in batch])
            for (number, _), cosine in zip(batch, (premises * hypotheses).sum(axis=1)):
                yield number, bool(cosine >= self.threshold)

    def rule(self, compete: bool) -> Rule:
        return default_rule(compete, self.threshold)

    def _embed(self, texts: Sequence[str]) -> Floats2d:
        """RETURNS (Floats2d): Shape (texts, width), rows of length one."""
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        vectors: Dict[int, np.ndarray] = {}
        # texts of like length together, so that little is spent on padding
        for part in minibatch(order, 32):
            vectors.update(zip(part, self._encode([texts[i] for i in part])))
        return np.stack([vectors[i] for i in range(len(texts))])

    def _encode(self, texts: Sequence[str]) -> Floats2d:
        inputs = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        ).to(self.module.device)
        with torch.inference_mode():
            states = self.module(**inputs).last_hidden_state.float()
        mask = inputs["attention_mask"].unsqueeze(-1)
        pooled = (states * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()


def _load(folder: str) -> Tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    local = Path(folder).is_dir()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=local, trust_remote_code=False)
        module = AutoModel.from_pretrained(
            folder, local_files_only=local, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ZeroShotError("Z065", "evaluate", folder=folder, reason=reason.rstrip(".")) from error
    return tokenizer, module.float().eval().to(choose_device(None))
