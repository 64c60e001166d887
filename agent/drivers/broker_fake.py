"""A broker in memory, for tests and for a desk without a network. Same contract, no network."""

from __future__ import annotations

import queue
from collections.abc import Callable

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


class FakeExchange:
    """Routes messages between FakeBrokers and keeps retained ones.

    `deliver(topic, payload)` may be replaced to lose (no copy), double (two) or pass (one) each
    message: it returns how many copies arrive. `max_payload_bytes` is told to all who connect.
    """

    def __init__(self, *, max_payload_bytes: int = 16 * 1024 * 1024) -> None:
        self.max_payload_bytes = max_payload_bytes
        self.deliver: Callable[[str, bytes], int] = lambda _topic, _payload: 1
        self.retained: dict[str, Arrived] = {}
        self._online: list[FakeBroker] = []
        self.is_up = True

    def go_down(self, reason: str = "the broker went away") -> None:
        """All connections end, last wills are published, and nobody gets in until `come_up`."""
        self.is_up = False
        for client in list(self._online):
            self.drop(client, reason)

    def come_up(self) -> None:
        """Everybody who wants in is connected again."""
        self.is_up = True

    def drop(self, client: FakeBroker, reason: str) -> None:
        """End one connection as a lost network does."""
        self._online.remove(client)
        client.lose(reason)
        if client.will is not None:
            self.route(client.will.topic, client.will.payload, client.will.retain, {})

    def join(self, client: FakeBroker) -> None:
        self._online.append(client)
        for message in self.retained.values():
            client.offer(message)

    def leave(self, client: FakeBroker) -> None:
        if client in self._online:
            self._online.remove(client)

    def route(self, topic: str, payload: bytes, retain: bool, properties: dict[str, str]) -> bool:
        """True when anybody is subscribed to `topic`."""
        message = Arrived(topic=topic, payload=payload, properties=properties)
        if retain:
            if payload:
                self.retained[topic] = message
            else:
                self.retained.pop(topic, None)
        readers = [client for client in self._online if client.wants(topic)]
        if readers:
            for _ in range(self.deliver(topic, payload)):
                for client in readers:
                    client.offer(message)
        return bool(readers)


class FakeBroker(Broker):
    """One client of a FakeExchange. `pipe_messages`: how many may be unsettled."""

    def __init__(
        self,
        exchange: FakeExchange,
        *,
        client_id: str = "",
        will: LastWill | None = None,
        pipe_messages: int = 64,
    ) -> None:
        self.client_id = client_id
        self.will = will
        self._exchange = exchange
        self._pipe_messages = pipe_messages
        self._filters: list[list[str]] = []
        self._inbox: queue.Queue[BrokerItem] = queue.Queue()
        self._started = False
        self._stopped = False
        self._is_up = False
        self._caller_knows = False
        self._next_token = 1
        self._unsettled = 0

    def subscribe(self, topic_filter: str) -> None:
        self._filters.append(topic_filter.split("/"))

    def start(self) -> None:
        if self._started:
            raise BrokerError("broker started twice", remedy="start it once")
        self._started = True
        if not self._try_connect():
            self._inbox.put(Disconnected(reason="no broker there"))

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        properties: dict[str, str] | None = None,
    ) -> int | None:
        if not self._is_up or not self._caller_knows or self._unsettled >= self._pipe_messages:
            return None
        token = self._next_token
        self._next_token += 1
        self._unsettled += 1
        if len(payload) > self._exchange.max_payload_bytes:
            reason = f"{len(payload)} bytes are more than the broker takes"
            self._inbox.put(Settled(token=token, outcome="refused", reason=reason))
            return token
        heard = self._exchange.route(topic, payload, retain, dict(properties or {}))
        if heard or qos == 0:
            self._inbox.put(Settled(token=token, outcome="taken"))
        else:
            self._inbox.put(Settled(token=token, outcome="no_subscriber"))
        return token

    def read(self, timeout_s: float) -> BrokerItem | None:
        if self._started and not self._stopped and not self._is_up:
            self._try_connect()
        try:
            item = self._inbox.get(timeout_s > 0, timeout_s if timeout_s > 0 else None)
        except queue.Empty:
            return None
        if isinstance(item, Connected):
            self._caller_knows = True
            self._unsettled = 0
        elif isinstance(item, Disconnected):
            self._caller_knows = False
            self._unsettled = 0
        elif isinstance(item, Settled):
            self._unsettled -= 1
        return item

    def hang_up(self) -> None:
        if self._is_up and self._caller_knows:
            self._exchange.drop(self, "hung up")

    def stop(self) -> None:
        self._stopped = True
        self._is_up = False
        self._exchange.leave(self)

    def wants(self, topic: str) -> bool:
        return any(_matches(each, topic.split("/")) for each in self._filters)

    def offer(self, message: Arrived) -> None:
        if self.wants(message.topic):
            self._inbox.put(message)

    def lose(self, reason: str) -> None:
        self._is_up = False
        self._inbox.put(Disconnected(reason=reason))

    def _try_connect(self) -> bool:
        if not self._exchange.is_up:
            return False
        self._is_up = True
        self._inbox.put(Connected(max_payload_bytes=self._exchange.max_payload_bytes))
        self._exchange.join(self)
        return True


def _matches(pattern: list[str], topic: list[str]) -> bool:
    for index, level in enumerate(pattern):
        if level == "#":
            return True
        if index >= len(topic) or level not in ("+", topic[index]):
            return False
    return len(pattern) == len(topic)
