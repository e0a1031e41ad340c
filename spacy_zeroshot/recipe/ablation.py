"""What each part of the bundled model's recipe is worth: python -m spacy_zeroshot.recipe.ablation DATA BASE.

Every variant changes one thing in configs/bundled.cfg and trains for the same few steps from the same encoder; then it
is evaluated on the same rows. Finished variants are kept in the output folder, so that a run can be resumed.
"""

import copy
import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import spacy
import typer
from spacy.cli.train import train
from thinc.api import Config

from ..cli.bars import make_console, print_table
from ..evaluation import PipelineJudge, Rules, evaluate_file

CONFIG = Path("configs/bundled.cfg")
NLI_FILES = ("nli/mnli_dev_matched", "nli/snli_test")
TEXT_FILES = ("clf/eval/ag_news", "clf/eval/banking77", "clf/eval/rotten_tomatoes", "clf/eval/sst2", "clf/eval/trec6")


def _lesson(config: Dict[str, Any]) -> Dict[str, Any]:
    return config["initialize"]["components"]["zero_shot_textcat"]


def _sets(config: Dict[str, Any]) -> List[Dict[str, Any]]:
    return config["corpora"]["train"]["sets"]


def _hold_similarity(config: Dict[str, Any]) -> None:
    _lesson(config)["learn_similarity"] = False


def _learn_scales(config: Dict[str, Any]) -> None:
    _lesson(config)["freeze"] = ["bert.embeddings.word_embeddings"]


def _all_layers(config: Dict[str, Any]) -> None:
    _lesson(config)["new_head"]["decoupled_layers"] = 0


def _no_anchor(config: Dict[str, Any]) -> None:
    _lesson(config)["anchor"] = 0.0


def _not_listwise(config: Dict[str, Any]) -> None:
    _lesson(config)["listwise_weight"] = 0.0


def _bare_labels(config: Dict[str, Any]) -> None:
    templates = config["corpora"]["train"]["templates"]
    config["corpora"]["train"]["templates"] = {name: ["{}"] for name in templates}


def _own_labels(config: Dict[str, Any]) -> None:
    for entry in _sets(config):
        entry.pop("groups", None)


def _few_negatives(config: Dict[str, Any]) -> None:
    for entry in _sets(config):
        if "max_negatives" in entry:
            entry["max_negatives"] = 2


def _no_nli(config: Dict[str, Any]) -> None:
    config["corpora"]["train"]["sets"] = [entry for entry in _sets(config) if "skip_sources" not in entry]


def _only_nli(config: Dict[str, Any]) -> None:
    config["corpora"]["train"]["sets"] = [entry for entry in _sets(config) if "skip_sources" in entry]


def _all_sources(config: Dict[str, Any]) -> None:
    for entry in _sets(config):
        entry.pop("skip_sources", None)


def _layer_decay(config: Dict[str, Any]) -> None:
    _lesson(config)["layer_decay"] = 0.8


def _no_averages(config: Dict[str, Any]) -> None:
    config["training"]["optimizer"]["use_averages"] = False


def _weak_anchor(config: Dict[str, Any]) -> None:
    _lesson(config)["anchor"] = 3.0


def _fast(config: Dict[str, Any]) -> None:
    config["training"]["optimizer"]["learn_rate"]["initial_rate"] = 3e-4


def _not_balanced(config: Dict[str, Any]) -> None:
    for entry in _sets(config):
        entry.pop("limit", None)


def _entailment_shared(config: Dict[str, Any]) -> None:
    _lesson(config)["new_head"] = {"layout": "shared_premise", "decoupled_layers": 3}
    _lesson(config)["anchor"] = 0.0


def _entailment_pair(config: Dict[str, Any]) -> None:
    _lesson(config)["new_head"] = {"layout": "pair"}
    _lesson(config)["anchor"] = 0.0


