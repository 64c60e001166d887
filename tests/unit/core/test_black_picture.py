from __future__ import annotations

import pytest

from agent.core.black_picture import BLACK_LUMA, NOTICED_AFTER_S, BlackWatch, is_black
from agent.core.picture import LORES_BYTES, LORES_HEIGHT, LORES_WIDTH, Rect

WHOLE = Rect(0, 0, LORES_WIDTH, LORES_HEIGHT)
SECOND_NS = 10**9


def flat(luma: int) -> bytearray:
    return bytearray([luma]) * LORES_BYTES


@pytest.mark.parametrize("luma", [0, 16, BLACK_LUMA])
def test_a_picture_that_is_black_all_over_is_black(luma: int) -> None:
    assert is_black(bytes(flat(luma)), WHOLE)


def test_a_grey_picture_is_not_black() -> None:
    assert not is_black(bytes(flat(BLACK_LUMA + 1)), WHOLE)


def test_a_lit_window_in_a_dark_room_is_seen() -> None:
    picture = flat(16)
    for row in range(100, 140):
        start = row * LORES_WIDTH + 300
        picture[start : start + 40] = b"\x60" * 40
    assert not is_black(bytes(picture), WHOLE)


def test_the_noise_of_a_sensor_in_the_dark_is_seen() -> None:
    picture = flat(16)
    picture[::7] = b"\x1a" * len(picture[::7])
    assert not is_black(bytes(picture), WHOLE)


def test_bars_beside_the_picture_are_not_looked_at() -> None:
    picture = flat(200)
    for row in range(LORES_HEIGHT):
        picture[row * LORES_WIDTH + 80 : row * LORES_WIDTH + 560] = b"\x10" * 480
    assert is_black(bytes(picture), Rect(80, 0, 480, 360))
    assert not is_black(bytes(picture), WHOLE)


def test_the_smallest_picture_can_be_judged() -> None:
    assert is_black(bytes(flat(16)), Rect(638, 358, 2, 2))


def opened_again_at(seconds: int) -> list[float]:
    """When the watch wants the camera opened, if it sees nothing but black at 10 Hz."""
    watch = BlackWatch()
    return [
        tenth / 10
        for tenth in range(seconds * 10)
        if watch.see(tenth * SECOND_NS // 10, black=True)
    ]


def test_black_is_noticed_at_first_and_then_at_doubling_distances() -> None:
    times = opened_again_at(60)
    assert times[0] == NOTICED_AFTER_S
    assert times == pytest.approx([1.5, 4.6, 10.7, 22.8, 46.9])


def test_the_camera_is_opened_every_five_minutes_at_last() -> None:
    times = opened_again_at(3600)
    assert times[-1] - times[-2] == pytest.approx(300.1)


def test_one_picture_that_shows_something_ends_it() -> None:
    watch = BlackWatch()
    for tenth in range(16):
        watch.see(tenth * SECOND_NS // 10, black=True)
    assert watch.is_black
    watch.see(2 * SECOND_NS, black=False)
    assert not watch.is_black
    assert not watch.see(3 * SECOND_NS, black=True)
    assert watch.see(round(4.5 * SECOND_NS), black=True)


def test_dark_moments_shorter_than_the_patience_are_nothing() -> None:
    watch = BlackWatch()
    for tenth in range(100):
        assert not watch.see(tenth * SECOND_NS // 10, black=tenth % 15 != 0)
    assert not watch.is_black
