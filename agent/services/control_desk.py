"""The answering side of the control socket. It decides and replies; nothing here waits."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

import zmq

from agent.errors import ControlError, WireError
from agent.ipc.messages import (
    ControlReply,
    ControlRequest,
    LeaseRequest,
    MarkRequest,
    RecorderStatus,
    SendingNote,
    StartRequest,
    StatusRequest,
    StopRequest,
    pack,
    unpack,
)
from agent.ports.clock import Clock

log = logging.getLogger("control")

_REQUESTS_A_STEP = 20
# A press is reported at most this long after its first edge; anything else is not believed.
_OLDEST_PRESS_NS = 5_000_000_000
_NOT_STANDBY = "a session is being recorded: the model stays as it is"


class Trainer(Protocol):
    """What the wearer can ask for, and what the uplink tells. All raise ControlError with the line
    to show."""

    def start_session(
        self, pts_ns: int, source: str, declared: dict[str, str]
    ) -> Callable[[], None]: ...

    def stop_session(self, pts_ns: int) -> None: ...

    def mark(self, pts_ns: int, source: str) -> None: ...

    def clips_are_sent(self) -> None: ...

    def status(self) -> RecorderStatus: ...


class ControlDesk:
    """Takes requests from REQ (or DEALER) clients on a ROUTER socket."""

    def __init__(self, socket: zmq.Socket[bytes], clock: Clock, trainer: Trainer) -> None:
        self._socket, self._clock, self._trainer = socket, clock, trainer
        self._lease_of: list[bytes] | None = None

    def answer(self) -> bool:
        """Answer what has come; True if anything had."""
        happened = False
        for _ in range(_REQUESTS_A_STEP):
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            self._answer_one(parts)
            happened = True
        self._take_lease_back()
        return happened

    def _take_lease_back(self) -> None:
        """A session has begun, by whatever press: whoever changes the model must stop."""
        if self._lease_of is None:
            return
        status = self._trainer.status()
        if status.state != "standby":
            holder, self._lease_of = self._lease_of, None
            with contextlib.suppress(zmq.ZMQError):
                reply = ControlReply(refused=_NOT_STANDBY, status=status)
                self._socket.send_multipart([*holder, pack(reply)], zmq.NOBLOCK)

    def _answer_one(self, parts: list[bytes]) -> None:
        refused, after = "", _nothing
        try:
            request: ControlRequest = unpack(ControlRequest, parts[-1])
            after = self._carry_out(request, parts[:-1])
        except (ControlError, WireError) as exc:
            refused = str(exc)
        reply = ControlReply(refused=refused, status=self._trainer.status())
        # A client that has gone must not keep the recorder from recording.
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send_multipart([*parts[:-1], pack(reply)], zmq.NOBLOCK)
        after()

    def _carry_out(self, request: ControlRequest, sender: list[bytes]) -> Callable[[], None]:
        match request:
            case StartRequest(pts_ns, source, declared):
                return self._trainer.start_session(self._believed(pts_ns), source, declared)
            case StopRequest(pts_ns):
                self._trainer.stop_session(self._believed(pts_ns))
            case MarkRequest(pts_ns, source):
                self._trainer.mark(self._believed(pts_ns), source)
            case LeaseRequest():
                if self._trainer.status().state != "standby":
                    raise ControlError(_NOT_STANDBY)
                self._lease_of = sender
            case SendingNote():
                self._trainer.clips_are_sent()
            case StatusRequest():
                pass
        return _nothing

    def _believed(self, pts_ns: int) -> int:
        now = self._clock.boot_ns()
        return pts_ns if now - _OLDEST_PRESS_NS <= pts_ns <= now else now


def _nothing() -> None:
    return
