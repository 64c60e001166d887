from __future__ import annotations

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.core.lens import LensLook, LensWatch, look_at
from tests.footage_maker import SHIPPED

Luma = NDArray[np.uint8]


def pictures() -> list[Luma]:
    """Of the shipped footage, one a second all along it."""
    with av.open(str(SHIPPED / "07_building_720p.mp4")) as file:
        file.streams.video[0].codec_context.skip_frame = "NONKEY"
        return [
            frame.reformat(640, 360, "gray").to_ndarray().astype(np.uint8)
            for frame in file.decode(video=0)
        ]


def blurred(luma: Luma, radius: int = 9) -> Luma:
    """As through grease: averaged over a square of 2 * radius + 1."""
    size = 2 * radius + 1
    padded = np.pad(luma.astype(np.float64), radius, mode="edge")
    sums = np.pad(padded.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    box = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    return np.asarray(box / size**2).astype(np.uint8)


def judged(looked_at: list[Luma]) -> str:
    watch = LensWatch()
    for luma in looked_at:
        noise = np.random.default_rng(1).normal(0, 1.5, luma.shape)
        watch.add(look_at(np.clip(luma + noise, 0, 255).astype(np.uint8)))
    return watch.lens


def test_footage_is_clear_and_the_same_through_grease_is_blurred() -> None:
    sharp = pictures()
    assert len(sharp) >= 9
    assert judged(sharp) == "clear"
    assert judged([blurred(luma) for luma in sharp]) == "blurred"


@pytest.mark.parametrize("brightness", [0, 16, 90, 250])
def test_cap_on_the_lens_is_covered_whatever_light_comes_through(brightness: int) -> None:
    assert judged([np.full((360, 640), brightness, np.uint8)] * 5) == "covered"


def test_one_bad_picture_proves_nothing() -> None:
    watch = LensWatch()
    assert watch.lens == "unknown"
    for look in [LensLook(80, 0.5)] * 5 + [LensLook(2, 1.0), LensLook(80, 0.05)]:
        watch.add(look)
    assert watch.lens == "clear"
    watch.forget()
    assert watch.lens == "unknown"


@pytest.mark.parametrize("shape", [(4, 4), (5, 7), (361, 641)])
def test_picture_of_any_size_is_looked_at(shape: tuple[int, int]) -> None:
    assert look_at(np.zeros(shape, np.uint8)).spread == 0
