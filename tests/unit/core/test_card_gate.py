from __future__ import annotations

import numpy as np
import pytest

from agent.core.card_gate import MOST_AREAS, card_areas
from tests.card_maker import lores

TEXT = "SL1" + "7BM2W5-PDQTVQBTAGNR" * 8
EMPTY = np.full((360, 640), 90, np.uint8)


@pytest.mark.parametrize("code_px", [80, 110, 140, 180, 240])
@pytest.mark.parametrize("tilt", [0.0, 0.25])
def test_area_of_a_card_holds_its_whole_code(code_px: int, tilt: float) -> None:
    areas = card_areas(lores(TEXT, code_px=code_px, tilt=tilt))
    assert areas
    # The code lies around the middle column, in the upper part of its page.
    assert areas[0].x <= 320 - code_px / 2 + 2
    assert areas[0].x + areas[0].width >= 320 + code_px / 2 - 2
    assert areas[0].width < 640


def test_plain_picture_noise_and_single_edges_have_no_area() -> None:
    rng = np.random.default_rng(3)
    noisy = np.clip(EMPTY + rng.normal(0, 3, EMPTY.shape), 0, 255).astype(np.uint8)
    edges = EMPTY.copy()
    edges[:, ::80] = 255
    edges[::80] = 255
    for picture in (EMPTY, noisy, edges):
        assert card_areas(picture) == []


def test_many_busy_places_are_bounded_and_the_largest_comes_first() -> None:
    rng = np.random.default_rng(4)
    picture = EMPTY.copy()
    for x, side in ((0, 64), (160, 128), (400, 96)):
        picture[32 : 32 + side, x : x + side] = rng.integers(0, 2, (side, side)) * 255
    areas = card_areas(picture)
    assert len(areas) == MOST_AREAS
    assert areas[0].width * areas[0].height > areas[1].width * areas[1].height


@pytest.mark.parametrize("shape", [(2, 2), (15, 640), (17, 33), (360, 640)])
def test_any_size_of_picture_is_looked_at(shape: tuple[int, int]) -> None:
    assert card_areas(np.zeros(shape, np.uint8)) == []
