"""spaCy's own `spacy evaluate` on labelled JSONL files: python -m spacy_zeroshot.benchmarks.spacy_evaluate FILE ...

Each file becomes a DocBin with gold doc.cats, and a saved pipeline with the file's labels; then the same command runs
that a user would call. Its figures are those of `spacy zeroshot evaluate`, by another way.
"""

import tempfile
from pathlib import Path
from typing import Any, Dict, List, Sequence

import spacy
import typer
from spacy.cli.evaluate import evaluate
from spacy.tokens import DocBin

from ..cli.bars import make_console, print_table
from ..evaluation import name_of
from ..learning.readers import label_names
from ..rows import LabelledText, read_labelled_texts

FILES = typer.Argument(..., help="Labelled texts, .jsonl or .jsonl.gz.", exists=True, dir_okay=False)
SCORES = ("cats_macro_f", "cats_micro_f", "cats_macro_auc")


def evaluate_rows(rows: Sequence[LabelledText], folder: Path) -> Dict[str, Any]:
    """Run `spacy evaluate` on rows.

    rows (Sequence[LabelledText]): The rows. Where one has other than one label, labels are independent.
    folder (Path): Where to put the pipeline and the DocBin.
    RETURNS (Dict[str, Any]): What the command gives.
    """
    labels = label_names(rows)
    multi_label = any(len(row.labels) != 1 for row in rows)
    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", config={"labels": labels, "multi_label": multi_label})
    nlp.to_disk(folder / "pipeline")
    gold = DocBin()
    for row in rows:
        doc = nlp.make_doc(row.text)
        doc.cats = {label: float(label in row.labels) for label in labels}
        gold.add(doc)
    gold.to_disk(folder / "gold.spacy")
    return evaluate(str(folder / "pipeline"), folder / "gold.spacy", silent=True)


def main(files: List[Path] = FILES, limit: int = typer.Option(0, min=0, help="Rows of each file; 0 for all.")) -> None:
    """Print the scores of `spacy evaluate` on each file."""
    table = []
    for path in files:
        rows = list(read_labelled_texts(path))
        rows = rows[:: max(1, len(rows) // limit)][:limit] if limit else rows
        with tempfile.TemporaryDirectory() as folder:
            scores = evaluate_rows(rows, Path(folder))
        table.append([name_of(path), len(rows), *(float(scores[name]) for name in SCORES)])
    print_table(make_console(), ["data", "rows", *SCORES], table)


if __name__ == "__main__":
    typer.run(main)
