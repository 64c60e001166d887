"""Where in a picture a scenario card may be: a cheap look, so that the reader seldom works.

A QR code is a dense field of black and white: neighbouring pixels differ much, across and down, all
over an area. Walls, people and weapons have such differences along lines, not over areas.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.core.picture import Rect

BLOCK = 16
MOST_AREAS = 2
# Of 0..255, mean over a block. Measured on rendered cards and footage: see ARCHITECTURE.md.
_BUSY = 7.0
_LEAST_BLOCKS = 3
_LEAST_FILL = 0.5
_MARGIN_BLOCKS = 2

Luma = NDArray[np.uint8]


def card_areas(luma: Luma) -> list[Rect]:
    """The areas of `luma` (height x width, 0..255) that may hold a card, each with a margin, at
    most MOST_AREAS, the largest first. Sides are multiples of BLOCK pixels."""
    busy = _busy_blocks(luma)
    found = []
    for island in _islands(busy):
        rows, columns = [at[0] for at in island], [at[1] for at in island]
        height = max(rows) - min(rows) + 1
        width = max(columns) - min(columns) + 1
        if min(height, width) >= _LEAST_BLOCKS and len(island) >= _LEAST_FILL * height * width:
            found.append(Rect(min(columns), min(rows), width, height))
    found.sort(key=lambda area: area.width * area.height, reverse=True)
    return [_with_margin(area, busy.shape) for area in found[:MOST_AREAS]]


def _busy_blocks(luma: Luma) -> NDArray[np.bool_]:
    rows, columns = luma.shape[0] // BLOCK, luma.shape[1] // BLOCK
    part = luma[: rows * BLOCK, : columns * BLOCK]
    across, down = np.zeros_like(part), np.zeros_like(part)
    # max - min of two bytes: their difference without leaving uint8.
    np.subtract(
        np.maximum(part[:, 1:], part[:, :-1]),
        np.minimum(part[:, 1:], part[:, :-1]),
        out=across[:, 1:],
    )
    np.subtract(np.maximum(part[1:], part[:-1]), np.minimum(part[1:], part[:-1]), out=down[1:])
    both: NDArray[np.bool_] = (_means(across) > _BUSY) & (_means(down) > _BUSY)
    return both


def _means(part: Luma) -> NDArray[np.float64]:
    rows, columns = part.shape[0] // BLOCK, part.shape[1] // BLOCK
    by_block = part.reshape(rows, BLOCK, columns, BLOCK)
    sums: NDArray[np.float64] = by_block.sum(axis=(1, 3), dtype=np.uint32) / BLOCK**2
    return sums


def _islands(busy: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """Groups of busy blocks that touch at a side."""
    left = {(int(row), int(column)) for row, column in np.argwhere(busy)}
    islands = []
    while left:
        island, edge = [], [left.pop()]
        while edge:
            row, column = edge.pop()
            island.append((row, column))
            for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                near = (row + down, column + across)
                if near in left:
                    left.remove(near)
                    edge.append(near)
        islands.append(island)
    return islands


def _with_margin(area: Rect, shape: tuple[int, ...]) -> Rect:
    left, top = max(0, area.x - _MARGIN_BLOCKS), max(0, area.y - _MARGIN_BLOCKS)
    right = min(shape[1], area.x + area.width + _MARGIN_BLOCKS)
    bottom = min(shape[0], area.y + area.height + _MARGIN_BLOCKS)
    return Rect(left * BLOCK, top * BLOCK, (right - left) * BLOCK, (bottom - top) * BLOCK)
