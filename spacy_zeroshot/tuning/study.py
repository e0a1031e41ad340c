"""The figures of the documentation on tuning and calibration: python -m spacy_zeroshot.tuning.study --data DIR

Everything is fitted to one half of the texts (every second one) and measured on the other.
"""

import argparse
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import spacy

from ..cli.bars import make_console, print_table
from ..component import ZeroShotTextCategorizer
from ..decisions import Rule, by_rank, decide_rows, default_rule
from ..errors import COMPONENT
from ..evaluation import spread
from ..metrics import figures
from ..rows import read_labelled_texts
from ..scores import adjust, scores
from .calibration import CONTENT_FREE, marginal_biases, prior_biases
from .families import steps_of
from .passes import TEMPLATES, candidate_templates, competes, read_texts, score_templates
from .reliability import reliability
from .search import search
from .tally import objective, tally
from .temperature import fit_temperature
from .texts import gold_array, label_names
from .tune import variants

SETS = ("ag_news", "banking77", "rotten_tomatoes", "sst2", "trec6", "situation", "unify_emotion")
NONE_LABEL = "out-of-domain"
MULTI = ("situation",)
METHODS = ("none", "content-free", "marginals", "temperature", "marginals, temperature")
# What to tune on: the file, and where its labels stand on their own
TUNED = (
    ("situation", "clf/eval/situation.jsonl.gz", True),
    ("GitHub issues", "clf/study/github_issues.test.jsonl.gz", False),
)
SHOWN = np.arange(1, 10) / 10


class Scored(NamedTuple):
    """A file, scored.

    strengths (List[np.ndarray]): Shape (texts, labels) each: one for every template.
    content_free (np.ndarray): Shape (texts without content, labels), with the first template.
    gold (np.ndarray): Shape (texts, labels), bool.
    labels (Tuple[str, ...]): The labels.
    compete (bool): Whether they compete.
    """

    strengths: List[np.ndarray]
    content_free: np.ndarray
    gold: np.ndarray
    labels: Tuple[str, ...]
    compete: bool


def score_file(path: Path, model: str, multi_label: bool, templates: Sequence[str], limit: Optional[int]) -> Scored:
    """Score a file once for every template.

    path (Path): {"text", "labels"} rows.
    model (str): A checkpoint.
    multi_label (bool): Whether labels stand on their own.
    templates (Sequence[str]): Candidates beside the default.
    limit (Optional[int]): Rows, evenly spread; None for all.
    RETURNS (Scored): The strengths.
    """
    rows = list(read_labelled_texts(path))
    labels = label_names(rows, NONE_LABEL)
    rows = spread(rows, limit)
    nlp = spacy.blank("en")
    config = {"labels": list(labels), "multi_label": multi_label, "model": {"name": model}}
    pipe: ZeroShotTextCategorizer = nlp.add_pipe(COMPONENT, config=config)  # type: ignore[assignment]
    readable = read_texts(nlp, pipe, [row.text for row in rows], "study")
    gold = gold_array(rows, labels, NONE_LABEL, "study")[readable.rows]
    strengths = score_templates(pipe, readable.premises, candidate_templates(pipe, templates))
    empty = read_texts(nlp, pipe, CONTENT_FREE, "study")
    without = score_templates(pipe, empty.premises, [pipe.templates])[0]
    return Scored(strengths, without, gold, labels, competes(pipe))


def calibration_row(found: Scored) -> Dict[str, Tuple[float, float]]:
    """Macro-F1 and expected calibration error with every method.

    found (Scored): A scored file.
    RETURNS (Dict[str, Tuple[float, float]]): By method.
    """
    strengths, halves = found.strengths[0], np.arange(len(found.gold)) % 2
    rule = default_rule(found.compete)
    result = {}
    for method in METHODS:
        values = np.empty_like(strengths)
        for half in (0, 1):
            seen, unseen = strengths[halves != half], strengths[halves == half]
            biases = np.zeros(strengths.shape[1])
            if method == "content-free":
                biases = prior_biases(found.content_free, found.compete)
            elif method.startswith("marginals"):
                biases = marginal_biases(seen, found.compete)
            temperature = 1.0
            if method.endswith("temperature"):
                temperature = fit_temperature(seen - biases, found.gold[halves != half], found.compete)
            values[halves == half] = scores(adjust(unseen, biases, temperature), found.compete)
        macro = figures(found.gold, decide_rows(values, found.labels, rule)).macro_f1
        result[method] = macro, reliability(values, found.gold, found.compete).ece
    return result


