"""The training itself: transformers' Trainer with its own collator for masked words."""

import math
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from ..errors import ZeroShotError
from ..model.precision import choose_dtype
from .models import COMMAND, Learner
from .pieces import Pieces

# Of all steps: how many the learning rate rises for; and for how many a new head learns before the encoder does
WARM_UP, HEAD_FIRST = 0.06, 0.2
# A new head has far to go
HEAD_RATE = 1e-3
# How often the loss is measured and a checkpoint kept
ROUNDS = 5
# What the collator gives words that can be seen, and torch's loss leaves out
UNASKED = -100

# Takes the steps done, and the loss on held-out pieces where it was measured
Watch = Callable[[int, Optional[float]], None]


class Recipe(NamedTuple):
    """How to adapt.

    steps (int): Steps of the optimizer.
    batch_size (int): Pieces of text a step.
    learning_rate (float): Of the encoder, at its highest.
    mask_share (float): Share of the wordpieces to be predicted.
    max_length (int): Wordpieces of a piece; longer texts are several.
    seed (int): Of masks, order and a new head.
    """

    steps: int = 500
    batch_size: int = 16
    learning_rate: float = 2e-5
    mask_share: float = 0.15
    max_length: int = 128
    seed: int = 0


DEFAULT = Recipe()


def check_recipe(recipe: Recipe) -> None:
    """Check a recipe's numbers. recipe (Recipe): The recipe. RAISES (ZeroShotError): Z007."""
    bounds = [
        ("steps", recipe.steps >= 1, "it must be at least 1"),
        ("batch_size", recipe.batch_size >= 1, "it must be at least 1"),
        ("learning_rate", 0.0 < recipe.learning_rate < 1.0, "it must lie between 0 and 1"),
        ("mask_share", 0.0 < recipe.mask_share < 1.0, "it must lie between 0 and 1"),
        ("max_length", recipe.max_length >= 8, "it must be at least 8"),
    ]
    for setting, fine, reason in bounds:
        if not fine:
            raise ZeroShotError("Z007", COMMAND, setting=setting, value=getattr(recipe, setting), reason=reason)


def require_accelerate() -> None:
    """Check that transformers' Trainer can run. RAISES (ZeroShotError): Z085 without accelerate."""
    try:
        import accelerate  # noqa: F401
    except ImportError as reason:
        raise ZeroShotError("Z085", COMMAND, what=COMMAND, package="accelerate", extra="adapt") from reason


