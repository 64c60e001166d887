"""A broker in memory behind a link of so many bits a second, on a clock that the test moves."""

from __future__ import annotations

from collections import deque

import msgspec

from agent.drivers.broker_fake import FakeBroker, FakeExchange
from agent.ports.broker import BrokerItem, LastWill, Settled
from agent.ports.clock import Clock

_PIPE_BYTES = 4 * 1024 * 1024
_OVERHEAD = 1.02  # TLS records, TCP and MQTT headers


class _Queued(msgspec.Struct, frozen=True):
    arrives_ns: int
    token: int
    topic: str
    payload: bytes
    retain: bool
    properties: dict[str, str]


class SlowLink(FakeBroker):
    """As FakeBroker; what is published goes out one after another at `bits_per_s`, and is with its
    readers `delay_s` after it has gone out. Answers come at once."""

    def __init__(
        self,
        exchange: FakeExchange,
        clock: Clock,
        bits_per_s: int,
        *,
        client_id: str,
        will: LastWill | None = None,
        delay_s: float = 0.05,
    ) -> None:
        super().__init__(exchange, client_id=client_id, will=will)
        self._clock = clock
        self._ns_per_byte = 8e9 / bits_per_s * _OVERHEAD
        self._delay_ns = int(delay_s * 1e9)
        self._free_ns = 0
        self._queue: deque[_Queued] = deque()
        self.sent_bytes = 0

    @property
    def queued_bytes(self) -> int:
        return sum(len(each.payload) for each in self._queue)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        properties: dict[str, str] | None = None,
    ) -> int | None:
        if not self._is_up or not self._caller_knows:
            return None
        if self._queue and self.queued_bytes + len(payload) > _PIPE_BYTES:
            return None
        self._next_token += 1
        self._unsettled += 1
        begins_ns = max(self._free_ns, self._clock.boot_ns())
        self._free_ns = begins_ns + int(len(payload) * self._ns_per_byte)
        self._queue.append(
            _Queued(
                self._free_ns + self._delay_ns,
                self._next_token,
                topic,
                payload,
                retain,
                dict(properties or {}),
            )
        )
        return self._next_token

    def read(self, timeout_s: float) -> BrokerItem | None:
        while self._queue and self._queue[0].arrives_ns <= self._clock.boot_ns():
            each = self._queue.popleft()
            self.sent_bytes += len(each.payload)
            heard = self._exchange.route(each.topic, each.payload, each.retain, each.properties)
            outcome = "taken" if heard or each.retain else "no_subscriber"
            self._inbox.put(msgspec.convert({"token": each.token, "outcome": outcome}, Settled))
        return super().read(timeout_s)

    def lose(self, reason: str) -> None:
        self._queue.clear()
        self._free_ns = 0
        super().lose(reason)
