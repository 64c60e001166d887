"""What a body camera does to a picture, drawn anew for each training sequence. OpenCV, bytes.

Geometry, optics and light are drawn once a sequence, so that motion and flashes stay true; noise
and the moving exposure differ from frame to frame. No hue change: roles differ by colour alone.
The picture's centre stays where it is: the sights are there.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.reference.boxes import SQUARE

Pictures = NDArray[np.uint8]
_NOISE_SPARE = 32


class Variation:
    """Varies sequences of pictures of one size; the draws are the caller's."""

    def __init__(self, height: int, width: int) -> None:
        self._size = (height, width)
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        self._x = (columns - (width - 1) / 2) / (width / 2)
        self._y = (rows - (height - 1) / 2) / (height / 2)
        shape = (4, height + _NOISE_SPARE, width + _NOISE_SPARE, 3)
        self._noise = np.random.default_rng(7).standard_normal(shape, np.float32)

    def vary(
        self, pictures: Pictures, boxes: NDArray[np.uint8], draw: np.random.Generator
    ) -> tuple[Pictures, NDArray[np.uint8]]:
        """The varied sequence and its boxes moved along.

        `pictures` uint8 [n, height, width, 3], `boxes` uint8 [n, height / 4, width / 4] for a
        picture of the recipe's size (another size of `pictures` is scaled from it).
        """
        moved, boxes = self._move(pictures, boxes, draw)
        toned = self._tone(moved, draw)
        return self._degrade(toned, draw), boxes

    def _move(
        self, pictures: Pictures, boxes: NDArray[np.uint8], draw: np.random.Generator
    ) -> tuple[Pictures, NDArray[np.uint8]]:
        """Flip, tilt, zoom, lens barrel and the lean of a rolling shutter, in one resampling."""
        height, width = self._size
        angle = draw.normal(0.0, 0.04) if draw.random() < 0.9 else draw.uniform(-0.25, 0.25)
        zoom, stretch = draw.uniform(0.88, 1.08), draw.uniform(0.9, 1.1)
        barrel = draw.uniform(-0.03, 0.12) if draw.random() < 0.6 else 0.0
        lean = draw.uniform(-0.08, 0.08) if draw.random() < 0.25 else 0.0
        flip = -1.0 if draw.random() < 0.5 else 1.0
        shape = 1.0 + barrel * (self._x**2 + self._y**2)
        aspect = width / height
        cos, sin = float(np.cos(angle)) * zoom, float(np.sin(angle)) * zoom
        x = flip * (cos * stretch * self._x - sin / aspect * self._y) * shape + lean * self._y
        y = (sin * aspect * self._x + cos * self._y) * shape
        map_x = x * (width / 2) + (width - 1) / 2
        map_y = y * (height / 2) + (height - 1) / 2
        edge = cv2.BORDER_REPLICATE if draw.random() < 0.7 else cv2.BORDER_CONSTANT
        moved = [cv2.remap(p, map_x, map_y, cv2.INTER_LINEAR, borderMode=edge) for p in pictures]
        rows, columns = boxes.shape[1:]
        coarse_x = cv2.resize(map_x, (columns, rows), interpolation=cv2.INTER_AREA)
        coarse_y = cv2.resize(map_y, (columns, rows), interpolation=cv2.INTER_AREA)
        coarse_x = (coarse_x + 0.5) * (columns / width) - 0.5
        coarse_y = (coarse_y + 0.5) * (rows / height) - 0.5
        followed = [cv2.remap(b, coarse_x, coarse_y, cv2.INTER_NEAREST) for b in boxes]
        return np.stack(moved), np.stack(followed)

    def _tone(self, pictures: Pictures, draw: np.random.Generator) -> Pictures:
        """Exposure (hunting from frame to frame), gamma, cast, saturation, low light."""
        gain, dark = draw.uniform(0.75, 1.3), draw.random() < 0.08
        if dark:
            gain = draw.uniform(0.25, 0.6)
        gamma, offset = float(np.exp(draw.uniform(-0.3, 0.3))), draw.uniform(-0.06, 0.08)
        cast = draw.uniform(0.93, 1.07, 3)
        hunt = draw.normal(0.0, 0.06, len(pictures)) if draw.random() < 0.3 else None
        saturation = draw.uniform(0.65, 1.25)
        mix = np.full((3, 3), (1.0 - saturation) / 3.0, np.float32)
        mix[np.diag_indices(3)] += np.float32(saturation)
        level = np.arange(256, dtype=np.float32)[:, None] / 255.0
        out = np.empty_like(pictures)
        for i, picture in enumerate(pictures):
            now = gain * (1.0 + (0.0 if hunt is None else float(hunt[i])))
            curve = np.clip(level * now * cast + offset, 0.0, 1.0) ** gamma
            table = np.round(curve * 255.0).astype(np.uint8)[:, None]
            out[i] = cv2.LUT(cv2.transform(picture, mix), table)
        return out

    def _degrade(self, pictures: Pictures, draw: np.random.Generator) -> Pictures:
        """Defocus or motion blur, dirt or a partial cover, noise, and a poor encoder."""
        blur = _blur_kernel(draw)
        shade = self._shade(draw) if draw.random() < 0.08 else None
        strength = draw.uniform(1.0, 14.0) if draw.random() < 0.35 else 0.0
        quality = int(draw.integers(8, 50)) if draw.random() < 0.2 else None
        coarse = draw.random() < 0.06
        out = np.empty_like(pictures)
        for i, source in enumerate(pictures):
            picture: Any = source
            if blur is not None:
                picture = cv2.filter2D(picture, -1, blur, borderType=cv2.BORDER_REPLICATE)
            if shade is not None:
                picture = cv2.multiply(picture, shade, dtype=cv2.CV_8U)
            if strength:
                picture = cv2.scaleAdd(self._grain(draw), strength, picture.astype(np.float32))
                picture = np.clip(picture, 0.0, 255.0).astype(np.uint8)
            if coarse:
                picture = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
                picture = cv2.resize(picture, self._size[::-1], interpolation=cv2.INTER_LINEAR)
            if quality is not None:
                _, packed = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
                picture = cv2.imdecode(packed, cv2.IMREAD_COLOR)
            out[i] = picture
        return out

    def _grain(self, draw: np.random.Generator) -> NDArray[np.float32]:
        top, left = (int(n) for n in draw.integers(0, _NOISE_SPARE, 2))
        pool = self._noise[int(draw.integers(len(self._noise)))]
        height, width = self._size
        return np.ascontiguousarray(pool[top : top + height, left : left + width])

    def _shade(self, draw: np.random.Generator) -> NDArray[np.float32]:
        """float32 [h, w, 3] in 0..1: soft spots, or cloth over one edge."""
        height, width = self._size
        shade = np.ones((height // SQUARE, width // SQUARE), np.float32)
        rows, columns = shade.shape
        if draw.random() < 0.4:
            depth = draw.uniform(0.1, 0.35)
            side = int(draw.integers(3))
            if side == 0:
                shade[: int(rows * depth)] = 0.05
            elif side == 1:
                shade[:, : int(columns * depth)] = 0.05
            else:
                shade[:, columns - int(columns * depth) :] = 0.05
        for _ in range(int(draw.integers(1, 5))):
            centre = (int(draw.integers(columns)), int(draw.integers(rows)))
            axes = (int(draw.integers(1, 6)), int(draw.integers(1, 5)))
            cv2.ellipse(shade, centre, axes, 0.0, 0.0, 360.0, draw.uniform(0.2, 0.8), -1)
        soft = cv2.GaussianBlur(shade, (0, 0), 1.0)
        wide = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.repeat(wide[:, :, None], 3, axis=2)


def _blur_kernel(draw: np.random.Generator) -> NDArray[np.float32] | None:
    choice = draw.random()
    if choice < 0.15:
        soft = cv2.getGaussianKernel(5, draw.uniform(0.5, 1.3), cv2.CV_32F)
        return np.asarray(soft @ soft.T, np.float32)
    if choice < 0.35:
        length, angle = float(draw.uniform(2.0, 9.0)), float(draw.uniform(0.0, np.pi))
        kernel = np.zeros((9, 9), np.float32)
        across, down = np.cos(angle) * length / 2, np.sin(angle) * length / 2
        ends = [(round(4 + s * across), round(4 + s * down)) for s in (-1, 1)]
        cv2.line(kernel, ends[0], ends[1], 1.0, 1)
        return kernel / kernel.sum()
    return None
