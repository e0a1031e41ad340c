"""python -m spacy zeroshot adapt: let a checkpoint's encoder read one's own texts before fine-tuning."""

from pathlib import Path
from typing import Annotated, Callable, Optional

import typer

from ..errors import ZeroShotError
from .bars import make_console
from .guard import note
from .options import GpuId

COMMAND = "adapt"


def adapt(
    model: Annotated[str, typer.Argument(metavar="MODEL", help='"bundled", a checkpoint\'s folder, or a Hub name')],
    texts: Annotated[Path, typer.Argument(metavar="TEXTS", help="Unlabelled texts: any file that annotate reads")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the adapted checkpoint")],
    steps: Annotated[int, typer.Option("--steps", help="Steps of the optimizer")] = 500,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Pieces of text a step")] = 16,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Of the encoder, at its highest")] = 2e-5,
    mask_share: Annotated[float, typer.Option("--mask-share", help="Share of the wordpieces to be guessed")] = 0.15,
    max_length: Annotated[
        int, typer.Option("--max-length", help="Wordpieces of a piece; longer texts are several")
    ] = 128,
    seed: Annotated[int, typer.Option("--seed", help="Of masks and order")] = 0,
    revision: Annotated[Optional[str], typer.Option("--revision", help="A commit or tag of a Hub name")] = None,
    text_field: Annotated[str, typer.Option("--text-field", help="The field of TEXTS with the text")] = "text",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder, and start over")] = False,
    gpu_id: GpuId = -1,
) -> None:
    """Train the encoder to guess hidden words of your texts; no labels are needed.

    OUTPUT is the same kind of checkpoint as MODEL: name it in [components.zero_shot_textcat.model]. Killed on the
    way, the same command goes on where it was.

    Example: python -m spacy zeroshot adapt bundled issues.jsonl --output adapted --steps 500
    """
    from ..adaptation.adapt import adapt as adapt_model
    from ..adaptation.training import Recipe, check_recipe, require_accelerate
    from ..tuning.settings import check_output
    from ..tuning.texts import read_unlabelled

    recipe = Recipe(steps, batch_size, learning_rate, mask_share, max_length, seed)
    # what can fail at once fails before the texts are read
    check_recipe(recipe)
    require_accelerate()
    check_output(output, overwrite, COMMAND)
    if gpu_id >= 0:
        _use_gpu(gpu_id)
    read = read_unlabelled(texts, COMMAND, text_field)
    done = adapt_model(
        model,
        read,
        output,
        recipe,
        revision=revision,
        on_gpu=gpu_id >= 0,
        overwrite=overwrite,
        watch=_watch(steps),
    )
    resumed = f", {done.resumed:,} of them before" if done.resumed else ""
    note(f"{output}: written after {steps:,} steps on {done.pieces:,} pieces of text{resumed}")
    if done.losses:
        (first, before), (last, after) = done.losses[0], done.losses[-1]
        note(f"loss on texts set aside: {before:.3f} after {first:,} steps, {after:.3f} after {last:,}")


def _watch(steps: int) -> Callable[[int, Optional[float]], None]:
    """Show every measurement, and on a terminal every step."""
    console = make_console(stderr=True)

    def show(step: int, loss: Optional[float]) -> None:
        if loss is not None:
            console.print(f"step {step:,} of {steps:,}: loss {loss:.3f}", soft_wrap=True)
        elif console.is_terminal:
            console.print(f"step {step:,} of {steps:,}", end="\r", soft_wrap=True)

    return show


def _use_gpu(gpu_id: int) -> None:
    import torch

    count = torch.cuda.device_count()
    if gpu_id >= count:
        raise ZeroShotError("Z063", COMMAND, gpu_id=gpu_id, reason=f"torch sees {count} GPUs")
    torch.cuda.set_device(gpu_id)
