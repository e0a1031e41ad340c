"""Fine-tuning on a few labelled texts by `spacy train`, for studies: no texts are set aside to choose the best step."""

import contextlib
import io
import json
import math
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence

from ..rows import LabelledText

# As in configs/fine_tune.cfg
BATCH, EPOCHS = 8, 10
LEARN_RATE = {"@schedules": "warmup_linear.v1", "warmup_steps": 5, "initial_rate": 2e-5}
# Fewer steps teach nothing, more cost more than they bring
FEWEST_STEPS, MOST_STEPS = 40, 200
# spaCy scores a few texts in the end, whatever comes of it
MEASURED = 8


def steps_for(texts: int) -> int:
    """RETURNS (int): Steps of the optimizer for a number of texts: ten epochs, within bounds."""
    return min(max(math.ceil(texts * EPOCHS / BATCH), FEWEST_STEPS), MOST_STEPS)


def fine_tune(
    rows: Sequence[LabelledText],
    config: Path,
    folder: Path,
    *,
    model: str = "bundled",
    labels: Sequence[str] = (),
    hypotheses: Sequence[Mapping[str, str]] = (),
    seed: int = 0,
    steps: int = 0,
) -> Path:
    """Run `spacy train` on labelled texts.

    rows (Sequence[LabelledText]): The texts.
    config (Path): The training config: configs/fine_tune.cfg.
    folder (Path): Where the texts and the pipeline go.
    model (str): The checkpoint to begin with.
    labels (Sequence[str]): The labels; none for those of the texts.
    hypotheses (Sequence[Mapping[str, str]]): Own wordings, [{"label": ..., "text": ...}].
    seed (int): Of the order of texts and the negatives.
    steps (int): Steps of the optimizer; 0 for steps_for().
    RETURNS (Path): The pipeline of the last step.
    """
    from spacy.cli.train import train

    folder.mkdir(parents=True, exist_ok=True)
    chosen = steps or steps_for(len(rows))
    _write(folder / "train.jsonl", rows)
    _write(folder / "dev.jsonl", rows[:MEASURED])
    component = "components.zero_shot_textcat"
    overrides: Dict[str, Any] = {
        "paths.train": str(folder / "train.jsonl"),
        "paths.dev": str(folder / "dev.jsonl"),
        f"{component}.model.name": model,
        f"{component}.labels": list(labels),
        f"{component}.hypotheses": [dict(entry) for entry in hypotheses],
        "training.seed": seed,
        "training.max_epochs": 0,
        "training.max_steps": chosen,
        "training.eval_frequency": chosen,
        "training.optimizer.learn_rate": {**LEARN_RATE, "total_steps": chosen + chosen // 4},
    }
    # spaCy prints every row of its table
    with contextlib.redirect_stdout(io.StringIO()):
        train(config, folder, overrides=overrides)
    return folder / "model-last"


def _write(path: Path, rows: Sequence[LabelledText]) -> None:
    with path.open("w", encoding="utf8") as lines:
        for row in rows:
            lines.write(json.dumps({"text": row.text, "labels": row.labels}) + "\n")