def train(
    learner: Learner, pieces: Pieces, recipe: Recipe, folder: Path, on_gpu: bool, watch: Watch
) -> List[Tuple[int, float]]:
    """Train the encoder to predict masked words. Begins where the last checkpoint in the folder was made.

    learner (Learner): The model, changed in place.
    pieces (Pieces): The texts.
    recipe (Recipe): How to train.
    folder (Path): Where checkpoints go: weights in safetensors; the optimizer's state as Trainer writes it.
    on_gpu (bool): Whether to run on torch's current GPU.
    watch (Watch): Called after every step and every measurement.
    RETURNS (List[Tuple[int, float]]): Steps done and the loss on held-out pieces, in nats per masked wordpiece.
    """
    import torch
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    # untyped where mypy cannot find its base
    trainer_type: Any = Trainer
    hidden = HiddenWords(learner.masked.base_model)

    class HiddenWordsTrainer(trainer_type):
        def compute_loss(self, model: Any, inputs: Any, *arguments: Any, **options: Any) -> Any:
            return super().compute_loss(model, hidden.only(inputs), *arguments, **options)

    class Watcher(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            watch(state.global_step, None)

        def on_evaluate(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            watch(state.global_step, given["metrics"]["eval_loss"])

    every = max(recipe.steps // ROUNDS, 1)
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        seed=recipe.seed,
        eval_strategy="steps" if pieces.held_out else "no",
        eval_steps=every,
        save_steps=every,
        save_total_limit=1,
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=not on_gpu,
        bf16=choose_dtype("auto", torch.device("cuda" if on_gpu else "cpu")) == torch.bfloat16,
        dataloader_pin_memory=on_gpu,
    )
    trainer: Any = HiddenWordsTrainer(
        model=learner.masked,
        args=arguments,
        train_dataset=pieces.train,
        eval_dataset=pieces.held_out or None,
        data_collator=DataCollatorForLanguageModeling(learner.tokenizer, mlm_probability=recipe.mask_share),
        callbacks=[Watcher()],
        optimizers=_optimizer(learner, recipe),
    )
    for shown in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(shown)
    last = last_checkpoint(folder)
    try:
        with warnings.catch_warnings():
            # of its own use of torch's autocast on CPUs, and of disks whose times it does not trust
            for category in (FutureWarning, UserWarning):
                warnings.filterwarnings("ignore", category=category, module=r"transformers\.trainer")
            trainer.train(resume_from_checkpoint=None if last is None else str(last))
    finally:
        hidden.remove()
    learner.kept.eval()
    return [(entry["step"], entry["eval_loss"]) for entry in trainer.state.log_history if "eval_loss" in entry]


class HiddenWords:
    """Lets the head see the hidden words only: the others cost as much and count for nothing.

    encoder (PreTrainedModel): The encoder. Its output is narrowed by a hook, so the head may be of any family.
    """

    def __init__(self, encoder: Any):
        self._where: Any = None
        self._hook = encoder.register_forward_hook(self._narrow)

    def only(self, inputs: Dict[str, Any]) -> Dict[str, Any]:
        """Announce a batch.

        inputs (Dict[str, torch.Tensor]): The model's inputs; labels of shape (pieces, wordpieces), -100 for words
            that can be seen.
        RETURNS (Dict[str, torch.Tensor]): The same with labels of shape (1, hidden words).
        """
        self._where = inputs["labels"] != UNASKED
        return {**inputs, "labels": inputs["labels"][self._where][None]}

    def remove(self) -> None:
        """Give the encoder its whole output back."""
        self._hook.remove()

    def _narrow(self, encoder: Any, arguments: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state[self._where][None]
        return output


def last_checkpoint(folder: Path) -> Optional[Path]:
    """The newest complete checkpoint.

    folder (Path): Where Trainer writes them; need not be there.
    RETURNS (Optional[Path]): It, or None. Trainer writes its state last, so one that has it is complete.
    """
    found = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return max(found, key=lambda path: int(path.name.split("-")[1]), default=None)


def _optimizer(learner: Learner, recipe: Recipe) -> Tuple[Any, Any]:
    """AdamW without weight decay, with a schedule for the encoder and one for a new head.

    While a new head knows nothing, its gradients would only spoil the encoder, so it first learns alone.
    """
    import torch

    shared = {id(parameter) for parameter in learner.masked.base_model.parameters()}
    encoder = [p for p in learner.masked.base_model.parameters() if p.requires_grad]
    head = [p for p in learner.masked.parameters() if id(p) not in shared and p.requires_grad]
    head_rate = max(HEAD_RATE, recipe.learning_rate) if learner.fresh_head else recipe.learning_rate
    optimizer = torch.optim.AdamW(
        [{"params": encoder, "lr": recipe.learning_rate}, {"params": head, "lr": head_rate}], weight_decay=0.0
    )
    wait = math.ceil(HEAD_FIRST * recipe.steps) if learner.fresh_head else 0
    rise = max(math.ceil(WARM_UP * recipe.steps), 1)

    def schedule(waited: int) -> Callable[[int], float]:
        def factor(step: int) -> float:
            if step < waited:
                return 0.0
            return min((step - waited + 1) / rise, (recipe.steps - step) / max(recipe.steps - waited - rise, 1), 1.0)

        return factor

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, [schedule(wait), schedule(0)])
