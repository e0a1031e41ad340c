"""Linear layers of OpenVINO's models in 8 bits: what a CPU with VNNI (AVX512 or AVX2) multiplies fastest."""

from typing import Any

import numpy as np

# Values of one token that are rounded by one scale: with fewer it is slower, with more it is less exact.
GROUP_SIZE = 128


def quantize_weights(model: Any) -> None:
    """Round the weights of an OpenVINO model's linear layers in place, symmetrically by one scale for each output.

    Their inputs are rounded while it runs, where it is compiled with DYNAMIC_QUANTIZATION_GROUP_SIZE: no texts are
    needed to calibrate, and no score depends on what else is in its batch. Source: ZeroQuant (Yao et al., 2022).
    """
    from openvino import opset13 as ops

    for product in [node for node in model.get_ordered_ops() if node.get_type_name() == "MatMul"]:
        weights = product.input_value(1).get_node()
        if weights.get_type_name() == "Constant" and len(weights.shape) == 2:
            axis = 1 if product.get_attributes()["transpose_b"] else 0
            scales = np.abs(weights.data).max(axis=axis, keepdims=True) / 127
            # of weights that are all zero, any scale will do
            scales[scales == 0.0] = 1.0
            rounded = ops.convert(np.rint(weights.data / scales).astype("int8"), "f32")
            product.input(1).replace_source_output(ops.multiply(rounded, scales).output(0))
