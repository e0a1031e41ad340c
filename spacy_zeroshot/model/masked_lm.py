"""spacy_zeroshot.MaskedLMClassifier.v1: a thinc model that fills label words into a prompt."""

from pathlib import Path
from typing import Any, ClassVar, List, Optional

from thinc.api import Model

from ..evidence import Answer, Request
from .architecture import check_budget, score
from .checkpoint_shim import CheckpointShim
from .precision import Precision
from .prompt import Cloze, check_prompt
from .source import Source

COMPONENT = "MaskedLMClassifier"
# Says to the component that hypotheses are to be the plain labels.
PLAIN_LABELS = "plain_labels"


def MaskedLMClassifier(
    name: str,
    prompt: str = "{text} It is about {mask}.",
    revision: Optional[str] = None,
    local_files_only: bool = False,
    use_safetensors: bool = True,
    precision: Precision = "auto",
    device: Optional[str] = None,
    max_batch_tokens: int = 8192,
) -> Model[Request, List[Answer]]:
    """Build a classifier by mask filling, "pattern and verbalizer" (Schick and Schuetze, 2021a). Nothing is loaded
    before its first use. It only scores.

    The text stands in a prompt, and a masked language model says how likely each label's words are at the mask. A
    label of several wordpieces gets as many masks (Schick and Schuetze, 2021b); its evidence is the mean of its
    wordpieces' log-probabilities, all predicted in one pass, each not knowing the others. The mean keeps long labels
    comparable with short ones (Jiang et al., 2020, "independent" decoding and length normalisation).

    The evidence for a label is that log-probability; the evidence against it is the same in the prompt with an empty
    text, the content-free prior (Zhao et al., 2021; Holtzman et al., 2021). So labels that compete get the softmax of
    log-probabilities: their probabilities at the mask, scaled to sum to one. Labels on their own get
    sigmoid(log p(label | text) - log p(label)): 0.5 where the text makes no difference.

    Labels are read as they are: the component's hypothesis_template is not used, the prompt stands in its place.
    Own words for a label go to the component's `hypotheses`, several for one label allowed.

    name (str): A Hugging Face Hub name or a folder of a masked language model. The bundled model is none.
    prompt (str): Holds {text} and {mask}, in any order. Only the text is cut into windows if it is long.
    revision (Optional[str]): A commit or tag of a Hub name: pins config, tokenizer and weights.
    local_files_only (bool): Never ask the network, take the Hub's cache.
    use_safetensors (bool): Refuse pickled weights. False also takes an old pytorch_model.bin.
    precision (Precision): "auto", "float32", "bfloat16" or "float16".
    device (Optional[str]): None follows thinc's active ops; or a torch device string.
    max_batch_tokens (int): Padded tokens in one forward pass.
    RETURNS (Model[Request, List[Answer]]): The model: two logits, for and against, for every window of a premise
        and every label.
    RAISES (ZeroShotError): Z007 for an impossible budget, Z242 or Z008 for an impossible prompt.
    """
    check_budget(max_batch_tokens, COMPONENT)
    source = Source(name, revision, local_files_only, use_safetensors, COMPONENT)
    cloze = Cloze(check_prompt(prompt, COMPONENT), precision, device, max_batch_tokens)
    return Model("masked_lm_classifier", score, shims=[MaskedLMShim(source, cloze)], attrs={PLAIN_LABELS: True})


class MaskedLMShim(CheckpointShim):
    """Holds a masked language model that is loaded at first use.

    source (Source): What to load.
    cloze (Cloze): How to ask it.
    """

    component: ClassVar[str] = COMPONENT

    def __init__(self, source: Source, cloze: Cloze):
        super().__init__(source)
        self.cloze = cloze

    def build(self, source: Source) -> Any:
        from .masked_runtime import load_masked_runtime

        return load_masked_runtime(source, self.source.name, self.cloze)

    def write(self, source: Source, folder: Path) -> None:
        from .checkpoint import load_checkpoint, save_checkpoint

        save_checkpoint(load_checkpoint(source, kind="masked_lm"), folder)
