"""From a low-resolution I420 frame to the model's picture: crop, scale by area, convert to RGB.

Plain numpy in integers, so that every machine makes the very same bytes of a frame and the
tagger needs no picture library in its memory. Colours are BT.601, limited range.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.core.picture import Crop, Rect, crop_of

Bytes8: TypeAlias = NDArray[np.uint8]
_ROUND = 128


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
        self._rgb: Bytes8 = np.zeros((height, width, 3), np.uint8)
        self._luma = np.zeros((height, width), np.int32)
        self._term = np.zeros((height, width), np.int32)
        self._full = np.zeros((height, width), np.int32)
        self._key: tuple[int, int, Rect] | None = None
        self._part = Rect(0, 0, 2, 2)
        self._scale_luma = _AreaScale(2, 2, 2, 2)
        self._scale_u = self._scale_v = self._scale_luma

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
            self._scale_luma.scale(luma[rows, columns]),
            self._scale_u.scale(chroma[0, half_rows, half_columns]),
            self._scale_v.scale(chroma[1, half_rows, half_columns]),
        )

    def _aim(self, frame_width: int, frame_height: int, active: Rect) -> None:
        key = (frame_width, frame_height, active)
        if key == self._key:
            return
        if not Rect(0, 0, frame_width, frame_height).holds(active):
            raise ValueError(f"{active} lies outside a frame of {frame_width}x{frame_height}")
        part = crop_of(active, self._width, self._height, self._crop)
        half = (part.height // 2, part.width // 2, self._height // 2, self._width // 2)
        self._scale_luma = _AreaScale(part.height, part.width, self._height, self._width)
        self._scale_u, self._scale_v = _AreaScale(*half), _AreaScale(*half)
        self._part, self._key = part, key

    def _to_rgb(self, luma: Bytes8, u: Bytes8, v: Bytes8) -> Bytes8:
        np.subtract(luma, 16, out=self._luma, dtype=np.int32)
        np.multiply(self._luma, 298, out=self._luma)
        np.add(self._luma, _ROUND, out=self._luma)
        blue = u.astype(np.int32) - 128
        red = v.astype(np.int32) - 128
        for channel, term in enumerate((409 * red, -100 * blue - 208 * red, 516 * blue)):
            spread = self._term
            spread[0::2, 0::2] = term
            spread[0::2, 1::2] = term
            spread[1::2] = spread[0::2]
            np.add(self._luma, spread, out=self._full)
            np.right_shift(self._full, 8, out=self._full)
            np.clip(self._full, 0, 255, out=self._full)
            self._rgb[:, :, channel] = self._full
        return self._rgb


class _AreaScale:
    """Scales one plane by area: each output pixel is the mean of the input area under it.

    Whole factors (the usual case) are summed in integers, other factors go through running sums.
    """

    def __init__(self, height: int, width: int, out_height: int, out_width: int) -> None:
        self._factors = (height // out_height, width // out_width)
        whole = height % out_height == 0 and width % out_width == 0
        # A sum of f_y * f_x bytes must fit 16 bits.
        self._exact = whole and self._factors[0] * self._factors[1] <= 256
        self._out: Bytes8 = np.zeros((out_height, out_width), np.uint8)
        if self._exact:
            self._by_row = np.zeros((out_height, width), np.uint16)
            self._sum = np.zeros((out_height, out_width), np.uint16)
        else:
            self._down = _AreaMeans(height, out_height)
            self._across = _AreaMeans(width, out_width)

    def scale(self, plane: Bytes8) -> Bytes8:
        """uint8 [out_height, out_width] of uint8 [height, width]; reused by the next call."""
        if self._exact:
            return self._scale_exact(plane)
        mean = self._across.of(self._down.of(plane.astype(np.float64)).T).T
        self._out[:] = np.clip(mean + 0.5, 0, 255)
        return self._out

    def _scale_exact(self, plane: Bytes8) -> Bytes8:
        down, across = self._factors
        self._by_row[:] = plane[0::down]
        for row in range(1, down):
            np.add(self._by_row, plane[row::down], out=self._by_row)
        self._sum[:] = self._by_row[:, 0::across]
        for column in range(1, across):
            np.add(self._sum, self._by_row[:, column::across], out=self._sum)
        area = down * across
        np.add(self._sum, area // 2, out=self._sum)
        np.floor_divide(self._sum, area, out=self._sum)
        self._out[:] = self._sum
        return self._out


class _AreaMeans:
    """Means over equal, fractional shares of the first axis, from running sums.

    No matrix product: the threads of a BLAS library go on spinning between two frames.
    """

    def __init__(self, length: int, out_length: int) -> None:
        edges = np.arange(out_length + 1, dtype=np.float64) * (length / out_length)
        self._whole = np.minimum(edges.astype(np.int64), length - 1)
        self._part = (edges - self._whole)[:, None]
        self._share = length / out_length

    def of(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [out_length, n] of [length, n]."""
        before = np.cumsum(cells, axis=0)[self._whole] - cells[self._whole]
        at_edges = before + self._part * cells[self._whole]
        means: NDArray[np.float64] = np.diff(at_edges, axis=0) / self._share
        return means
