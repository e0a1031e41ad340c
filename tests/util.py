"""What tests share: tiny checkpoints of every family with random weights, pipelines around them, and commands."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LABELS = ["sport", "politics", "music"]
TEXTS = [
    "The minister resigned after losing the vote of confidence.",
    "A man plays football in the park.",
    "",
    "Astronomers gathered at the observatory to watch the planets align.",
    "Music!",
]
SENTENCES = [
    "This text is about sport, politics, music or science.",
    "The minister resigned after losing the vote of confidence in parliament.",
    "A man plays football in the park; the goalkeeper saved a late penalty.",
    "Astronomers gathered at the observatory to watch the planets align.",
    "이 문장은 스포츠에 관한 것입니다. 오늘 경기는 정말 재미있었다!",
    "Der Minister trat zurück: 42 Stimmen, 17 Enthaltungen.",
]
# The order of classes of most checkpoints on the Hub
CLASSES = ("contradiction", "neutral", "entailment")
FAMILIES = ("bert", "roberta", "distilbert", "electra", "deberta-v2", "xlm-roberta", "bart", "modernbert")
POSITIONS = 128

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "initializer_range": 0.4,
}
# Families that name the same sizes otherwise
OWN_SIZES: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "initializer_range": 0.4},
    "bart": {
        "d_model": 32,
        "init_std": 0.4,
        **{f"{part}_layers": 1 for part in ("encoder", "decoder")},
        **{f"{part}_attention_heads": 2 for part in ("encoder", "decoder")},
        **{f"{part}_ffn_dim": 64 for part in ("encoder", "decoder")},
    },
}
EXTRAS: dict[str, dict[str, Any]] = {
    "electra": {"embedding_size": 16},
    # as the checkpoints of DeBERTa-v3
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 16,
        "pos_att_type": ["p2c", "c2p"],
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "roberta": {"type_vocab_size": 1},
    "xlm-roberta": {"type_vocab_size": 1},
    "modernbert": {
        "reference_compile": False,
        "local_attention": 16,
        "global_attn_every_n_layers": 2,
        "initializer_cutoff_factor": 3.0,
    },
}
WORDPIECE = ("bert", "distilbert", "electra")
UNIGRAM = ("xlm-roberta", "deberta-v2", "zero_shot_decomposed")
TOKENIZER_CLASSES = {
    "bert": "BertTokenizer",
    "roberta": "RobertaTokenizer",
    "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "bart": "BartTokenizer",
}
BERT_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
ROBERTA_TOKENS = {
    "bos": "<s>",
    "pad": "<pad>",
    "eos": "</s>",
    "unk": "<unk>",
    "mask": "<mask>",
    "cls": "<s>",
    "sep": "</s>",
}


def make_checkpoint(
    folder: Path,
    family: str = "bert",
    classes: Sequence[str] = CLASSES,
    tokenizer: str | None = None,
    seed: int = 0,
    built_as: str = "AutoModelForSequenceClassification",
    **config: Any,
) -> Path:
    """Write a checkpoint folder with random weights.

    folder (Path): The folder.
    family (str): One of FAMILIES.
    classes (Sequence[str]): The head's classes in order.
    tokenizer (str | None): The family whose tokenizer it gets, None for its own.
    seed (int): Of the weights.
    built_as (str): The class of transformers that makes the model.
    config (Any): Further keys of config.json.
    RETURNS (Path): The folder.
    """
    import torch
    import transformers

    special = write_tokenizer(folder, tokenizer or family)
    settings = {
        "vocab_size": 400,
        "max_position_embeddings": POSITIONS + (2 if family in ("roberta", "xlm-roberta") else 0),
        "id2label": dict(enumerate(classes)),
        "label2id": {label: i for i, label in enumerate(classes)},
        **OWN_SIZES.get(family, SIZES),
        **{f"{name}_token_id": i for name, i in special.items()},
        **EXTRAS.get(family, {}),
        **config,
    }
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        module = getattr(transformers, built_as).from_config(transformers.AutoConfig.for_model(family, **settings))
        # heads and biases that start at zero would hide what a test looks for
        for parameter in module.parameters():
            if parameter.dim() == 1:
                parameter.data += 0.1 * torch.randn_like(parameter)
    module.save_pretrained(folder)
    return folder


def make_decomposed(folder: Path, seed: int = 0, **config: Any) -> Path:
    """Write a checkpoint folder of the bundled model's layout with random weights.

    folder (Path): The folder.
    seed (int): Of the weights.
    config (Any): Further keys of config.json, e.g. "interaction_layers" and "interaction_from".
    RETURNS (Path): The folder.
    """
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel
    from transformers.models.bert.modeling_bert import BertLayer

    special = write_tokenizer(folder, "zero_shot_decomposed")
    dtype = config.pop("torch_dtype", "float16")
    # moderate weights: a cosine should differ from text to text, and float16 should hold them
    encoder = {
        "vocab_size": 400,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": special["pad"],
        **SIZES,
        "num_hidden_layers": 3,
    }
    settings = {
        "model_type": "zero_shot_decomposed",
        "architectures": ["DecomposedEncoder"],
        "encoder": encoder,
        "interaction_layers": 2,
        "interaction_from": 1,
        "hypothesis_states": "label",
        "respell_labels": False,
        "similarity": [8.0, -2.0, 6.0],
        "competition_temperature": 0.8,
        "competition_head_weight": 0.1,
        "id2label": {"0": "not_entailment", "1": "entailment"},
        "license": "mit",
        "torch_dtype": dtype,
        **config,
    }
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        bert = BertConfig(**settings["encoder"])
        parts: dict[str, torch.nn.Module] = {
            "encoder": BertModel(bert, add_pooling_layer=False),
            "pooler": torch.nn.Linear(bert.hidden_size, bert.hidden_size),
            "classifier": torch.nn.Linear(bert.hidden_size, 2),
        }
        for number in range(settings["interaction_layers"]):
            layer = parts[f"interaction.{number}"] = BertLayer(bert)
            layer.apply(parts["encoder"]._init_weights)
        weights = {}
        for prefix, part in parts.items():
            for name, tensor in part.named_parameters():
                noise = 0.1 * torch.randn_like(tensor) if tensor.dim() == 1 else 0.0
                weights[f"{prefix}.{name}"] = (tensor.detach() + noise).to(getattr(torch, dtype)).contiguous()
        words = "encoder.embeddings.word_embeddings"
        size, width = weights.pop(f"{words}.weight").shape
        weights[f"{words}.codes"] = torch.randint(256, (size, width // 2), dtype=torch.uint8)
        weights[f"{words}.scales"] = (0.05 + 0.05 * torch.rand(size, width // 32)).half()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf8")
    return folder


def write_tokenizer(folder: Path, family: str) -> dict[str, int]:
    """Make a tokenizer of a family and write its files. RETURNS: ids of special tokens, as config.json wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    rust, names = _make_tokenizer(family)
    rust.save(str(folder / "tokenizer.json"))
    settings: dict[str, Any] = {
        "tokenizer_class": TOKENIZER_CLASSES.get(family, "PreTrainedTokenizerFast"),
        "model_max_length": POSITIONS,
        **{f"{name}_token": token for name, token in names.items()},
    }
    if family in WORDPIECE:
        settings["do_lower_case"] = True
    if family in ("modernbert", "zero_shot_decomposed"):
        settings["model_input_names"] = ["input_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf8")
    wanted = ("pad", "bos", "eos", "cls", "sep") if family == "modernbert" else ("pad", "bos", "eos")
    return {name: rust.token_to_id(token) for name, token in names.items() if name in wanted}


