"""The camera thread, turn by turn: packets are never dropped, faults are said and retried."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import pytest

from agent.core.black_picture import NOTICED_AFTER_S
from agent.core.picture import LORES_BYTES
from agent.errors import CameraError
from agent.ports.camera import Camera, CameraItem, CameraLost, LoresFrame, Packet, StreamInfo
from agent.services.capture import (
    BLACK,
    HANGS,
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


def picture(number: int, luma: int = 100) -> LoresFrame:
    content = bytes([luma]) * LORES_BYTES
    return LoresFrame(pts_ns=number, data=content, active=(0, 0, 640, 360))


def pump(camera: Camera, clock: ManualClock | None = None) -> CameraPump:
    return CameraPump(camera, clock or ManualClock(), lambda: None)


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


SECOND_NS = 1_000_000_000
LOOK_S = 0.1


class SilentCamera(ScriptedCamera):
    """Gives its script, then nothing; each look for more costs LOOK_S of the clock."""

    def __init__(self, clock: ManualClock, *script: CameraItem | Exception) -> None:
        super().__init__(*script)
        self.clock = clock

    def _read(self, timeout_s: float) -> CameraItem | None:
        item = super()._read(timeout_s)
        if item is None:
            self.clock.advance(LOOK_S)
        return item


def turns_until(running: CameraPump, kind: type, most: int = 100) -> list[object]:
    """What the pump queues up to and with the first item of `kind`."""
    found: list[object] = []
    for _ in range(most):
        running.turn()
        found += running.take(100)
        if any(isinstance(item, kind) for item in found):
            return found
    raise AssertionError(f"no {kind.__name__} in {most} turns")


def test_a_camera_that_stands_still_is_lost_within_two_seconds_and_opened_again() -> None:
    clock = ManualClock()
    camera = SilentCamera(clock, packet(1, True))
    running = pump(camera, clock)
    began_ns = clock.boot_ns()
    found = turns_until(running, CameraLost)
    assert clock.boot_ns() - began_ns < 2 * SECOND_NS
    lost = found[-1]
    assert isinstance(lost, CameraLost)
    assert "stands still" in lost.cause
    assert running.fault == lost.cause
    assert camera.closed == 1
    camera.script.append(packet(2, True))
    assert isinstance(turns_until(running, Packet)[0], CameraOpened)
    assert running.fault == ""


def test_pictures_without_footage_are_a_standstill_too() -> None:
    clock = ManualClock()
    pictures: list[CameraItem | None] = []
    for number in range(40):
        pictures += [picture(number), None]
    camera = SilentCamera(clock, packet(1, True), *pictures)  # type: ignore[arg-type]
    turns_until(pump(camera, clock), CameraLost)


def test_a_camera_that_stalls_each_time_is_opened_at_growing_distances() -> None:
    clock = ManualClock()
    running = pump(SilentCamera(clock), clock)
    waits = [wait_s for _ in range(100) if (wait_s := running.turn())]
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]


def test_a_frozen_process_is_no_standstill() -> None:
    clock = ManualClock()
    running = pump(SilentCamera(clock, packet(1, True)), clock)
    for _ in range(3):
        assert running.turn() == 0.0
        clock.advance(60.0)
    assert not any(isinstance(item, CameraLost) for item in running.take(10))


def test_black_pictures_are_told_and_the_camera_opened_again() -> None:
    step_ns = SECOND_NS // 5
    black = [picture(number * step_ns, luma=16) for number in range(9)]
    camera = ScriptedCamera(packet(1, True), *black)
    found = turns_until(running := pump(camera), CameraLost)
    lost = found[-1]
    assert isinstance(lost, CameraLost)
    assert lost.cause == BLACK
    shown = [item for item in found if isinstance(item, LoresFrame)]
    assert shown[-1].pts_ns - shown[0].pts_ns <= (NOTICED_AFTER_S + 0.5) * SECOND_NS
    assert running.picture_fault == BLACK


def test_black_footage_is_kept_while_the_lens_stays_covered() -> None:
    step_ns = SECOND_NS // 5
    items: list[CameraItem] = []
    for number in range(5 * 60):
        items += [
            packet(number * step_ns + 1, keyframe=True),
            picture(number * step_ns, luma=16),
        ]
    running = pump(ScriptedCamera(*items))
    found: list[object] = []
    for _ in range(len(items)):
        running.turn()
        found += running.take(100)
    kinds = [type(item) for item in found]
    # A minute of black: opened again after 1.5 s, then 3, 6, 12 and 24 more.
    assert kinds.count(CameraLost) == 5
    assert kinds.count(Packet) == 300
    assert running.picture_fault == BLACK
    running._camera.script += [packet(10**12, True), picture(10**12)]  # type: ignore[attr-defined]
    turns_until(running, LoresFrame)
    assert running.picture_fault == ""


class HangingCamera(ScriptedCamera):
    """Its second read returns when the test lets it."""

    def __init__(self) -> None:
        super().__init__(packet(1, True), packet(2, True), packet(3, True))
        self.hanging, self.released = threading.Event(), threading.Event()

    def _read(self, timeout_s: float) -> CameraItem | None:
        if len(self.script) == 2:
            self.hanging.set()
            self.released.wait(30)
        return super()._read(timeout_s)


def watched_for(running: CameraPump, clock: ManualClock, seconds: float) -> None:
    for _ in range(round(seconds / LOOK_S)):
        running.watch()
        clock.advance(LOOK_S)


def test_a_driver_that_hangs_is_told_within_two_seconds_and_opened_again_when_it_returns() -> None:
    clock = ManualClock()
    camera = HangingCamera()
    running = pump(camera, clock)
    running.turn()
    hung = threading.Thread(target=running.turn)
    hung.start()
    assert camera.hanging.wait(10)
    watched_for(running, clock, 2.0)
    lost = running.take(10)[-1]
    assert isinstance(lost, CameraLost)
    assert lost.cause == running.fault == HANGS
    camera.released.set()
    hung.join(10)
    # What the driver gave at last belongs to the stream that was given up.
    assert running.take(10) == []
    assert camera.closed == 1
    running.turn()
    assert [type(item) for item in running.take(10)] == [CameraOpened, Packet]


class WatchedCamera(ScriptedCamera):
    """Has the service look at it from inside each of its reads."""

    look: Callable[[], None]

    def _read(self, timeout_s: float) -> CameraItem | None:
        self.look()
        return super()._read(timeout_s)


def test_many_short_calls_are_no_hanging_one() -> None:
    clock = ManualClock()
    camera = WatchedCamera(*[packet(number, True) for number in range(60)])
    running = pump(camera, clock)

    def look() -> None:
        clock.advance(LOOK_S)
        running.watch()

    camera.look = look
    for _ in range(60):
        running.turn()
    assert not any(isinstance(item, CameraLost) for item in running.take(1000))


def test_a_driver_that_never_returns_ends_the_process_in_the_end() -> None:
    clock = ManualClock()
    camera = HangingCamera()
    running = pump(camera, clock)
    running.turn()
    hung = threading.Thread(target=running.turn)
    hung.start()
    assert camera.hanging.wait(10)
    with pytest.raises(CameraError, match="does not answer"):
        watched_for(running, clock, 30.0)
    camera.released.set()
    hung.join(10)
