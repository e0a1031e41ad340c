"""What happens when a GPU has no memory left. torch's own error is raised by a layout of limited size."""

from pathlib import Path
from typing import Any, Iterator, List

import numpy as np
import pytest
import torch

from spacy_zeroshot.errors import ZeroShotWarning
from spacy_zeroshot.evidence import Question, Request
from spacy_zeroshot.model.shim import NLIShim, Placement
from spacy_zeroshot.model.source import Source

QUESTIONS = [Question(f"The game number {i} was won by the team.", ("sport", "politics", "food")) for i in range(8)]


class SmallGPU:
    """A layout that raises torch's out-of-memory error for passes of more than `most` pairs."""

    def __init__(self, layout: Any, most: int):
        self._layout = layout
        self._most = most
        self.tried: List[int] = []

    def room(self, longest: int) -> int:
        return self._layout.room(longest)

    def passes(self, items: Any, budget: int) -> Iterator[Any]:
        for pass_ in self._layout.passes(items, budget):
            self.tried.append(len(pass_.pairs))
            if len(pass_.pairs) > self._most:
                raise torch.cuda.OutOfMemoryError("out of memory")
            yield pass_

    def forward(self, batch: Any) -> Any:
        return self._layout.forward(batch)


@pytest.mark.parametrize("folder", ["nli_folder", "shared_folder"])
def test_halves_the_budget_and_warns_once_Z103(folder: str, request: pytest.FixtureRequest) -> None:
    name: Path = request.getfixturevalue(folder)
    runtime = NLIShim(Source(str(name)), Placement(precision="float32", max_batch_tokens=4096)).runtime
    wanted = runtime.predict(Request(QUESTIONS))
    runtime.layout = SmallGPU(runtime.layout, most=6)
    with pytest.warns(ZeroShotWarning, match="Z103") as caught:
        found = runtime.predict(Request(QUESTIONS))
    assert len(caught) == 1
    assert max(runtime.layout.tried) > 6 and runtime.budget < 4096
    for one, other in zip(wanted, found):
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-5)


def test_gives_up_where_nothing_fits(nli_folder: Path) -> None:
    runtime = NLIShim(Source(str(nli_folder)), Placement(precision="float32")).runtime
    runtime.layout = SmallGPU(runtime.layout, most=0)
    with pytest.warns(ZeroShotWarning, match="Z103"), pytest.raises(torch.cuda.OutOfMemoryError):
        runtime.predict(Request(QUESTIONS))


class SmallCache(SmallGPU):
    """A layout whose passes fit a small cache."""

    cached_tokens = 64

    def __init__(self, layout: Any):
        super().__init__(layout, most=1000)
        self.budgets: List[int] = []

    def passes(self, items: Any, budget: int) -> Iterator[Any]:
        self.budgets.append(budget)
        return super().passes(items, budget)


@pytest.mark.parametrize("allowed, used", [(4096, 64), (32, 32)])
def test_passes_on_a_cpu_fit_its_cache(nli_folder: Path, allowed: int, used: int) -> None:
    placement = Placement(precision="float32", max_batch_tokens=allowed, device="cpu")
    runtime = NLIShim(Source(str(nli_folder)), placement).runtime
    wanted = runtime.predict(Request(QUESTIONS))
    runtime.layout = SmallCache(runtime.layout)
    found = runtime.predict(Request(QUESTIONS))
    assert runtime.layout.budgets == [used]
    assert len(runtime.layout.tried) > 1
    for one, other in zip(wanted, found):
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-5)
