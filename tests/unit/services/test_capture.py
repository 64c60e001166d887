"""The camera thread, turn by turn: packets are never dropped, faults are said and retried."""

from __future__ import annotations

from collections import deque

from agent.errors import CameraError
from agent.ports.camera import Camera, CameraItem, CameraLost, LoresFrame, Packet, StreamInfo
from agent.services.capture import (
    MAX_QUEUED_PICTURES,
    CameraOpened,
    CameraPump,
    PictureDropped,
)
from tests.clock import ManualClock

INFO = StreamInfo(width=64, height=48, frame_rate_hz=10.0, encoder="x", source="y")


class ScriptedCamera(Camera):
    """Gives what it is told to; an exception in the script is raised."""

    def __init__(self, *script: CameraItem | Exception, refusals: int = 0) -> None:
        super().__init__()
        self.script = deque(script)
        self.refusals = refusals
        self.closed = 0

    def _open(self) -> StreamInfo:
        if self.refusals:
            self.refusals -= 1
            raise CameraError("no lens", remedy="connect one")
        return INFO

    def _read(self, timeout_s: float) -> CameraItem | None:
        item = self.script.popleft() if self.script else None
        if isinstance(item, Exception):
            raise item
        return item

    def _close(self) -> None:
        self.closed += 1


def packet(number: int, keyframe: bool = False) -> Packet:
    return Packet(pts_ns=number, duration_ns=1, data=b"x", keyframe=keyframe)


def picture(number: int) -> LoresFrame:
    return LoresFrame(pts_ns=number, data=b"", active=(0, 0, 640, 360))


def pump(camera: Camera) -> CameraPump:
    return CameraPump(camera, ManualClock(), lambda: None)


def test_items_come_in_order_after_what_the_camera_gives() -> None:
    running = pump(ScriptedCamera(packet(1, True), picture(1), packet(2)))
    for _ in range(3):
        assert running.turn() == 0.0
    assert running.take(10) == [CameraOpened(INFO), packet(1, True), picture(1), packet(2)]
    assert running.take(10) == []


def test_a_camera_that_refuses_is_tried_again_with_doubling_waits() -> None:
    running = pump(ScriptedCamera(packet(1, True), refusals=3))
    assert [running.turn() for _ in range(3)] == [0.5, 1.0, 2.0]
    assert running.fault == "no lens: connect one"
    assert running.turn() == 0.0
    assert running.fault == ""
    assert running.take(10) == [CameraOpened(INFO), packet(1, True)]


def test_a_camera_that_fails_while_read_is_lost_and_opened_again() -> None:
    camera = ScriptedCamera(packet(1, True), ValueError("driver bug"), packet(2, True))
    running = pump(camera)
    waits = [running.turn() for _ in range(3)]
    assert waits == [0.0, 0.5, 0.0]
    assert camera.closed == 1
    kinds = [type(item) for item in running.take(10)]
    assert kinds == [CameraOpened, Packet, CameraLost, CameraOpened, Packet]


def test_pictures_over_the_bound_are_dropped_and_told_packets_never() -> None:
    items: list[CameraItem] = [packet(0, True)]
    for number in range(1, 40):
        items += [packet(number), picture(number)]
    running = pump(ScriptedCamera(*items))
    for _ in items:
        running.turn()
    taken = running.take(1000)
    assert sum(isinstance(item, Packet) for item in taken) == 40
    assert sum(isinstance(item, LoresFrame) for item in taken) == MAX_QUEUED_PICTURES
    assert sum(isinstance(item, PictureDropped) for item in taken) == 39 - MAX_QUEUED_PICTURES
