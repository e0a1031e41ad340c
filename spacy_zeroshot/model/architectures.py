"""The registered architectures: thinc models from NLIInput to NLIOutput. Building one loads nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from thinc.api import Model
from thinc.types import Floats2d

from ..errors import ZeroShotError
from .shim import ModelShim
from .types import BUNDLED, MASK_SLOT, TEXT_SLOT, Backend, ClassRef, ModelSpec, NLIInput, NLIOutput, Precision

NLIModel: TypeAlias = Model[NLIInput, NLIOutput]


def NLIClassifier(
    name: str = BUNDLED,
    revision: str | None = None,
    local_files_only: bool = False,
    use_safetensors: bool = True,
    entailment: ClassRef = None,
    contradiction: ClassRef = None,
    precision: Precision = "auto",
    device: str | None = None,
    max_batch_tokens: int | None = None,
    backend: Backend = "torch",
) -> NLIModel:
    """Build a natural language inference classifier. Nothing is loaded before its first use.

    name (str): "bundled", a Hugging Face Hub name, or a folder written by save_pretrained.
    revision (str | None): A commit or tag of a Hub name: pins config, tokenizer and weights.
    local_files_only (bool): Never ask the network, take the Hub's cache.
    use_safetensors (bool): Refuse pickled weights. False also takes an old pytorch_model.bin.
    entailment (str | int | None): Which class of the head means entailment, by name or index; None: found by name.
    contradiction (str | int | None): The same for contradiction.
    precision (Precision): "auto", "float32", "bfloat16", "float16" or, run by OpenVINO, "int8".
    device (str | None): A torch device string; None follows thinc's active ops.
    max_batch_tokens (int | None): Padded tokens in one forward pass; None: chosen for the device.
    backend (Backend): What runs the model: "torch"; "openvino" (an extra; scores on a CPU, does not train); or
        "auto", OpenVINO where it is installed, can do what is asked and is faster here.
    RETURNS (Model[NLIInput, NLIOutput]): The model.
    RAISES (ZeroShotError): Z007 for an impossible budget, Z032 for "int8" in torch.
    """
    spec = ModelSpec(name, revision, local_files_only, use_safetensors, precision, device, max_batch_tokens)
    spec = replace(spec, backend=backend, entailment=entailment, contradiction=contradiction)
    return _model(spec, {"dropout_rate": 0.0})


def SimilarityClassifier(
    name: str = BUNDLED,
    revision: str | None = None,
    local_files_only: bool = False,
    use_safetensors: bool = True,
    temperature: float | None = None,
    midpoint: float | None = None,
    precision: Precision = "auto",
    device: str | None = None,
    max_batch_tokens: int | None = None,
) -> NLIModel:
    """Build a classifier by similarity of sentence embeddings (Reimers and Gurevych, 2019). It only scores.

    The logit for a hypothesis is cosine / temperature, and that against it is midpoint / temperature. So competing
    labels get softmax(cosine / temperature), and labels on their own get sigmoid((cosine - midpoint) / temperature).
    A text costs the same for any number of labels, as embeddings of hypotheses are remembered.

    name (str): "bundled", a Hugging Face Hub name, or a folder: any encoder, its last states pooled by mean or CLS
        as its 1_Pooling/config.json says, by mean if it has none.
    temperature (float | None): What cosines are divided by: smaller is surer. None: what the checkpoint says, if it
        has the bundled layout, else 0.05.
    midpoint (float | None): The cosine that counts as undecided where labels do not compete. None: what the
        checkpoint says, else 0.2. The best one differs between label sets: `tune` finds thresholds.
    revision, local_files_only, use_safetensors, precision, device, max_batch_tokens: As in NLIClassifier.
    RETURNS (Model[NLIInput, NLIOutput]): The model.
    RAISES (ZeroShotError): Z007 for an impossible budget, temperature or midpoint.
    """
    if temperature is not None and not temperature > 0.0:
        raise ZeroShotError("Z007", setting="temperature", value=temperature, reason="it must be above 0")
    if midpoint is not None and not -1.0 < midpoint < 1.0:
        raise ZeroShotError("Z007", setting="midpoint", value=midpoint, reason="a cosine lies between -1 and 1")
    spec = ModelSpec(name, revision, local_files_only, use_safetensors, precision, device, max_batch_tokens)
    return _model(replace(spec, architecture="SimilarityClassifier", temperature=temperature, midpoint=midpoint))


def MaskedLMClassifier(
    name: str,
    prompt: str = "{text} It is about {mask}.",
    revision: str | None = None,
    local_files_only: bool = False,
    use_safetensors: bool = True,
    precision: Precision = "auto",
    device: str | None = None,
    max_batch_tokens: int | None = None,
) -> NLIModel:
    """Build a classifier by mask filling, "pattern and verbalizer" (Schick and Schuetze, 2021a). It only scores.

    The text stands in a prompt, and a masked language model says how likely each label's words are at the mask. A
    label of several wordpieces gets as many masks (Schick and Schuetze, 2021b); its logit is the mean of its
    wordpieces' log-probabilities, each predicted without the others (Jiang et al., 2020). The logit against it is the
    same with an empty text, the content-free prior (Zhao et al., 2021; Holtzman et al., 2021). So competing labels get
    their probabilities at the mask, scaled to sum to one, and labels on their own get
    sigmoid(log p(label | text) - log p(label)): 0.5 where the text makes no difference.

    Labels are read as they are: the prompt stands in the place of the component's hypothesis_template.

    name (str): A Hugging Face Hub name or a folder of a masked language model. The bundled model is none.
    prompt (str): Holds {text} and {mask}, in any order. Only the text is cut into windows if it is long.
    revision, local_files_only, use_safetensors, precision, device, max_batch_tokens: As in NLIClassifier.
    RETURNS (Model[NLIInput, NLIOutput]): The model.
    RAISES (ZeroShotError): Z007 for an impossible budget, Z242 or Z008 for an impossible prompt.
    """
    spec = ModelSpec(name, revision, local_files_only, use_safetensors, precision, device, max_batch_tokens)
    return _model(replace(spec, architecture="MaskedLMClassifier", prompt=check_prompt(prompt)), {"plain_labels": True})


def check_model(model: Model[Any, Any]) -> None:
    """Check that a model is one of ours. RAISES (ZeroShotError): Z246 for any other thinc model."""
    if not (model.shims and isinstance(model.shims[0], ModelShim)):
        raise ZeroShotError("Z246", found=model.name)


def check_prompt(prompt: str) -> str:
    """Check that a prompt has its two slots. RAISES (ZeroShotError): Z242 for a slot that is missing or repeated, or
    a stray brace; Z008 for a "$", which spaCy's config would change."""
    rest = prompt.replace(TEXT_SLOT, "", 1).replace(MASK_SLOT, "", 1)
    if TEXT_SLOT not in prompt or MASK_SLOT not in prompt or "{" in rest or "}" in rest:
        raise ZeroShotError("Z242", prompt=prompt)
    if "$" in prompt:
        raise ZeroShotError("Z008", setting="prompt", value=prompt, sign="$")
    return prompt


