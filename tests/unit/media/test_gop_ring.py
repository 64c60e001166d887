from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import CameraError
from agent.media.gop_ring import PRESS_LATENCY_S, GopRing
from agent.ports.camera import Packet

SECOND_NS = 1_000_000_000
RATE_HZ = 10
PERIOD_NS = SECOND_NS // RATE_HZ


def packet(number: int, *, size: int = 100, gop_frames: int = RATE_HZ) -> Packet:
    return Packet(
        pts_ns=number * PERIOD_NS,
        duration_ns=PERIOD_NS,
        data=bytes(size),
        keyframe=number % gop_frames == 0,
    )


def filled(pre_roll_s: float, frames: int) -> GopRing:
    ring = GopRing(pre_roll_s)
    for number in range(frames):
        ring.push(packet(number))
    return ring


def test_what_is_taken_begins_with_a_keyframe_and_misses_no_packet() -> None:
    ring = filled(3.0, 97)
    taken = ring.take()
    assert taken[0].keyframe
    assert [item.pts_ns for item in taken] == [n * PERIOD_NS for n in range(60, 97)]


def test_press_on_the_grid_gets_exactly_the_pre_roll() -> None:
    taken = filled(3.0, 101).take(10 * SECOND_NS)
    assert taken[0].pts_ns == 7 * SECOND_NS


def test_late_handled_press_still_gets_its_whole_pre_roll() -> None:
    ring = filled(3.0, 100 + round(PRESS_LATENCY_S * RATE_HZ))
    taken = ring.take(10 * SECOND_NS)
    assert taken[0].pts_ns == 7 * SECOND_NS
    assert taken[-1].pts_ns == 10 * SECOND_NS + round(PRESS_LATENCY_S * SECOND_NS) - PERIOD_NS


def test_no_pre_roll_gives_the_gop_of_the_press_so_that_nothing_after_it_is_lost() -> None:
    ring = filled(0.0, 45)
    assert ring.take(39 * PERIOD_NS + 5)[0].pts_ns == 3 * SECOND_NS


def test_ring_not_yet_full_gives_all_it_has() -> None:
    ring = filled(30.0, 25)
    assert ring.ready_s(24 * PERIOD_NS) == pytest.approx(2.4)
    assert len(ring.take()) == 25


def test_ring_is_empty_once_taken() -> None:
    ring = filled(3.0, 30)
    ring.take()
    assert (ring.take(), ring.bytes, ring.ready_s(10**12)) == ([], 0, 0.0)


def test_after_clear_packets_count_only_from_the_next_keyframe() -> None:
    ring = filled(3.0, 15)
    ring.clear()
    for number in range(16, 25):
        ring.push(packet(number))
    assert [item.pts_ns for item in ring.take()] == [n * PERIOD_NS for n in range(20, 25)]


def test_packets_before_the_first_keyframe_are_of_no_use() -> None:
    ring = GopRing(3.0)
    ring.push(packet(5))
    assert ring.take() == []


def test_bytes_are_those_held() -> None:
    assert filled(30.0, 25).bytes == 2500


def test_ready_does_not_count_time_in_which_the_camera_stood_still() -> None:
    ring = filled(30.0, 25)
    assert ring.ready_s(10 * SECOND_NS) == pytest.approx(2.5)


def test_byte_bound_drops_the_oldest_gops_and_counts_them() -> None:
    ring = GopRing(30.0, max_bytes=2500)
    for number in range(55):
        ring.push(packet(number))
    assert ring.bytes <= 2500
    taken = ring.take()
    assert taken[0].keyframe
    assert taken[0].pts_ns == 3 * SECOND_NS
    assert ring.trimmed_by_size == 3


def test_one_gop_above_the_bound_goes_whole_and_the_next_keyframe_begins_anew() -> None:
    ring = GopRing(30.0, max_bytes=500)
    for number in range(12):
        ring.push(packet(number))
    assert [item.pts_ns for item in ring.take()] == [10 * PERIOD_NS, 11 * PERIOD_NS]


def test_pts_that_do_not_rise_are_refused() -> None:
    ring = filled(3.0, 5)
    with pytest.raises(CameraError, match="rise"):
        ring.push(packet(4))


def test_negative_pre_roll_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        GopRing(-1.0)


@given(
    pre_roll_tenths=st.integers(0, 80),
    gap_frames=st.lists(st.integers(1, 14), min_size=20, max_size=60),
    press_age_frames=st.integers(0, 9),
)
def test_a_full_ring_gives_at_least_the_pre_roll_and_less_than_one_gop_more(
    pre_roll_tenths: int, gap_frames: list[int], press_age_frames: int
) -> None:
    """GOPs of any lengths; the press lies up to PRESS_LATENCY_S before the newest packet."""
    keys = {0}
    for length in gap_frames:
        keys.add(max(keys) + length)
    pre_roll_s = pre_roll_tenths / RATE_HZ
    ring = GopRing(pre_roll_s)
    last = max(keys)
    for number in range(last + 1):
        ring.push(
            Packet(
                pts_ns=number * PERIOD_NS,
                duration_ns=PERIOD_NS,
                data=b"x",
                keyframe=number in keys,
            )
        )
    press_frame = last - min(press_age_frames, last)
    taken = ring.take(press_frame * PERIOD_NS)
    first = taken[0].pts_ns // PERIOD_NS
    wanted = press_frame - pre_roll_tenths
    assert first in keys
    assert [item.pts_ns // PERIOD_NS for item in taken] == list(range(first, last + 1))
    if wanted >= 0:
        assert first == max(key for key in keys if key <= wanted)
    else:
        assert first == 0
