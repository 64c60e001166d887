"""Rectangles on a frame: what part of a low-resolution frame the model looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Crop = Literal["centre", "stretch"]

# The model's picture of the camera, whatever the model: I420, planes packed without padding.
LORES_WIDTH = 640
LORES_HEIGHT = 360
LORES_BYTES = LORES_WIDTH * LORES_HEIGHT * 3 // 2


@dataclass(frozen=True, slots=True)
class Rect:
    """A half-open rectangle of pixels: columns [x, x + width), rows [y, y + height)."""

    x: int
    y: int
    width: int
    height: int

    def holds(self, other: Rect) -> bool:
        """True when `other` lies wholly inside this rectangle."""
        return (
            self.x <= other.x
            and self.y <= other.y
            and other.x + other.width <= self.x + self.width
            and other.y + other.height <= self.y + self.height
        )


def fit_inside(width: int, height: int, into_width: int, into_height: int) -> Rect:
    """Where a picture of width x height lies when it is fitted, centred, into a larger frame.

    The picture keeps its aspect ratio and is scaled up or down; what is left are bars. All four
    numbers are even, because I420 halves its chroma. Raises ValueError on a side below 2.
    """
    _refuse_tiny(width, height, into_width, into_height)
    if width * into_height >= into_width * height:
        fitted_w, fitted_h = into_width, round(height * into_width / width)
    else:
        fitted_w, fitted_h = round(width * into_height / height), into_height
    return _centred_even(Rect(0, 0, into_width, into_height), fitted_w, fitted_h)


def crop_of(active: Rect, width: int, height: int, crop: Crop) -> Rect:
    """The part of `active` that becomes a model picture of width x height, all numbers even.

    `centre`: the largest centred rectangle of the aspect ratio width:height inside `active`.
    `stretch`: all of `active`. Raises ValueError when a side is below 2 or `crop` is unknown.
    """
    _refuse_tiny(active.width, active.height, width, height)
    if crop == "stretch":
        return _centred_even(active, active.width, active.height)
    if crop != "centre":
        raise ValueError(f"unknown crop {crop!r}: centre or stretch")
    if active.width * height >= width * active.height:
        return _centred_even(active, round(active.height * width / height), active.height)
    return _centred_even(active, active.width, round(active.width * height / width))


def _refuse_tiny(*sides: int) -> None:
    if min(sides) < 2:
        raise ValueError(f"a side of {min(sides)} pixels: at least 2 are needed")


def _centred_even(within: Rect, width: int, height: int) -> Rect:
    left, right = _even_span(within.x, within.x + within.width, width)
    top, bottom = _even_span(within.y, within.y + within.height, height)
    return Rect(left, top, right - left, bottom - top)


def _even_span(low: int, high: int, length: int) -> tuple[int, int]:
    low, high = low + low % 2, high - high % 2
    length = max(2, min(length - length % 2, high - low))
    if high - low < 2:
        raise ValueError("the active rectangle holds no whole chroma sample")
    start = low + (high - low - length) // 2
    start -= start % 2
    return start, start + length
