"""The truth's boxes as a coarse map of where each kind of person is, for dense supervision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.reference import recipe

# Side in model pixels of one square of the stored map; the network's own map has squares twice
# as large.
SQUARE = 4
KINDS = len(recipe.BOX_KINDS)
# Bit k: a visible one of BOX_KINDS[k]. Bit 4 + k: one just too small to count, so not asked for.
_DOUBT_SHIFT = 4
_NEARLY = 0.6


def box_bits(
    boxes: Sequence[Mapping[str, Any]], resolution: tuple[int, int], height: int, width: int
) -> NDArray[np.uint8]:
    """uint8 [height / 4, width / 4] of the boxes of one frame; `resolution` is theirs (w, h)."""
    out = np.zeros((height // SQUARE, width // SQUARE), np.uint8)
    across, down = out.shape[1] / resolution[0], out.shape[0] / resolution[1]
    for box in boxes:
        if box["kind"] not in recipe.BOX_KINDS:
            continue
        kind = recipe.BOX_KINDS.index(box["kind"])
        share = _share_of_least(box, resolution)
        if share < _NEARLY:
            continue
        x, y, w, h = box["xywh"]
        # A little inside: the edge of a box is mostly background.
        left, right = (x + 0.1 * w) * across, (x + 0.9 * w) * across
        top, bottom = (y + 0.05 * h) * down, (y + 0.95 * h) * down
        rows = slice(max(int(top), 0), max(int(np.ceil(bottom)), int(top) + 1))
        columns = slice(max(int(left), 0), max(int(np.ceil(right)), int(left) + 1))
        out[rows, columns] |= 1 << (kind if share >= 1.0 else kind + _DOUBT_SHIFT)
    return out


def map_target(bits: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(target, weight) float32 [n, 4, rows / 2, columns / 2] of `bits` uint8 [n, rows, columns].

    A square of the network's map is positive where any of its four holds the kind; where one only
    nearly counts, the weight is 0.
    """
    count, rows, columns = bits.shape
    four = bits.reshape(count, rows // 2, 2, columns // 2, 2)
    joined = np.bitwise_or.reduce(np.bitwise_or.reduce(four, axis=4), axis=2)
    kinds = np.arange(KINDS, dtype=np.uint8)[:, None, None]
    target = (joined[:, None] >> kinds) & 1
    doubt = (joined[:, None] >> (kinds + _DOUBT_SHIFT)) & 1
    weight = np.where((doubt == 1) & (target == 0), 0.0, 1.0)
    return target.astype(np.float32), weight.astype(np.float32)


def _share_of_least(box: Mapping[str, Any], resolution: tuple[int, int]) -> float:
    """How far the box reaches what counts as visible; 1 or more counts."""
    width, height = resolution
    area = box["pixels"] / (width * height)
    if box["kind"] == "dead":
        return float(area / recipe.DEAD_LEAST_AREA)
    tall = box["xywh"][3] / height
    return float(min(area / recipe.LIVING_LEAST_AREA, tall / recipe.LIVING_LEAST_HEIGHT))