def tuning_rows(found: Scored, templates: Sequence[str]) -> List[List[Any]]:
    """Micro- and macro-F1 on the half that was not tuned on.

    found (Scored): A scored file.
    templates (Sequence[str]): The candidates' names.
    RETURNS (List[List[Any]]): Name, micro-F1, macro-F1, of every way to choose labels.
    """
    seen = np.arange(len(found.gold)) % 2 == 0
    own = scores(found.strengths[0], found.compete)[~seen]
    rows = []
    plain: List[Tuple[str, Rule]] = [("default threshold, 0.5", Rule(0.5))]
    plain += [(f"top-{k}", by_rank(k)) for k in (1, 2, 3) if k <= len(found.labels)]
    for name, rule in plain:
        result = figures(found.gold[~seen], decide_rows(own, found.labels, rule))
        rows.append([name, result.micro_f1, result.macro_f1])
    zeros = np.zeros(len(found.labels))
    for goal in ("micro_f1", "macro_f1"):
        passes = zip(templates, found.strengths)
        candidates = [one for name, s in passes for one in variants(name, s[seen], zeros, found.compete)]
        start = time.perf_counter()
        best = search(candidates, found.gold[seen], found.labels, found.compete, goal).best
        took = time.perf_counter() - start
        candidate = candidates[best.candidate]
        # each pass gives two candidates
        strengths = found.strengths[best.candidate // 2]
        values = scores(adjust(strengths, candidate.biases, best.temperature), found.compete)[~seen]
        result = figures(found.gold[~seen], decide_rows(values, found.labels, best.final.rule))
        name = f"tuned for {goal.replace('_f1', '-F1')} ({best.final.kind}; {candidate.name!r}; {took:.1f} s)"
        rows.append([name, result.micro_f1, result.macro_f1])
    return rows


def sweep_rows(found: Scored) -> List[List[Any]]:
    """The sweep curve of the default template.

    found (Scored): A scored file.
    RETURNS (List[List[Any]]): Threshold, micro-F1, macro-F1.
    """
    counts = tally(steps_of(scores(found.strengths[0], found.compete), SHOWN), found.gold, len(SHOWN))
    micro, macro = objective(counts, "micro_f1"), objective(counts, "macro_f1")
    return [[f"{t:.1f}", float(a), float(b)] for t, a, b in zip(SHOWN, micro, macro)]


def main() -> None:
    """Print the tables, as Markdown."""
    parser = argparse.ArgumentParser(description="Tables on tuning and calibration")
    parser.add_argument("--data", type=Path, required=True, help="a folder with clf/eval/ and clf/study/")
    parser.add_argument("--model", default="bundled", help="a checkpoint")
    parser.add_argument("--limit", type=int, default=None, help="rows of each file, evenly spread")
    parser.add_argument("--candidates", type=int, default=len(TEMPLATES), help="how many of the built-in templates")
    parser.add_argument("--only", choices=("tuning", "calibration"), default=None)
    options = parser.parse_args()
    console = make_console()
    if options.only != "calibration":
        templates = TEMPLATES[: options.candidates]
        for name, path, multi_label in TUNED:
            found = score_file(options.data / path, options.model, multi_label, templates, options.limit)
            texts, labels = len(found.gold), len(found.labels)
            console.print(f"\n{name}: {texts} texts, {labels} labels, half to tune on, half measured\n")
            print_table(console, ("labels are chosen by", "micro-F1", "macro-F1"), tuning_rows(found, templates))
            console.print(f"\n{name}: threshold sweep on all texts, default template\n")
            print_table(console, ("threshold", "micro-F1", "macro-F1"), sweep_rows(found))
    if options.only != "tuning":
        measured = np.zeros((len(SETS), len(METHODS), 2))
        for i, name in enumerate(SETS):
            path = options.data / "clf" / "eval" / f"{name}.jsonl.gz"
            row = calibration_row(score_file(path, options.model, name in MULTI, (), options.limit))
            measured[i] = [row[method] for method in METHODS]
        named = zip((*SETS, "mean"), (*measured, measured.mean(axis=0)))
        table = [[name, *(f"{macro:.3f} / {ece:.3f}" for macro, ece in row)] for name, row in named]
        console.print("\nmacro-F1 / expected calibration error\n")
        print_table(console, ("set", *METHODS), table)


if __name__ == "__main__":
    main()
