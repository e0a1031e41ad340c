"""Every message a user can see: a code, what is wrong with which value, and the remedy."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

MESSAGES: dict[str, str] = {
    # Labels, templates and settings
    "Z001": "there are no labels. Set labels = [...], call set_labels([...]), or set doc._.zero_shot_labels.",
    "Z002": "label {label!r} is given more than once. Remove the repetition: it would split the score.",
    "Z003": "label {label!r} {reason}. Remove it or write a word.",
    "Z004": "hypothesis_template {template!r} must hold one slot {{}} and no other brace, as 'This is about {{}}.'",
    "Z005": "hypotheses names {label!r}, which is not one of the labels {labels}. Add the label or remove the entry.",
    "Z006": "{setting} has the entry {entry!r}, but an entry is written {form}.",
    "Z007": "{setting} = {value!r} is not possible: {reason}.",
    "Z008": "{setting} = {value!r} holds {sign!r}, and spaCy's config changes it: '${{' begins a variable, and '$' "
    "is doubled when a pipeline is saved. Word it without, or give labels and hypotheses to set_labels().",
    "Z009": "{setting} names {label!r}, which is not one of the labels {labels}. Add the label or remove the entry.",
    # Texts
    "Z010": "the spans of get_spans need sentences. Put a 'sentencizer', 'senter' or 'parser' before this component.",
    "Z011": "hypothesis {hypothesis!r} has {length} wordpieces, of {room} at most. Shorten the label or its wording.",
    "Z012": "window_overlap = {overlap} leaves no progress: a window has {room} wordpieces of text. Set it lower.",
    "Z013": "the scores of this text are not finite numbers: {detail}. The checkpoint is damaged or overflows in "
    "{precision}; try precision = 'float32'.",
    # Checkpoints
    "Z020": "the checkpoint {name!r} cannot be loaded: {reason}. Check the name, or the network, or the folder.",
    "Z021": "{name!r} is not a checkpoint folder: {reason}. save_pretrained() of model and tokenizer writes one.",
    "Z022": "{name!r} has no tokenizer that can be loaded: {reason}. Save it there with tokenizer.save_pretrained().",
    "Z023": "{name!r} has no safetensors weights, only a pickle ({found}). Convert it: load the model with "
    "transformers and save_pretrained(folder, safe_serialization=True); or, if you trust the file, set "
    "use_safetensors = false.",
    "Z024": "the weights of {name!r} are damaged or not complete: {reason}. Download or save them again.",
    "Z025": "no class of {name!r} is known to mean {wanted}: its classes are {classes}. Set {wanted} = <name or "
    "index>, or take a checkpoint that was trained on NLI.",
    "Z026": "{setting} = {value!r} is not a class of {name!r}. Name one of {classes}.",
    "Z027": "{name!r} asks for code of its own (auto_map), which is never run. Take an architecture of transformers.",
    "Z028": "the tokenizer of {name!r} is not a fast one, which windows need. Convert it with "
    "transformers' AutoTokenizer.from_pretrained(..., use_fast=True).save_pretrained().",
    "Z029": "the head of {name!r} has {count} classes. An NLI head has one, two or three. Take such a checkpoint.",
    "Z030": "the layout {layout!r} of {name!r} cannot be run: {reason}. Update spacy-zeroshot, or take another one.",
    "Z031": "the folder {folder!r} of this pipeline is gone before its model was used. Keep it, or score a text first.",
    "Z032": "precision = {precision!r} is not available on {device}. Set precision = 'auto' or 'float32'.",
    "Z033": "device = {device!r} cannot be used: {reason}. Set device = null to follow thinc.",
    "Z034": "{setting} needs {package}. Install it: pip install 'spacy-zeroshot[{extra}]', or set {instead}.",
    "Z035": "backend = 'openvino' cannot take {name!r}: {reason}. Set {instead}.",
    "Z036": "backend = 'openvino' {reason}. Set backend = 'torch'.",
    # Learning
    "Z040": "the gold cats {cats} are not 0 or 1. Give every label 1.0 (right) or 0.0 (wrong).",
    "Z041": "initialize() got no gold cats and no labels are set. Set labels = [...], or give examples with doc.cats.",
    "Z042": "line {line} of {path} is not a row this reader knows: {reason}. A row is {form}.",
    "Z043": "{path} has no rows. Check the path.",
    # Serialisation
    "Z050": "this pipeline was saved with settings of a newer spacy-zeroshot: {detail}. Update the package.",
    "Z051": "{path} is not a saved component: {reason}. Save the pipeline again.",
    "Z052": "this pipeline was saved with another bundled model than the one installed, whose scores differ (saved: "
    "{saved}, installed: {installed}). Create it anew from its labels and settings with nlp.add_pipe, or install the "
    "spacy-zeroshot it was saved with (0.1.0 has a bundled model of its own).",
    "Z053": "this component was saved with the architecture {saved} and is now filled into one with {own}. Give it "
    "that architecture in its [model] block, or load the whole pipeline with spacy.load().",
    # Command line
    "Z060": "{what} {value!r} cannot be used: {reason}.",
    "Z061": "the pipeline {name!r} cannot be loaded: {reason}. Correct that, or give a saved or an installed pipeline.",
    "Z062": "{name!r} has no {wanted} component; it has {pipes}. Give a pipeline with one.",
    "Z063": "GPU {gpu_id} cannot be used: {reason}. Leave out --gpu-id to run on the CPU.",
    "Z064": "no row of {path} has a label to score. Give labels, and a --none-label that is not the only one.",
    "Z066": "there is nothing to classify. Give texts as arguments, or one per line on standard input.",
    "Z067": 'there are no labels to score. Give them: --labels "sport,politics", or a --pipeline that has some.',
    "Z068": "{first} and {second} cannot go together: {reason}.",
    # Findings of `check`
    "Z070": "the labels {labels} read alike. Keep one, or word them apart.",
    "Z071": "the labels {labels} have the same hypothesis, {hypothesis!r}, so the same score. Word them apart.",
    "Z072": "label {label!r} has the hypothesis {hypothesis!r} twice or more, which only costs. Remove the repetition.",
    "Z073": "there are no labels yet: nothing is scored before set_labels([...]) or doc._.zero_shot_labels.",
    "Z074": "hypothesis {hypothesis!r} has {length} wordpieces and leaves {left} of {room} for the text. Shorten it.",
    "Z075": "window_overlap = {overlap} is over half of the {room} wordpieces of a window. Set it to {half} or less.",
    "Z076": "the labels {labels} read alike: scores on samples correlate ({value:.2f}). Word them apart or merge them.",
    "Z079": "the components {components} write the same keys, {keys}, of which the last one's stay. Set a key_prefix.",
    "Z230": "the labels {labels} are in another script than {template!r}. Set hypothesis_template = {proposal!r}.",
    # Corpora and distillation
    "Z080": "{path} cannot be read: {reason}. Check the path, the format its name says, and that it is complete.",
    "Z081": "{parts} is of a run with other settings: {changes}. Give those again, or start over with --overwrite.",
    "Z082": "{output} is there already and is not the result of this command. Name another file, or add --overwrite.",
    "Z083": "{path} cannot be written: {reason}. What is finished is kept: make room and run the same command again.",
    "Z084": "the format of {path} is not known by its name. It must end in {known}.",
    "Z085": "{what} needs {package}, which is not installed: pip install 'spacy-zeroshot[{extra}]'.",
    "Z086": "{path} has changed since the run in {parts} began: {detail}. Restore it, or start over with --overwrite.",
    "Z087": "a worker ended early, perhaps for lack of memory. The same command goes on; give a smaller --n-process.",
    "Z088": "{path} has no field {field!r}: its fields are {fields}. Name the right one with {option}.",
    "Z089": "another run is writing {output}. Wait for it, or name another file.",
    "Z090": "Ray could not finish: {reason}. What is finished is kept: run the same command again.",
    "Z091": "{kept} of {count} texts reach the confidence {threshold}: {reason}. Lower --threshold, or add texts.",
    "Z092": "{output} is not empty. Name another folder, or add --overwrite.",
    "Z093": "a DocBin ends at 4 GiB; this has {size} bytes of {what}. Write .jsonl or .parquet, or split the input.",
    "Z094": "none of the {count} rows of {path} could be labelled. Of the first: {reason}. All are in {rejects}. Check "
    "the file and --text-field.",
    # Tuning, calibration and display
    "Z200": "there are no texts to learn from: {reason}. Give a file with at least one text that is not blank.",
    "Z201": "the gold labels {labels} are not labels of the pipeline, which has {known}. Add them with set_labels(), "
    "correct the file, or, for one that means 'no label fits', give --none-label.",
    "Z202": "all {count} texts have the gold labels {labels}, so nothing can be tuned. Give texts with others, too.",
    "Z203": "{count} of {total} texts have no finite scores ({name}): a damaged checkpoint? Try precision = 'float32'.",
    "Z204": "--none-label {label!r} is a label of the pipeline. Remove it there: it is what is left when none fits.",
    "Z207": "{path} has the labels {labels}, which the pipeline does not have; it has {known}. Correct the file, score "
    "it with its own labels (--labels-from-data), or give --none-label for one that means 'no label fits'.",
    "Z208": "the labels {labels} are not among the pipeline's {known}. Correct them, or calibrate with your own.",
    "Z205": "document {number} has no scores to show: its doc.cats is empty. Run the pipeline on it first.",
    "Z206": "document {number} has no scores of {label!r} in doc.spans; it has {known}. Set spans_key = {spans_key!r}.",
    "Z209": "{label!r} is not one of the labels {labels}. Name one of those to explain.",
    "Z219": "the explanation is not of document {number}. Give the one document that was explained.",
    # Similarity and mask filling
    "Z240": "{name!r} gives no sentence embeddings: {reason}. Take an encoder with just mean or CLS pooling.",
    "Z241": "trainable = true is not possible: {architecture} only scores. Set it to false, or take NLIClassifier.v1.",
    "Z242": "prompt {prompt!r} must hold {{text}} and {{mask}} once and no other brace: '{{text}} It is on {{mask}}.'",
    "Z243": "the tokenizer of {name!r} has no mask token. Take a checkpoint of a masked language model, such as BERT.",
    "Z244": "the label word {word!r} cannot be predicted by {name!r}: {reason}. Word the label otherwise.",
    "Z245": "{name!r} has no complete head for masked words: {reason}. Take a model that was trained to fill masks.",
    "Z246": "model = {found!r} is not a model for zero-shot classification. Set @architectures = "
    "'spacy_zeroshot.NLIClassifier.v1', 'spacy_zeroshot.SimilarityClassifier.v1' or "
    "'spacy_zeroshot.MaskedLMClassifier.v1' in its model block.",
    # Examples
    "Z220": "no row of {path} has both a text and a label, so no example. Check the file, or set examples = [].",
    # Warnings
    "Z124": "the examples have gold cats, and trainable = false: nothing is learnt. Set trainable = true, if wanted.",
    "Z123": "{count} rows of {path} have several right labels, and one is chosen: labels compete. Try --multi-label.",
    "Z122": "the examples' labels {labels} are none of the component's {known}: they do not vote. Add or correct them.",
    "Z120": "{count} of {total} texts are blank; they are left out, as they score the same whatever is set.",
    "Z121": "the labels {labels} are right for no text, so nothing is known of them: they share the common threshold.",
    "Z101": "a text of {length} wordpieces was cut to {room}, as others may be. long_text = 'windows' scores it all.",
    "Z102": "{name!r} has no wordpieces for most of {text!r}, so its scores mean little, as those of others may. Take "
    "a checkpoint that knows the script.",
    "Z103": "the GPU is out of memory with {before} tokens in a batch: {after} from now on. Set "
    "max_batch_tokens = {after}.",
    "Z105": "hypothesis_template = {template!r} is not used: the model has its own prompt. Word that; set '{{}}' here.",
    "Z111": "backend = 'auto' runs {name!r} in torch: {reason}",
    "Z104": "get_spans leaves {missing} of {total} tokens of a text out, and nothing reads them. If that is not "
    "meant, set its stride no larger than its window. Further texts are not reported.",
}

# What a message shows of a long text or list
SHOWN_CHARACTERS = 200
SHOWN_ENTRIES = 12

# The component or command on whose behalf code runs: see `named`
_speaker: ContextVar[str | None] = ContextVar("speaker", default=None)


class ZeroShotError(ValueError):
    """An error with a code of MESSAGES.

    code (str): The code, e.g. "Z001".
    values (Any): What the message names.
    """

    def __init__(self, code: str, **values: Any):
        # n_process sends errors between processes: pickle hands on the code, then restores the attributes
        super().__init__(code)
        self.code = code
        self.values = values
        self.component = _speaker.get()

    def __str__(self) -> str:
        return _format(self.code, self.component, self.values)


class ZeroShotWarning(UserWarning):
    """A warning with a code of MESSAGES."""


@contextmanager
def named(name: str | None) -> Iterator[None]:
    """Put a name before the messages of all errors and warnings raised inside: the component's, or the command's. Set
    once, at the boundary, so that nothing inside has to carry it along. The innermost name counts."""
    token = _speaker.set(name)
    try:
        yield
    finally:
        _speaker.reset(token)


def warn(code: str, **values: Any) -> None:
    """Warn with a code of MESSAGES, e.g. "Z101"."""
    warnings.warn(_format(code, _speaker.get(), values), ZeroShotWarning, stacklevel=3)


def _format(code: str, name: str | None, values: dict[str, Any]) -> str:
    shown = {key: _shorten(value) for key, value in values.items()}
    return f"[{code}] {name + ': ' if name else ''}{MESSAGES[code].format(**shown)}"


def _shorten(value: Any) -> Any:
    """A label may have 600 words, and a component 1,000 labels: a message shows the beginning."""
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        return value[:SHOWN_CHARACTERS] + "…"
    if isinstance(value, (list, tuple)) and len(value) > SHOWN_ENTRIES:
        return [*value[:SHOWN_ENTRIES], f"and {len(value) - SHOWN_ENTRIES} more"]
    return value
