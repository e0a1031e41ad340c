"""The prompt of mask filling: a text, and masks in place of a label's words."""

from typing import Any, NamedTuple, Optional, Tuple

import numpy as np
from thinc.types import Ints1d

from ..errors import ZeroShotError
from .precision import Precision

TEXT, MASK = "{text}", "{mask}"


def check_prompt(prompt: str, component: str) -> str:
    """Check that a prompt has its two slots. Nothing else in it is interpreted.

    prompt (str): The prompt.
    component (str): The architecture's name, for errors.
    RETURNS (str): The prompt.
    RAISES (ZeroShotError): Z242 for a slot that is missing or repeated, or a stray brace; Z008 for a "$", which
        spaCy's config would change.
    """
    rest = prompt.replace(TEXT, "", 1).replace(MASK, "", 1)
    if TEXT not in prompt or MASK not in prompt or "{" in rest or "}" in rest:
        raise ZeroShotError("Z242", component, prompt=prompt)
    if "$" in prompt:
        raise ZeroShotError("Z008", component, setting="prompt", value=prompt, sign="$")
    return prompt


class Cloze(NamedTuple):
    """How to ask, as in MaskedLMClassifier.

    prompt (str): The prompt.
    precision (Precision): What to compute in.
    device (Optional[str]): A torch device, None to follow thinc.
    max_batch_tokens (int): Padded tokens in one forward pass.
    """

    prompt: str
    precision: Precision
    device: Optional[str]
    max_batch_tokens: int


class Prompt(NamedTuple):
    """A tokenised prompt.

    left, right (Tuple[int, ...]): Token ids before and after the text; one of all is the mask.
    mask_id (int): The mask.
    text_lead, word_lead (str): What stands before the text and before the mask, a space or nothing. Many
        tokenizers make it part of the word that follows.
    """

    left: Tuple[int, ...]
    right: Tuple[int, ...]
    mask_id: int
    text_lead: str
    word_lead: str

    def __len__(self) -> int:
        """RETURNS (int): Tokens beside the text and the mask."""
        return len(self.left) + len(self.right) - 1

    def row(self, text: Ints1d, masks: int) -> Tuple[Ints1d, int]:
        """Put a text into the prompt.

        text (Ints1d): Token ids; none for a prompt without content.
        masks (int): How many masks to set.
        RETURNS (Tuple[Ints1d, int]): Token ids without special tokens at the ends, and where the masks begin.
        """
        left, right = self._masked(self.left, masks), self._masked(self.right, masks)
        if self.mask_id in self.left:
            start = self.left.index(self.mask_id)
        else:
            start = len(left) + len(text) + self.right.index(self.mask_id)
        return np.concatenate([left, text, right]).astype("int64"), start

    def _masked(self, part: Tuple[int, ...], masks: int) -> Tuple[int, ...]:
        if self.mask_id not in part:
            return part
        at = part.index(self.mask_id)
        return (*part[:at], *([self.mask_id] * masks), *part[at + 1 :])


def read_prompt(prompt: str, tokenizer: Any, name: str, component: str) -> Prompt:
    """Tokenise a prompt.

    prompt (str): What check_prompt has passed.
    tokenizer (PreTrainedTokenizerFast): The checkpoint's tokenizer.
    name (str): The checkpoint's name, for errors.
    component (str): The architecture's name, for errors.
    RETURNS (Prompt): The prompt.
    RAISES (ZeroShotError): Z243 if the tokenizer has no mask, Z242 if the prompt names the mask itself as well.
    """
    if tokenizer.mask_token_id is None:
        raise ZeroShotError("Z243", component, name=name)
    left, right = prompt.split(TEXT)
    text_lead = " " if left[-1:].isspace() and left.strip() else ""
    before = (left if MASK in left else right).split(MASK)[0]
    word_lead = " " if before[-1:].isspace() else ""
    ids = [_split(part, tokenizer) for part in (left.rstrip(), right)]
    mask_id = int(tokenizer.mask_token_id)
    if (ids[0] + ids[1]).count(mask_id) != 1:
        raise ZeroShotError("Z242", component, prompt=prompt)
    return Prompt(ids[0], ids[1], mask_id, text_lead, word_lead)


def _split(part: str, tokenizer: Any) -> Tuple[int, ...]:
    if not part:
        return ()
    # by the tokenizer's own call, which knows what becomes of a space before its mask
    text = part.replace(MASK, tokenizer.mask_token)
    encoded = tokenizer(text, add_special_tokens=False, padding=False, truncation=False, verbose=False)
    return tuple(encoded["input_ids"])
