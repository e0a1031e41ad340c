"""Devices, precisions and budgets."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_zeroshot.errors import ZeroShotError
from spacy_zeroshot.model import device as devices
from spacy_zeroshot.model.architectures import MaskedLMClassifier, NLIClassifier, SimilarityClassifier
from spacy_zeroshot.model.device import choose_budget, choose_dtype, choose_kernel, plain_tensors

from .scoring import ask

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_float16_on_a_cpu_Z032(nli_folder):
    with pytest.raises(ZeroShotError, match=r"\[Z032\] precision = 'float16'"):
        ask(nli_folder, ["a"], ["b"], precision="float16", device="cpu")


@pytest.mark.parametrize("device", ["cuda:99", "no such device"])
def test_device_that_is_not_there_Z033(nli_folder, device):
    with pytest.raises(ZeroShotError, match=rf"\[Z033\] device = '{device}'"):
        ask(nli_folder, ["a"], ["b"], device=device)


@pytest.mark.parametrize("limit", ["AVX2", "avx2_vnni", "SSE41"])
def test_instructions_that_onednn_may_not_use_are_not_there(limit, monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert not devices.has_native_bfloat16(CPU)


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bfloat16_where_it_is_native(native, monkeypatch):
    monkeypatch.setattr(devices, "has_native_bfloat16", lambda device: native)
    assert choose_dtype("auto", CPU) == (torch.bfloat16 if native else torch.float32)
    assert choose_kernel("openvino", "auto", CPU, trainable=False) == (torch.bfloat16 if native else torch.float32)


def test_int8_is_openvinos():
    assert choose_kernel("openvino", "int8", CPU, trainable=False) == torch.int8
    # where "auto" takes torch in its place, as in training, and for what OpenVINO does not round
    assert choose_kernel("auto", "int8", CPU, trainable=True) is None
    assert choose_dtype("int8", CPU) == choose_dtype("auto", CPU)
    for build in (NLIClassifier, SimilarityClassifier, MaskedLMClassifier):
        with pytest.raises(ZeroShotError, match=r"\[Z032\] precision = 'int8'.*openvino"):
            build("any", precision="int8")


def test_openvino_neither_trains_nor_runs_on_a_gpu_Z036():
    assert choose_kernel("torch", "float32", CPU, trainable=True) is None
    assert choose_kernel("auto", "float32", CPU, trainable=True) is None
    assert choose_kernel("auto", "float32", GPU, trainable=False) is None
    for device, trainable in ((CPU, True), (GPU, False)):
        with pytest.raises(ZeroShotError, match=r"\[Z036\]"):
            choose_kernel("openvino", "float32", device, trainable)
    with pytest.raises(ZeroShotError, match=r"\[Z032\]"):
        choose_kernel("openvino", "float16", CPU, trainable=False)


@given(st.integers(1, 200 << 30), st.sampled_from([32, 384, 1024]))
def test_the_budget_of_a_gpu_follows_its_memory(free, width):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * free))
        tokens = choose_budget(1024, GPU, width)
        patch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * free, 2 * free))
        assert choose_budget(1024, GPU, width) >= tokens
    assert 1024 <= tokens <= 131_072 and tokens & (tokens - 1) == 0


def test_a_small_model_on_a_large_gpu_gets_the_largest_budget(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (130 << 30, 140 << 30))
    assert choose_budget(4096, GPU, 384) == 131_072


def test_plain_tensors_can_be_trained():
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), plain_tensors():
            weight = torch.nn.Linear(2, 2).weight
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert weight.dtype == torch.float32 and not weight.is_inference() and weight.requires_grad
