"""What the camera says about itself: the retained status, and events, bounded while offline."""

from __future__ import annotations

import logging
from collections import deque

import msgspec

from agent import __version__
from agent.ipc.messages import EventMessage, EventOccurred, RecorderStatus
from agent.ports.broker import Broker, Settled
from agent.ports.clock import Clock
from agent.storage.spool import Spool
from agent.wire.codec import encode
from agent.wire.telemetry import DeviceEvent, DeviceStatus, EventKind, ModelProgress
from agent.wire.topics import up_event, up_status

log = logging.getLogger("sightline.uplink")

_NS = 1_000_000_000
_EVENTS_KEPT = 1_000
_EVENTS_IN_FLIGHT = 16
_FAULTS_SHOWN = 5
_TEXT_CHARS = 500
_STATUS_LEAST_NS = _NS
_EVENT_RETRY_NS = 5 * _NS
_RECORDER_SILENT_NS = 30 * _NS


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the status says of models, beside the one that the recorder reports."""

    hardware: str = ""
    groups: tuple[str, ...] = ()
    active_model: str = ""
    update: ModelProgress | None = None


class Telemetry:
    """Status at most once a second, when it changed and every `status_every_s`; events in order, at
    least once while connected, the oldest dropped when more than 1,000 wait."""

    def __init__(
        self,
        *,
        broker: Broker,
        clock: Clock,
        spool: Spool,
        device_id: str,
        status_every_s: float,
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._spool = spool
        self._device_id = device_id
        self._status_every_ns = int(status_every_s * _NS)
        self._recorder: RecorderStatus | None = None
        self._recorder_seen_ns = 0
        self._faults: deque[str] = deque(maxlen=_FAULTS_SHOWN)
        self._events: deque[DeviceEvent] = deque(maxlen=_EVENTS_KEPT)
        self._in_flight: dict[int, DeviceEvent] = {}
        self._events_due_ns = 0
        self._status_sent_ns: int | None = None
        self._status_token: int | None = None
        self._last_shown: DeviceStatus | None = None
        self.dropped_events = 0
        self.models = ModelFacts()

    def take(self, message: EventMessage) -> None:
        """From the recorder or the tagger."""
        if isinstance(message, EventOccurred):
            self._queue(message.event)
        else:
            self._recorder = message.status
            self._recorder_seen_ns = self._clock.boot_ns()

    def fault(self, text: str) -> None:
        """A fault of the uplink's own: in the log, in the status, and as an event. The same text as
        among the last few is said once."""
        line = " ".join(text.split())[:_TEXT_CHARS]
        if line in self._faults:
            return
        log.warning("%s", line)
        self._faults.append(line)
        self._say("fault", line)

    def obeyed(self, text: str) -> None:
        """An order of the server, and what came of it."""
        log.info("%s", text)
        self._say("order", text)

    def connected(self) -> None:
        """Another broker session: the status is due, what was in flight goes again."""
        self._status_sent_ns = None
        self._events_due_ns = 0

    def disconnected(self) -> None:
        self._put_back(list(self._in_flight))

    def settled(self, item: Settled, now_ns: int) -> int | None:
        """How long it took, when it was a status that was published into an empty pipe."""
        if item.token == self._status_token:
            self._status_token = None
            return now_ns - (self._status_sent_ns or now_ns)
        if item.token not in self._in_flight:
            return None
        if item.outcome == "no_subscriber":
            self._put_back(list(self._in_flight))  # all of them: the order is kept
            self._events_due_ns = now_ns + _EVENT_RETRY_NS
        else:
            del self._in_flight[item.token]
        return None

    def step(
        self, now_ns: int, *, outbox_clips: int, outbox_bytes: int, waits_for: str = ""
    ) -> bool:
        """Publish what is due; True when anything was. `waits_for`: why no clip may be sent."""
        sent = self._send_status(now_ns, outbox_clips, outbox_bytes, waits_for)
        while (
            self._events
            and len(self._in_flight) < _EVENTS_IN_FLIGHT
            and now_ns >= self._events_due_ns
        ):
            event = self._events[0]
            token = self._broker.publish(up_event(self._device_id), encode(event), qos=1)
            if token is None:
                break
            self._in_flight[token] = self._events.popleft()
            sent = True
        return sent

    def say_offline(self) -> None:
        """The retained status of a clean end."""
        self._broker.publish(
            up_status(self._device_id), offline_status(self._device_id), qos=1, retain=True
        )

    def _send_status(
        self, now_ns: int, outbox_clips: int, outbox_bytes: int, waits_for: str
    ) -> bool:
        age_ns = None if self._status_sent_ns is None else now_ns - self._status_sent_ns
        if age_ns is not None and age_ns < _STATUS_LEAST_NS:
            return False
        status = self._status(now_ns, outbox_clips, outbox_bytes, waits_for)
        steady = msgspec.structs.replace(
            status,
            wall_ns=0,
            free_bytes=None,
            card_minutes_left=None,
            coverage_lately=None,
            outbox_bytes=0,
        )
        changed = steady != self._last_shown
        if age_ns is not None and not changed and age_ns < self._status_every_ns:
            return False
        topic = up_status(self._device_id)
        token = self._broker.publish(topic, encode(status), qos=1, retain=True)
        if token is None:
            return False
        # the first on a connection goes into an empty pipe; later ones wait behind parts
        self._status_token = token if self._status_sent_ns is None else None
        self._status_sent_ns, self._last_shown = now_ns, steady
        return True

    def _status(
        self, now_ns: int, outbox_clips: int, outbox_bytes: int, waits_for: str
    ) -> DeviceStatus:
        recorder = self._recorder
        if recorder is not None and now_ns - self._recorder_seen_ns > _RECORDER_SILENT_NS:
            recorder = None
        faults = (*(recorder.faults if recorder else ()), *self._faults)
        return DeviceStatus(
            device_id=self._device_id,
            online=True,
            agent_version=recorder.agent_version if recorder else __version__,
            session_state=recorder.state if recorder else "down",
            session_id=recorder.session_id if recorder else None,
            model=recorder.model if recorder else None,
            accelerator=recorder.accelerator if recorder else None,
            coverage_lately=recorder.coverage_lately if recorder else None,
            free_bytes=recorder.free_bytes if recorder else None,
            card_minutes_left=_whole(recorder.card_minutes_left) if recorder else None,
            battery_percent=_whole(recorder.battery_percent) if recorder else None,
            outbox_clips=outbox_clips,
            outbox_bytes=outbox_bytes,
            waiting=f"waiting: {waits_for}" if waits_for else "",
            sent_clips=len(self._spool.clips("sent")),
            rejected_clips=len(self._spool.clips("rejected")),
            clock_trust=self._clock.trust(),
            keys_order=recorder.keys_order if recorder else 0,
            hardware=self.models.hardware,
            groups=self.models.groups,
            active_model=self.models.active_model,
            update=self.models.update,
            faults=tuple(text[:_TEXT_CHARS] for text in faults[-2 * _FAULTS_SHOWN :]),
            wall_ns=self._clock.wall_ns(),
        )

    def _say(self, kind: EventKind, text: str) -> None:
        self._queue(
            DeviceEvent(
                kind=kind,
                device_id=self._device_id,
                text=text[:_TEXT_CHARS],
                mono_ns=self._clock.boot_ns(),
                wall_ns=self._clock.wall_ns(),
            )
        )

    def _queue(self, event: DeviceEvent) -> None:
        if len(self._events) == _EVENTS_KEPT:
            self.dropped_events += 1
        self._events.append(event)

    def _put_back(self, tokens: list[int]) -> None:
        for token in reversed(tokens):
            event = self._in_flight.pop(token)
            if len(self._events) < _EVENTS_KEPT:
                self._events.appendleft(event)
            else:
                self.dropped_events += 1


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def offline_status(device_id: str) -> bytes:
    """The payload of the last will, and of a clean end."""
    return encode(DeviceStatus(device_id=device_id, online=False, agent_version=__version__))
