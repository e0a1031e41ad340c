"""Weights of an OpenVINO model in 8 bits, one scale per output of a layer."""

from typing import Any

import numpy as np

LEVELS = 127


def compress_weights(model: Any) -> int:
    """Store the weights of all linear layers in 8 bits, symmetrically, as NNCF's INT8_SYM does.

    OpenVINO's plugins know the pattern that is written, weight = convert(int8) * scale, and multiply in 8 bits
    where the processor can.

    model (openvino.Model): Changed in place.
    RETURNS (int): How many layers were changed.
    """
    from openvino import Type, opset13

    changed = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        source = node.input_value(1).get_node()
        if source.get_type_name() != "Constant" or len(source.shape) != 2:
            continue
        weights = source.data
        # outputs lie in rows where the layer multiplies by the transposed weights, as torch does
        axis = 1 if node.get_attributes()["transpose_b"] else 0
        quantised, scales = quantise(np.asarray(weights, dtype="float32"), axis)
        small = opset13.constant(quantised, dtype=Type.i8)
        restored = opset13.multiply(opset13.convert(small, Type.f32), opset13.constant(scales))
        node.input(1).replace_source_output(restored.output(0))
        changed += 1
    model.validate_nodes_and_infer_types()
    return changed


def quantise(weights: np.ndarray, axis: int) -> "tuple[np.ndarray, np.ndarray]":
    """Round weights to 8 bits.

    weights (np.ndarray): A matrix.
    axis (int): The axis of the layer's inputs, which share a scale.
    RETURNS (tuple[np.ndarray, np.ndarray]): The integers, between -127 and 127, and the scales, with which they
        multiply to the weights; float32, of length 1 along the axis.
    """
    largest = np.abs(weights).max(axis=axis, keepdims=True)
    scales = (np.where(largest > 0, largest, 1.0) / LEVELS).astype("float32")
    return np.clip(np.rint(weights / scales), -LEVELS, LEVELS).astype("int8"), scales