VARIANTS: Dict[str, Callable[[Dict[str, Any]], None]] = {
    "the recipe": lambda config: None,
    "hypotheses read the text in all layers": _all_layers,
    "the cosine does not learn": _hold_similarity,
    "the cosine's scales learn as well": _learn_scales,
    "entailment alone, shared premise": _entailment_shared,
    "entailment alone, pairs": _entailment_pair,
    "no anchor": _no_anchor,
    "NLI alone": _only_nli,
    "no NLI": _no_nli,
    "all NLI sources": _all_sources,
    "own labels only": _own_labels,
    "bare labels only": _bare_labels,
    "2 wrong labels": _few_negatives,
    "no listwise loss": _not_listwise,
    "layer decay 0.8": _layer_decay,
    "no averaging of weights": _no_averages,
    "anchor 3 instead of 10": _weak_anchor,
    "learning rate 3e-4": _fast,
    "all rows of every set": _not_balanced,
}


def make_config(change: Callable[[Dict[str, Any]], None], data: Path, base: Path, steps: int, batch: int) -> Config:
    """The recipe with one thing changed, for a small budget.

    change (Callable[[Dict[str, Any]], None]): Changes the config in place.
    data (Path): The folder that holds nli/ and clf/.
    base (Path): The encoder's folder.
    steps (int): Steps of training.
    batch (int): Texts in a step.
    RETURNS (Config): The config.
    """
    config = Config().from_disk(CONFIG, interpolate=False)
    config["paths"].update({"data": str(data), "base": str(base), "start": str(base)})
    config = copy.deepcopy(config.interpolate())
    change(config)
    config["training"].update({"max_steps": steps, "eval_frequency": 10 * steps})
    config["training"]["batcher"]["size"] = batch
    config["training"]["optimizer"]["learn_rate"].update({"warmup_steps": steps // 10, "total_steps": steps + 1})
    config["corpora"]["dev"]["limit"] = 10
    return config


def run_variant(config: Config, folder: Path, data: Path, limit: int) -> Dict[str, float]:
    """Train and evaluate one variant.

    config (Config): What make_config gave.
    folder (Path): Where to train.
    data (Path): The folder that holds nli/ and clf/.
    limit (int): Rows of each file of labelled texts; of NLI files, three times as many.
    RETURNS (Dict[str, float]): Accuracy on NLI files and macro-F1 on labelled texts, by file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config.to_disk(folder / "config.cfg")
    train(folder / "config.cfg", folder / "trained")
    nlp = spacy.blank("en")
    checkpoint = folder / "trained" / "model-last" / "zero_shot_textcat" / "model"
    pipe: Any = nlp.add_pipe("zero_shot_textcat", config={"model": {"name": str(checkpoint)}})
    judge = PipelineJudge(nlp, pipe)
    found = {}
    for name in NLI_FILES:
        found[name] = evaluate_file(data / f"{name}.jsonl.gz", judge, Rules(limit=3 * limit)).accuracy
    for name in TEXT_FILES:
        found[name] = evaluate_file(data / f"{name}.jsonl.gz", judge, Rules(limit=limit)).macro_f1
    return found


def main(
    data: Path = typer.Argument(..., help="The folder that holds nli/ and clf/."),  # noqa: B008
    base: Path = typer.Argument(..., help="all-MiniLM-L6-v2's folder."),  # noqa: B008
    output: Path = typer.Option(Path("ablation"), help="Where finished variants are kept."),  # noqa: B008
    steps: int = typer.Option(100, min=20, help="Steps of training."),
    batch: int = typer.Option(48, min=1, help="Texts in a step."),
    limit: int = typer.Option(250, min=1, help="Rows of each file of labelled texts."),
) -> None:
    """Train and evaluate every variant, and print a table."""
    rows = []
    for number, (name, change) in enumerate(VARIANTS.items()):
        kept = output / f"{number:02d}.json"
        if not kept.exists():
            found = run_variant(make_config(change, data, base, steps, batch), output / f"{number:02d}", data, limit)
            kept.write_text(json.dumps({"variant": name, **found}, indent=1), encoding="utf8")
        found = json.loads(kept.read_text(encoding="utf8"))
        texts = [found[file] for file in TEXT_FILES]
        rows.append([name, *(found[file] for file in (*NLI_FILES, *TEXT_FILES)), sum(texts) / len(texts)])
    names = [file.rsplit("/", 1)[1] for file in (*NLI_FILES, *TEXT_FILES)]
    print_table(make_console(), ["variant", *names, "mean of texts"], rows)


if __name__ == "__main__":
    typer.run(main)
