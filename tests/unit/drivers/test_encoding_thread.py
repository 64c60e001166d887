from __future__ import annotations

import threading

from agent.drivers.encoding_thread import MOST_WAITING, EncodingThread
from agent.errors import CameraError, EncoderError
from agent.ports.camera import Packet, RawFrame
from agent.ports.encoder import Encoder

LIMIT_S = 10


class GatedEncoder(Encoder):
    """Encodes nothing until the gate opens; refuses the picture of number `refuses`."""

    def __init__(self, refuses: int | None = None) -> None:
        super().__init__()
        self.gate, self.refuses, self.closed = threading.Event(), refuses, False

    def _open(self, width: int, height: int, frame_rate_hz: float) -> None: ...

    def _encode(self, frame: RawFrame) -> list[Packet]:
        assert self.gate.wait(LIMIT_S)
        if frame.pts_ns == self.refuses:
            raise EncoderError("no bits left")
        return [Packet(pts_ns=frame.pts_ns, duration_ns=1, data=b"x", keyframe=True)]

    def _finish(self) -> list[Packet]:
        return []

    def _close(self) -> None:
        self.closed = True


class Outcome:
    """What came out, and an event for when `wanted` packets or a failure did."""

    def __init__(self, wanted: int) -> None:
        self.packets: list[int] = []
        self.failures: list[str] = []
        self.wanted, self.done = wanted, threading.Event()

    def receive(self, packet: Packet) -> None:
        self.packets.append(packet.pts_ns)
        if len(self.packets) == self.wanted:
            self.done.set()

    def fail(self, failure: CameraError) -> None:
        self.failures.append(str(failure))
        self.done.set()


def picture(number: int) -> RawFrame:
    return RawFrame(pts_ns=number, width=2, height=2, data=bytes(6))


def begun(encoder: Encoder, outcome: Outcome) -> EncodingThread:
    thread = EncodingThread(encoder, outcome.receive, outcome.fail)
    thread.start(2, 2, 30.0)
    return thread


def test_pictures_are_taken_without_waiting_and_come_out_in_order() -> None:
    encoder, outcome = GatedEncoder(), Outcome(wanted=MOST_WAITING)
    thread = begun(encoder, outcome)
    for number in range(MOST_WAITING):
        thread.put(picture(number))
    assert outcome.packets == []
    encoder.gate.set()
    assert outcome.done.wait(LIMIT_S)
    thread.stop()
    assert outcome.packets == list(range(MOST_WAITING))
    assert outcome.failures == []
    assert encoder.closed


def test_an_encoder_that_cannot_keep_up_is_a_failure_and_never_a_silent_loss() -> None:
    encoder, outcome = GatedEncoder(), Outcome(wanted=1000)
    thread = begun(encoder, outcome)
    for number in range(MOST_WAITING + 3):
        thread.put(picture(number))
    assert outcome.done.is_set()
    assert len(outcome.failures) == 1
    assert "the CPU cannot encode 2x2" in outcome.failures[0]
    encoder.gate.set()
    thread.stop()


def test_a_failing_encoder_ends_the_stream_with_its_line() -> None:
    encoder, outcome = GatedEncoder(refuses=1), Outcome(wanted=1000)
    encoder.gate.set()
    thread = begun(encoder, outcome)
    for number in range(3):
        thread.put(picture(number))
    assert outcome.done.wait(LIMIT_S)
    thread.stop()
    assert outcome.packets == [0]
    assert outcome.failures == ["camera: no bits left"]


def test_a_thread_that_never_began_stops() -> None:
    encoder = GatedEncoder()
    EncodingThread(encoder, Outcome(1).receive, Outcome(1).fail).stop()
    assert not encoder.closed
