"""The broker over paho-mqtt 2.2: MQTT v5, clean start, its network loop in one thread of ours.

paho is used as a pipe, not as a queue: what was in flight at a disconnect is dropped, and its
limits are held here. The thread runs paho's loop through the calls that it documents for foreign
event loops, because its own thread hides the reason of a failed connect, has no jitter, and dies
of an exception in a callback. Both sides meet in one queue: `publish` and `read` belong to the
caller's thread, all callbacks to ours, and no lock is held across a call into paho.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import select
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.core.backoff import Backoff
from agent.drivers.broker_packets import PacketReader
from agent.drivers.broker_publish import LeanClient, UserProperties
from agent.drivers.broker_socket import (
    TlsFiles,
    Wakefulness,
    connect_failure,
    forget_unsent,
    tls_context,
    tune_socket,
)
from agent.errors import BrokerError
from agent.ports.broker import (
    Arrived,
    Broker,
    BrokerItem,
    Connected,
    Disconnected,
    LastWill,
    Settled,
)

_RECONNECT_FIRST_S = 1.0
_RECONNECT_MOST_S = 30.0
_TURN_MS = 1000
_READS_PER_TURN = 8
_GOODBYE_S = 2.0
_MQTT_MOST_PACKET_BYTES = 268_435_455
_HEADROOM_BYTES = 1024
_INBOX_BYTES = 64 * 1024 * 1024
_NO_SUBSCRIBER = 0x10
_FAILED = 0x80


class _Published(msgspec.Struct, frozen=True):
    """paho's word on message `mid` of connection number `link`."""

    link: int
    mid: int
    reason_code: int


class _LinkUp(msgspec.Struct, frozen=True):
    link: int
    max_payload_bytes: int
    most_unsettled: int


