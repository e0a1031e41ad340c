"""Write the trained model as a folder of the package's layout."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from .network import Network

LICENCE = "mit"


def layout(encoder: dict[str, Any], net: Network, choices: dict[str, Any]) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): config.json of the folder; `choices` is what calibrate.py wrote."""
    kept = (
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
        "hidden_act",
        "layer_norm_eps",
        "max_position_embeddings",
        "type_vocab_size",
        "vocab_size",
        "pad_token_id",
    )
    return {
        "model_type": "zero_shot_decomposed",
        "architectures": ["DecomposedEncoder"],
        "encoder": {key: encoder[key] for key in kept},
        "interaction_layers": len(net.cross),
        "interaction_from": net.first,
        "hypothesis_states": "label",
        "respell_labels": True,
        "similarity": choices["similarity"],
        "competition_temperature": choices["competition_temperature"],
        "competition_head_weight": choices["competition_head_weight"],
        "id2label": {"0": "not_entailment", "1": "entailment"},
        "license": LICENCE,
        "torch_dtype": "float16",
    }


def export(base: Path, weights: list[Path], choices: dict[str, Any], output: Path) -> None:
    """Put the weights on top of the base's and write config.json, model.safetensors and the tokenizer's files."""
    encoder = json.loads((base / "config.json").read_text(encoding="utf8"))
    net = Network(encoder)
    net.load_base(base)
    for prefix in weights:
        net.load(prefix)
    with torch.no_grad():  # only the margin counts: it gets the sharpness that was chosen
        net.classifier.weight.mul_(choices.get("sharpness", 1.0))
        net.classifier.bias.mul_(choices.get("sharpness", 1.0))
    output.mkdir(parents=True, exist_ok=True)
    arrays = net.exported()
    save_file(
        {name: np.ascontiguousarray(a) for name, a in arrays.items()}, output / "model.safetensors", {"format": "pt"}
    )
    text = json.dumps(layout(encoder, net, choices), indent=1)
    (output / "config.json").write_text(text + "\n", encoding="utf8")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(base / name, output / name)
    print(f"{output}: {sum(a.nbytes for a in arrays.values()) / 1e6:.1f} MB of weights")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("choices", type=Path, help="JSON that calibrate.py wrote")
    parser.add_argument("output", type=Path)
    parser.add_argument("--weights", type=Path, nargs="+", required=True, help="prefixes of .npz files, later ones win")
    args = parser.parse_args(argv)
    export(args.base, args.weights, json.loads(args.choices.read_text(encoding="utf8")), args.output)


if __name__ == "__main__":
    main()
