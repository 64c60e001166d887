"""Float network to INT8 ONNX: export, static quantisation, and picture bytes as the input."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.standin.network import HEIGHT, WIDTH, Backbone

INPUT_NAME = "picture"
OPSET = 18
SCHEME = "QDQ static, U8S8, per channel, reduce_range, entropy calibration, last layer float"


def quantise(backbone: Backbone, calibration: NDArray[np.uint8], file: Path) -> None:
    """Write the INT8 model to `file`: uint8 NCHW picture bytes in, float32 [1, features] out.

    `calibration`: uint8 [n, height, width, 3], pictures of the training blocks. 7-bit weights
    make x86 without VNNI and ARM give the same numbers.
    """
    with tempfile.TemporaryDirectory() as scratch:
        float_file, int8_file = Path(scratch) / "float.onnx", Path(scratch) / "int8.onnx"
        export_float(backbone, float_file)
        graph = onnx.load(float_file).graph
        quantize_static(
            float_file,
            int8_file,
            _Pictures(calibration),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            calibrate_method=CalibrationMethod.Entropy,
            nodes_to_exclude=[_maker_of(graph, graph.output[0].name).name],
        )
        model = onnx.load(int8_file)
    _take_bytes(model)
    model.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    file.write_bytes(model.SerializeToString(deterministic=True))


def export_float(backbone: Backbone, file: Path) -> None:
    """Write the float network, batch norms folded: float32 NCHW [1, 3, h, w] in 0..1."""
    example = torch.zeros(1, 3, HEIGHT, WIDTH)
    program = torch.onnx.export(
        _folded(backbone),
        (example,),
        input_names=[INPUT_NAME],
        output_names=["features"],
        dynamo=True,
        opset_version=OPSET,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    # Source paths and traces of the exporting machine are no part of a model.
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    onnx.save(model, file)


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pictures: NDArray[np.uint8]) -> None:
        self._left: Iterator[NDArray[np.uint8]] = iter(pictures)

    def get_next(self) -> dict[str, Any] | None:
        picture = next(self._left, None)
        if picture is None:
            return None
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1))[None]
        return {INPUT_NAME: planes.astype(np.float32) / np.float32(255.0)}


def _folded(backbone: Backbone) -> nn.Module:
    folded = copy.deepcopy(backbone).eval()
    for module in folded.modules():
        if isinstance(module, nn.Sequential) and len(module) >= 2:
            conv, norm = module[0], module[1]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[0], module[1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return folded


def _maker_of(graph: onnx.GraphProto, value: str) -> onnx.NodeProto:
    for node in graph.node:
        if value in node.output:
            found: onnx.NodeProto = node
            return found
    raise ValueError(f"no node makes {value}")


def _take_bytes(model: onnx.ModelProto) -> None:
    """Remove the leading QuantizeLinear: the picture's bytes are its output, at scale 1/255."""
    graph = model.graph
    first = [n for n in graph.node if INPUT_NAME in n.input]
    if len(first) != 1 or first[0].op_type != "QuantizeLinear":
        raise ValueError(f"expected one QuantizeLinear on {INPUT_NAME}, found {len(first)} nodes")
    node = first[0]
    quantised, scale, zero = node.output[0], node.input[1], node.input[2]
    for initializer in graph.initializer:
        if initializer.name == scale:
            exact = np.array(1.0 / 255.0, np.float32)
            initializer.CopyFrom(onnx.numpy_helper.from_array(exact, scale))
        elif initializer.name == zero:
            byte = np.array(0, np.uint8)
            initializer.CopyFrom(onnx.numpy_helper.from_array(byte, zero))
    for other in graph.node:
        for i, name in enumerate(other.input):
            if name == quantised:
                other.input[i] = INPUT_NAME
    graph.node.remove(node)
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    for info in [v for v in graph.value_info if v.name in (INPUT_NAME, quantised)]:
        graph.value_info.remove(info)
