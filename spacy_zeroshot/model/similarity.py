"""spacy_zeroshot.SimilarityClassifier.v1: a thinc model that compares sentence embeddings."""

from pathlib import Path
from typing import Any, ClassVar, List, NamedTuple, Optional

from thinc.api import Model

from ..errors import ZeroShotError
from ..evidence import Answer, Request
from ..scores import check_temperature
from .architecture import check_budget, score
from .checkpoint_shim import CheckpointShim
from .precision import Precision
from .source import BUNDLED, Source

COMPONENT = "SimilarityClassifier"


def SimilarityClassifier(
    name: str = BUNDLED,
    revision: Optional[str] = None,
    local_files_only: bool = False,
    use_safetensors: bool = True,
    temperature: float = 0.05,
    midpoint: float = 0.2,
    precision: Precision = "auto",
    device: Optional[str] = None,
    max_batch_tokens: int = 8192,
) -> Model[Request, List[Answer]]:
    """Build a classifier by similarity of sentence embeddings (Reimers and Gurevych, 2019). Nothing is loaded before
    its first use. It only scores.

    Text and hypothesis are embedded on their own. The evidence for a hypothesis is cosine / temperature, and that
    against it is midpoint / temperature. So labels that compete get softmax(cosine / temperature), and labels on
    their own get sigmoid((cosine - midpoint) / temperature): 0.5 at the midpoint. A text costs the same for any
    number of labels, as embeddings of hypotheses are remembered.

    name (str): "bundled", a Hugging Face Hub name, or a folder: any encoder, its last states pooled by mean or CLS
        as its 1_Pooling/config.json says, by mean if it has none.
    revision (Optional[str]): A commit or tag of a Hub name: pins config, tokenizer and weights.
    local_files_only (bool): Never ask the network, take the Hub's cache.
    use_safetensors (bool): Refuse pickled weights. False also takes an old pytorch_model.bin.
    temperature (float): What cosines are divided by: smaller is surer. Cosines of most sentence encoders differ by
        tenths between labels.
    midpoint (float): The cosine that counts as undecided where labels do not compete. The best one differs from one
        label set to another, about 0.05 to 0.5: `tune` finds thresholds that make up for it.
    precision (Precision): "auto", "float32", "bfloat16" or "float16".
    device (Optional[str]): None follows thinc's active ops; or a torch device string.
    max_batch_tokens (int): Padded tokens in one forward pass.
    RETURNS (Model[Request, List[Answer]]): The model: two logits, for and against, for every window of a premise
        and every hypothesis.
    RAISES (ZeroShotError): Z007 for an impossible budget, temperature or midpoint.
    """
    check_budget(max_batch_tokens, COMPONENT)
    check_temperature(temperature, COMPONENT)
    if not -1.0 < midpoint < 1.0:
        reason = "a cosine lies between -1 and 1"
        raise ZeroShotError("Z007", COMPONENT, setting="midpoint", value=midpoint, reason=reason)
    source = Source(name, revision, local_files_only, use_safetensors, COMPONENT)
    comparison = Comparison(temperature, midpoint, precision, device, max_batch_tokens)
    return Model("similarity_classifier", score, shims=[SimilarityShim(source, comparison)])


class Comparison(NamedTuple):
    """How to compare, as in SimilarityClassifier.

    temperature (float): What cosines are divided by.
    midpoint (float): The cosine that counts as undecided.
    precision (Precision): What to compute in.
    device (Optional[str]): A torch device, None to follow thinc.
    max_batch_tokens (int): Padded tokens in one forward pass.
    """

    temperature: float
    midpoint: float
    precision: Precision
    device: Optional[str]
    max_batch_tokens: int


class SimilarityShim(CheckpointShim):
    """Holds a sentence encoder that is loaded at first use.

    source (Source): What to load.
    comparison (Comparison): How to compare.
    """

    component: ClassVar[str] = COMPONENT

    def __init__(self, source: Source, comparison: Comparison):
        super().__init__(source)
        self.comparison = comparison

    def build(self, source: Source) -> Any:
        from .embeddings import load_sentence_encoder
        from .precision import choose_device, choose_dtype
        from .runtime import Runtime
        from .similarity_layout import SimilarityLayout

        how = self.comparison
        device = choose_device(how.device)
        dtype = choose_dtype(how.precision, device)
        encoder = load_sentence_encoder(source, device, dtype)
        layout = SimilarityLayout(encoder, how.temperature, how.midpoint)
        return Runtime(encoder.checkpoint, encoder.tokens, layout, device, dtype, how.max_batch_tokens)

    def write(self, source: Source, folder: Path) -> None:
        from .checkpoint import load_checkpoint, save_checkpoint
        from .pooling import read_pooling, write_pooling

        checkpoint = load_checkpoint(source, kind="encoder")
        save_checkpoint(checkpoint, folder)
        pooling = read_pooling(source.pinned(checkpoint.config))
        write_pooling(pooling, checkpoint.config.hidden_size, folder)
