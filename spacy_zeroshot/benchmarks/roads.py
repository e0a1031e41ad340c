"""Roads from no labels to labels, side by side: NLI, similarity, and their mix.

python -m spacy_zeroshot.benchmarks.roads FILE.jsonl ... --encoder FOLDER -n 200

The first table says what similarity costs with few labels and with many; the second and third, how well each road
finds the labels of the files, and how fast.
"""

import argparse
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import spacy
from thinc.types import Floats1d

from ..cli.bars import make_console, print_table
from ..component import ZeroShotTextCategorizer
from ..decisions import Rule
from ..errors import ZeroShotError
from ..evaluation import Outcome, PipelineJudge, Rules, evaluate_file, name_of
from ..model.source import BUNDLED
from ..rows import NLIPair, is_nli
from ..scores import scores as normalise
from .clock import spread, synchroniser, time_in_turn
from .material import make_labels, make_texts

COMMAND = "roads"
NLI, SIMILARITY = "spacy_zeroshot.NLIClassifier.v1", "spacy_zeroshot.SimilarityClassifier.v1"
COUNTS = (10, 100, 1000)
WORDPIECES = 90
# Make 1,000 labels of the benchmark's 150
ENDINGS = ("", " news", " prices", " law", " jobs", " abroad", " for children")
# Scores of 0 and 1 have no logarithm
SMALLEST = 1e-9


class Ratio(NamedTuple):
    """What a number of labels costs.

    labels (int): How many.
    speed (float): Documents per second, the median of all rounds.
    ratio (float): Time for a document, in that with the fewest labels; the median of ratios round by round.
    """

    labels: int
    speed: float
    ratio: float


class Recorder(PipelineJudge):
    """Scores with a pipeline, remembers the scores of the last file, and takes the time."""

    scored: np.ndarray
    seconds: float

    def scores(self, texts: Sequence[str], labels: Sequence[str], compete: bool) -> Iterator[Floats1d]:
        # what is done once for a label set is done before the clock starts, as in a pipeline at work
        list(super().scores(texts[:8], labels, compete))
        start = time.perf_counter()
        self.scored = np.stack(list(super().scores(texts, labels, compete)))
        self.seconds = time.perf_counter() - start
        yield from self.scored


class Mix:
    """Scores with the mean of two roads' logits: of the logarithms of their scores where labels compete.

    first, second (Recorder): The roads; they have scored the file before.
    """

    def __init__(self, first: Recorder, second: Recorder):
        self.first = first
        self.second = second

    @property
    def seconds(self) -> float:
        """RETURNS (float): What both took."""
        return self.first.seconds + self.second.seconds

    def scores(self, texts: Sequence[str], labels: Sequence[str], compete: bool) -> Iterator[Floats1d]:
        both = [logits(road.scored, compete) for road in (self.first, self.second)]
        yield from normalise(np.mean(both, axis=0), compete)

    def entailed(self, pairs: Sequence[NLIPair]) -> Iterator[Tuple[int, bool]]:
        return self.first.entailed(pairs)

    def rule(self, compete: bool) -> Rule:
        return self.first.rule(compete)


def logits(scored: np.ndarray, compete: bool) -> np.ndarray:
    """What `normalise` makes scores of, but for a constant.

    scored (np.ndarray): Shape (texts, labels): scores between 0 and 1.
    compete (bool): Whether labels compete.
    RETURNS (np.ndarray): The same shape.
    """
    kept = np.clip(scored, SMALLEST, 1 - SMALLEST)
    return np.log(kept) if compete else np.log(kept) - np.log1p(-kept)


def make_judge(architecture: str, name: str) -> Recorder:
    """A pipeline with nothing but the component.

    architecture (str): Of the model.
    name (str): The checkpoint.
    RETURNS (Recorder): Scores with it.
    """
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("zero_shot_textcat", config={"model": {"@architectures": architecture, "name": name}})
    assert isinstance(pipe, ZeroShotTextCategorizer)
    return Recorder(nlp, pipe)


def make_roads(encoders: Sequence[str]) -> "Dict[str, Recorder | Mix]":
    """The roads to compare.

    encoders (Sequence[str]): Sentence embedding models beside the bundled one.
    RETURNS (Dict[str, Union[Recorder, Mix]]): By name; every mix after its parts.
    """
    nli = make_judge(NLI, BUNDLED)
    similar = {short_name(name): make_judge(SIMILARITY, name) for name in (BUNDLED, *encoders)}
    return {
        "NLI": nli,
        **{f"similarity, {name}": judge for name, judge in similar.items()},
        **{f"mix, {name}": Mix(nli, judge) for name, judge in similar.items()},
    }


def compare(path: Path, roads: "Mapping[str, Recorder | Mix]", rules: Rules) -> "Dict[str, Tuple[Outcome, float]]":
    """Evaluate one file by every road.

    path (Path): A .jsonl or .jsonl.gz file of labelled texts.
    roads (Mapping[str, Union[Recorder, Mix]]): What make_roads gave.
    rules (Rules): How.
    RETURNS (Dict[str, Tuple[Outcome, float]]): The figures and documents per second, by road.
    RAISES (ZeroShotError): Z060 for a file of NLI pairs, and as evaluate_file.
    """
    if is_nli(path):
        raise ZeroShotError("Z060", COMMAND, what="file", value=str(path), reason="it holds NLI pairs, not labels")
    found = {}
    for name, road in roads.items():
        outcome = evaluate_file(path, road, rules)
        found[name] = outcome, outcome.rows / road.seconds
    return found


