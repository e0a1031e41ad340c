"""Nearest neighbours among embedded examples, found by scikit-learn."""

from typing import Any, Optional, Sequence, Tuple

import numpy as np
from thinc.types import Floats2d, Ints2d

from ..errors import ZeroShotError


class Neighbours:
    """Examples that can be searched, by brute force.

    One product of matrices compares a text with all of them: exact, and below the cost of the text's own embedding up
    to some hundred thousand examples. An approximate index would only pay beyond.

    vectors (Floats2d): Shape (examples, width): embeddings of length one; at least one.
    texts (Sequence[str]): The examples' texts.
    component (str): The component's name, for errors.
    RAISES (ZeroShotError): Z085 without scikit-learn.
    """

    def __init__(self, vectors: Floats2d, texts: Sequence[str], component: str):
        try:
            from sklearn.neighbors import NearestNeighbors
        except ImportError as reason:
            raise ZeroShotError(
                "Z085", component, what="examples", package="scikit-learn", extra="examples"
            ) from reason
        self._texts = np.array(texts, dtype=object)
        self._search: Any = NearestNeighbors(metric="cosine", algorithm="brute").fit(vectors)

    def nearest(
        self, queries: Floats2d, count: int, without: Optional[Sequence[str]] = None
    ) -> Tuple[Floats2d, Ints2d]:
        """Find each text's neighbours.

        queries (Floats2d): Shape (texts, width): embeddings of length one.
        count (int): How many neighbours; fewer if there are fewer examples.
        without (Optional[Sequence[str]]): A text for every query that is not to be its neighbour: itself, when
            examples are scored by each other. Examples' texts are all different.
        RETURNS (Tuple[Floats2d, Ints2d]): Shape (texts, count) each: cosines, the nearest first, and the examples'
            numbers. Where a neighbour was left out and there is no other, its cosine is NaN.
        """
        most = min(count if without is None else count + 1, len(self._texts))
        distances, numbers = self._search.kneighbors(queries, n_neighbors=most)
        similarities = 1.0 - distances
        if without is None:
            return similarities, numbers
        own = self._texts[numbers] == np.array(without, dtype=object)[:, None]
        similarities[own] = np.nan
        # the one left out goes to the end, the others keep their order
        order = np.argsort(own, axis=1, kind="stable")[:, :count]
        return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(numbers, order, axis=1)
