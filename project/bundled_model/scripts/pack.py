"""Tokenize the data once and pack it: distinct texts and hypotheses as token ids, label sets and pairs as numbers.

NLI files hold {"premise", "hypothesis", "label", "source"?}, labelled ones {"text", "labels": [...]}, all gzip
JSON lines. A set named `..._xx_native` has labels in the language xx and is worded by the templates of that
language too.
"""

import argparse
import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

TEXT_PIECES, HYPOTHESIS_PIECES = 126, 46  # without <s> and </s>
NLI = "train", "ko_klue_train"
DEFAULT = "This text is about {}."
KINDS = {
    "intent": (("clinc150", "hwu64", "atis", "hint3", "nlu", "chatbot", "3i4k", "sgd", "rasa"), "The intent is {}."),
    "feeling": (
        ("goemotions", "tweeteval", "reviews", "hate", "sentiment", "emotion", "irony", "sarcas"),
        "It expresses {}.",
    ),
}
PLEASANT = "admiration amusement approval caring desire excitement gratitude joy love optimism pride relief"
UNPLEASANT = "anger annoyance disappointment disapproval disgust embarrassment fear grief nervousness remorse sadness"
# labels of these sets that stand for coarser ones: the texts are packed a second time, as a set of its own
GROUPS: dict[str, list[dict[str, str]]] = {
    "goemotions": [
        {
            "good": PLEASANT,
            "bad": UNPLEASANT,
        },
        {
            "positive": PLEASANT,
            "negative": UNPLEASANT,
            "neutral": "neutral",
        },
        {
            "praise": "admiration approval gratitude love relief",
            "criticism": "annoyance disappointment disapproval disgust",
        },
    ],
    "tweeteval_emotion": [{"good": "joy optimism", "bad": "anger sadness"}],
    "customer_reviews": [
        {"praise": "positive", "criticism": "negative"},
        {"a happy customer": "positive", "an unhappy customer": "negative"},
    ],
}
SYNTHETIC = ("dnc", "breaking_nli", "med", "monli", "help", "conjnli")  # sources of pairs written by templates
PROBE = 0.03  # share of the NLI premises kept from training, to choose by


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a gzip JSON-lines file."""
    with gzip.open(path, "rt", encoding="utf8") as lines:
        return [json.loads(line) for line in lines]


class Pool:
    """Distinct strings and templates with labels in them, numbered in the order they come, tokenized at the end."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.numbers: dict[tuple[str, str], int] = {}

    def __call__(self, text: str, template: str = "{}") -> int:
        return self.numbers.setdefault((template, text), len(self.numbers))

    def arrays(self, tokenizer: Tokenizer) -> dict[str, np.ndarray]:
        """Ids of all strings one after the other, their lengths, and the first and past-the-last piece of the label."""
        ids, lengths, spans = [], [], []
        # half of a surrogate pair stops it
        strings = [(template, text.encode("utf8", "replace").decode()) for template, text in self.numbers]
        for start in range(0, len(strings), 4096):
            part = strings[start : start + 4096]
            texts = [template.replace("{}", text) for template, text in part]
            for (template, text), encoding in zip(
                part, tokenizer.encode_batch(texts, add_special_tokens=False), strict=True
            ):
                row = [0, *encoding.ids[: self.limit], 2]
                ids.append(np.asarray(row, "u4"))
                lengths.append(len(row))
                begin = template.index("{}")
                end = begin + len(text)
                own = [i for i, (a, b) in enumerate(encoding.offsets[: self.limit]) if a < end and b > begin]
                whole = template == "{}" or not own
                spans.append((1, len(row) - 1) if whole else (1 + own[0], 2 + own[-1]))
        return {
            "ids": np.concatenate(ids),
            "lengths": np.asarray(lengths, "u1"),
            "spans": np.asarray(spans, "u1"),
        }


def templates_of(name: str, by_language: dict[str, list[str]]) -> list[str]:
    """How the labels of a set are worded; the package's default and the bare label come first."""
    templates = [DEFAULT, "{}"]
    if name.endswith("_native"):
        language = next(
            (part for part in name.split("_")[::-1] if part in by_language), "hi"
        )  # `hindi_...` says it in full
        return [*templates, *(template for template in by_language[language] if template not in templates)]
    templates += [t for parts, t in KINDS.values() if any(part in name for part in parts)] or ["The topic is {}."]
    return [*templates, "This example is {}."]


def wordings(
    labels: Sequence[str], templates: Sequence[str], others: dict[str, list[str]]
) -> list[list[tuple[str, str]]]:
    """Every template with the labels as they are, then with other words for them where there are any: (words,
    template) of each label."""
    names = [list(labels)]
    for turn in range(max((len(others.get(label, ())) for label in labels), default=0)):
        names.append([options[turn % len(options)] if (options := others.get(x)) else x for x in labels])
    return [[(name, template) for name in row] for row in names for template in templates]


