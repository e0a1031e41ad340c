"""The student: a native spaCy pipeline, trained by spaCy's own train command from a config anyone can read."""

import json
from pathlib import Path
from typing import Literal

Architecture = Literal["ensemble", "bow", "transformer"]

# A bag of words and a small CNN, summed: spaCy's default, with fewer hashed features.
ENSEMBLE = """\
[components.{component}.model]
@architectures = "spacy.TextCatEnsemble.v2"

[components.{component}.model.linear_model]
@architectures = "spacy.TextCatBOW.v3"
exclusive_classes = {exclusive}
ngram_size = 2
no_output_layer = false

[components.{component}.model.tok2vec]
@architectures = "spacy.Tok2Vec.v2"

[components.{component}.model.tok2vec.embed]
@architectures = "spacy.MultiHashEmbed.v2"
width = 32
attrs = ["NORM","PREFIX","SUFFIX"]
rows = [5000,1000,2500]
include_static_vectors = false

[components.{component}.model.tok2vec.encode]
@architectures = "spacy.MaxoutWindowEncoder.v2"
width = 32
depth = 1
window_size = 1
maxout_pieces = 2
"""

BOW = """\
[components.{component}.model]
@architectures = "spacy.TextCatBOW.v3"
exclusive_classes = {exclusive}
ngram_size = 2
no_output_layer = false
"""

TRANSFORMER = """\
[components.{component}.model]
@architectures = "spacy.TextCatReduce.v1"
exclusive_classes = {exclusive}
use_reduce_first = true
use_reduce_last = false
use_reduce_max = false
use_reduce_mean = true

[components.{component}.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0

[components.{component}.model.tok2vec.pooling]
@layers = "reduce_mean.v1"

[components.transformer]
factory = "transformer"

[components.transformer.model]
@architectures = "spacy-transformers.TransformerModel.v3"
name = {encoder}
tokenizer_config = {{"use_fast":true}}

[components.transformer.model.get_spans]
@span_getters = "spacy-transformers.strided_spans.v1"
window = 128
stride = 96
"""

CONFIG = """\
# Trains the student on its teacher's labels. In this folder:
#   python -m spacy train config.cfg --output . --paths.train train.spacy --paths.dev dev.spacy
[paths]
train = null
dev = null

[nlp]
lang = {lang}
pipeline = {pipeline}
batch_size = {batch}

[components]

[components.{component}]
factory = "{component}"
threshold = {threshold}

{model}
[corpora]

[corpora.train]
@readers = "spacy.Corpus.v1"
path = ${{paths.train}}

[corpora.dev]
@readers = "spacy.Corpus.v1"
path = ${{paths.dev}}

[training]
seed = {seed}
dropout = 0.2
max_epochs = {epochs}
max_steps = {steps}
patience = {patience}
eval_frequency = {frequency}
gpu_allocator = "pytorch"

[training.batcher]
@batchers = "spacy.batch_by_sequence.v1"
size = {size}

[training.optimizer]
@optimizers = "Adam.v1"
learn_rate = {rate}

[training.score_weights]
cats_score = 1.0
"""


def write_config(
    lang: str,
    exclusive: bool,
    architecture: Architecture = "ensemble",
    *,
    texts: int = 1000,
    encoder: str = "distilbert-base-uncased",
    epochs: int = 10,
    seed: int = 0,
    threshold: float = 0.5,
) -> str:
    """Word the student's config.

    lang (str): The language's code.
    exclusive (bool): One label per text (textcat), or any number (textcat_multilabel).
    architecture (Architecture): "ensemble", "bow" or "transformer".
    texts (int): How many it learns from: the best pipeline is looked for about once an epoch.
    encoder (str): A Hub name or folder, for "transformer".
    epochs (int): Passes over the texts at most.
    seed (int): Of the random weights and the order of texts.
    threshold (float): The score at which textcat_multilabel decides for a label.
    RETURNS (str): The text of config.cfg.
    """
    component = "textcat" if exclusive else "textcat_multilabel"
    parts = {"ensemble": ENSEMBLE, "bow": BOW, "transformer": TRANSFORMER}
    transformer = architecture == "transformer"
    size = 16 if transformer else 32
    shared = {"component": component, "exclusive": json.dumps(exclusive), "encoder": json.dumps(encoder)}
    return CONFIG.format(
        lang=json.dumps(lang),
        pipeline=json.dumps(["transformer", component] if transformer else [component]),
        batch=64 if transformer else 256,
        component=component,
        threshold=0.0 if exclusive else threshold,
        model=parts[architecture].format(**shared),
        seed=seed,
        epochs=epochs,
        steps=20000,
        patience=1000 if transformer else 2000,
        frequency=max(1, min(200, texts // size)),
        size=size,
        rate="2e-5" if transformer else "0.001",
    )


def train_student(folder: Path, gpu_id: int = -1) -> Path:
    """Train the student in a folder with config.cfg, train.spacy and dev.spacy.

    folder (Path): The folder.
    gpu_id (int): The GPU, or -1.
    RETURNS (Path): The best pipeline, folder/model-best.
    """
    from spacy.cli.train import train

    paths = {"paths.train": str(folder / "train.spacy"), "paths.dev": str(folder / "dev.spacy")}
    train(folder / "config.cfg", folder, use_gpu=gpu_id, overrides=paths)
    return folder / "model-best"
