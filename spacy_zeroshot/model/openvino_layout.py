"""The layouts, with the encoder run by OpenVINO in place of torch."""

from typing import Any, Dict, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from .int8 import Calibration, calibration_passes
from .openvino import Converted
from .pair_layout import PairLayout
from .precision import Kernel

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class OpenVINOPairLayout(PairLayout):
    """Scores pairs with a converted sequence classification model.

    pair (PairLayout): The layout as torch runs it, with the module in float32.
    identity (str): What tells the checkpoint from others of equal weights.
    kernel (Kernel): What to compute in.
    name (str): The checkpoint's name, for errors.
    """

    # OpenVINO cuts its work by itself
    cached_tokens = None

    def __init__(self, pair: PairLayout, identity: str, kernel: Kernel, name: str):
        super().__init__(pair.module, pair.tokens, pair.max_length, pair.multiple)
        names = INPUTS if self._with_types else INPUTS[:2]
        examples = [self._example(rows, length, len(names)) for rows, length in ((2, 9), (3, 14))]
        module = Logits(pair.module)
        calibration = None
        if kernel == "int8":
            digest, passes = calibration_passes(pair)
            calibration = Calibration(digest, lambda: [_arrays(pass_.batch) for pass_ in passes])
        self._converted = Converted(module, examples, identity, kernel, name, calibration)

    def forward(self, batch: Dict[str, np.ndarray]) -> Tensor:
        return torch.from_numpy(self._converted(*_arrays(batch))[0])

    def _example(self, rows: int, length: int, inputs: int) -> Tuple[Tensor, ...]:
        """Pairs of made-up wordpieces, framed as the tokenizer does; the last row has padding."""
        frame = self.tokens.frame
        words = length - len(frame)
        ids = np.full((rows, length), self.tokens.pad_id, dtype="int64")
        mask = np.zeros_like(ids)
        types = np.zeros_like(ids)
        for row in range(rows):
            n = words - (row == rows - 1)
            # ids of special tokens come first in some vocabularies: words begin at 10
            texts = 10 + np.arange(n) + row
            line = np.concatenate([frame.prefix, texts[:2], frame.middle, texts[2:], frame.suffix])
            ids[row, : len(line)] = line
            mask[row, : len(line)] = 1
            types[row, len(frame.prefix) + 2 + len(frame.middle) : len(line)] = frame.types[3]
        return tuple(torch.from_numpy(array) for array in (ids, mask, types)[:inputs])


class Logits(nn.Module):
    """A sequence classification model that takes tensors by position and gives its logits only.

    module (PreTrainedModel): The model.
    """

    def __init__(self, module: Any):
        super().__init__()
        self.module = module
        # an encoder-decoder would give its keys and values as well, which cannot be traced
        self._options = {"use_cache": False} if getattr(module.config, "is_encoder_decoder", False) else {}

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.module(**dict(zip(INPUTS, inputs)), **self._options).logits


def run_by_openvino(layout: Any, kernel: Kernel, name: str) -> Any:
    """Replace a layout by one that OpenVINO runs.

    layout (Layout): The layout, with its module in float32 on the CPU.
    kernel (Kernel): What to compute in.
    name (str): The checkpoint's name, for errors.
    RETURNS (Layout): The same layout, run by OpenVINO.
    RAISES (ZeroShotError): Z034 without the package, Z035 if the module cannot be converted.
    """
    if isinstance(layout, PairLayout):
        return OpenVINOPairLayout(layout, _identity(layout.module.config), kernel, name)
    from .openvino_shared import OpenVINOSharedLayout

    return OpenVINOSharedLayout(layout, _identity(layout.module.config), kernel, name)


def _arrays(batch: Dict[str, np.ndarray]) -> Tuple[np.ndarray, ...]:
    return tuple(batch[name] for name in INPUTS if name in batch)


def _identity(config: Any) -> str:
    """The config without what changes from one copy of a checkpoint to another."""
    content = {key: value for key, value in config.to_dict().items() if not key.startswith("_")}
    content.pop("transformers_version", None)
    return repr(sorted(content.items(), key=lambda item: item[0]))