def edit_json(path: Path, **values: Any) -> None:
    """Change keys of a JSON file; None removes one."""
    content = {**json.loads(path.read_text(encoding="utf8")), **values}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}), encoding="utf8")


def words(n: int) -> list[str]:
    """RETURNS (list[str]): n words that the tokenizers know."""
    known = " ".join(SENTENCES[:4]).split()
    return [known[i % len(known)] for i in range(n)]


def settings_for(folder: Path | str | None = None, **settings: Any) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): A component's config for a checkpoint (None: the bundled one), in float32."""
    model = {"precision": "float32", **({} if folder is None else {"name": str(folder)}), **settings.pop("model", {})}
    return {"labels": LABELS, **settings, "model": model}


def make_nlp(
    folder: Path | str | None = None, name: str = "zero_shot_textcat", labels: Sequence[str] = LABELS, **settings: Any
) -> Any:
    """A blank English pipeline with the component, in float32 unless settings["model"] says otherwise.

    folder (Path | str | None): A checkpoint; None for the bundled one.
    name (str): The component's name.
    labels (Sequence[str]): The labels.
    settings (Any): Further settings of the component; "model" is merged into its model block.
    RETURNS (Language): The pipeline.
    """
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("zero_shot_textcat", name=name, config=settings_for(folder, labels=list(labels), **settings))
    return nlp


