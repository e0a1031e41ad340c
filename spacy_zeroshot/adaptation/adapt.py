"""Adaptation as a function: unlabelled texts in, a checkpoint folder out whose encoder knows their language."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .. import __version__
from ..corpora.files import write_complete
from ..corpora.pipelines import hash_checkpoint
from ..errors import ZeroShotError
from ..model.source import BUNDLED, Source
from ..saving import replaced
from ..tuning.settings import check_output
from .models import COMMAND, load_learner, save_learner
from .pieces import cut_pieces
from .training import DEFAULT, Recipe, Watch, check_recipe, last_checkpoint, require_accelerate, train

SETTINGS = "settings.json"


class Adapted(NamedTuple):
    """What adaptation gave.

    folder (Path): The checkpoint.
    pieces (int): Pieces of text that were learned from.
    resumed (int): Steps that an earlier run had done.
    losses (List[Tuple[int, float]]): Steps done, and the loss on held-out pieces, in nats per masked wordpiece;
        none if there were fewer than 20 pieces.
    """

    folder: Path
    pieces: int
    resumed: int
    losses: List[Tuple[int, float]]


def adapt(
    model: str,
    texts: Sequence[str],
    output: Path,
    recipe: Recipe = DEFAULT,
    *,
    revision: Optional[str] = None,
    on_gpu: bool = False,
    overwrite: bool = False,
    watch: Optional[Watch] = None,
) -> Adapted:
    """Go on training a checkpoint's encoder as a masked language model on unlabelled texts (Gururangan et al., 2020).

    The output is what the model was: a classifier with its head (and with what its config declares), a sentence
    embedding model with its pooling, or a masked language model. Stopped on the way, the same call goes on where it
    was: checkpoints are in a folder beside the output until it is written. Random number generators of Python, numpy
    and torch are seeded.

    model (str): "bundled", a folder, or a Hub name.
    texts (Sequence[str]): The texts.
    output (Path): The folder.
    recipe (Recipe): How to adapt.
    revision (Optional[str]): A commit or tag of a Hub name.
    on_gpu (bool): Whether to run on torch's current GPU.
    overwrite (bool): Replace the output, and drop what an earlier run began.
    watch (Optional[Watch]): Called after every step and every measurement.
    RETURNS (Adapted): The checkpoint and what it came to.
    RAISES (ZeroShotError): Z007 for an impossible recipe, Z081 if an earlier run began with other settings, Z085
        without accelerate, Z092 if the output is there, Z200 without texts, Z210, Z211, and what loading raises.
    """
    check_recipe(recipe)
    require_accelerate()
    check_output(output, overwrite, COMMAND)
    source = Source(model, revision)
    learner = load_learner(source, recipe.seed)
    pieces = cut_pieces(learner.tokenizer, texts, min(recipe.max_length, _longest(learner)), recipe.seed)
    if not pieces.train:
        raise ZeroShotError("Z200", COMMAND, reason="all are blank")
    runs = output.with_name(output.name + ".checkpoints")
    _claim(runs, _settings(source, texts, recipe), overwrite)
    last = last_checkpoint(runs)
    resumed = 0 if last is None else int(last.name.split("-")[1])
    losses = train(learner, pieces, recipe, runs, on_gpu, watch or _unwatched)
    with replaced(output) as fresh:
        save_learner(learner, source, fresh)
    shutil.rmtree(runs)
    return Adapted(output, len(pieces.train), resumed, losses)


def _unwatched(step: int, loss: Optional[float]) -> None:
    return


def _settings(source: Source, texts: Sequence[str], recipe: Recipe) -> Dict[str, Any]:
    """What decides the result, fit for JSON."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf8", "surrogatepass") + b"\0")
    return {
        "version": __version__,
        "model": BUNDLED if source.is_bundled else source.name,
        "revision": source.revision,
        "weights": hash_checkpoint(source.name),
        "texts": digest.hexdigest(),
        **recipe._asdict(),
    }


def _claim(runs: Path, settings: Dict[str, Any], overwrite: bool) -> None:
    """A folder for checkpoints: a new one, or that of a run with the same settings."""
    path = runs / SETTINGS
    if overwrite:
        shutil.rmtree(runs, ignore_errors=True)
    if path.exists():
        before = json.loads(path.read_text(encoding="utf8"))
        changes = [f"{k}: {before.get(k)!r}, now {v!r}" for k, v in settings.items() if before.get(k) != v]
        if changes:
            raise ZeroShotError("Z081", COMMAND, parts=str(runs), changes="; ".join(changes))
        return
    runs.mkdir(parents=True, exist_ok=True)
    with write_complete(path) as file_:
        file_.write(json.dumps(settings).encode())


def _longest(learner: Any) -> int:
    from ..model.pair_layout import max_positions

    return max_positions(learner.masked, learner.tokenizer)
