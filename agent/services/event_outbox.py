"""What the recorder tells the fleet, by way of the uplink: bounded, the oldest falls out."""

from __future__ import annotations

import logging
from collections import deque

import zmq

from agent.ipc.messages import EventMessage, EventOccurred, RecorderStatus, StatusSnapshot, pack
from agent.ports.clock import Clock
from agent.services.recovery import Recovered
from agent.wire.telemetry import DeviceEvent, EventKind

log = logging.getLogger("recorder")

_KEPT = 200
# What waits in the socket cannot be replaced by news any more: keep that short.
HIGH_WATER = 20


class EventOutbox:
    """Used from the service's thread; never blocks."""

    def __init__(self, socket: zmq.Socket[bytes], clock: Clock, device_id: str) -> None:
        self._socket, self._clock, self._device_id = socket, clock, device_id
        self._waiting: deque[bytes] = deque(maxlen=_KEPT)

    def tell(
        self,
        kind: EventKind,
        session_id: str | None,
        clip_id: str | None,
        text: str,
        head: str | None = None,
    ) -> None:
        """Something happened; `head` is the custody head of a clip that left the recorder."""
        event = DeviceEvent(
            kind=kind,
            device_id=self._device_id,
            session_id=session_id,
            clip_id=clip_id,
            text=text[:500],
            custody_head=head,
            mono_ns=self._clock.boot_ns(),
            wall_ns=self._clock.wall_ns(),
        )
        self._post(EventOccurred(event))

    def tell_recovered(self, item: Recovered) -> None:
        """A clip that was cut off, and what became of it at this start."""
        log.warning("clip %s was cut off: %s", item.clip_id, item.outcome)
        head = None if item.head is None else item.head.line_sha256
        self.tell("recovered", None, item.clip_id, item.outcome, head)

    def show(self, status: RecorderStatus) -> None:
        self._post(StatusSnapshot(status))

    def send(self) -> None:
        """Give the socket what it takes now."""
        while self._waiting:
            try:
                self._socket.send(self._waiting[0], zmq.NOBLOCK)
            except zmq.Again:
                return
            self._waiting.popleft()

    def close(self) -> None:
        self.send()
        self._socket.close(linger=200)

    def _post(self, message: EventMessage) -> None:
        self._waiting.append(pack(message))