def table(docs: Sequence[Any]) -> Any:
    """RETURNS (np.ndarray): Shape (docs, labels): the scores in doc.cats, keys sorted."""
    import numpy as np

    return np.array([[doc.cats[key] for key in sorted(doc.cats)] for doc in docs])


def collect_failures(nlp: Any) -> list[tuple[str, list[str], Exception]]:
    """Set an error handler that keeps what it gets: (name, texts, error) of each call."""
    seen: list[tuple[str, list[str], Exception]] = []
    nlp.set_error_handler(lambda name, proc, docs, error: seen.append((name, [doc.text for doc in docs], error)))
    return seen


def run_cli(*arguments: Any, stdin: str | None = None) -> Any:
    """Run `python -m spacy zeroshot ARGUMENTS...` in this process.

    arguments (Any): The arguments, made strings.
    stdin (str | None): What the command reads.
    RETURNS (click.testing.Result): exit_code, stdout, stderr. Anything else than a regular exit is raised.
    """
    from spacy.cli._util import app
    from typer.testing import CliRunner

    import spacy_zeroshot.cli  # noqa: F401

    result = CliRunner().invoke(app, ["zeroshot", *map(str, arguments)], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def data_folder() -> Path | None:
    """The labelled files that some tests are run on, or None where they are not at hand."""
    folder = Path(os.environ.get("ZEROSHOT_DATA") or Path(__file__).parent.parent.parent / "shared" / "data")
    return folder if folder.is_dir() else None


def _make_tokenizer(family: str) -> tuple[Any, dict[str, str]]:
    """RETURNS (tuple[Tokenizer, dict[str, str]]): The tokenizer and its special tokens by name."""
    if family in WORDPIECE:
        return _wordpiece(), BERT_TOKENS
    if family in UNIGRAM:
        return _unigram(family)
    return _byte_level(family)


def _words_and_characters(normal: Any) -> tuple[list[str], list[str]]:
    """What a vocabulary is made of. Trainers of tokenizers break ties by chance, so it is counted here."""
    found = [word.strip(".,;:!") for sentence in SENTENCES for word in normal.normalize_str(sentence).split()]
    return sorted(set(found[::2])), sorted(set("".join(found) + ".,;:!"))


def _wordpiece() -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    normal = normalizers.BertNormalizer(lowercase=True)
    known, characters = _words_and_characters(normal)
    pieces = dict.fromkeys([*BERT_TOKENS.values(), *characters, *(f"##{c}" for c in characters), *known])
    rust = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    rust.add_special_tokens(list(BERT_TOKENS.values()))
    rust.normalizer = normal
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.decoder = decoders.WordPiece()
    rust.post_processor = _template(rust, "[CLS]", "[SEP]", second_type=1)
    return rust


def _unigram(family: str) -> tuple[Any, dict[str, str]]:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    names = BERT_TOKENS if family == "deberta-v2" else ROBERTA_TOKENS
    normal = normalizers.NFKC()
    known, characters = _words_and_characters(normal)
    special = list(dict.fromkeys(names.values()))
    pieces = dict.fromkeys([*special, "▁", *characters, *(f"▁{word}" for word in known)])
    scores = [(piece, 0.0 if piece in special else -5.0 - 5.0 * (len(piece) == 1)) for piece in pieces]
    rust = Tokenizer(models.Unigram(scores, special.index(names["unk"])))
    rust.add_special_tokens(special)
    rust.normalizer = normal
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    rust.decoder = decoders.Metaspace()
    if family == "xlm-roberta":
        ends = [(token, rust.token_to_id(token)) for token in ("<s>", "</s>")]
        rust.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", ends)
    else:
        rust.post_processor = _template(rust, names["cls"], names["sep"], second_type=1)
    return rust, names


def _byte_level(family: str) -> tuple[Any, dict[str, str]]:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    names = BERT_TOKENS if family == "modernbert" else ROBERTA_TOKENS
    rust = Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=[AddedToken(token, special=True) for token in dict.fromkeys(names.values())],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rust.train_from_iterator(SENTENCES, trainer)
    if family == "modernbert":
        rust.post_processor = _template(rust, "[CLS]", "[SEP]", second_type=0)
    else:
        # by position: tokenizers renamed the keywords
        ends = [(token, rust.token_to_id(token)) for token in ("</s>", "<s>")]
        rust.post_processor = processors.RobertaProcessing(*ends, True, False)
    return rust, names


def _template(rust: Any, cls: str, sep: str, second_type: int) -> Any:
    from tokenizers import processors

    return processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:{second_type} {sep}:{second_type}",
        special_tokens=[(token, rust.token_to_id(token)) for token in (cls, sep)],
    )
