"""The bundled model beside GLiClass with an encoder of the same body: python -m benchmarks.gliclass --python PYTHON

GLiClass reads the text and all labels in one sequence. It needs transformers 5, so it has an environment of its own:

    python3 -m venv .venv-gliclass && .venv-gliclass/bin/pip install gliclass
    python -m benchmarks.gliclass --python .venv-gliclass/bin/python

Its weights are random: this compares speed alone. Both programs get the same texts and take turns.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

BATCH = 8
LABELS, TEXTS = "<<LABEL>>", "<<SEP>>"


def serve(folder: str) -> None:
    """In GLiClass' environment: for every line of JSON with texts and labels, answer with the seconds they took."""
    import torch
    from gliclass import GLiClassModel, GLiClassModelConfig, ZeroShotClassificationPipeline
    from transformers import BertConfig, PreTrainedTokenizerFast

    encoder = json.loads((Path(folder) / "config.json").read_text(encoding="utf8"))["encoder"]
    marks = {"unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(Path(folder) / "tokenizer.json"), **marks)
    tokenizer.add_tokens([LABELS, TEXTS], special_tokens=True)
    config = GLiClassModelConfig(
        # only looked at for adapters
        encoder_model=folder,
        encoder_config=BertConfig(**{**encoder, "vocab_size": len(tokenizer), "max_position_embeddings": 2048}),
        class_token_index=tokenizer.convert_tokens_to_ids(LABELS),
        text_token_index=tokenizer.convert_tokens_to_ids(TEXTS),
        vocab_size=len(tokenizer),
        pooling_strategy="avg",
        prompt_first=True,
    )
    torch.manual_seed(0)
    model = GLiClassModel(config).eval()
    pipeline = ZeroShotClassificationPipeline(
        model, tokenizer, classification_type="multi-label", device="cpu", progress_bar=False, max_length=2048
    )
    for line in sys.stdin:
        texts, labels = json.loads(line)
        start = time.perf_counter()
        with torch.inference_mode():
            pipeline(texts, labels, threshold=0.0, batch_size=BATCH)
        print(json.dumps(time.perf_counter() - start), flush=True)


def measure(python: str, folder: Path, counts: list[int], texts: int, rounds: int) -> list[list[str]]:
    """Rows of the table: labels, texts per second of both, and the ratio, the median of the rounds."""
    from transformers import AutoTokenizer

    from benchmarks._shared import WORDPIECES, as_rate, make_labels, make_texts
    from spacy_zeroshot.cli.benchmark import component

    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = make_texts(
        texts, WORDPIECES, lambda many: list(map(len, tokenizer(many, add_special_tokens=False).input_ids))
    )
    ours = component("bundled", "bundled", precision="float32")
    rows = []
    # -I: this file must not stand in the way of the package of the same name
    command = [python, "-I", __file__, "--serve", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None and other.stdout is not None
        for count in counts:
            labels = make_labels(count)
            seconds: list[tuple[float, float]] = []
            for _ in range(rounds + 1):
                start = time.perf_counter()
                ours.score(batch, labels)
                own = time.perf_counter() - start
                other.stdin.write(json.dumps([batch, labels]) + "\n")
                other.stdin.flush()
                seconds.append((own, json.loads(other.stdout.readline())))
            # the first round warms up
            own_rate, their_rate = (texts / statistics.median(values) for values in zip(*seconds[1:]))
            ratio = statistics.median(theirs / own for own, theirs in seconds[1:])
            rows.append([str(count), as_rate(own_rate), as_rate(their_rate), f"{ratio:.1f}x"])
        other.stdin.close()
    return rows


def main() -> None:
    """Print texts per second of both, by number of labels."""
    import argparse

    parser = argparse.ArgumentParser(description="Speed beside GLiClass")
    parser.add_argument("--python", required=True, help="the interpreter of the environment with gliclass")
    parser.add_argument("--labels", default="10,50,150", help="numbers of labels")
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    import spacy_zeroshot.bundled
    from spacy_zeroshot.cli._print import make_console, print_table

    folder = Path(spacy_zeroshot.bundled.__path__[0])
    counts = [int(count) for count in options.labels.split(",")]
    rows = measure(options.python, folder, counts, options.texts, options.rounds)
    print_table(make_console(), ("labels", "bundled, documents/s", "GLiClass, documents/s", "times as fast"), rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    else:
        main()
