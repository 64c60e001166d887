from __future__ import annotations

from agent.drivers.camera_fake import FakeCamera
from agent.ports.camera import CameraLost, LoresFrame, Packet
from tests.clock import START_BOOT_NS, ManualClock
from tests.h264 import decode_packets


def test_only_what_is_due_by_the_clock_comes() -> None:
    clock = ManualClock()
    camera = FakeCamera(clock)
    camera.open()
    assert isinstance(camera.read(0.0), Packet)
    assert isinstance(camera.read(0.0), LoresFrame)
    assert camera.read(0.0) is None
    clock.advance(0.25)
    found = [camera.read(0.0) for _ in range(4)]
    assert [type(item) for item in found] == [Packet, Packet, LoresFrame, type(None)]
    assert camera.frames_captured == 3


def test_waiting_lasts_no_longer_than_the_timeout() -> None:
    clock = ManualClock()
    camera = FakeCamera(clock, wait=clock.advance)
    camera.open()
    camera.read(0.0)
    camera.read(0.0)
    assert camera.read(0.04) is None
    assert clock.boot_ns() == START_BOOT_NS + 40_000_000


def test_a_lost_camera_comes_back_with_a_keyframe_at_the_next_frame() -> None:
    clock = ManualClock()
    camera = FakeCamera(clock, wait=clock.advance)
    camera.open()
    packets = [item for _ in range(6) if isinstance(item := camera.read(1.0), Packet)]
    camera.lose("cable out")
    assert camera.read(1.0) == CameraLost(
        pts_ns=packets[-1].pts_ns + 100_000_000, cause="cable out"
    )
    after = [item for _ in range(20) if isinstance(item := camera.read(1.0), Packet)]
    assert after[0].keyframe
    assert after[0].pts_ns == packets[-1].pts_ns + 100_000_000
    assert len(decode_packets(after)) == len(after)
