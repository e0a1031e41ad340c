"""What adapting brings on GitHub issues, as the README shows it: python -m spacy_zeroshot.adaptation.study DATA.

DATA holds clf/study/github_issues.train.jsonl.gz, whose texts the encoder is adapted to without a look at the labels
and from which a few labelled ones are drawn, and clf/study/github_issues.test.jsonl.gz. Run it where configs/ is.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Dict, List, Optional, Sequence

import numpy as np
import typer

from ..cli.bars import make_console, print_table
from ..cli.guard import note
from ..errors import ZeroShotError
from ..metrics import figures
from ..rows import LabelledText, read_labelled_texts
from .adapt import adapt
from .few_shot import fine_tune
from .training import Recipe

TRAIN, TEST = "clf/study/github_issues.train.jsonl.gz", "clf/study/github_issues.test.jsonl.gz"
LABELS = ("bug", "feature", "question")
HYPOTHESES = (
    {"label": "bug", "text": "This text reports a bug."},
    {"label": "feature", "text": "This text requests a feature."},
    {"label": "question", "text": "This text asks a question."},
)
COLUMNS = ("model", "labelled texts", "accuracy", "macro-F1", "spread of macro-F1")


def study(
    data: Annotated[Path, typer.Argument(help="The folder with clf/")],
    model: Annotated[str, typer.Option(help="The checkpoint")] = "bundled",
    config: Annotated[Path, typer.Option(help="The config of fine-tuning")] = Path("configs/fine_tune.cfg"),
    output: Annotated[Optional[Path], typer.Option(help="Keep the adapted checkpoint here; can be resumed")] = None,
    steps: Annotated[int, typer.Option(help="Steps of adapting")] = 300,
    counts: Annotated[str, typer.Option(help="Numbers of labelled texts")] = "24,96",
    seeds: Annotated[int, typer.Option(help="Draws of labelled texts")] = 3,
    limit: Annotated[int, typer.Option(help="Test texts")] = 400,
    characters: Annotated[int, typer.Option(help="Texts are cut to this length, to save time")] = 600,
    fine_tune_steps: Annotated[int, typer.Option(help="Steps of fine-tuning; 0: by the number of texts")] = 0,
) -> None:
    """Compare a model, the same one adapted, and both fine-tuned on a few texts, and print a table."""
    train = _read(data / TRAIN, 0, characters)
    test = _read(data / TEST, limit, characters)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(output or scratch)
        adapted = folder / "adapted"
        if not adapted.exists():
            start = time.process_time()
            adapt(model, [row.text for row in train], adapted, Recipe(steps=steps))
            note(f"adapted in {time.process_time() - start:,.0f} s of one core")
        rows: List[List[Any]] = []
        for name, checkpoint in (("as it is", model), (f"adapted, {steps:,} steps", str(adapted))):
            rows.append([name, 0, *_row([_measure(checkpoint, test)])])
            for count in [int(part) for part in counts.split(",") if part.strip()]:
                found = []
                for seed in range(seeds):
                    target = Path(scratch) / f"{len(rows)}-{seed}"
                    drawn = draw(train, count, seed)
                    pipeline = fine_tune(
                        drawn,
                        config,
                        target,
                        model=checkpoint,
                        labels=LABELS,
                        hypotheses=HYPOTHESES,
                        seed=seed,
                        steps=fine_tune_steps,
                    )
                    found.append(_measure(str(pipeline), test))
                rows.append([name, count, *_row(found)])
                note(json.dumps(dict(zip(COLUMNS, rows[-1]))))
    print_table(make_console(), COLUMNS, rows)


def draw(rows: Sequence[LabelledText], count: int, seed: int) -> List[LabelledText]:
    """Draw labelled texts, of every label as many as can be.

    rows (Sequence[LabelledText]): Texts with one label each.
    count (int): How many. Of one seed, fewer texts are the first of more.
    seed (int): Of the draw.
    RETURNS (List[LabelledText]): The texts.
    """
    by_label: Dict[str, List[int]] = {}
    for i in np.random.default_rng(seed).permutation(len(rows)):
        by_label.setdefault(rows[i].labels[0], []).append(int(i))
    # the first text of every label, then the second of every label, and so on
    turns = sorted((turn, label, i) for label, places in by_label.items() for turn, i in enumerate(places))
    return [rows[i] for _, _, i in turns[:count]]


def _measure(name: str, test: Sequence[LabelledText]) -> Dict[str, float]:
    import spacy

    if (Path(name) / "config.cfg").exists():
        nlp = spacy.load(name)
    else:
        nlp = spacy.blank("en")
        config = {"labels": list(LABELS), "hypotheses": [dict(e) for e in HYPOTHESES], "model": {"name": name}}
        nlp.add_pipe("zero_shot_textcat", config=config)
    found = [max(doc.cats, key=lambda label: doc.cats[label]) for doc in nlp.pipe(row.text for row in test)]
    gold = np.array([[label in row.labels for label in LABELS] for row in test])
    chosen = np.array([[label == best for label in LABELS] for best in found])
    result = figures(gold, chosen)
    return {"accuracy": result.accuracy, "macro_f1": result.macro_f1}


def _row(found: Sequence[Dict[str, float]]) -> List[str]:
    accuracy, macro = (np.array([each[key] for each in found]) for key in ("accuracy", "macro_f1"))
    spread = f"{macro.min():.3f} to {macro.max():.3f}" if len(found) > 1 else ""
    return [f"{accuracy.mean():.3f}", f"{macro.mean():.3f}", spread]


def _read(path: Path, limit: int, characters: int) -> List[LabelledText]:
    if not path.is_file():
        raise ZeroShotError("Z060", "study", what="file", value=str(path), reason="there is no such file")
    rows = [row._replace(text=row.text[:characters]) for row in read_labelled_texts(path) if row.labels]
    # spread over the file: it is sorted by project
    return rows[:: max(len(rows) // limit, 1)][:limit] if limit else rows


if __name__ == "__main__":
    typer.run(study)
