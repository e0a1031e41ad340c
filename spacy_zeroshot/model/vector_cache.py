"""What is computed from hypotheses alone, remembered while the weights stay: labels come back with every batch."""

from typing import Callable, Dict, Iterable, List, Sequence

from torch import Tensor

from .tokens import CACHE_SIZE, Pieces


class VectorCache:
    """Remembers one tensor for each hypothesis. Threads may share it.

    size (int): How many. Beyond that everything is forgotten.
    """

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self._size = size
        self._known: Dict[bytes, Tensor] = {}

    def of(self, pieces: Sequence[Pieces], compute: Callable[[Sequence[Pieces]], Iterable[Tensor]]) -> List[Tensor]:
        """The tensors of hypotheses; those not known yet are computed together.

        pieces (Sequence[Pieces]): The hypotheses.
        compute (Callable[[Sequence[Pieces]], Iterable[Tensor]]): Gives n tensors for n hypotheses, or their stack.
        RETURNS (List[Tensor]): One for each.
        """
        keys = [piece.ids.tobytes() for piece in pieces]
        known = self._known
        missing = {key: piece for key, piece in zip(keys, pieces) if key not in known}
        if missing:
            known = {**known, **dict(zip(missing, compute(list(missing.values()))))}
            # replaced in one step, so that threads see either the old or the new
            self._known = known if len(known) <= self._size else {}
        return [known[key] for key in keys]

    def forget(self) -> None:
        """Drop everything: the weights have changed."""
        self._known = {}