def pack_set(
    rows: Sequence[dict[str, Any]],
    words: list[list[tuple[str, str]]],
    labels: Sequence[str],
    texts: Pool,
    hypotheses: Pool,
) -> dict[str, np.ndarray]:
    """The arrays of one label set: numbers of its texts, right labels as bits, numbers of its hypotheses."""
    column = {label: i for i, label in enumerate(labels)}
    right = np.zeros((len(rows), len(labels)), bool)
    for i, row in enumerate(rows):
        right[i, [column[label] for label in row["labels"]]] = True
    return {
        "text": np.asarray([texts(row["text"]) for row in rows], "i4"),
        "right": np.packbits(right, axis=1),
        "wording": np.asarray([[hypotheses(*one) for one in row] for row in words], "i4"),
    }


def variants(name: str, rows: list[dict[str, Any]]) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    """A set as it is, and once for each grouping of its labels."""
    yield name, rows
    for number, group in enumerate(GROUPS.get(name, [])):
        member = {one: key for key, members in group.items() for one in members.split()}
        grouped = [{"text": r["text"], "labels": sorted({member[x] for x in r["labels"] if x in member})} for r in rows]
        yield f"{name}#{number}", [row for row in grouped if len(row["labels"]) == 1]


def pack(
    tokenizer: Tokenizer,
    nli: Sequence[Path],
    train: Sequence[Path],
    by_language: dict[str, list[str]],
    others: dict[str, list[str]],
) -> dict[str, Any]:
    """RETURNS (dict[str, ndarray]): what the other steps read, by name."""
    texts, hypotheses = Pool(TEXT_PIECES), Pool(HYPOTHESIS_PIECES)
    out: dict[str, Any] = {}
    meta: dict[str, list[Any]] = {"sets": [], "nli_files": []}
    pairs: list[tuple[int, int, bool]] = []
    probes = []
    for path in nli:
        if path != nli[0]:
            meta["nli_files"].append(len(texts.numbers))
        rows = [r for r in read_rows(path) if r.get("label") and not str(r.get("source", "")).startswith(SYNTHETIC)]
        found = [(texts(r["premise"]), hypotheses(r["hypothesis"]), r["label"] == "entailment") for r in rows]
        premises = sorted({premise for premise, _, _ in found})
        kept = set(np.random.default_rng(0).permutation(premises)[: int(PROBE * len(premises))].tolist())
        pairs += [pair for pair in found if pair[0] not in kept]
        name = path.name.split(".")[0]
        out[f"probe.{name}"] = np.asarray([pair for pair in found if pair[0] in kept], "i4").reshape(-1, 3)
        probes.append(name)
    out["nli"] = np.asarray(sorted(pairs), "i4").reshape(-1, 3)
    for path in train:
        name = path.name.split(".")[0]
        rows = [row for row in read_rows(path) if row["labels"]]
        for key, found_rows in variants(name, rows):
            labels = list(dict.fromkeys(label for row in found_rows for label in row["labels"]))
            templates = templates_of(name, by_language)
            meta["sets"].append({"name": key, "labels": labels, "templates": templates})
            arrays = pack_set(found_rows, wordings(labels, templates, others), labels, texts, hypotheses)
            out.update({f"set.{key}.{part}": array for part, array in arrays.items()})
    meta["probes"] = probes
    for key, pool in (("texts", texts), ("hyps", hypotheses)):
        out.update({f"{key}.{part}": array for part, array in pool.arrays(tokenizer).items()})
    out["meta"] = np.frombuffer(json.dumps(meta, ensure_ascii=False).encode(), "u1")
    return out


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path, help="folder of the base encoder")
    parser.add_argument("output", type=Path, help=".npz to write")
    parser.add_argument("--data", type=Path, required=True, help="folder with nli/ and clf/train/")
    parser.add_argument("--templates", type=Path, required=True, help="templates by language")
    parser.add_argument("--wordings", type=Path, required=True, help="other words for labels")
    args = parser.parse_args(argv)
    tokenizer = Tokenizer.from_file(str(args.base / "tokenizer.json"))
    by_language, others = (json.loads(path.read_text(encoding="utf8")) for path in (args.templates, args.wordings))
    nli = [args.data / "nli" / f"{name}.jsonl.gz" for name in NLI]
    train = sorted((args.data / "clf" / "train").glob("*.jsonl.gz"))
    packed = pack(tokenizer, nli, train, by_language, others)
    np.savez_compressed(args.output, **packed)
    counts = len(packed["texts.lengths"]), len(packed["hyps.lengths"]), len(packed["nli"])
    print(
        "{:,} texts, {:,} hypotheses, {:,} NLI pairs;".format(*counts), f"{args.output.stat().st_size / 2**20:.0f} MiB"
    )


if __name__ == "__main__":
    main()
