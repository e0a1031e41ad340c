"""A masked language model at work: labels are its words."""

from typing import Sequence, Tuple

import torch

from ..errors import ZeroShotError
from .checkpoint import Checkpoint, load_checkpoint
from .masked_layout import MaskedLayout
from .precision import choose_device, choose_dtype
from .prompt import Cloze, read_prompt
from .runtime import Runtime
from .source import Source
from .tokens import Pieces, Tokens


class MaskedRuntime(Runtime):
    """A masked language model, ready to answer.

    name (str): The checkpoint's name, for errors.
    checkpoint, tokens, layout, device, dtype, budget: As for Runtime.
    """

    def __init__(
        self,
        name: str,
        checkpoint: Checkpoint,
        tokens: Tokens,
        layout: MaskedLayout,
        device: torch.device,
        dtype: torch.dtype,
        budget: int,
    ):
        super().__init__(checkpoint, tokens, layout, device, dtype, budget)
        self.name = name

    def split_hypotheses(self, hypotheses: Sequence[str]) -> Tuple[Pieces, ...]:
        """Tokenise label words.

        hypotheses (Sequence[str]): The words.
        RETURNS (Tuple[Pieces, ...]): One for each.
        RAISES (ZeroShotError): Z244 for a word with a character the model does not know.
        """
        split = super().split_hypotheses(hypotheses)
        unknown = self.checkpoint.tokenizer.unk_token_id
        for word, pieces in zip(hypotheses, split):
            if not len(pieces.ids) or unknown in pieces.ids:
                reason = "its tokenizer does not know all of it"
                raise ZeroShotError("Z244", "MaskedLMClassifier", word=word, name=self.name, reason=reason)
        return split


def load_masked_runtime(source: Source, name: str, cloze: Cloze) -> MaskedRuntime:
    """Load a masked language model.

    source (Source): The checkpoint.
    name (str): Its name, for errors.
    cloze (Cloze): How to ask it.
    RETURNS (MaskedRuntime): The model, ready to answer.
    RAISES (ZeroShotError): Z020 to Z024, Z027, Z028 if it cannot be loaded, Z242, Z243, Z245.
    """
    device = choose_device(cloze.device)
    dtype = choose_dtype(cloze.precision, device)
    checkpoint = load_checkpoint(source, kind="masked_lm")
    prompt = read_prompt(cloze.prompt, checkpoint.tokenizer, name, source.component)
    tokens = Tokens(checkpoint.tokenizer, name, prompt.text_lead, prompt.word_lead)
    module = checkpoint.module.to(device=device, dtype=dtype).eval()
    layout = MaskedLayout(module, checkpoint.tokenizer, tokens, prompt, 1 if dtype == torch.float32 else 8)
    return MaskedRuntime(name, checkpoint, tokens, layout, device, dtype, cloze.max_batch_tokens)