def label_costs(encoder: str, counts: Sequence[int], n_texts: int, rounds: int) -> List[Ratio]:
    """Time similarity with several numbers of labels, in turn.

    encoder (str): The sentence embedding model.
    counts (Sequence[int]): Numbers of labels, the smallest first; at most 1,050.
    n_texts (int): Made-up texts of 90 wordpieces.
    rounds (int): How often each is timed.
    RETURNS (List[Ratio]): One for each number.
    """
    judges = {count: make_judge(SIMILARITY, encoder) for count in counts}
    runtime = judges[counts[0]].pipe.model.shims[0].runtime  # type: ignore[attr-defined]
    texts = make_texts(n_texts, WORDPIECES, lambda many: [len(p.ids) for p in runtime.tokens.split(list(many))])
    for count, judge in judges.items():
        judge.pipe.set_labels(many_labels(count))
        # loads the model and embeds the labels
        judge.nlp(texts[0])
    programs = {str(count): _program(judge, texts) for count, judge in judges.items()}
    seconds = time_in_turn(programs, rounds, synchroniser(str(runtime.device)))
    base = seconds[str(counts[0])]
    return [
        Ratio(
            count,
            n_texts / spread(seconds[str(count)]).median,
            spread([own / first for own, first in zip(seconds[str(count)], base)]).median,
        )
        for count in counts
    ]


def many_labels(count: int) -> List[str]:
    """RETURNS (List[str]): Distinct labels of one to four words. count (int): How many; at most 1,050."""
    return [label + ending for ending in ENDINGS for label in make_labels(150)][:count]


def short_name(name: str) -> str:
    """A checkpoint's name in a table: of a folder, its last part, or that before it where the last says nothing.

    name (str): The checkpoint.
    RETURNS (str): The name.
    """
    parts = [part for part in Path(name).parts if part != "model"]
    return parts[-1] if parts else name


def quality_rows(found: "Sequence[Mapping[str, Tuple[Outcome, float]]]") -> List[List[Any]]:
    """Accuracy and macro-F1 of every file by every road, and the means.

    found (Sequence[Mapping[str, Tuple[Outcome, float]]]): What compare gave for each file.
    RETURNS (List[List[Any]]): File, rows, labels, then one cell for each road.
    """
    figures = np.asarray([[(o.accuracy, o.macro_f1) for o, _ in by_road.values()] for by_road in found])
    rows: List[List[Any]] = []
    for by_road, cells in zip(found, figures):
        outcome = next(iter(by_road.values()))[0]
        rows.append([outcome.data, outcome.rows, outcome.labels, *map(_cell, cells)])
    if len(found) > 1:
        rows.append(["mean", "", "", *map(_cell, figures.mean(axis=0))])
    return rows


def main() -> None:
    """Print the tables, as Markdown."""
    parser = argparse.ArgumentParser(description="NLI, similarity and their mix side by side")
    parser.add_argument("files", type=Path, nargs="*", help=".jsonl or .jsonl.gz files of labelled texts")
    parser.add_argument("--encoder", action="append", default=[], help="a sentence embedding model; may be repeated")
    parser.add_argument("-n", "--limit", type=int, default=None, help="rows of each file, evenly spread")
    parser.add_argument("--none-label", default=None, help="a gold label that means that no label fits")
    parser.add_argument("--texts", type=int, default=128, help="texts to time label counts with")
    parser.add_argument("--rounds", type=int, default=5, help="how often each label count is timed")
    options = parser.parse_args()
    console = make_console()
    costs = label_costs(BUNDLED, COUNTS, options.texts, options.rounds)
    console.print(f"\nWhat labels cost by similarity: {options.texts} texts of {WORDPIECES} wordpieces\n")
    rows = [[ratio.labels, f"{ratio.speed:.0f}", f"{ratio.ratio:.2f}"] for ratio in costs]
    print_table(console, ("labels", "documents/s", "time, ratio"), rows)
    if not options.files:
        return
    roads = make_roads(options.encoder)
    found = []
    for path in options.files:
        found.append(compare(path, roads, Rules(none_label=options.none_label, limit=options.limit)))
    console.print("\nAccuracy / macro-F1\n")
    print_table(console, ("set", "rows", "labels", *roads), quality_rows(found))
    console.print("\nDocuments per second\n")
    speeds = [
        [name_of(path), *(f"{speed:.0f}" for _, speed in row.values())] for path, row in zip(options.files, found)
    ]
    print_table(console, ("set", *roads), speeds)


def _program(judge: Recorder, texts: Sequence[str]) -> Any:
    return lambda: [doc.cats for doc in judge.nlp.pipe(texts)]


def _cell(values: np.ndarray) -> str:
    return f"{values[0]:.3f} / {values[1]:.3f}"


if __name__ == "__main__":
    main()
