"""Rectangles: fitted pictures and crops stay inside, even and of the right shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.picture import Rect, crop_of, fit_inside

SIDES = st.integers(16, 4000)


def test_a_4_3_picture_is_fitted_into_16_9_with_bars_left_and_right() -> None:
    assert fit_inside(640, 480, 640, 360) == Rect(80, 0, 480, 360)


def test_a_16_9_picture_fills_a_16_9_frame() -> None:
    assert fit_inside(1280, 720, 640, 360) == Rect(0, 0, 640, 360)


def test_a_portrait_picture_is_fitted_with_bars() -> None:
    fitted = fit_inside(720, 1280, 640, 360)
    assert (fitted.height, fitted.width) == (360, 202)


def test_centre_crop_of_a_full_frame_is_the_largest_4_3_rectangle() -> None:
    assert crop_of(Rect(0, 0, 640, 360), 160, 120, "centre") == Rect(80, 0, 480, 360)


def test_centre_crop_of_a_4_3_picture_takes_all_of_it() -> None:
    assert crop_of(Rect(80, 0, 480, 360), 160, 120, "centre") == Rect(80, 0, 480, 360)


def test_stretch_takes_all_of_the_active_rectangle() -> None:
    assert crop_of(Rect(0, 10, 640, 340), 160, 120, "stretch") == Rect(0, 10, 640, 340)


def test_an_unknown_crop_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown crop"):
        crop_of(Rect(0, 0, 64, 64), 16, 16, "zoom")  # type: ignore[arg-type]


def test_a_rectangle_without_a_whole_chroma_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="pixels"):
        crop_of(Rect(0, 0, 1, 64), 16, 16, "centre")


@given(SIDES, SIDES)
def test_a_fitted_picture_lies_inside_and_is_even(width: int, height: int) -> None:
    fitted = fit_inside(width, height, 640, 360)
    assert Rect(0, 0, 640, 360).holds(fitted)
    assert all(n % 2 == 0 for n in (fitted.x, fitted.y, fitted.width, fitted.height))
    assert fitted.width >= 2
    assert fitted.height >= 2


@given(
    st.integers(0, 100), st.integers(0, 100), st.integers(4, 500), st.integers(4, 500), SIDES, SIDES
)
def test_a_crop_lies_inside_the_active_rectangle_and_is_even(
    x: int, y: int, width: int, height: int, out_width: int, out_height: int
) -> None:
    active = Rect(x, y, width, height)
    for crop in ("centre", "stretch"):
        part = crop_of(active, out_width, out_height, crop)  # type: ignore[arg-type]
        assert active.holds(part)
        assert all(n % 2 == 0 for n in (part.x, part.y, part.width, part.height))
