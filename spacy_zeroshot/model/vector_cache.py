"""What is computed from hypotheses alone, remembered while the weights stay: labels come back with every batch."""

from typing import Callable, Dict, Iterable, List, Sequence

from torch import Tensor

from .tokens import CACHE_SIZE, Pieces

# Hypotheses that are computed together
AT_ONCE = 512


class VectorCache:
    """Remembers one tensor for each hypothesis. Threads may share it.

    size (int): How many, or as many as were last asked for together. Beyond that the others are forgotten.
    """

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self._size = size
        self._known: Dict[bytes, Tensor] = {}

    def of(self, pieces: Sequence[Pieces], compute: Callable[[Sequence[Pieces]], Iterable[Tensor]]) -> List[Tensor]:
        """The tensors of hypotheses; those not known yet are computed together, some hundreds at a time.

        pieces (Sequence[Pieces]): The hypotheses.
        compute (Callable[[Sequence[Pieces]], Iterable[Tensor]]): Gives n tensors for n hypotheses, or their stack.
        RETURNS (List[Tensor]): One for each.
        """
        keys = [piece.ids.tobytes() for piece in pieces]
        known = self._known
        missing = {key: piece for key, piece in zip(keys, pieces) if key not in known}
        if missing:
            known = dict(known)
            for first in range(0, len(missing), AT_ONCE):
                chosen = list(missing)[first : first + AT_ONCE]
                known.update(zip(chosen, compute([missing[key] for key in chosen])))
            # replaced in one step, so that threads see either the old or the new
            self._known = known if len(known) <= self._size else {key: known[key] for key in keys}
        return [known[key] for key in keys]

    def forget(self) -> None:
        """Drop everything: the weights have changed."""
        self._known = {}
