"""The uplink service: clips, status and events go up, answers come down. No broker is no error."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import cast

import zmq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.config import Settings
from agent.crypto.trust import pinned
from agent.errors import WireError
from agent.ipc import sockets
from agent.ipc.messages import EventMessage, EventOccurred, unpack
from agent.ports.broker import Arrived, Broker, BrokerItem, Connected, Disconnected, LastWill
from agent.ports.clock import Clock
from agent.ports.surroundings import SurroundingsSensor
from agent.services.sending_sign import SendingSign
from agent.services.uplink_gate import Gate
from agent.services.uplink_models import ModelDesk, StartUpdater, retry_backoff
from agent.services.uplink_orders import Orders
from agent.services.uplink_outbox import Outbox
from agent.services.uplink_sender import Sender
from agent.services.uplink_telemetry import ModelFacts, Telemetry, offline_status
from agent.storage.spool import Spool
from agent.wire.topics import down_clips, up_status

log = logging.getLogger("sightline.uplink")

_SCAN_EVERY_NS = 1_000_000_000
_ITEMS_PER_STEP = 256


class Uplink:
    """A Service. Owns the broker connection, the `events` socket and the outbox's way out.

    Construction binds the socket and starts the connection; raises BrokerError when a certificate
    file is missing, and then nothing was started. `receipt_keys`: whose receipts and orders are
    believed, until an order of theirs says otherwise. `start_updater`: None on a camera that takes
    no pushed models.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        clock: Clock,
        spool: Spool,
        settings: Settings,
        receipt_keys: Sequence[Ed25519PublicKey],
        surroundings: SurroundingsSensor,
        context: zmq.Context[zmq.Socket[bytes]],
        random: Callable[[], float] = random.random,
        start_updater: StartUpdater | None = None,
    ) -> None:
        device_id = settings.device.device_id
        self._broker = broker
        self._clock = clock
        self._telemetry = Telemetry(
            broker=broker,
            clock=clock,
            spool=spool,
            device_id=device_id,
            status_every_s=settings.uplink.status_every_s,
        )
        self._outbox = Outbox(spool, lambda: self._orders.trust, self._telemetry.fault)
        self._sender = Sender(
            broker=broker,
            outbox=self._outbox,
            device_id=device_id,
            settings=settings.uplink,
            random=random,
            report=self._telemetry.fault,
        )
        self._orders = Orders(
            broker=broker,
            spool=spool,
            clock=clock,
            state_dir=settings.paths.state_dir,
            device_id=device_id,
            pinned=pinned(receipt_keys),
            requested=self._sender.requested,
            tell=self._telemetry.obeyed,
            fault=self._telemetry.fault,
        )
        self._settings = settings
        self._models = self._make_models(start_updater, random)
        self._gate = Gate(surroundings, clock, settings.network)
        self._held: BrokerItem | None = None
        self._is_online = False
        self._last_reason = ""
        self._scan_due_ns = 0
        spool.prepare()
        broker.subscribe(down_clips(device_id))
        broker.start()
        runtime_dir = settings.paths.runtime_dir
        self._events = sockets.bind(
            context, zmq.PULL, runtime_dir, "events", high_water=sockets.EVENTS_HIGH_WATER
        )
        self._sign = SendingSign(context, runtime_dir)

    def step(self) -> bool:
        """Take what came, send what is due. True when anything happened."""
        now_ns = self._clock.boot_ns()
        happened = self._take_events()
        happened = self._take_items(now_ns) or happened
        if now_ns >= self._scan_due_ns:
            more = self._outbox.scan(now_ns)
            self._orders.look_again()
            self._scan_due_ns = now_ns if more else now_ns + _SCAN_EVERY_NS
            happened = happened or more
        closed = self._gate.look(now_ns)
        if not self._is_online:
            return happened
        if closed and self._sender.has_unsettled:
            self._broker.hang_up()  # what waits in its queues would go out all the same
        told = self._models.step(now_ns, may_fetch=not self._gate.waits_for)
        self._telemetry.models = ModelFacts(
            hardware=self._settings.hardware,
            groups=self._settings.device.groups,
            active_model=self._models.active_model,
            update=self._models.progress,
        )
        told |= self._telemetry.step(
            now_ns,
            outbox_clips=self._outbox.clips,
            outbox_bytes=self._outbox.total_bytes,
            waits_for=self._gate.waits_for,
        )
        told = self._orders.step(now_ns) or told
        sent = self._sender.step(now_ns, may_send=not self._gate.waits_for)
        if self._sender.in_flight_bytes and not self._gate.waits_for:
            self._sign.show(now_ns)
        return sent or told or happened

    def wait(self, timeout_s: float) -> None:
        """Until the broker has something to say, `timeout_s` at most."""
        if self._held is None:
            self._held = self._broker.read(timeout_s)

    def close(self) -> None:
        """Say goodbye and let go. What is not sent stays in the outbox."""
        if self._is_online:
            self._telemetry.say_offline()
        self._broker.stop()
        self._models.close()
        self._sender.close()
        self._events.close()
        self._sign.close()

    def _make_models(self, start: StartUpdater | None, random: Callable[[], float]) -> ModelDesk:
        return ModelDesk(
            broker=self._broker,
            device_id=self._settings.device.device_id,
            state_dir=self._settings.paths.state_dir,
            start=start,
            retry=retry_backoff(self._settings.models.retry_s, random),
            report=self._telemetry.fault,
        )

    def _take_events(self) -> bool:
        for count in range(_ITEMS_PER_STEP):
            # cheaper than an exception each time that nothing came
            if not cast(int, self._events.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                return count > 0
            payload = self._events.recv(zmq.NOBLOCK)
            try:
                message = unpack(EventMessage, payload)
            except WireError as exc:
                self._telemetry.fault(f"event not understood ({exc})")
                continue
            self._telemetry.take(message)
            if isinstance(message, EventOccurred) and message.event.kind == "clip_closed":
                self._scan_due_ns = 0
        return True

    def _take_items(self, now_ns: int) -> bool:
        for count in range(_ITEMS_PER_STEP):
            item, self._held = self._held or self._broker.read(0), None
            if item is None:
                return count > 0
            self._take_item(item, now_ns)
        return True

    def _take_item(self, item: BrokerItem, now_ns: int) -> None:
        if isinstance(item, Arrived):
            if not (self._orders.arrived(item) or self._models.arrived(item, now_ns)):
                self._sender.arrived(item, now_ns)
        elif isinstance(item, Connected):
            if not self._is_online:
                log.info("connected to the broker")
            self._is_online, self._last_reason = True, ""
            self._sender.connected(item, now_ns)
            self._orders.connected()
            self._telemetry.connected()
        elif isinstance(item, Disconnected):
            self._is_online = False
            if item.reason != self._last_reason:
                log.warning("no broker, recording goes on and clips wait: %s", item.reason)
                self._last_reason = item.reason
            self._sender.disconnected(now_ns)
            self._telemetry.disconnected()
        elif not self._sender.settled(item, now_ns):
            took_ns = self._telemetry.settled(item, now_ns)
            if took_ns is not None:
                self._sender.small_round_trip(took_ns)


def last_will(settings: Settings) -> LastWill:
    """The will to give to the broker connection: the retained status, offline."""
    device_id = settings.device.device_id
    return LastWill(topic=up_status(device_id), payload=offline_status(device_id), retain=True)
