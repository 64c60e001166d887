"""Degradations: repeatable, as many pictures as before, and each does what it is named for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.core.picture import Rect
from models.reference.clips import with_bars
from models.reference.realism import DEGRADATIONS, STRENGTHS, Strength, degrade

ACTIVE = Rect(80, 0, 480, 360)
COUNT = 6


def scene() -> Iterator[tuple[Rect, NDArray[np.uint8]]]:
    """A checkerboard with a grain that moves to the right, grey on light grey."""
    rows, columns = np.mgrid[0:360, 0:480]
    grain = np.random.default_rng(3).integers(-30, 30, (360, 480))
    for number in range(COUNT):
        luma = 80 + 90 * (((rows // 40) + ((columns - 6 * number) // 40)) % 2)
        luma = luma + np.roll(grain, 6 * number, axis=1)
        planes = np.full((540, 480), 128, np.uint8)
        planes[:360] = luma
        yield ACTIVE, with_bars(planes, ACTIVE)


def degraded(name: str, strength: Strength, seed: int = 1) -> list[NDArray[np.uint8]]:
    return list(degrade(name, strength, scene(), rate_hz=30.0, seed=seed))


def luma(frames: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    return np.stack([frame[:360, 80:560] for frame in frames]).astype(np.float64)


PLAIN = luma([frame for _, frame in scene()])


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_each_gives_the_same_for_the_same_seed_and_strong_is_worse_than_mild(name: str) -> None:
    off = {}
    for strength in STRENGTHS:
        frames = degraded(name, strength)
        assert len(frames) == COUNT
        assert all((frame[:360, :80] == 16).all() for frame in frames)
        again = degraded(name, strength)
        assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))
        off[strength] = float(np.abs(luma(frames) - PLAIN).mean())
    assert off["mild"] > 0.5
    # Turned further, a regular pattern need not differ more.
    assert off["strong"] > (0.5 if name == "tilt" else off["mild"])


def test_dark_pictures_are_darker_and_noisy() -> None:
    dark = luma(degraded("dark", "strong"))
    assert dark.mean() < 0.8 * PLAIN.mean()
    cell = slice(5, 35), slice(5, 35)
    assert dark[0][cell].std() > 1.1 * PLAIN[0][cell].std()


def test_a_low_bitrate_is_real_h264_and_hunting_changes_brightness_over_time() -> None:
    coded = luma(degraded("bitrate", "strong"))
    assert 1 < np.abs(coded - PLAIN).mean() < 40
    levels = luma(degraded("hunting", "strong")).mean(axis=(1, 2))
    assert levels.max() - levels.min() > 3
