"""From a trained pipeline to the bundled model: python -m spacy_zeroshot.recipe.publish PIPELINE FOLDER."""

import json
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence

import numpy as np
import typer
from thinc.types import Floats2d, Ints1d

from ..evidence import FOR, Question, Request
from ..hypotheses import fill_template
from ..learning.readers import label_names
from ..model.checkpoint import declaration, load_checkpoint, save_checkpoint
from ..model.shim import NLIShim, Placement
from ..model.source import Source
from ..rows import read_labelled_texts
from ..tuning.temperature import fit_temperature

TEMPLATE = "This text is about {}."


def publish(
    pipeline: Path,
    folder: Path,
    balance: Optional[List[Path]] = None,
    confidence: Optional[List[Path]] = None,
    component: str = "zero_shot_textcat",
) -> None:
    """Write a trained checkpoint in float16, with its tokenizer, as the bundled model is stored.

    pipeline (Path): A folder written by spacy train.
    folder (Path): Where to write; other files in it stay.
    balance (Optional[List[Path]]): Training texts, .jsonl[.gz], to balance the two kinds of evidence on; see
        `balanced_scale`.
    confidence (Optional[List[Path]]): Training texts to fit the temperature of single-label scores on; see
        `competition_temperature`.
    component (str): The component's name in the pipeline.
    """
    import torch

    source = Source(str(pipeline / component / "model"), local_files_only=True)
    shim = NLIShim(source, Placement(device="cpu"))
    runtime = shim.runtime
    checkpoint = runtime.checkpoint
    declared = declaration(checkpoint.config)
    if balance:
        runtime.competition_temperature = 1.0
        scale = balanced_scale(runtime, balance)
        margin, offset = declared["similarity"][:2]
        declared["similarity"] = [margin, offset, scale - margin / 2]
        runtime.layout.similarity.data[2] = scale - margin / 2
        typer.echo(f"Where labels compete, a cosine of 1 is worth {scale:.2f} in the entailment logit")
    if confidence:
        runtime.competition_temperature = 1.0
        declared["competition_temperature"] = competition_temperature(runtime, confidence)
        typer.echo(f"Where labels compete, the temperature is {declared['competition_temperature']:.2f}")
    # read again in the precision it was trained in: the runtime's may be lower
    checkpoint = load_checkpoint(source)
    checkpoint.config.zero_shot = checkpoint.module.config.zero_shot = declared
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


def balanced_scale(runtime: Any, paths: Sequence[Path]) -> float:
    """The scale of the cosine at which both kinds of evidence tell labels apart equally much.

    Trained on few label sets, the head comes to outvote the cosine even on topics it has never seen. So the scale
    is not learned: it is the ratio of the mean standard deviations, over the labels of a text, of the head's
    entailment logit and of the cosine. Gold labels are not looked at.

    runtime (NLIRuntime): A shared-premise checkpoint with similarity.
    paths (Sequence[Path]): Files of labelled texts, each with its own labels.
    RETURNS (float): The scale.
    """
    spreads = []
    kept = runtime.layout.similarity.data.clone()
    for path in paths:
        logits = []
        for third in (0.0, 1.0):
            runtime.layout.similarity.data[:] = runtime.layout.similarity.data.new_tensor([0.0, 0.0, third])
            logits.append(entailment_logits(runtime, path).logits)
        head, cosine = logits[0], logits[1] - logits[0]
        spreads.append((head.std(axis=1).mean(), cosine.std(axis=1).mean()))
    runtime.layout.similarity.data[:] = kept
    head_spread, cosine_spread = np.mean(spreads, axis=0)
    return float(head_spread / cosine_spread)


def competition_temperature(runtime: Any, paths: Sequence[Path]) -> float:
    """The temperature at which single-label scores are as sure as they are right (Guo et al., 2017).

    runtime (NLIRuntime): A checkpoint.
    paths (Sequence[Path]): Files of labelled texts, each with its own labels; best some that were not trained on.
    RETURNS (float): The geometric mean of the temperatures that fit each file.
    """
    temperatures = []
    for path in paths:
        measured = entailment_logits(runtime, path)
        gold = np.eye(measured.logits.shape[1], dtype="bool")[measured.gold]
        temperatures.append(fit_temperature(measured.logits, gold, compete=True))
    return float(np.exp(np.mean(np.log(temperatures))))


class Measured(NamedTuple):
    """Texts of a file, read with its labels.

    logits (Floats2d): Shape (texts, labels): entailment logits of the default template.
    gold (Ints1d): Shape (texts,): the right label of each text.
    """

    logits: Floats2d
    gold: Ints1d


def entailment_logits(runtime: Any, path: Path, texts: int = 100, most_labels: int = 20) -> Measured:
    """Read some texts of a file with its labels.

    runtime (NLIRuntime): A checkpoint.
    path (Path): A file of texts with one label each.
    texts (int): How many texts, evenly spread.
    most_labels (int): How many labels of the file; texts of others are left out.
    RETURNS (Measured): What the model says, and what is right.
    """
    rows = list(read_labelled_texts(path))
    names = label_names(rows)[:most_labels]
    hypotheses = tuple(fill_template(TEMPLATE, name) for name in names)
    fitting = [row for row in rows if row.text.strip() and len(row.labels) == 1 and row.labels[0] in names]
    chosen = fitting[:: max(1, len(fitting) // texts)][:texts]
    answers = runtime.predict(Request([Question(row.text, hypotheses) for row in chosen]))
    gold = np.asarray([names.index(row.labels[0]) for row in chosen])
    return Measured(np.concatenate([answer.logits[:1, :, FOR] for answer in answers]), gold)


if __name__ == "__main__":
    typer.run(publish)
