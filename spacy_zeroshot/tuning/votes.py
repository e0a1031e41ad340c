"""Candidates with the votes of a component's examples: the neighbours are found once, the rest is arithmetic."""

from typing import List, Sequence

import numpy as np

from ..component import ZeroShotTextCategorizer
from ..premises import Premise
from .passes import competes
from .search import Candidate, Votes

COUNTS = (1, 2, 4, 8, 16, 32)
WEIGHTS = (0.25, 0.5, 0.75, 1.0)


def count_votes(
    pipe: ZeroShotTextCategorizer, premises: Sequence[Sequence[Premise]], counts: Sequence[int] = COUNTS
) -> List[Votes]:
    """Let a component's examples vote on texts. A text that is an example itself is no neighbour of its own.

    pipe (ZeroShotTextCategorizer): The component.
    premises (Sequence[Sequence[Premise]]): Of each text, one or more.
    counts (Sequence[int]): Numbers of neighbours beside the component's own.
    RETURNS (List[Votes]): One for every number of neighbours and weight, the component's own settings first; none if
        it has no examples.
    """
    if not pipe.examples:
        return []
    most = len(pipe.examples.rows)
    tried = list(dict.fromkeys([pipe.examples.n_neighbors, *(count for count in counts if count <= most)]))
    texts = [" ".join(part.text for part in parts) for parts in premises]
    shares, known = pipe.examples.vote(texts, pipe.labels, competes(pipe), pipe.embed, tried, leave_out=True)
    own = [pipe.examples.weight] if pipe.examples.weight else []
    weights = list(dict.fromkeys([*own, *WEIGHTS]))
    return [Votes(found, known, count, weight) for count, found in zip(tried, shares) for weight in weights]


def with_votes(candidates: Sequence[Candidate], votes: Sequence[Votes]) -> List[Candidate]:
    """Every candidate alone, and with all votes.

    candidates (Sequence[Candidate]): Candidates without votes.
    votes (Sequence[Votes]): What count_votes gave.
    RETURNS (List[Candidate]): Those alone first, so that of equals they are chosen.
    """
    mixed = [
        one._replace(name=f"{one.name} + {describe_votes(each)}", votes=each) for one in candidates for each in votes
    ]
    return [*candidates, *mixed]


def describe_votes(votes: Votes) -> str:
    """RETURNS (str): How examples vote, in words. votes (Votes): The votes."""
    neighbours = "1 neighbour" if votes.n_neighbors == 1 else f"{votes.n_neighbors} neighbours"
    return f"{neighbours}, weight {votes.weight:g}"


def own_scores(values: np.ndarray, pipe: ZeroShotTextCategorizer, votes: Sequence[Votes]) -> np.ndarray:
    """A component's scores as they are before tuning.

    values (np.ndarray): Shape (texts, labels): its zero-shot scores.
    pipe (ZeroShotTextCategorizer): The component.
    votes (Sequence[Votes]): What count_votes gave.
    RETURNS (np.ndarray): Shape (texts, labels): with the votes of its own settings.
    """
    return votes[0].mix(values, competes(pipe)) if votes and pipe.examples.weight else values
