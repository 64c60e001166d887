"""The broker seam: a pipe to an MQTT v5 broker. Proof of storage is the collector's alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import msgspec


class LastWill(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker publishes for us when the connection ends without a goodbye."""

    topic: str
    payload: bytes
    retain: bool = True


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """The connection stands and all subscriptions are in force. `max_payload_bytes`: what one
    publish may carry (from CONNACK's Maximum Packet Size, less headroom)."""

    max_payload_bytes: int


class Disconnected(msgspec.Struct, frozen=True, kw_only=True):
    """The connection is gone; the driver reconnects by itself with back-off. `reason`: one line."""

    reason: str


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """A message for us."""

    topic: str
    payload: bytes
    properties: dict[str, str] = {}


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's word on a publish: "taken", or why not. "taken" proves nothing about storage."""

    token: int
    outcome: Literal["taken", "no_subscriber", "refused"]
    reason: str = ""


BrokerItem = Connected | Disconnected | Arrived | Settled


class Broker(ABC):
    """One connection, used from one thread; driver threads only enqueue.

    - `start()` begins connecting and returns at once; raises BrokerError when the configuration can
      never work (a certificate file missing or unreadable). A broker that is not there, or whose
      certificate is wrong, is reported as Disconnected, again and again, with its reason.
    - `subscribe(filter)` before `start`; in force again after every reconnect, before Connected.
    - `publish(...)` returns a token, or None when there is no connection or the pipe is full: then
      nothing was sent. Never blocks. Each token gets one Settled, unless a Disconnected comes
      first: what was in flight then is lost, and the caller sends again what the receiver says is
      missing. A payload above `max_payload_bytes` is never sent; it settles as "refused".
    - `read(timeout_s)` returns the next item or None.
    - `hang_up()` ends the connection at once, without a goodbye, and what was published but has not
      left this machine never leaves it; Disconnected follows, then the driver connects again as
      after any loss. Without a connection it does nothing.
    - `stop()` is idempotent; it sends a clean DISCONNECT when it can.
    """

    @abstractmethod
    def subscribe(self, topic_filter: str) -> None: ...

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        properties: dict[str, str] | None = None,
    ) -> int | None: ...

    @abstractmethod
    def read(self, timeout_s: float) -> BrokerItem | None: ...

    @abstractmethod
    def hang_up(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...
