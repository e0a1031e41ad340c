"""What is computed from hypotheses alone, remembered while the weights stay: labels come back with every batch."""

from typing import Callable, Dict, List, Sequence

from torch import Tensor

from .tokens import CACHE_SIZE, Pieces


class VectorCache:
    """Remembers one tensor for each hypothesis. Threads may share it."""

    def __init__(self) -> None:
        self._known: Dict[bytes, Tensor] = {}

    def of(self, pieces: Sequence[Pieces], compute: Callable[[Sequence[Pieces]], Tensor]) -> List[Tensor]:
        """The tensors of hypotheses; those not known yet are computed together.

        pieces (Sequence[Pieces]): The hypotheses.
        compute (Callable[[Sequence[Pieces]], Tensor]): Gives a tensor of shape (n, ...) for n hypotheses.
        RETURNS (List[Tensor]): One for each.
        """
        keys = [piece.ids.tobytes() for piece in pieces]
        known = self._known
        missing = {key: piece for key, piece in zip(keys, pieces) if key not in known}
        if missing:
            known = {**known, **dict(zip(missing, compute(list(missing.values()))))}
            # replaced in one step, so that threads see either the old or the new
            self._known = known if len(known) <= CACHE_SIZE else {}
        return [known[key] for key in keys]

    def forget(self) -> None:
        """Drop everything: the weights have changed."""
        self._known = {}
