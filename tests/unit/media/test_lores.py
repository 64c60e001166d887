from __future__ import annotations

import itertools

import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from agent.core.picture import Rect
from agent.media.lores import I420Fitter, Pacer, PictureFitter
from tests.footage_maker import i420, picture_with_bar

SECOND_NS = 1_000_000_000


def flat(width: int, height: int, luma: int, pixel_format: str = "yuv420p") -> VideoFrame:
    picture = VideoFrame(width, height, pixel_format)
    for index, plane in enumerate(picture.planes):
        plane.update(bytes([luma if index == 0 else 128]) * plane.buffer_size)
    return picture


def planes(content: bytes, width: int, height: int) -> tuple[bytes, bytes, bytes]:
    luma, chroma = width * height, width * height // 4
    return content[:luma], content[luma : luma + chroma], content[luma + chroma :]


def test_a_picture_of_the_right_size_is_packed_and_nothing_else() -> None:
    content, active = PictureFitter(66, 50).fit(picture_with_bar(66, 50, 3))
    assert active == Rect(0, 0, 66, 50)
    assert content == i420(66, 50, 3)


@pytest.mark.parametrize(
    ("size", "active"),
    [
        ((1280, 720), Rect(0, 0, 640, 360)),
        ((640, 480), Rect(80, 0, 480, 360)),
        ((360, 640), Rect(218, 0, 202, 360)),
        ((1920, 800), Rect(0, 46, 640, 266)),
        ((32, 18), Rect(0, 0, 640, 360)),
    ],
)
def test_the_aspect_is_kept_and_the_rest_is_black(size: tuple[int, int], active: Rect) -> None:
    content, where = PictureFitter(640, 360).fit(flat(*size, luma=200))
    assert where == active
    luma, u, v = planes(content, 640, 360)
    for row in range(360):
        inside_rows = where.y <= row < where.y + where.height
        line = luma[row * 640 : (row + 1) * 640]
        width = where.width if inside_rows else 0
        expected = b"\x10" * where.x + b"\xc8" * width
        assert line == expected + b"\x10" * (640 - len(expected))
    assert set(u + v) == {128}


def test_chroma_lands_under_its_luma() -> None:
    picture = VideoFrame(640, 480, "yuv420p")
    for plane, value in zip(picture.planes, (100, 60, 200), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    content, active = PictureFitter(640, 360).fit(picture)
    _, u, v = planes(content, 640, 360)
    left, width = active.x // 2, active.width // 2
    assert u[:320] == b"\x80" * left + b"\x3c" * width + b"\x80" * (320 - left - width)
    assert set(v) == {128, 200}


def test_full_range_becomes_limited_range() -> None:
    content, _ = PictureFitter(640, 360).fit(flat(640, 360, luma=255, pixel_format="yuvj420p"))
    luma, _, _ = planes(content, 640, 360)
    assert 233 <= min(luma) <= max(luma) <= 236


def test_other_pixel_formats_become_i420() -> None:
    content, _ = PictureFitter(64, 48).fit(flat(64, 48, luma=90, pixel_format="yuv444p"))
    assert set(planes(content, 64, 48)[0]) == {90}
    assert len(content) == 64 * 48 * 3 // 2


def test_pictures_of_changing_size_fit_one_after_the_other() -> None:
    fitter = PictureFitter(64, 48)
    for size in ((64, 48), (128, 48), (32, 32), (64, 48)):
        content, _ = fitter.fit(flat(*size, luma=50))
        assert len(content) == 64 * 48 * 3 // 2


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        PictureFitter(641, 360)


def picks(source_hz: float, rate_hz: float, seconds: int) -> list[int]:
    pacer = Pacer(rate_hz, round(SECOND_NS / source_hz))
    frames = range(round(source_hz * seconds))
    return [n for n in frames if pacer.is_due(10**15 + int(n * SECOND_NS / source_hz))]


def test_frames_are_picked_at_the_rate_without_drift() -> None:
    assert len(picks(35.0, 15.0, 4 * 3600)) == 15 * 4 * 3600


def test_half_the_source_rate_picks_every_second_frame_in_spite_of_rounding() -> None:
    assert picks(30.0, 15.0, 60) == list(range(0, 1800, 2))


def test_a_slow_source_gives_every_frame() -> None:
    assert picks(10.0, 15.0, 10) == list(range(100))


@given(
    rate_hz=st.floats(0.5, 60),
    steps=st.lists(st.integers(1_000_000, 3 * SECOND_NS), min_size=1, max_size=200),
)
def test_never_more_than_the_rate_but_for_a_quarter_of_a_source_period(
    rate_hz: float, steps: list[int]
) -> None:
    period_ns = 30_000_000
    pacer = Pacer(rate_hz, period_ns)
    pts = [5 * SECOND_NS, *(5 * SECOND_NS + offset for offset in itertools.accumulate(steps))]
    due = sum(pacer.is_due(pts_ns) for pts_ns in pts)
    slots = (pts[-1] - pts[0] + period_ns // 4) / SECOND_NS * rate_hz
    assert due <= slots + 1 + 1e-6


def padded(
    content: bytes, width: int, height: int, pad: int
) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """The same picture with `pad` bytes behind each row, and where its planes lie."""
    found, layout = bytearray(), []
    for plane, half in zip(planes(content, width, height), (1, 2, 2), strict=True):
        layout.append((len(found), width // half + pad))
        for row in range(height // half):
            start = row * (width // half)
            found += plane[start : start + width // half] + b"\xaa" * pad
    return bytes(found), tuple(layout)


def test_padding_behind_the_rows_is_left_out() -> None:
    content, layout = padded(i420(66, 50, 3), 66, 50, 14)
    fitted, active = I420Fitter(66, 50).fit(content, 66, 50, layout)
    assert fitted == i420(66, 50, 3)
    assert active == Rect(0, 0, 66, 50)


def test_i420_of_another_size_is_fitted_like_a_picture() -> None:
    expected = PictureFitter(640, 360).fit(picture_with_bar(320, 240, 5))
    assert I420Fitter(640, 360).fit(i420(320, 240, 5), 320, 240) == expected


def test_i420_may_change_its_size() -> None:
    fitter = I420Fitter(64, 36)
    for width, height in ((320, 240), (32, 18), (320, 240)):
        _, active = fitter.fit(i420(width, height, 1), width, height)
        assert active.width in (48, 64)


def test_too_few_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="no I420 of 66x50"):
        I420Fitter.packed(b"\x00" * 100, 66, 50)
    with pytest.raises(ValueError, match="no I420 of 66x50"):
        I420Fitter.packed(b"\x00" * 4000, 66, 50, ((0, 80), (4000, 40), (5000, 40)))
