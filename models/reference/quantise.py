"""Float backbone to INT8 ONNX: one export, three ways of quantising it.

`portable` computes bit for bit the same on every CPU. `arm` uses all 8 bits of the weights, which
ARM (and x86 with VNNI) multiplies exactly and older x86 does not. `symmetric` is what TensorRT
takes. The last layer stays float in all of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from agent.wire.model_manifest import InputTensor
from models.reference import recipe
from models.reference.folding import INPUT_NAME, OUTPUT_NAME, folded
from models.reference.network import Backbone

OPSET = 18
_FLOAT_INPUT = "picture_in_0_1"


@dataclass(frozen=True)
class Variant:
    """One way of quantising. `input_kind`: how the picture's bytes come in.

    bytes: as they are. shifted: xor 0x80, as int8. converted: as they are, made float inside.
    """

    name: str
    activations: QuantType
    reduce_range: bool
    symmetric: bool
    input_kind: Literal["bytes", "shifted", "converted"]

    @property
    def tensor(self) -> InputTensor:
        """The input as the manifest describes it."""
        shifted = self.input_kind == "shifted"
        return InputTensor(
            name=INPUT_NAME,
            layout="NCHW",
            dtype="int8" if shifted else "uint8",
            scale=1.0 / 255.0,
            zero_point=-128 if shifted else 0,
        )


PORTABLE = Variant("int8 qdq u8s8, 7-bit weights", QuantType.QUInt8, True, False, "bytes")
ARM = Variant("int8 qdq s8s8", QuantType.QInt8, False, False, "shifted")
SYMMETRIC = Variant("int8 qdq s8s8 symmetric", QuantType.QInt8, False, True, "converted")


def quantise(
    float_file: Path, variant: Variant, calibration: NDArray[np.uint8], file: Path
) -> None:
    """Write `variant` of the float model to `file`: picture numbers in, float32 [1, features] out.

    `calibration`: uint8 [n, height, width, 3], pictures of the training set.
    """
    graph = onnx.load(float_file).graph
    with tempfile.TemporaryDirectory() as scratch:
        int8_file = Path(scratch) / "int8.onnx"
        quantize_static(
            float_file,
            int8_file,
            _Pictures(calibration),
            quant_format=QuantFormat.QDQ,
            activation_type=variant.activations,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=variant.reduce_range,
            calibrate_method=CalibrationMethod.Entropy,
            nodes_to_exclude=[_maker_of(graph, OUTPUT_NAME).name],
            extra_options={"ActivationSymmetric": variant.symmetric, "WeightSymmetric": True},
        )
        model = onnx.load(int8_file)
    if variant.input_kind == "converted":
        _convert_bytes(model)
    else:
        _take_numbers(model, variant.input_kind == "shifted")
    model.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    file.write_bytes(model.SerializeToString(deterministic=True))


def export_float(backbone: Backbone, file: Path) -> None:
    """Write the float network, batch norms folded: float32 NCHW [1, 3, h, w] in 0..1."""
    program = torch.onnx.export(
        folded(backbone),
        (torch.zeros(1, 3, recipe.HEIGHT, recipe.WIDTH),),
        input_names=[INPUT_NAME],
        output_names=[OUTPUT_NAME],
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


def _maker_of(graph: onnx.GraphProto, value: str) -> onnx.NodeProto:
    for node in graph.node:
        if value in node.output:
            found: onnx.NodeProto = node
            return found
    raise ValueError(f"no node makes {value}")


def _take_numbers(model: onnx.ModelProto, shifted: bool) -> None:
    """Remove the leading QuantizeLinear: the picture's numbers are its output, at scale 1/255."""
    graph = model.graph
    first = [n for n in graph.node if INPUT_NAME in n.input]
    if len(first) != 1 or first[0].op_type != "QuantizeLinear":
        raise ValueError(f"expected one QuantizeLinear on {INPUT_NAME}, found {len(first)} nodes")
    node = first[0]
    quantised, scale, zero = node.output[0], node.input[1], node.input[2]
    point = np.array(-128, np.int8) if shifted else np.array(0, np.uint8)
    exact = {scale: np.array(1.0 / 255.0, np.float32), zero: point}
    for initializer in graph.initializer:
        if initializer.name in exact:
            value = exact[initializer.name]
            initializer.CopyFrom(numpy_helper.from_array(value, initializer.name))
    for other in graph.node:
        for i, name in enumerate(other.input):
            if name == quantised:
                other.input[i] = INPUT_NAME
    graph.node.remove(node)
    kind = TensorProto.INT8 if shifted else TensorProto.UINT8
    graph.input[0].type.tensor_type.elem_type = kind
    for info in [v for v in graph.value_info if v.name in (INPUT_NAME, quantised)]:
        graph.value_info.remove(info)


def _convert_bytes(model: onnx.ModelProto) -> None:
    """Put bytes to float in 0..1 before the first QuantizeLinear, whose scale is symmetric."""
    graph = model.graph
    for other in graph.node:
        for i, name in enumerate(other.input):
            if name == INPUT_NAME:
                other.input[i] = _FLOAT_INPUT
    to_float = helper.make_node("Cast", [INPUT_NAME], ["picture_float"], to=TensorProto.FLOAT)
    scale = numpy_helper.from_array(np.array(1.0 / 255.0, np.float32), "byte_scale")
    scaled = helper.make_node("Mul", ["picture_float", "byte_scale"], [_FLOAT_INPUT])
    graph.initializer.append(scale)
    graph.node.insert(0, scaled)
    graph.node.insert(0, to_float)
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    for info in [v for v in graph.value_info if v.name == INPUT_NAME]:
        graph.value_info.remove(info)
