"""From a trained pipeline to the bundled model: python -m spacy_zeroshot.learning.publish PIPELINE FOLDER."""

import json
from pathlib import Path
from typing import Any, List, Optional

import numpy as np
import typer

from ..evidence import FOR, Question, Request
from ..hypotheses import fill_template
from ..model.checkpoint import declaration, save_checkpoint
from ..model.shim import NLIShim, Placement
from ..model.source import Source
from ..rows import read_labelled_texts
from .readers import label_names

TEMPLATE = "This text is about {}."


def publish(
    pipeline: Path, folder: Path, balance: Optional[List[Path]] = None, component: str = "zero_shot_textcat"
) -> None:
    """Write a trained checkpoint in float16, with its tokenizer, as the bundled model is stored.

    pipeline (Path): A folder written by spacy train.
    folder (Path): Where to write; other files in it stay.
    balance (Optional[List[Path]]): Training texts, .jsonl[.gz], to balance the two kinds of evidence on; see
        `balanced_scale`.
    component (str): The component's name in the pipeline.
    """
    import torch

    source = Source(str(pipeline / component / "model"), local_files_only=True)
    shim = NLIShim(source, Placement(precision="float32", device="cpu"))
    checkpoint = shim.runtime.checkpoint
    if balance:
        declared = declaration(checkpoint.config)
        scale = balanced_scale(shim.runtime, balance)
        margin, offset = declared["similarity"][:2]
        declared["similarity"] = [margin, offset, scale - margin / 2]
        checkpoint.config.zero_shot = checkpoint.module.config.zero_shot = declared
        typer.echo(f"Where labels compete, a cosine of 1 is worth {scale:.2f} in the entailment logit")
    checkpoint.module.to(torch.float16)
    checkpoint.tokenizer.backend_tokenizer.no_truncation()
    checkpoint.tokenizer.backend_tokenizer.no_padding()
    checkpoint.tokenizer.model_max_length = checkpoint.config.max_position_embeddings
    save_checkpoint(checkpoint, folder)
    # the fast tokenizer's file is enough
    for name in ("special_tokens_map.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    # where the encoder was loaded from says nothing to anybody else
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    config.pop("_name_or_path", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf8")
    (folder / "model.safetensors").chmod(0o644)


def balanced_scale(runtime: Any, paths: List[Path], texts_per_file: int = 100, most_labels: int = 20) -> float:
    """The scale of the cosine at which both kinds of evidence tell labels apart equally much.

    Trained on few label sets, the head comes to outvote the cosine even on topics it has never seen. So the scale
    is not learned: it is the ratio of the mean standard deviations, over the labels of a text, of the head's
    entailment logit and of the cosine. Gold labels are not looked at.

    runtime (Runtime): A shared-premise checkpoint with similarity.
    paths (List[Path]): Files of labelled texts, each with its own labels.
    texts_per_file (int): How many texts of each file, evenly spread.
    most_labels (int): How many labels of each file.
    RETURNS (float): The scale.
    """
    spreads = []
    kept = runtime.layout.similarity.data.clone()
    for path in paths:
        rows = list(read_labelled_texts(path))
        hypotheses = tuple(fill_template(TEMPLATE, name) for name in label_names(rows)[:most_labels])
        chosen = rows[:: max(1, len(rows) // texts_per_file)][:texts_per_file]
        request = Request([Question(row.text, hypotheses) for row in chosen if row.text.strip()])
        logits = []
        for third in (0.0, 1.0):
            runtime.layout.similarity.data[:] = runtime.layout.similarity.data.new_tensor([0.0, 0.0, third])
            logits.append(np.concatenate([answer.logits[:1, :, FOR] for answer in runtime.predict(request)]))
        head, cosine = logits[0], logits[1] - logits[0]
        spreads.append((head.std(axis=1).mean(), cosine.std(axis=1).mean()))
    runtime.layout.similarity.data[:] = kept
    head_spread, cosine_spread = np.mean(spreads, axis=0)
    return float(head_spread / cosine_spread)


if __name__ == "__main__":
    typer.run(publish)
