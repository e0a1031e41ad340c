"""From a trained pipeline to the bundled model: python -m spacy_zeroshot.learning.publish PIPELINE FOLDER."""

import json
from pathlib import Path

import typer

from ..model.checkpoint import save_checkpoint
from ..model.shim import NLIShim, Placement
from ..model.source import Source

# What the bundled folder needs: the fast tokenizer's file is enough
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def publish(pipeline: Path, folder: Path, component: str = "zero_shot_textcat") -> None:
    """Write a trained checkpoint in float16, with its tokenizer, as the bundled model is stored.

    pipeline (Path): A folder written by spacy train.
    folder (Path): Where to write; other files in it stay.
    component (str): The component's name in the pipeline.
    """
    import torch

    shim = NLIShim(Source(str(pipeline / component / "model"), local_files_only=True), Placement(device="cpu"))
    checkpoint = shim._load_checkpoint()
    checkpoint.module.to(torch.float16)
    checkpoint.tokenizer.backend_tokenizer.no_truncation()
    checkpoint.tokenizer.backend_tokenizer.no_padding()
    checkpoint.tokenizer.model_max_length = checkpoint.config.max_position_embeddings
    save_checkpoint(checkpoint, folder)
    for name in ("special_tokens_map.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    # where the encoder was loaded from says nothing to anybody else
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    config.pop("_name_or_path", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf8")


if __name__ == "__main__":
    typer.run(publish)
