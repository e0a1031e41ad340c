"""Tiny NLI checkpoints of every supported family: random weights, tokenizers trained on a few sentences."""

import json
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

SENTENCES = [
    "This text is about sport, politics, music or science.",
    "The minister resigned after losing the vote of confidence in parliament.",
    "A man plays football in the park; the goalkeeper saved a late penalty.",
    "Astronomers gathered at the observatory to watch the planets align.",
    "이 문장은 스포츠에 관한 것입니다. 오늘 경기는 정말 재미있었다!",
    "Der Minister trat zurück: 42 Stimmen, 17 Enthaltungen.",
]
# The model's own classes of most checkpoints on the Hub
CLASSES = ("contradiction", "neutral", "entailment")
FAMILIES = ("bert", "roberta", "distilbert", "electra", "deberta-v2", "xlm-roberta", "bart", "modernbert")
SIZE: Dict[str, Any] = {"vocab_size": 400, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
# Families that name the same sizes otherwise
SIZES: Dict[str, Dict[str, Any]] = {
    "distilbert": {
        "vocab_size": 400,
        "dim": 32,
        "n_layers": 2,
        "n_heads": 2,
        "hidden_dim": 64,
        "initializer_range": 0.4,
    },
    "bart": {
        "vocab_size": 400,
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "init_std": 0.4,
    },
}
EXTRAS: Dict[str, Dict[str, Any]] = {
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
UNIGRAM = ("xlm-roberta", "deberta-v2")
TOKENIZER_CLASSES = {
    "bert": "BertTokenizer",
    "roberta": "RobertaTokenizer",
    "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "bart": "BartTokenizer",
    "modernbert": "PreTrainedTokenizerFast",
}
POSITIONS = 128


def write_checkpoint(
    folder: Path,
    family: str,
    classes: Sequence[str],
    tokenizer: str,
    config: Dict[str, Any],
    seed: int,
    built_as: str = "AutoModelForSequenceClassification",
) -> Path:
    """Write a checkpoint folder with random weights.

    folder (Path): The folder.
    family (str): One of FAMILIES.
    classes (Sequence[str]): The head's classes in order.
    tokenizer (str): The family whose tokenizer it gets.
    config (Dict[str, Any]): Further keys of config.json.
    seed (int): Of the weights.
    built_as (str): The class of transformers that makes the model.
    RETURNS (Path): The folder.
    """
    import torch
    import transformers

    special = write_tokenizer(folder, tokenizer)
    offset = 2 if family in ("roberta", "xlm-roberta") else 0
    sizes = SIZES.get(family) or {**SIZE, "intermediate_size": 64, "initializer_range": 0.4}
    settings = {
        "max_position_embeddings": POSITIONS + offset,
        "id2label": dict(enumerate(classes)),
        "label2id": {label: i for i, label in enumerate(classes)},
        **sizes,
        **{f"{name}_token_id": i for name, i in special.items()},
        **EXTRAS.get(family, {}),
        **config,
    }
    random_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    module = getattr(transformers, built_as).from_config(transformers.AutoConfig.for_model(family, **settings))
    # heads and biases that start at zero would hide what a test looks for
    for parameter in module.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    torch.random.set_rng_state(random_state)
    module.save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path, family: str) -> Dict[str, int]:
    """Train a tokenizer of a family and write its files.

    folder (Path): The folder.
    family (str): One of FAMILIES.
    RETURNS (Dict[str, int]): Ids of the special tokens by name, as config.json wants them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rust, names = _train(family)
    rust.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": TOKENIZER_CLASSES[family],
        "model_max_length": POSITIONS,
        **{f"{name}_token": token for name, token in names.items()},
    }
    if family in WORDPIECE:
        settings["do_lower_case"] = True
    if family == "modernbert":
        settings["model_input_names"] = ["input_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf8")
    wanted = ("pad", "bos", "eos", "cls", "sep") if family == "modernbert" else ("pad", "bos", "eos")
    return {name: rust.token_to_id(token) for name, token in names.items() if name in wanted}


def edit_json(path: Path, **values: Any) -> None:
    """Change keys of a JSON file; None removes one.

    path (Path): The file.
    """
    content = json.loads(path.read_text(encoding="utf8"))
    content.update(values)
    content = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(content), encoding="utf8")


def _train(family: str) -> Tuple[Any, Dict[str, str]]:
    """RETURNS (Tuple[Tokenizer, Dict[str, str]]): The tokenizer and its special tokens by name."""
    if family in WORDPIECE:
        return _wordpiece()
    if family in UNIGRAM:
        return _unigram(family)
    return _byte_level(family)


def _words_and_characters(normal: Any) -> Tuple[List[str], List[str]]:
    """What a vocabulary is made of. Trainers of tokenizers break ties by chance, so it is counted here."""
    words = [word.strip(".,;:!") for sentence in SENTENCES for word in normal.normalize_str(sentence).split()]
    return sorted(set(words[::2])), sorted(set("".join(words) + ".,;:!"))


def _wordpiece() -> Tuple[Any, Dict[str, str]]:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    normal = normalizers.BertNormalizer(lowercase=True)
    words, characters = _words_and_characters(normal)
    pieces = dict.fromkeys([*names.values(), *characters, *(f"##{c}" for c in characters), *words])
    rust = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    rust.add_special_tokens(list(names.values()))
    rust.normalizer = normal
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.decoder = decoders.WordPiece()
    rust.post_processor = _template(rust, "[CLS]", "[SEP]", second_type=1)
    return rust, names


def _unigram(family: str) -> Tuple[Any, Dict[str, str]]:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    roberta = family == "xlm-roberta"
    names = (
        {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>", "cls": "<s>", "sep": "</s>"}
        if roberta
        else {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", "mask": "[MASK]"}
    )
    normal = normalizers.NFKC()
    words, characters = _words_and_characters(normal)
    special = list(dict.fromkeys(names.values()))
    pieces = dict.fromkeys([*special, "▁", *characters, *(f"▁{word}" for word in words)])
    scores = [(piece, 0.0 if piece in special else -5.0 - 5.0 * (len(piece) == 1)) for piece in pieces]
    rust = Tokenizer(models.Unigram(scores, special.index(names["unk"])))
    rust.add_special_tokens(special)
    rust.normalizer = normal
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    rust.decoder = decoders.Metaspace()
    rust.post_processor = _roberta_pairs(rust) if roberta else _template(rust, "[CLS]", "[SEP]", second_type=1)
    return rust, names


def _byte_level(family: str) -> Tuple[Any, Dict[str, str]]:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    modern = family == "modernbert"
    names = (
        {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]", "mask": "[MASK]"}
        if modern
        else {
            "bos": "<s>",
            "pad": "<pad>",
            "eos": "</s>",
            "unk": "<unk>",
            "mask": "<mask>",
            "cls": "<s>",
            "sep": "</s>",
        }
    )
    rust = Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.decoder = decoders.ByteLevel()
    special = list(dict.fromkeys(names.values()))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=[AddedToken(t, special=True) for t in special],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    rust.train_from_iterator(SENTENCES, trainer)
    if modern:
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


def _roberta_pairs(rust: Any) -> Any:
    from tokenizers import processors

    return processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, rust.token_to_id(token)) for token in ("<s>", "</s>")],
    )


def words(n: int) -> List[str]:
    """RETURNS (List[str]): n words that the tokenizers know."""
    known = " ".join(SENTENCES[:4]).split()
    return [known[i % len(known)] for i in range(n)]
