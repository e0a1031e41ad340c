"""spaCy's own `spacy evaluate` on labelled files: python -m benchmarks.spacy_evaluate FILE ...

Each file becomes a DocBin with gold doc.cats, and a saved pipeline with the file's labels; then the command runs that a
user would call. Its figures are those of `spacy zeroshot evaluate`, by another way.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from spacy.cli.evaluate import evaluate
from spacy.tokens import DocBin

from spacy_zeroshot.cli._print import make_console, print_table
from spacy_zeroshot.evaluation import spread
from spacy_zeroshot.readers import LabelledText, label_names, read_labelled

SCORES = ("cats_macro_f", "cats_micro_f", "cats_macro_auc")


def evaluate_rows(rows: Sequence[LabelledText], folder: Path, model: str = "bundled") -> dict[str, Any]:
    """What `spacy evaluate` says of rows. Where one has other than one label, labels are independent."""
    labels = label_names(rows)
    nlp = spacy.blank("xx")
    multi_label = any(len(row.labels) != 1 for row in rows)
    config = {"labels": labels, "multi_label": multi_label, "model": {"name": model}}
    nlp.add_pipe("zero_shot_textcat", config=config)
    nlp.to_disk(folder / "pipeline")
    gold = DocBin()
    for row in rows:
        doc = nlp.make_doc(row.text)
        doc.cats = {label: float(label in row.labels) for label in labels}
        gold.add(doc)
    gold.to_disk(folder / "gold.spacy")
    return evaluate(str(folder / "pipeline"), folder / "gold.spacy", silent=True)


def macro_f1(path: Path, limit: int = 0, model: str = "bundled") -> float:
    """Of the labels of a file, on so many of its rows; 0 for all."""
    with tempfile.TemporaryDirectory() as folder:
        scores = evaluate_rows(spread(read_labelled(path), limit or None), Path(folder), model)
    return float(scores["cats_macro_f"])


def main(
    files: Annotated[list[Path], typer.Argument(help="Labelled files.")],
    limit: Annotated[int, typer.Option(help="Rows of each file, evenly spread; 0 for all.")] = 0,
) -> None:
    """Print the scores of `spacy evaluate` on each file."""
    table = []
    for path in files:
        rows = spread(read_labelled(path), limit or None)
        with tempfile.TemporaryDirectory() as folder:
            scores = evaluate_rows(rows, Path(folder))
        table.append([path.name.split(".")[0], len(rows), *(float(scores[name]) for name in SCORES)])
    print_table(make_console(), ["data", "rows", *SCORES], table)


if __name__ == "__main__":
    typer.run(main)
