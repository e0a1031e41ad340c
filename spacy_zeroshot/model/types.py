"""What a model reads and what it answers: the contract between the component and every architecture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from thinc.types import Floats2d, Ints1d, Ints2d

BUNDLED, BUNDLED_FOLDER = "bundled", Path(__file__).parent.parent / "bundled"
ClassRef: TypeAlias = str | int | None
Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]
Backend = Literal["torch", "openvino", "auto"]
# Where a label goes in a template, and what goes where in a prompt
SLOT, TEXT_SLOT, MASK_SLOT = "{}", "{text}", "{mask}"
DEFAULT_TEMPLATE = "This text is about {}."
# What a Hugging Face folder of the bundled layout calls itself, and its weights
DECOMPOSED, WEIGHTS = "zero_shot_decomposed", "model.safetensors"

# Columns of NLIOutput.logits. A third column (neutral) is there for the loss alone.
ENTAILMENT, CONTRADICTION = 0, 1


class WindowConfig(NamedTuple):
    """How a model reads a premise that is longer than it takes."""

    long_text: Literal["windows", "truncate"] = "windows"  # overlapping windows of wordpieces, or the beginning
    overlap: int = 64  # wordpieces that neighbouring windows share


class Wording(NamedTuple):
    """A hypothesis: a label in a template, or a sentence of one's own in a bare slot."""

    template: str
    label: str

    @property
    def text(self) -> str:
        # not format(): nothing else in template or label is interpreted
        return self.template.replace(SLOT, self.label)

    @property
    def span(self) -> tuple[int, int]:
        """First and past-the-last character of the label."""
        start = self.template.index(SLOT)
        return start, start + len(self.label)


class NLIInput(NamedTuple):
    """A batch of premises, each with the hypotheses to score it on. Premises with the same ones should share one tuple
    object: what is computed for it is computed once."""

    premises: Sequence[str]  # texts of any length, none of them blank
    # one tuple for each premise, none empty; a string is a sentence of one's own
    hypotheses: Sequence[tuple[Wording | str, ...]]
    windows: WindowConfig = WindowConfig()


class NLIOutput(NamedTuple):
    """The logits of every window and hypothesis, as flat arrays in the order of the premises."""

    # Shape (pairs, classes), float32: premise by premise, window by window, hypothesis by hypothesis. Column
    # ENTAILMENT speaks for the hypothesis, CONTRADICTION against it (not-entailment in a two-class head).
    logits: Floats2d
    windows: Ints2d  # shape (windows, 2): first and past-the-last character of each in its premise
    n_windows: Ints1d  # shape (premises,): at least one each
    n_hypotheses: Ints1d  # shape (premises,)


@dataclass(frozen=True)
class ModelSpec:
    """What a model block of a config says: the parameters of the architectures."""

    name: str
    revision: str | None = None
    local_files_only: bool = False
    use_safetensors: bool = True
    precision: Precision = "auto"
    device: str | None = None
    max_batch_tokens: int | None = None
    architecture: str = "NLIClassifier"  # without package and version
    backend: Backend = "torch"
    entailment: ClassRef = None
    contradiction: ClassRef = None
    temperature: float | None = None
    midpoint: float | None = None
    prompt: str = ""
