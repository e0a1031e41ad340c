"""How many tokens go through a model at once, and what to do where a GPU cannot hold them."""

import torch

from ..errors import warn

# A GPU that cannot hold this many tokens cannot hold the model either.
SMALLEST_BUDGET = 64


class Budget:
    """Padded tokens in one forward pass: fewer from now on if a GPU runs out of memory.

    tokens (int): To start with.
    """

    def __init__(self, tokens: int):
        self.tokens = tokens
        self._warned = False

    def halve(self, component: str) -> bool:
        """Go on with half as many; warns the first time.

        component (str): The component's name, for the warning.
        RETURNS (bool): False if there is nothing to halve: the error stands.
        """
        if self.tokens <= SMALLEST_BUDGET:
            return False
        before, self.tokens = self.tokens, self.tokens // 2
        torch.cuda.empty_cache()
        if not self._warned:
            self._warned = True
            warn("Z103", component, before=before, after=self.tokens)
        return True