class PahoBroker(Broker):
    """See `Broker`. `tls=None` is for brokers on loopback in tests alone.

    `pipe_bytes`: what may be published and not yet settled. `subscribe_qos` is asked for all
    subscriptions. A packet of more than `max_inbound_bytes` ends the connection.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        client_id: str,
        tls: TlsFiles | None,
        keepalive_s: int = 30,
        will: LastWill | None = None,
        pipe_bytes: int = 4 * 1024 * 1024,
        max_inbound_bytes: int = 2 * 1024 * 1024,
        subscribe_qos: int = 1,
        reconnect_first_s: float = _RECONNECT_FIRST_S,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._host = host
        self._port = port
        self._client_id = client_id
        self._tls = tls
        self._keepalive_s = keepalive_s
        self._will = will
        self._pipe_bytes = pipe_bytes
        self._max_inbound_bytes = max_inbound_bytes
        self._subscribe_qos = subscribe_qos
        self._backoff = Backoff(reconnect_first_s, _RECONNECT_MOST_S, random)
        self._filters: list[str] = []
        # Not SimpleQueue: its timed get waits for ever when a signal comes late (CPython 3.11).
        self._inbox: queue.Queue[BrokerItem | _Published | _LinkUp] = queue.Queue()
        self._client: LeanClient | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._hanging_up = threading.Event()
        self._wake_fd = -1
        # The caller's side.
        self._link_seen: _LinkUp | None = None
        self._next_token = 1
        self._unsettled: dict[int, tuple[int, int]] = {}
        self._unsettled_bytes = 0
        self._oversize: list[Settled] = []
        self._bytes_read = 0
        # The thread's side.
        self._link = 0
        self._link_is_up = False
        self._reason = ""
        self._limits: tuple[int, int] = (0, 0)
        self._bytes_arrived = 0

    def subscribe(self, topic_filter: str) -> None:
        self._filters.append(topic_filter)

    def start(self) -> None:
        if self._thread is not None:
            raise BrokerError("broker started twice", remedy="start it once")
        self._client = self._make_client()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._thread.start()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        properties: dict[str, str] | None = None,
    ) -> int | None:
        link, client = self._link_seen, self._client
        if client is None or link is None or not self._link_is_up or self._link != link.link:
            return None
        token = self._next_token
        if len(payload) > link.max_payload_bytes:
            self._next_token += 1
            reason = f"{len(payload)} bytes are more than the broker takes"
            self._oversize.append(Settled(token=token, outcome="refused", reason=reason))
            return token
        if self._pipe_is_full(len(payload), link):
            return None
        packed: Any = UserProperties(properties) if properties else None
        info = client.publish(topic, payload, qos=qos, retain=retain, properties=packed)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return None
        self._next_token += 1
        self._unsettled[info.mid] = (token, len(payload))
        self._unsettled_bytes += len(payload)
        os.eventfd_write(self._wake_fd, 1)
        return token

    def read(self, timeout_s: float) -> BrokerItem | None:
        if self._oversize:
            return self._oversize.pop(0)
        while True:
            try:
                raw = self._inbox.get(timeout_s > 0, timeout_s)
            except queue.Empty:
                return None
            if (item := self._translated(raw)) is not None:
                return item

    def hang_up(self) -> None:
        if self._link_seen is not None:
            self._hanging_up.set()
            os.eventfd_write(self._wake_fd, 1)

    def stop(self) -> None:
        thread = self._thread
        if thread is None or self._stopping.is_set():
            return
        self._stopping.set()
        os.eventfd_write(self._wake_fd, 1)
        thread.join(_GOODBYE_S + 1.0)
        if not thread.is_alive():  # a thread held in a name look-up is a daemon: it ends with us
            os.close(self._wake_fd)
        self._link_seen = None

    def _pipe_is_full(self, payload_bytes: int, link: _LinkUp) -> bool:
        if len(self._unsettled) >= link.most_unsettled:
            return True
        return bool(self._unsettled) and self._unsettled_bytes + payload_bytes > self._pipe_bytes

    def _translated(self, raw: BrokerItem | _Published | _LinkUp) -> BrokerItem | None:
        if isinstance(raw, Arrived):
            self._bytes_read += len(raw.payload)
            return raw
        if isinstance(raw, _Published):
            return self._settled(raw)
        self._unsettled.clear()
        self._unsettled_bytes = 0
        if isinstance(raw, _LinkUp):
            self._link_seen = raw
            return Connected(max_payload_bytes=raw.max_payload_bytes)
        if isinstance(raw, Disconnected):
            self._link_seen = None
        return raw

    def _settled(self, raw: _Published) -> Settled | None:
        if self._link_seen is None or raw.link != self._link_seen.link:
            return None
        found = self._unsettled.pop(raw.mid, None)
        if found is None:
            return None
        token, size = found
        self._unsettled_bytes -= size
        if raw.reason_code == _NO_SUBSCRIBER:
            return Settled(token=token, outcome="no_subscriber", reason="nobody is subscribed")
        if raw.reason_code >= _FAILED:
            reason = f"the broker refused it (reason code {raw.reason_code:#04x})"
            return Settled(token=token, outcome="refused", reason=reason)
        return Settled(token=token, outcome="taken")

    # What follows runs in the thread.

    def _make_client(self) -> LeanClient:
        client = LeanClient(
            CallbackAPIVersion.VERSION2, client_id=self._client_id, protocol=mqtt.MQTTv5
        )
        client.max_inflight_messages_set(0)  # no limit in paho: the limits are held here
        if self._tls is not None:
            client.tls_set_context(tls_context(self._tls))
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, qos=1, retain=self._will.retain)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.arrived = self._on_arrived
        client.settled = self._on_settled
        client.on_socket_open = self._on_socket_open
        # with an owner of writes set, paho's publish only queues: the socket stays the thread's
        client.on_socket_register_write = lambda *_: None
        client.connect_timeout = 5.0
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        properties.MaximumPacketSize = self._max_inbound_bytes
        try:
            client.connect_async(
                self._host, self._port, self._keepalive_s, clean_start=True, properties=properties
            )
        except ValueError as exc:
            raise BrokerError(f"broker {self._host}:{self._port}: {exc}") from exc
        return client

    def _run(self) -> None:
        client = self._client
        if client is None:
            return
        while not self._stopping.is_set():
            self._link += 1
            self._reason = ""
            try:
                client.reconnect()
                self._converse(client)
                reason = self._reason or f"broker {self._host}:{self._port}: connection lost"
            except Exception as exc:  # whatever paho meets must not end the thread
                reason = connect_failure(exc, self._host, self._port)
            self._link_is_up = False
            self._inbox.put(Disconnected(reason=reason))
            self._stopping.wait(self._backoff.next_s())

    def _converse(self, client: LeanClient) -> None:
        """Move packets until the connection ends."""
        sock = client.socket()
        if sock is None:
            return
        poller = select.poll()
        poller.register(self._wake_fd, select.POLLIN)
        descriptor = sock.fileno()
        wakefulness = Wakefulness(sock)
        self._hanging_up.clear()
        try:
            while client.socket() is sock and not self._stopping.is_set():
                wakefulness.expect(client.reader.missing_bytes if client.reader else 0)
                if not self._turn(client, sock, descriptor, poller):
                    break
                if self._hanging_up.is_set():
                    self._reason = forget_unsent(sock)
                    break
            if self._stopping.is_set():
                client.say_goodbye(descriptor, _GOODBYE_S)
        finally:
            error = client.read_error or getattr(sock, "last_error", None)
            if error is not None and not self._reason:
                self._reason = connect_failure(error, self._host, self._port)
            with contextlib.suppress(OSError):
                sock.close()

    def _turn(self, client: LeanClient, sock: Any, descriptor: int, poller: select.poll) -> bool:
        """One round of waiting, reading and writing; False when the connection has ended."""
        crowded = self._bytes_arrived - self._bytes_read > _INBOX_BYTES
        unread = not crowded and client.has_unread
        mask = 0 if crowded else select.POLLIN
        mask |= select.POLLOUT if client.want_write() else 0
        poller.register(descriptor, mask)
        timeout_ms = 0 if unread else 20 if crowded else _TURN_MS
        ready = dict(poller.poll(timeout_ms))
        if self._wake_fd in ready:
            os.eventfd_read(self._wake_fd)
        events = ready.get(descriptor, 0)
        if unread or events & ~select.POLLOUT:
            for _ in range(_READS_PER_TURN):
                if client.loop_read():
                    return False
                if not client.has_unread:
                    break
        if client.socket() is None:
            return False
        if events & select.POLLOUT and client.loop_write():
            return False
        return client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _on_socket_open(self, client: Any, _userdata: Any, sock: Any) -> None:
        tune_socket(sock)
        client.reader = PacketReader(sock, self._max_inbound_bytes)
        client.read_error = None

    def _on_connect(
        self, client: mqtt.Client, _userdata: Any, _flags: Any, code: ReasonCode, properties: Any
    ) -> None:
        client.drop_out_messages()  # else paho sends again what the caller has given up
        if code.is_failure:
            self._reason = (
                f"broker {self._host}:{self._port} refuses this client ({str(code).lower()}): check"
                " its certificate's name, and the broker's list of devices"
            )
            return
        packet = getattr(properties, "MaximumPacketSize", _MQTT_MOST_PACKET_BYTES)
        unsettled = getattr(properties, "ReceiveMaximum", 65_535)
        self._limits = (max(0, packet - _HEADROOM_BYTES), unsettled)
        if self._filters:
            client.subscribe([(each, self._subscribe_qos) for each in self._filters])
        else:
            self._link_stands()

    def _on_subscribe(
        self, client: mqtt.Client, _userdata: Any, _mid: int, codes: list[ReasonCode], _p: Any
    ) -> None:
        if any(code.is_failure for code in codes):
            self._reason = (
                f"broker {self._host}:{self._port} refuses a subscription: check its access list"
            )
            client.disconnect()
        else:
            self._link_stands()

    def _link_stands(self) -> None:
        self._backoff.reset()
        self._link_is_up = True
        self._inbox.put(_LinkUp(self._link, *self._limits))

    def _on_disconnect(
        self, _client: Any, _userdata: Any, flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        self._link_is_up = False
        if flags.is_disconnect_packet_from_server and not self._reason:
            self._reason = (
                f"broker {self._host}:{self._port} ended the connection ({str(code).lower()})"
            )

    def _on_publish(
        self, _client: Any, _userdata: Any, mid: int, code: ReasonCode, _properties: Any
    ) -> None:
        """A message at QoS 0 has gone out; those at QoS 1 come by `_on_settled`."""
        self._inbox.put(_Published(self._link, mid, code.value))

    def _on_settled(self, mid: int, reason_code: int) -> None:
        self._inbox.put(_Published(self._link, mid, reason_code))

    def _on_arrived(self, topic: str, payload: bytes, properties: dict[str, str]) -> None:
        self._bytes_arrived += len(payload)
        self._inbox.put(Arrived(topic=topic, payload=payload, properties=properties))
