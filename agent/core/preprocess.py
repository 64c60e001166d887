"""From a low-resolution I420 frame to the model's picture: crop, scale by area, convert to RGB.

Plain numpy in integers, so that every machine makes the very same bytes of a frame and the
tagger needs no picture library in its memory. Colours are BT.601, limited range.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.core.picture import Crop, Rect, crop_of

Bytes8: TypeAlias = NDArray[np.uint8]
# Shares of (blue, red) chroma in red, green and blue, in 256ths: 256 * whole + rest is 409 of red;
# -100 of blue and -208 of red; 516 of blue.
_WHOLE = ((0, 1), (0, -1), (2, 0))
_REST = ((0, 153), (-100, 48), (4, 0))


class PicturePreparer:
    """Makes model pictures of one size from I420 frames of any size.

    Buffers are allocated once per geometry; a steady stream of frames allocates nothing that
    grows. Not for use from two threads.
    """

    def __init__(self, height: int, width: int, crop: Crop) -> None:
        """`height` and `width` of the model picture in pixels, both even. Raises ValueError."""
        if height < 2 or width < 2 or height % 2 or width % 2:
            raise ValueError(f"a model picture of {width}x{height}: both sides must be even")
        self._height, self._width, self._crop = height, width, crop
        # Planes, shown as [height, width, 3]: half of the runtimes want planes.
        self._rgb: Bytes8 = np.zeros((3, height, width), np.uint8)
        pairs = (height // 2, 2, width)
        self._luma, self._rest = np.zeros(pairs, np.int16), np.zeros(pairs, np.int16)
        self._full = np.zeros(pairs, np.int16)
        self._spread = np.zeros((2, height // 2, width), np.int16)
        self._mixed = np.zeros((height // 2, 1, width), np.int16)
        self._part_mixed = np.zeros((height // 2, 1, width), np.int16)
        self._key: tuple[int, int, Rect] | None = None
        self._part = Rect(0, 0, 2, 2)
        self._scale_luma = self._scale_chroma = _AreaScale(1, 2, 2, 2, 2)

    def prepare(self, i420: Any, frame_width: int, frame_height: int, active: Rect) -> Bytes8:
        """RGB uint8 [height, width, 3] of one frame; the array is reused by the next call.

        `i420`: any buffer of frame_width * frame_height * 3 / 2 bytes (Y, then U, then V, no row
        padding). `active`: where the picture lies in the frame, the rest being bars. Raises
        ValueError when the buffer's size or the rectangle does not agree with the frame.
        """
        if frame_width < 2 or frame_height < 2 or frame_width % 2 or frame_height % 2:
            raise ValueError(f"a frame of {frame_width}x{frame_height}: I420 has even sides")
        raw = np.frombuffer(i420, np.uint8)
        pixels = frame_width * frame_height
        if raw.size != pixels * 3 // 2:
            raise ValueError(
                f"{raw.size} bytes are no I420 frame of {frame_width}x{frame_height}"
                f" ({pixels * 3 // 2})"
            )
        self._aim(frame_width, frame_height, active)
        part = self._part
        luma = raw[:pixels].reshape(frame_height, frame_width)
        chroma = raw[pixels:].reshape(2, frame_height // 2, frame_width // 2)
        rows = slice(part.y, part.y + part.height)
        columns = slice(part.x, part.x + part.width)
        half_rows = slice(part.y // 2, (part.y + part.height) // 2)
        half_columns = slice(part.x // 2, (part.x + part.width) // 2)
        return self._to_rgb(
            self._scale_luma.scale(luma[None, rows, columns]).reshape(self._luma.shape),
            self._scale_chroma.scale(chroma[:, half_rows, half_columns]),
        )

    def _aim(self, frame_width: int, frame_height: int, active: Rect) -> None:
        key = (frame_width, frame_height, active)
        if key == self._key:
            return
        if not Rect(0, 0, frame_width, frame_height).holds(active):
            raise ValueError(f"{active} lies outside a frame of {frame_width}x{frame_height}")
        part = crop_of(active, self._width, self._height, self._crop)
        half = (part.height // 2, part.width // 2, self._height // 2, self._width // 2)
        self._scale_luma = _AreaScale(1, part.height, part.width, self._height, self._width)
        self._scale_chroma = _AreaScale(2, *half)
        self._part, self._key = part, key

    def _to_rgb(self, luma: Bytes8, chroma: Bytes8) -> Bytes8:
        """BT.601 in 16 bits: (298 y + 409 v + 128) >> 8 is y + v + ((42 y + 153 v + 128) >> 8),
        since 298 = 256 + 42 and 409 = 256 + 153; the rest never leaves 16 bits. Green and blue
        alike."""
        np.subtract(luma, 16, out=self._luma, dtype=np.int16)
        np.multiply(self._luma, 42, out=self._rest)
        np.add(self._rest, 128, out=self._rest)
        # Columns are written out to the width of the luma, rows stay pairs.
        self._spread[:, :, 0::2] = chroma
        self._spread[:, :, 1::2] = chroma
        np.subtract(self._spread, 128, out=self._spread)
        for channel, whole, rest in zip(self._rgb, _WHOLE, _REST, strict=True):
            full = self._full
            self._mix(rest)
            np.add(self._rest, self._mixed, out=full)
            np.right_shift(full, 8, out=full)
            np.add(full, self._luma, out=full)
            self._mix(whole)
            np.add(full, self._mixed, out=full)
            np.clip(full, 0, 255, out=full)
            channel[:] = full.reshape(self._height, self._width)
        return self._rgb.transpose(1, 2, 0)

    def _mix(self, weights: tuple[int, int]) -> None:
        """`_mixed` becomes the weighted sum of blue and red."""
        (blue, red), (of_blue, of_red), mixed = self._spread[:, :, None, :], weights, self._mixed
        if of_blue and of_red:
            np.multiply(blue, of_blue, out=mixed)
            np.multiply(red, of_red, out=self._part_mixed)
            np.add(mixed, self._part_mixed, out=mixed)
        else:
            np.multiply(blue if of_blue else red, of_blue or of_red, out=mixed)


class _AreaScale:
    """Scales planes by area: each output pixel is the mean of the input area under it, rounded half
    up, exactly: sums of bytes with whole weights, whatever the two sizes.

    No matrix product: the threads of a BLAS library go on spinning between two frames.
    """

    def __init__(
        self, planes: int, height: int, width: int, out_height: int, out_width: int
    ) -> None:
        down, across = math.gcd(height, out_height), math.gcd(width, out_width)
        self._area = (height // down) * (width // across)
        tall, all_ = _holds(height // down), _holds(self._area)
        self._down = _Axis(height, out_height, tall)
        self._across = _Axis(width, out_width, all_)
        self._wide = np.zeros((planes, height, width), tall)
        self._by_row = np.zeros((planes, out_height, width), tall)
        # Turned, so that what is added up lies in whole rows again.
        self._turned = np.zeros((planes, width, out_height), all_)
        self._sum = np.zeros((planes, out_width, out_height), all_)
        self._row_scratch, self._scratch = np.zeros_like(self._by_row), np.zeros_like(self._sum)
        self._out: Bytes8 = np.zeros((planes, out_height, out_width), np.uint8)

    def scale(self, planes: Bytes8) -> Bytes8:
        """uint8 [planes, out_height, out_width] of uint8 [planes, height, width]; reused by the
        next call."""
        self._wide[:] = planes
        self._down.add_up(self._wide, self._by_row, self._row_scratch)
        self._turned[:] = self._by_row.transpose(0, 2, 1)
        self._across.add_up(self._turned, self._sum, self._scratch)
        np.add(self._sum, self._area // 2, out=self._sum)
        np.floor_divide(self._sum, self._area, out=self._sum)
        self._out[:] = self._sum.transpose(0, 2, 1)
        return self._out


class _Axis:
    """Weights along one axis. In shortest terms `p` input cells make `q` output cells, so an output
    cell is p parts wide and an input cell q; the parts that both have are the weight."""

    def __init__(
        self, length: int, out_length: int, kind: type[np.uint16] | type[np.uint32]
    ) -> None:
        common = math.gcd(length, out_length)
        p, q = length // common, out_length // common
        begins = np.arange(out_length) * p
        # (input cell, weight) of every output cell; where some have one cell less: weight 0.
        # A weight of None: 1 everywhere.
        self._taps: list[tuple[NDArray[np.intp], NDArray[Any] | None]] = []
        for cells in begins // q + np.arange(p // q + 2)[:, None]:
            shared = np.minimum(begins + p, (cells + 1) * q) - np.maximum(begins, cells * q)
            if (shared > 0).any():
                index = np.minimum(cells, length - 1).astype(np.intp)
                weight = np.maximum(shared, 0).astype(kind)[:, None]
                self._taps.append((index, None if (weight == 1).all() else weight))

    def add_up(self, cells: NDArray[Any], out: NDArray[Any], scratch: NDArray[Any]) -> None:
        """`out` [planes, out_length, m]: the weighted sums of `cells` [planes, length, m]."""
        for number, (index, weight) in enumerate(self._taps):
            target = scratch if number else out
            np.take(cells, index, axis=1, out=target, mode="clip")
            if weight is not None:
                np.multiply(target, weight, out=target)
            if number:
                np.add(out, scratch, out=out)


def _holds(parts: int) -> type[np.uint16] | type[np.uint32]:
    """A type that a sum of `parts` bytes fits into."""
    return np.uint16 if parts * 255 < 1 << 16 else np.uint32
