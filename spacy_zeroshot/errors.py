"""Every message a user can see: a code, what is wrong with which value, and the way out."""

import warnings
from typing import Any, Dict, Tuple

MESSAGES: Dict[str, str] = {
    # Labels, templates and settings
    "Z001": "there are no labels. Set labels = [...] in the config, call set_labels([...]), or give the text its "
    "own with doc._.zero_shot_labels.",
    "Z002": "label {label!r} is given more than once. Remove the repetition: it would split the score.",
    "Z003": "label {label!r} is not a string with visible characters. Remove it or write a word.",
    "Z004": "hypothesis_template {template!r} must hold exactly one slot, written {{}}, and no other brace. "
    "For example: 'This text is about {{}}.'",
    "Z005": "hypotheses has an entry for {label!r}, which is not one of the labels {labels}. Add the label or "
    "remove the entry.",
    "Z006": "{setting} has the entry {entry!r}, but an entry is written {form}.",
    "Z007": "{setting} = {value!r} is not possible: {reason}.",
    "Z008": "{setting} = {value!r} holds '${{', which spaCy's config reads as a variable. Word it without, or set "
    "it at run time with set_labels().",
    "Z009": "label_thresholds has an entry for {label!r}, which is not one of the labels {labels}. Add the label "
    "or remove the entry.",
    # Texts
    "Z010": "the spans of get_spans need sentence boundaries, and this document has none. Put a 'sentencizer', "
    "'senter' or 'parser' before this component.",
    "Z011": "the hypothesis {hypothesis!r} has {length} wordpieces, and the model leaves room for {room} beside "
    "at least one of the text. Shorten the label or its wording.",
    "Z012": "window_overlap = {overlap} leaves no progress: beside the longest hypothesis a window holds {room} "
    "wordpieces of text. Set window_overlap below {room}.",
    "Z013": "the scores of this text are not finite numbers: {detail}. The checkpoint is damaged or overflows in "
    "{precision}; try precision = 'float32'.",
    # Checkpoints
    "Z020": "the checkpoint {name!r} cannot be loaded: {reason}. Check the name, or the network; a folder must "
    "have been written by save_pretrained.",
    "Z021": "{name!r} is not a checkpoint folder: {reason}. Write one with model.save_pretrained() and "
    "tokenizer.save_pretrained().",
    "Z022": "{name!r} has no tokenizer that can be loaded: {reason}. Save it into the same folder with "
    "tokenizer.save_pretrained().",
    "Z023": "{name!r} has no safetensors weights, only a pickle ({found}). Convert it: load the model with "
    "transformers and save_pretrained(folder, safe_serialization=True); or, if you trust the file, set "
    "use_safetensors = false.",
    "Z024": "the weights of {name!r} are damaged or not complete: {reason}. Download or save them again.",
    "Z025": "no class of {name!r} is known to mean {wanted}: its classes are {classes}. Set {wanted} = <name or "
    "index>, or take a checkpoint that was trained on NLI.",
    "Z026": "{setting} = {value!r} is not a class of {name!r}: its classes are {classes}.",
    "Z027": "{name!r} asks for code of its own (auto_map), which is never run. Take a checkpoint whose "
    "architecture is part of transformers.",
    "Z028": "the tokenizer of {name!r} is not a fast one, which windows need. Convert it with "
    "transformers' AutoTokenizer.from_pretrained(..., use_fast=True).save_pretrained().",
    "Z029": "the head of {name!r} has {count} classes. An NLI head has one, two or three.",
    "Z030": "the layout {layout!r} of {name!r} is not known, or its encoder ({model_type}) cannot take it. "
    "Update spacy-zeroshot, or take another checkpoint.",
    "Z031": "the folder {folder!r} this pipeline was loaded from is gone, and its model was not used before. "
    "Keep the folder, or score one text before it goes.",
    "Z032": "precision = {precision!r} is not available on {device}. Set precision = 'auto' or 'float32'.",
    "Z033": "device = {device!r} cannot be used: {reason}. Set device = null to follow thinc.",
    # Learning
    "Z040": "the gold cats {cats} are not 0 or 1. Give every label 1.0 (right) or 0.0 (wrong).",
    "Z041": "initialize() got no example with gold cats and no labels are set. Set labels = [...], or give "
    "examples with doc.cats.",
    "Z042": "line {line} of {path} is not a row this reader knows: {reason}. A row is {form}.",
    "Z043": "{path} has no rows. Check the path.",
    "Z044": "new_head needs an encoder checkpoint of type {known}; {name!r} is {model_type}.",
    # Serialisation
    "Z050": "this pipeline was saved with settings of a newer spacy-zeroshot: {detail}. Update the package.",
    # Command line
    "Z060": "{what} {value!r} cannot be used: {reason}.",
    # Warnings
    "Z101": "long_text = 'truncate': a text of {length} wordpieces was cut to {room}. Further cuts are not "
    "reported; long_text = 'windows' scores the whole text.",
    "Z102": "the pipeline was saved with another version of the bundled model (saved: {saved}, installed: "
    "{installed}), so its scores differ. Install the spacy-zeroshot it was saved with, or save it again.",
    "Z103": "the GPU is out of memory with {before} tokens in a batch: going on with {after}. Set "
    "max_batch_tokens = {after} to start there.",
}

COMPONENT = "zero_shot_textcat"


class ZeroShotError(ValueError):
    """An error with a code of MESSAGES.

    code (str): The code, e.g. "Z001".
    component (str): The name of the component in the pipeline.
    values: What the message names.
    """

    def __init__(self, code: str, component: str = COMPONENT, **values: Any):
        self.code = code
        self.component = component
        self.values = values
        super().__init__(_format(code, component, values))

    def __reduce__(self) -> Tuple[Any, ...]:
        # n_process sends errors between processes, and pickle cannot pass keywords by itself.
        return _rebuild, (self.code, self.component, self.values)


class ZeroShotWarning(UserWarning):
    """A warning with a code of MESSAGES."""


def warn(code: str, component: str = COMPONENT, stacklevel: int = 2, **values: Any) -> None:
    """Warn with a code of MESSAGES.

    code (str): The code, e.g. "Z101".
    component (str): The name of the component in the pipeline.
    stacklevel (int): As in warnings.warn, from the caller's view.
    values: What the message names.
    """
    warnings.warn(_format(code, component, values), ZeroShotWarning, stacklevel=stacklevel + 1)


def _format(code: str, component: str, values: Dict[str, Any]) -> str:
    return f"[{code}] {component}: {MESSAGES[code].format(**values)}"


def _rebuild(code: str, component: str, values: Dict[str, Any]) -> ZeroShotError:
    return ZeroShotError(code, component, **values)
