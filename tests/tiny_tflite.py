"""A full-integer TFLite network small enough to compute by hand, written with flatbuffers alone.

    picture int8 [1, h, w, 3] -> conv 8x8 stride 8, ReLU -> mean -> reshape -> dequantise
    -> float32 [1, features]

No converter is needed, so it can be made on every machine that has the runtime. Field numbers are
those of TensorFlow Lite's schema (schema.fbs, version 3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from agent.wire import model_manifest as wire
from tests import tiny_model

INPUT_NAME = "picture"
PATCH = 8
_CONV_2D, _AVERAGE_POOL_2D, _RESHAPE, _DEQUANTIZE = 3, 1, 22, 6
_CONV_OPTIONS, _POOL_OPTIONS, _RESHAPE_OPTIONS, _DEQUANTIZE_OPTIONS = 1, 5, 17, 38
_FLOAT32, _INT32, _INT8 = 0, 2, 9
_VALID, _RELU = 1, 1
_CONV_SCALE, _WEIGHT_SCALE = 0.02, 1.0 / 512.0
_ZERO_POINT = -128


def weights(features: int) -> NDArray[np.int8]:
    """int8 [features, 8, 8, 3]: the same numbers every time."""
    random = np.random.default_rng(7)
    return random.integers(-60, 100, (features, PATCH, PATCH, 3)).astype(np.int8)


def expected(picture: NDArray[np.uint8], features: int) -> NDArray[np.float64]:
    """The network in plain numbers, without its rounding to steps of 0.02: [features]."""
    height, width, _ = picture.shape
    cells = picture.reshape(height // PATCH, PATCH, width // PATCH, PATCH, 3) / 255.0
    kernel = weights(features) * _WEIGHT_SCALE
    convolved = np.einsum("aibjc,fijc->abf", cells, kernel)
    top = _CONV_SCALE * 255
    mean: NDArray[np.float64] = np.clip(convolved, 0.0, top).mean(axis=(0, 1))
    return mean


def network(height: int, width: int, features: int) -> bytes:
    """The .tflite file. `height` and `width`: multiples of 8."""
    rows, columns = height // PATCH, width // PATCH
    build = _Builder()
    picture = build.tensor(INPUT_NAME, [1, height, width, 3], _INT8, 1.0 / 255.0, _ZERO_POINT)
    kernel = build.tensor(
        "kernel", [features, PATCH, PATCH, 3], _INT8, _WEIGHT_SCALE, 0, weights(features).tobytes()
    )
    bias = build.tensor(
        "bias", [features], _INT32, _WEIGHT_SCALE / 255.0, 0, np.zeros(features, np.int32).tobytes()
    )
    scaled = (_CONV_SCALE, _ZERO_POINT)
    convolved = build.tensor("convolved", [1, rows, columns, features], _INT8, *scaled)
    pooled = build.tensor("pooled", [1, 1, 1, features], _INT8, *scaled)
    shape = build.tensor("shape", [2], _INT32, None, 0, np.array([1, features], np.int32).tobytes())
    flat = build.tensor("flat", [1, features], _INT8, *scaled)
    out = build.tensor("features", [1, features], _FLOAT32, None, 0)
    build.operator(
        (_CONV_2D, 3, _CONV_OPTIONS),
        [picture, kernel, bias],
        convolved,
        {0: ("Int8", _VALID), 1: ("Int32", PATCH), 2: ("Int32", PATCH), 3: ("Int8", _RELU)},
    )
    build.operator(
        (_AVERAGE_POOL_2D, 2, _POOL_OPTIONS),
        [convolved],
        pooled,
        {
            0: ("Int8", _VALID),
            1: ("Int32", columns),
            2: ("Int32", rows),
            3: ("Int32", columns),
            4: ("Int32", rows),
        },
    )
    build.operator((_RESHAPE, 1, _RESHAPE_OPTIONS), [pooled, shape], flat, {})
    build.operator((_DEQUANTIZE, 2, _DEQUANTIZE_OPTIONS), [flat], out, {})
    return build.finish(picture, out)


class _Builder:
    """Collects tensors and operators, then writes the model's tables."""

    def __init__(self) -> None:
        self._b = flatbuffers.Builder(4096)
        self._tensors: list[int] = []
        self._buffers = [self._table(3, {})]
        self._operators: list[int] = []
        self._codes: list[int] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        kind: int,
        scale: float | None,
        zero_point: int,
        content: bytes = b"",
    ) -> int:
        """The index of a new tensor; `content` makes it a constant."""
        buffer = 0
        if content:
            self._b.StartVector(1, len(content), 16)
            self._b.head = self._b.Head() - len(content)
            self._b.Bytes[self._b.Head() : self._b.Head() + len(content)] = content
            buffer = len(self._buffers)
            self._buffers.append(self._table(3, {0: ("UOffsetTRelative", self._b.EndVector())}))
        fields: dict[int, tuple[str, Any]] = {
            0: ("UOffsetTRelative", self._ints(shape)),
            1: ("Int8", kind),
            2: ("Uint32", buffer),
            3: ("UOffsetTRelative", self._b.CreateString(name)),
        }
        if scale is not None:
            scales = self._vector([scale], 4, self._b.PrependFloat32)
            zeros = self._vector([zero_point], 8, self._b.PrependInt64)
            quantised = {2: ("UOffsetTRelative", scales), 3: ("UOffsetTRelative", zeros)}
            fields[4] = ("UOffsetTRelative", self._table(7, quantised))
        self._tensors.append(self._table(11, fields))
        return len(self._tensors) - 1

    def operator(
        self,
        code: tuple[int, int, int],
        inputs: Sequence[int],
        output: int,
        options: dict[int, tuple[str, Any]],
    ) -> None:
        """`code`: builtin number, its version, the number of its options' table."""
        builtin, version, options_type = code
        self._codes.append(
            self._table(4, {0: ("Int8", builtin), 2: ("Int32", version), 3: ("Int32", builtin)})
        )
        self._operators.append(
            self._table(
                14,
                {
                    0: ("Uint32", len(self._codes) - 1),
                    1: ("UOffsetTRelative", self._ints(inputs)),
                    2: ("UOffsetTRelative", self._ints([output])),
                    3: ("Uint8", options_type),
                    4: ("UOffsetTRelative", self._table(7, options)),
                },
            )
        )

    def finish(self, first: int, last: int) -> bytes:
        graph = self._table(
            6,
            {
                0: ("UOffsetTRelative", self._tables(self._tensors)),
                1: ("UOffsetTRelative", self._ints([first])),
                2: ("UOffsetTRelative", self._ints([last])),
                3: ("UOffsetTRelative", self._tables(self._operators)),
            },
        )
        model = self._table(
            10,
            {
                0: ("Uint32", 3),
                1: ("UOffsetTRelative", self._tables(self._codes)),
                2: ("UOffsetTRelative", self._tables([graph])),
                4: ("UOffsetTRelative", self._tables(self._buffers)),
            },
        )
        self._b.Finish(model, file_identifier=b"TFL3")
        return bytes(self._b.Output())

    def _table(self, size: int, fields: dict[int, tuple[str, Any]]) -> int:
        self._b.StartObject(size)
        for slot, (kind, value) in fields.items():
            getattr(self._b, f"Prepend{kind}Slot")(slot, value, 0)
        return int(self._b.EndObject())

    def _ints(self, values: Sequence[int]) -> int:
        return self._vector(values, 4, self._b.PrependInt32)

    def _tables(self, offsets: Sequence[int]) -> int:
        return self._vector(offsets, 4, self._b.PrependUOffsetTRelative)

    def _vector(self, values: Sequence[Any], size: int, prepend: Callable[[Any], None]) -> int:
        self._b.StartVector(size, len(values), size)
        for value in reversed(values):
            prepend(value)
        return int(self._b.EndVector())


def write_bundle(folder: Path) -> wire.ModelManifest:
    """`tiny_model`'s bundle with this network instead of its file of text."""
    folder.mkdir(parents=True, exist_ok=True)
    content = network(tiny_model.HEIGHT, tiny_model.WIDTH, tiny_model.FEATURES)
    (folder / "tiny.tflite").write_bytes(content)
    artifact = wire.Artifact(
        backend="tflite",
        variant="int8",
        architecture="any",
        path="tiny.tflite",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        toolchain="flatbuffers",
        toolchain_version="-",
        tensor=wire.InputTensor(
            name=INPUT_NAME, layout="NHWC", dtype="int8", scale=1 / 255, zero_point=_ZERO_POINT
        ),
    )
    backbone = wire.Backbone(features=tiny_model.FEATURES, artifacts=(artifact,))
    return tiny_model.write_bundle(folder, backbone=backbone)
