"""The shared-premise layout, with the encoder run by OpenVINO: one model for texts, one for hypotheses."""

from functools import cache
from typing import List, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from .flat_rows import Rows, lay_flat
from .int8 import Arrays, Calibration, calibration_passes
from .openvino import Converted
from .precision import Kernel
from .shared_layout import SharedPremiseLayout
from .shared_premise import HypothesisTokens, TextStates, begin_hypotheses, encode_hypotheses, encode_texts

CPU = torch.device("cpu")


class OpenVINOSharedLayout(SharedPremiseLayout):
    """Scores hypotheses over one pass of the text, with converted encoders.

    shared (SharedPremiseLayout): The layout as torch runs it, with the module in float32.
    identity (str): What tells the checkpoint from others of equal weights.
    kernel (Kernel): What to compute in.
    name (str): The checkpoint's name, for errors.
    """

    def __init__(self, shared: SharedPremiseLayout, identity: str, kernel: Kernel, name: str):
        super().__init__(
            shared.module, shared.tokens, shared.max_length, None, shared.entailment, shared.decoupled_layers
        )
        self.similarity = shared.similarity
        examples = [_example(shared, *sizes) for sizes in ((2, 3, 5), (3, 2, 8))]
        texts = [_text_inputs(states.rows) for states, _ in examples]
        hypotheses = [_hypothesis_inputs(*example) for example in examples]
        for_texts, for_hypotheses = _calibrations(shared) if kernel == "int8" else (None, None)
        self._texts = Converted(TextEncoder(shared), texts, identity, kernel, name, for_texts)
        self._hypotheses = Converted(HypothesisEncoder(shared), hypotheses, identity, kernel, name, for_hypotheses)
        self.eval()

    def encode_texts(self, rows: Rows) -> TextStates:
        # Not copied: this thread reads them before it encodes its next texts.
        last, *rest = self._texts(*(tensor.numpy() for tensor in _text_inputs(rows)), copied=False)
        tensors = [torch.from_numpy(array) for array in rest]
        return TextStates(torch.from_numpy(last), rows, list(zip(tensors[::2], tensors[1::2])))

    def encode_hypotheses(self, texts: TextStates, hypotheses: HypothesisTokens) -> Tensor:
        inputs = _hypothesis_inputs(texts, hypotheses)
        return torch.from_numpy(self._hypotheses(*(tensor.numpy() for tensor in inputs))[0])


class Recorder(SharedPremiseLayout):
    """Runs in torch, and keeps what the converted encoders would be given.

    shared (SharedPremiseLayout): The layout as torch runs it.
    """

    def __init__(self, shared: SharedPremiseLayout):
        super().__init__(
            shared.module, shared.tokens, shared.max_length, None, shared.entailment, shared.decoupled_layers
        )
        self.texts: List[Arrays] = []
        self.hypotheses: List[Arrays] = []

    def encode_texts(self, rows: Rows) -> TextStates:
        self.texts.append(tuple(tensor.numpy() for tensor in _text_inputs(rows)))
        return super().encode_texts(rows)

    def encode_hypotheses(self, texts: TextStates, hypotheses: HypothesisTokens) -> Tensor:
        inputs = _hypothesis_inputs(texts, hypotheses)
        self.hypotheses.append(tuple(tensor.numpy() for tensor in inputs))
        return super().encode_hypotheses(texts, hypotheses)


class TextEncoder(nn.Module):
    """encode_texts over tensors by position: last states, then keys and values layer by layer.

    shared (SharedPremiseLayout): The layout as torch runs it.
    """

    def __init__(self, shared: SharedPremiseLayout):
        super().__init__()
        self.encoder = shared.encoder
        self.keep_from = shared.decoupled_layers

    def forward(self, ids: Tensor, positions: Tensor, where: Tensor, back: Tensor, mask: Tensor) -> Tuple[Tensor, ...]:
        # the owner of a token is read after the encoder only
        states = encode_texts(self.encoder, Rows(ids, positions, where, back, mask, owner=ids), self.keep_from)
        return (states.last, *(tensor for pair in states.keys_values for tensor in pair))


class HypothesisEncoder(nn.Module):
    """encode_hypotheses over tensors by position.

    shared (SharedPremiseLayout): The layout as torch runs it.
    """

    def __init__(self, shared: SharedPremiseLayout):
        super().__init__()
        self.encoder = shared.encoder

    def forward(
        self,
        text_where: Tensor,
        text_mask: Tensor,
        text_of_row: Tensor,
        hypothesis_of_token: Tensor,
        where: Tensor,
        back: Tensor,
        mask: Tensor,
        begun: Tensor,
        begun_of_token: Tensor,
        *keys_values: Tensor,
    ) -> Tensor:
        unread = text_where
        texts = TextStates(
            # of the last states, only how many there are is read
            keys_values[0],
            Rows(unread, unread, text_where, unread, text_mask, unread),
            list(zip(keys_values[::2], keys_values[1::2])),
        )
        rows = Rows(unread, unread, where, back, mask, unread)
        hypotheses = HypothesisTokens(rows, begun, begun_of_token, text_of_row, hypothesis_of_token)
        return encode_hypotheses(self.encoder, texts, hypotheses)


def _calibrations(shared: SharedPremiseLayout) -> Tuple[Calibration, Calibration]:
    """What to calibrate the encoders of texts and of hypotheses on."""
    digest, passes = calibration_passes(shared)

    @cache
    def record() -> Recorder:
        recorder = Recorder(shared)
        with torch.inference_mode():
            for pass_ in passes:
                recorder.forward(pass_.batch)
        return recorder

    return Calibration(digest, lambda: record().texts), Calibration(digest, lambda: record().hypotheses)


def _text_inputs(rows: Rows) -> Tuple[Tensor, ...]:
    return rows.ids, rows.positions, rows.where, rows.back, rows.mask


def _hypothesis_inputs(texts: TextStates, hypotheses: HypothesisTokens) -> Tuple[Tensor, ...]:
    rows, begun, begun_of_token, text_of_row, hypothesis_of_token = hypotheses
    return (
        texts.rows.where,
        texts.rows.mask,
        text_of_row,
        hypothesis_of_token,
        rows.where,
        rows.back,
        rows.mask,
        begun,
        begun_of_token,
        *(tensor for pair in texts.keys_values for tensor in pair),
    )


def _example(
    shared: SharedPremiseLayout, n_texts: int, n_hypotheses: int, length: int
) -> Tuple[TextStates, HypothesisTokens]:
    """Made-up texts with made-up hypotheses: no two texts and no two rows of one length, and some filling."""
    texts = [np.arange(10, 10 + length + i) for i in range(n_texts)]
    pieces = [np.arange(20 + i, 22 + 2 * i) for i in range(n_texts * n_hypotheses)]
    cut = [slice(i, i + n_hypotheses) for i in range(0, len(pieces), n_hypotheses)]
    rows = lay_flat([np.concatenate(pieces[part]) for part in cut], CPU)
    owner = np.full(len(rows.ids), len(pieces))
    sizes = [len(piece) for piece in pieces]
    owner[: sum(sizes)] = np.repeat(np.arange(len(pieces)), sizes)
    with torch.inference_mode(False), torch.no_grad():
        states = encode_texts(shared.encoder, lay_flat(texts, CPU), shared.decoupled_layers)
        # as if all hypotheses of a row were one; any states of the right shape do
        begun = begin_hypotheses(shared.encoder, rows, shared.decoupled_layers)
    places = torch.arange(len(rows.ids)).flip(0)
    return states, HypothesisTokens(rows, begun, places, torch.arange(n_texts), torch.from_numpy(owner))
