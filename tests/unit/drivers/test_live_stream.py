from __future__ import annotations

import pytest

from agent.drivers.live_stream import MOST_PACKETS, MOST_PICTURES, LiveStream
from agent.errors import CameraError
from agent.ports.camera import LoresFrame, Packet

FRAME_NS = 10**9 // 30
HEADERS = b"\x00\x00\x01\x67a\x00\x00\x01\x68b"
IDR = HEADERS + b"\x00\x00\x01\x65c"
OTHER = b"\x00\x00\x01\x41c"


def packet(number: int, *, key: bool = False) -> Packet:
    data = IDR if key else OTHER
    return Packet(pts_ns=number * FRAME_NS, duration_ns=FRAME_NS, data=data, keyframe=key)


def picture(number: int) -> LoresFrame:
    return LoresFrame(pts_ns=number * FRAME_NS, data=b"", active=(0, 0, 640, 360))


def stream() -> LiveStream:
    return LiveStream("set its GOP to one second")


def test_what_comes_before_the_first_keyframe_is_left_out() -> None:
    live = stream()
    live.put_packet(packet(0))
    live.put_picture(picture(0))
    assert live.get(0.0) is None
    live.put_packet(packet(1, key=True))
    live.put_picture(picture(1))
    assert live.wait_for_packet(0.0)
    assert [live.get(0.0), live.get(0.0), live.get(0.0)] == [packet(1, key=True), picture(1), None]


def test_pictures_that_nobody_takes_are_dropped_oldest_first() -> None:
    live = stream()
    live.put_packet(packet(0, key=True))
    for number in range(MOST_PICTURES + 3):
        live.put_picture(picture(number))
    taken = [item for _ in range(50) if (item := live.get(0.0)) is not None]
    assert taken[0] == packet(0, key=True)
    assert taken[1:] == [picture(number) for number in range(3, MOST_PICTURES + 3)]


def test_too_many_packets_that_nobody_takes_fail_the_stream_after_they_were_given() -> None:
    live = stream()
    for number in range(MOST_PACKETS + 1):
        live.put_packet(packet(number, key=number % 30 == 0))
    for number in range(MOST_PACKETS):
        assert live.get(0.0) == packet(number, key=number % 30 == 0)
    with pytest.raises(CameraError, match="not taken in time"):
        live.get(0.0)


def test_a_gop_longer_than_a_second_is_refused_with_the_remedy() -> None:
    live = stream()
    live.put_packet(packet(0, key=True))
    for number in range(1, 60):
        live.put_packet(packet(number))
    taken = [live.get(0.0) for _ in range(46)]
    assert taken[-1] == packet(45)
    with pytest.raises(CameraError, match="one a second is due: set its GOP to one second"):
        live.get(0.0)


def test_a_keyframe_without_headers_is_refused_with_the_remedy() -> None:
    live = stream()
    bare = b"\x00\x00\x01\x65c"
    live.put_packet(Packet(pts_ns=0, duration_ns=1, data=bare, keyframe=True))
    with pytest.raises(CameraError, match="without SPS and PPS: set its GOP"):
        live.wait_for_packet(0.0)


def test_the_first_failure_is_the_one_that_is_told() -> None:
    live = stream()
    live.fail(CameraError("cable out"))
    live.fail(CameraError("device gone"))
    with pytest.raises(CameraError, match="cable out"):
        live.get(0.0)


def test_a_closed_stream_gives_and_takes_nothing_and_raises_nothing() -> None:
    live = stream()
    live.put_packet(packet(0, key=True))
    live.fail(CameraError("cable out"))
    live.close()
    live.put_packet(packet(1))
    assert live.get(0.0) is None