def _model(spec: ModelSpec, attrs: dict[str, Any] | None = None) -> NLIModel:
    budget = spec.max_batch_tokens
    if budget is not None and budget < 1:
        raise ZeroShotError("Z007", setting="max_batch_tokens", value=budget, reason="it must be positive")
    if spec.precision == "int8" and spec.backend == "torch":
        raise ZeroShotError("Z032", precision="int8", device="backend = 'torch' (NLIClassifier with 'openvino' has it)")
    return Model(spec.architecture, _forward, shims=[ModelShim(spec)], attrs=attrs or {})


def _forward(model: NLIModel, batch: NLIInput, is_train: bool) -> tuple[NLIOutput, Callable[[Floats2d], None]]:
    shim: Any = model.shims[0]
    if isinstance(batch, list):
        # spaCy's command `debug model` hands documents to the model of any component
        texts = [doc.text for doc in batch if doc.text.strip()]
        batch = NLIInput(texts, [("This is a text.",)] * len(texts))
    if not is_train:
        return shim(batch, False)
    # Dropout masks are drawn in the forward pass; gradients do not ask for the mode. So a failure on the way, or a
    # callback that is never called, leaves no model that drops out when it scores.
    shim.runtime.set_training(model.attrs.get("dropout_rate", 0.0))
    try:
        return shim(batch, True)
    finally:
        shim.runtime.set_training(None)
