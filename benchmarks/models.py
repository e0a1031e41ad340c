"""Which model to take: the table in docs/models.md, as `python -m benchmarks.models DATA`.

The bundled model is measured here, on DATA/clf/eval. The others come from the Hugging Face Hub: their figures are from
the table of BTZSC (Aarab, 2026, arXiv:2603.11991; DATA/btzsc_f1.csv), measured without training on its sets.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from benchmarks.spacy_evaluate import macro_f1

SETS = {"agnews": "ag_news", "banking77": "banking77", "rottentomatoes": "rotten_tomatoes"}


class Known(NamedTuple):
    """What a model's page on the Hub says of it, and how it goes into the component."""

    name: str
    millions: int
    languages: str
    licence: str
    # "NLI" or "similarity"
    architecture: str


# By the names of the BTZSC table
KNOWN = {
    "bart-large-mnli": Known("facebook/bart-large-mnli", 407, "en", "MIT", "NLI"),
    "nli-roberta-base": Known("cross-encoder/nli-roberta-base", 125, "en", "Apache-2.0", "NLI"),
    "bge-reranker-base": Known("BAAI/bge-reranker-base", 278, "en, zh", "MIT", "NLI"),
    "bge-reranker-large": Known("BAAI/bge-reranker-large", 560, "en, zh", "MIT", "NLI"),
    "gte-reranker-modernbert-base": Known("Alibaba-NLP/gte-reranker-modernbert-base", 150, "en", "Apache-2.0", "NLI"),
    "all-MiniLM-L6-v2": Known("sentence-transformers/all-MiniLM-L6-v2", 23, "en", "Apache-2.0", "similarity"),
    "e5-base-v2": Known("intfloat/e5-base-v2", 110, "en", "MIT", "similarity"),
    "e5-large-v2": Known("intfloat/e5-large-v2", 335, "en", "MIT", "similarity"),
    "bge-base-en-v1.5": Known("BAAI/bge-base-en-v1.5", 109, "en", "MIT", "similarity"),
    "bge-large-en-v1.5": Known("BAAI/bge-large-en-v1.5", 335, "en", "MIT", "similarity"),
    "gte-modernbert-base": Known("Alibaba-NLP/gte-modernbert-base", 149, "en", "Apache-2.0", "similarity"),
}
BUNDLED = Known("bundled", 46, "fifteen", "MIT", "NLI")
PASSES = {"NLI": "a pass a label", "similarity": "one pass"}


def read_btzsc(path: Path) -> Iterator[tuple[Known, list[float], float]]:
    """Each known model, its macro-F1 on SETS, and the mean of all sets of the table."""
    with path.open(encoding="utf8") as file:
        for row in csv.DictReader(file):
            if row["mdl"] in KNOWN:
                scores = [float(value) for key, value in row.items() if key != "mdl"]
                yield KNOWN[row["mdl"]], [float(row[name]) for name in SETS], sum(scores) / len(scores)


def main(
    data: Annotated[Path, typer.Argument(help="Folder with btzsc_f1.csv and clf/eval.")],
    limit: Annotated[int, typer.Option(help="Rows of each file, evenly spread; 0 for all.")] = 0,
) -> None:
    """Print the table in Markdown, the best mean of three first."""
    measured = [macro_f1(data / "clf" / "eval" / f"{name}.jsonl.gz", limit) for name in SETS.values()]
    rows = [(BUNDLED, measured, None), *read_btzsc(data / "btzsc_f1.csv")]
    rows.sort(key=lambda row: -sum(row[1]))
    heads = "model", "weights", "languages", "licence", "texts are read", *SETS.values(), "mean", "27 sets"
    print("| " + " | ".join(heads) + " |")
    print("|---|---:|---|---|---|" + "---:|" * (len(SETS) + 2))
    for model, scores, mean in rows:
        passes = "one pass" if model is BUNDLED else PASSES[model.architecture]
        figures = [*scores, sum(scores) / len(scores)]
        cells = [f"`{model.name}`", f"{model.millions} M", model.languages, model.licence, passes]
        cells += [f"{figure:.3f}" for figure in figures] + ["-" if mean is None else f"{mean:.3f}"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    typer.run(main)
