"""Adapt a checkpoint's encoder to unlabelled texts: python adapt.py MODEL TEXTS --output adapted."""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import typer
from huggingface_hub import snapshot_download
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint

from spacy_zeroshot.readers import read_texts

# Of all steps: how many the learning rate rises for; and for how many a new head learns before the encoder does
WARM_UP, HEAD_FIRST = 0.06, 0.2
# A new head has far to go
HEAD_RATE = 1e-3
# One piece in twenty is set aside to measure the loss on, but no more than this many
MOST_HELD_OUT = 100
# How often the loss is measured and a checkpoint kept
ROUNDS = 5
# What sentence-transformers keeps beside the weights: which states are pooled and how
SENTENCE_FILES = ["modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "[0-9]_*/*"]

Piece = dict[str, list[int]]


class Learner(NamedTuple):
    """A checkpoint and its view as a masked language model; both have the same encoder.

    kept (PreTrainedModel): What is saved: with the head it was found with, or the encoder alone.
    masked (PreTrainedModel): What is trained.
    tokenizer (PreTrainedTokenizerFast): The tokenizer.
    fresh_head (bool): Whether the head that predicts hidden words is new.
    dtype (torch.dtype): What the weights were stored in.
    """

    kept: Any
    masked: Any
    tokenizer: Any
    fresh_head: bool
    dtype: torch.dtype


def load(name: str, seed: int) -> Learner:
    """Load a checkpoint in float32.

    One without a head for hidden words gets one whose output layer is the word embeddings, as in the models that were
    trained so; only the small transformation before it starts from random weights.
    """
    config = AutoConfig.from_pretrained(name)
    tokenizer = AutoTokenizer.from_pretrained(name)
    if tokenizer.mask_token_id is None:
        raise ValueError(f"the tokenizer of {name} has no mask token: take a checkpoint of the BERT kind")
    # a decoder, as BART's, writes the text anew; it does not fill in words
    if type(config) not in AutoModelForMaskedLM._model_mapping or config.is_encoder_decoder:
        raise ValueError(f"{name} ({config.model_type}) guesses no hidden words: take a checkpoint of the BERT kind")
    built_as = (config.architectures or [""])[0]
    kind = AutoModel
    if built_as.endswith("ForMaskedLM"):
        kind = AutoModelForMaskedLM
    elif built_as.endswith("ForSequenceClassification"):
        kind = AutoModelForSequenceClassification
    kept = kind.from_pretrained(name, use_safetensors=True)
    dtype = getattr(config, "torch_dtype", None) or torch.float32
    kept = kept.float()
    if kind is AutoModelForMaskedLM:
        return Learner(kept, kept, tokenizer, False, dtype)
    torch.manual_seed(seed)
    masked = AutoModelForMaskedLM.from_config(kept.config).float()
    setattr(masked, masked.base_model_prefix, kept.base_model)
    masked.tie_weights()
    return Learner(kept, masked, tokenizer, True, dtype)


def cut(tokenizer: Any, texts: Sequence[str], max_length: int) -> list[Piece]:
    """Tokenise texts; a long one becomes several pieces, and a blank one none."""
    encoded = tokenizer(
        [text for text in texts if text.strip()],
        truncation=True,
        max_length=max_length,
        return_overflowing_tokens=True,
        return_special_tokens_mask=True,
    )
    keys = [key for key in encoded if key in (*tokenizer.model_input_names, "special_tokens_mask")]
    return [dict(zip(keys, values)) for values in zip(*(encoded[key] for key in keys))]


def optimizer_of(learner: Learner, steps: int, rate: float) -> tuple[Any, Any]:
    """AdamW, with a schedule for the encoder and one for a new head, which first learns alone: while it knows nothing,
    its gradients would only spoil the encoder."""
    encoder = [p for p in learner.masked.base_model.parameters() if p.requires_grad]
    known = {id(parameter) for parameter in encoder}
    head = [p for p in learner.masked.parameters() if id(p) not in known and p.requires_grad]
    head_rate = max(HEAD_RATE, rate) if learner.fresh_head else rate
    groups = [{"params": encoder, "lr": rate}, {"params": head, "lr": head_rate}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    rise = max(math.ceil(WARM_UP * steps), 1)

    def schedule(wait: int) -> Callable[[int], float]:
        def factor(step: int) -> float:
            if step < wait:
                return 0.0
            return min((step - wait + 1) / rise, (steps - step) / max(steps - wait - rise, 1), 1.0)

        return factor

    waits = (math.ceil(HEAD_FIRST * steps) if learner.fresh_head else 0, 0)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, [schedule(wait) for wait in waits])


def train(learner: Learner, pieces: Sequence[Piece], checkpoints: Path, options: dict[str, Any]) -> list[float]:
    """Train, from the last checkpoint of an earlier run on. RETURNS: The losses on pieces that were set aside."""
    steps, rate = options["steps"], options["learning_rate"]
    order = torch.randperm(len(pieces), generator=torch.Generator().manual_seed(options["seed"])).tolist()
    count = min(len(pieces) // 20, MOST_HELD_OUT)
    held_out, learned = [pieces[i] for i in order[:count]], [pieces[i] for i in order[count:]]
    every = max(steps // ROUNDS, 1)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=options["batch_size"],
        per_device_eval_batch_size=options["batch_size"],
        seed=options["seed"],
        eval_strategy="steps" if held_out else "no",
        eval_steps=every,
        save_steps=every,
        save_total_limit=1,
        logging_strategy="no",
        report_to=[],
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    trainer = Trainer(
        model=learner.masked,
        args=arguments,
        train_dataset=learned,
        eval_dataset=held_out or None,
        data_collator=DataCollatorForLanguageModeling(learner.tokenizer, mlm_probability=options["mask_share"]),
        optimizers=optimizer_of(learner, steps, rate),
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.exists() else None)
    return [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]


def save(learner: Learner, name: str, output: Path) -> None:
    """Write the checkpoint as it was found, with the encoder's new weights."""
    learner.kept.eval().to(device="cpu", dtype=learner.dtype).save_pretrained(output)
    learner.tokenizer.save_pretrained(output)
    source = Path(name) if Path(name).is_dir() else Path(snapshot_download(name, allow_patterns=SENTENCE_FILES))
    for pattern in SENTENCE_FILES:
        for path in source.glob(pattern):
            (output / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, output / path.relative_to(source))


def main(
    model: Annotated[str, typer.Argument(help="A checkpoint's folder or Hub name.")],
    texts: Annotated[Path, typer.Argument(help="Unlabelled texts: any file that annotate reads.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the adapted checkpoint.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps of the optimizer.")] = 500,
    batch_size: Annotated[int, typer.Option(min=1, help="Pieces of text a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Of the encoder, at its highest.")] = 2e-5,
    mask_share: Annotated[float, typer.Option(min=0.01, max=0.9, help="Share of the wordpieces to be guessed.")] = 0.15,
    max_length: Annotated[int, typer.Option(min=8, help="Wordpieces of a piece; longer texts are several.")] = 128,
    text_field: Annotated[str, typer.Option(help="The field of TEXTS with the text.")] = "text",
    seed: Annotated[int, typer.Option(help="Of masks, order and a new head.")] = 0,
) -> None:
    """Train the encoder to guess hidden words of your texts."""
    if output.exists():
        raise typer.BadParameter(f"{output} is there already", param_hint="--output")
    learner = load(model, seed)
    pieces = cut(learner.tokenizer, read_texts(texts, text_field), max_length)
    checkpoints = output.with_name(f"{output.name}.checkpoints")
    options = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "mask_share": mask_share,
        "seed": seed,
    }
    losses = train(learner, pieces, checkpoints, options)
    save(learner, model, output)
    shutil.rmtree(checkpoints, ignore_errors=True)
    print(f"{output}: written after {steps:,} steps on {len(pieces):,} pieces of text")
    if losses:
        print(f"loss on pieces set aside: {losses[0]:.3f}, in the end {losses[-1]:.3f}")


if __name__ == "__main__":
    typer.run(main)
