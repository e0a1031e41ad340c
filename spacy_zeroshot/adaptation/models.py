"""A checkpoint seen as a masked language model, its encoder shared, so that what it learns stays in the checkpoint."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ZeroShotError
from ..model.checkpoint import load_checkpoint, load_config, load_encoder, load_tokenizer, not_loaded, options
from ..model.quiet import quiet_loading
from ..model.source import Source

COMMAND = "adapt"
CLASSIFIER, MASKED_LM = "ForSequenceClassification", "ForMaskedLM"
# What sentence-transformers keeps beside the weights: which states are pooled and how
SENTENCE_FILES = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json")


class Learner(NamedTuple):
    """A checkpoint and its view as a masked language model. Both have the same encoder.

    kept (PreTrainedModel): The model that is saved: with its classifier, with its masked-language-model head, or
        the encoder alone, as it was found.
    masked (PreTrainedModel): The model that is trained.
    tokenizer (PreTrainedTokenizerFast): The tokenizer.
    fresh_head (bool): Whether the head that predicts masked words is new.
    dtype (torch.dtype): What the weights were stored in.
    """

    kept: Any
    masked: Any
    tokenizer: Any
    fresh_head: bool
    dtype: Any


def load_learner(source: Source, seed: int) -> Learner:
    """Load a checkpoint for masked-language-model training, in float32.

    A checkpoint without a head for masked words gets one whose output layer is tied to the word embeddings, as in
    the models that were trained so; only the small transformation before it starts from random weights.

    source (Source): The bundled model, a folder, or a Hub name.
    seed (int): Of those weights.
    RETURNS (Learner): The checkpoint.
    RAISES (ZeroShotError): Z210 without a mask token, Z211 for an architecture that predicts no masked words, Z020
        to Z028 for a checkpoint that cannot be loaded.
    """
    import torch
    from transformers import AutoModelForMaskedLM

    config = load_config(source)
    stored = getattr(config, "torch_dtype", None) or torch.float32
    dtype = getattr(torch, stored) if isinstance(stored, str) else stored
    tokenizer = load_tokenizer(source)
    if tokenizer.mask_token_id is None:
        raise ZeroShotError("Z210", COMMAND, name=source.name)
    # a decoder, as BART's, writes the text anew; it does not fill in words
    if type(config) not in AutoModelForMaskedLM._model_mapping or config.is_encoder_decoder:
        raise ZeroShotError("Z211", COMMAND, name=source.name, model_type=config.model_type)
    built_as = (getattr(config, "architectures", None) or [""])[0]
    if built_as.endswith(MASKED_LM):
        masked = _load_masked(source)
        return Learner(masked, masked, tokenizer, False, dtype)
    classifier = built_as.endswith(CLASSIFIER)
    kept = load_checkpoint(source).module.float() if classifier else load_encoder(source)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        masked = AutoModelForMaskedLM.from_config(kept.config).float()
    setattr(masked, masked.base_model_prefix, kept.base_model)
    masked.tie_weights()
    return Learner(kept, masked, tokenizer, True, dtype)


def save_learner(learner: Learner, source: Source, folder: Path) -> None:
    """Write the checkpoint as it was found, with the encoder's new weights.

    learner (Learner): What was trained.
    source (Source): Where it came from.
    folder (Path): The folder.
    """
    learner.kept.to(device="cpu", dtype=learner.dtype).save_pretrained(folder)
    learner.tokenizer.save_pretrained(folder)
    _copy_sentence_files(source, folder)


def _load_masked(source: Source) -> Any:
    from safetensors import SafetensorError
    from transformers import AutoModelForMaskedLM

    try:
        with quiet_loading():
            return AutoModelForMaskedLM.from_pretrained(
                source.location, use_safetensors=True, **options(source)
            ).float()
    except (OSError, ValueError, RuntimeError, SafetensorError) as reason:
        raise not_loaded(source, reason) from reason


def _copy_sentence_files(source: Source, folder: Path) -> None:
    """A sentence embedding model stays one: it keeps its pooling."""
    origin = Path(source.location) if source.is_folder else _fetch_sentence_files(source)
    for name in SENTENCE_FILES:
        if (origin / name).is_file():
            shutil.copy(origin / name, folder / name)
    for part in origin.glob("[0-9]_*"):
        if part.is_dir():
            shutil.copytree(part, folder / part.name)


def _fetch_sentence_files(source: Source) -> Path:
    from huggingface_hub import snapshot_download

    wanted = [*SENTENCE_FILES, "[0-9]_*/*.json", "[0-9]_*/*.safetensors"]
    return Path(snapshot_download(source.location, revision=source.revision, allow_patterns=wanted))
