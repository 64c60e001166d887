"""From I420 to the model's picture: geometry, colours, and bytes that are the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.core.picture import Rect
from agent.core.preprocess import PicturePreparer

WIDTH, HEIGHT = 640, 360
WHOLE = Rect(0, 0, WIDTH, HEIGHT)


def i420(luma: int, u: int = 128, v: int = 128) -> NDArray[np.uint8]:
    frame = np.empty(WIDTH * HEIGHT * 3 // 2, np.uint8)
    frame[: WIDTH * HEIGHT] = luma
    chroma = frame[WIDTH * HEIGHT :].reshape(2, -1)
    chroma[0], chroma[1] = u, v
    return frame


@pytest.mark.parametrize(
    ("yuv", "rgb"),
    [
        ((16, 128, 128), (0, 0, 0)),
        ((235, 128, 128), (255, 255, 255)),
        ((81, 90, 240), (255, 0, 0)),
        ((145, 54, 34), (0, 255, 0)),
        ((41, 240, 110), (0, 0, 255)),
    ],
)
def test_primary_colours_come_out_as_themselves(
    yuv: tuple[int, int, int], rgb: tuple[int, int, int]
) -> None:
    picture = PicturePreparer(120, 160, "centre").prepare(i420(*yuv), WIDTH, HEIGHT, WHOLE)
    assert np.abs(picture.astype(int) - np.array(rgb)).max() <= 2


def test_a_picture_has_the_models_shape_and_type() -> None:
    picture = PicturePreparer(96, 160, "stretch").prepare(i420(100), WIDTH, HEIGHT, WHOLE)
    assert picture.shape == (96, 160, 3)
    assert picture.dtype == np.uint8


def test_bars_outside_the_active_rectangle_are_not_seen() -> None:
    frame = i420(16)
    frame[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)[:, 80:560] = 235
    picture = PicturePreparer(120, 160, "centre").prepare(
        frame, WIDTH, HEIGHT, Rect(80, 0, 480, 360)
    )
    assert picture.min() == 255


def test_whole_factors_give_the_rounded_mean_of_the_area() -> None:
    random = np.random.default_rng(1)
    frame = i420(0)
    luma = random.integers(16, 236, (HEIGHT, WIDTH), dtype=np.uint8)
    frame[: WIDTH * HEIGHT] = luma.reshape(-1)
    picture = PicturePreparer(120, 160, "centre").prepare(frame, WIDTH, HEIGHT, WHOLE)
    part = luma[:, 80:560].reshape(120, 3, 160, 3).astype(np.int64)
    mean = (part.sum(axis=(1, 3)) + 4) // 9
    grey = np.clip((298 * (mean - 16) + 128) >> 8, 0, 255)
    assert np.array_equal(picture[:, :, 1], grey)


def test_other_factors_are_close_to_the_mean_of_the_area() -> None:
    ramp = np.tile(np.linspace(16, 235, WIDTH).astype(np.uint8), HEIGHT)
    frame = i420(0)
    frame[: WIDTH * HEIGHT] = ramp
    picture = PicturePreparer(100, 150, "stretch").prepare(frame, WIDTH, HEIGHT, WHOLE)
    expected = (np.arange(150) + 0.5) / 150 * 255
    assert np.abs(picture[50, :, 0] - expected).max() < 3


def test_the_same_frame_gives_the_same_bytes_after_another_geometry() -> None:
    preparer = PicturePreparer(120, 160, "centre")
    frame = np.random.default_rng(2).integers(0, 256, WIDTH * HEIGHT * 3 // 2, dtype=np.uint8)
    first = preparer.prepare(frame, WIDTH, HEIGHT, WHOLE).copy()
    preparer.prepare(frame, WIDTH, HEIGHT, Rect(100, 20, 202, 300))
    assert np.array_equal(preparer.prepare(frame.tobytes(), WIDTH, HEIGHT, WHOLE), first)


def test_a_frame_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="no I420 frame"):
        PicturePreparer(120, 160, "centre").prepare(b"abc", WIDTH, HEIGHT, WHOLE)


def test_an_active_rectangle_outside_the_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        PicturePreparer(120, 160, "centre").prepare(i420(16), WIDTH, HEIGHT, Rect(600, 0, 100, 360))


def test_an_odd_model_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        PicturePreparer(121, 160, "centre")


def test_other_factors_weigh_the_cells_that_two_pixels_share() -> None:
    frame = i420(0)
    luma = np.random.default_rng(3).integers(16, 236, (HEIGHT, WIDTH), dtype=np.uint8)
    frame[: WIDTH * HEIGHT] = luma.reshape(-1)
    picture = PicturePreparer(100, 150, "stretch").prepare(frame, WIDTH, HEIGHT, WHOLE)
    # 360 / 100 = 3.6 rows and 640 / 150 = 4.27 columns to the first pixel.
    rows = np.array([1, 1, 1, 0.6])
    columns = np.array([1, 1, 1, 1, 4 / 15])
    mean = int((rows @ luma[:4, :5] @ columns) / (rows.sum() * columns.sum()) + 0.5)
    assert picture[0, 0, 1] == np.clip((298 * (mean - 16) + 128) >> 8, 0, 255)


@pytest.mark.parametrize(("height", "width"), [(28, 48), (24, 40), (36, 64), (44, 70), (18, 16)])
def test_any_size_gives_exactly_the_rounded_mean_of_the_area(height: int, width: int) -> None:
    luma = np.random.default_rng(4).integers(16, 236, (36, 64), dtype=np.uint8)
    frame = np.full(36 * 64 * 3 // 2, 128, np.uint8)
    frame[: 36 * 64] = luma.reshape(-1)
    picture = PicturePreparer(height, width, "stretch").prepare(frame, 64, 36, Rect(0, 0, 64, 36))
    # Every input pixel as height x width parts; an output pixel is 36 x 64 of them.
    parts = luma.repeat(height, axis=0).repeat(width, axis=1).astype(np.int64)
    sums = parts.reshape(height, 36, width, 64).sum(axis=(1, 3))
    mean = (2 * sums + 36 * 64) // (2 * 36 * 64)
    assert np.array_equal(picture[:, :, 1], np.clip((298 * (mean - 16) + 128) >> 8, 0, 255))
