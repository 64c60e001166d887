"""Brokers to run the contract against: in memory, plain Mosquitto, Mosquitto with mutual TLS."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from agent.drivers.broker_fake import FakeBroker, FakeExchange
from agent.drivers.broker_paho import PahoBroker
from agent.drivers.broker_socket import TlsFiles
from agent.ports.broker import (
    Arrived,
    Broker,
    BrokerItem,
    Connected,
    Disconnected,
    LastWill,
    Settled,
)
from firmware_tools.dev_fleet import Fleet
from firmware_tools.local_broker import LocalBroker, find_mosquitto
from firmware_tools.mosquitto_conf import MAX_PACKET_BYTES

DEADLINE_S = 15.0
UP = "sightline/v1/up/cam01/event"
DOWN = "sightline/v1/down/cam01/clip/x"


class Ground(Protocol):
    """A broker to test against: clients for it, and its fall and rise."""

    def client(self, name: str, will: LastWill | None = None) -> Broker: ...

    def go_down(self) -> None: ...

    def come_up(self) -> None: ...


class FakeGround:
    def __init__(self) -> None:
        self.exchange = FakeExchange(max_payload_bytes=MAX_PACKET_BYTES)

    def client(self, name: str, will: LastWill | None = None) -> Broker:
        return FakeBroker(self.exchange, client_id=name, will=will)

    def go_down(self) -> None:
        self.exchange.go_down()

    def come_up(self) -> None:
        self.exchange.come_up()


class PlainGround:
    """Mosquitto on a loopback port without TLS and without an access list."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.conf = folder / "plain.conf"
        self.conf.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
            f"max_packet_size {MAX_PACKET_BYTES}\nlog_type none\n"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.come_up()

    def client(self, name: str, will: LastWill | None = None) -> Broker:
        return PahoBroker(
            host="127.0.0.1",
            port=self.port,
            client_id=name,
            tls=None,
            will=will,
            reconnect_first_s=0.1,
        )

    def go_down(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def come_up(self) -> None:
        self._process = subprocess.Popen(
            [find_mosquitto(), "-c", str(self.conf)], stderr=subprocess.DEVNULL
        )
        wait_for_port(self.port)


class TlsGround:
    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._broker = LocalBroker(fleet)
        self._broker.start()

    def client(self, name: str, will: LastWill | None = None) -> Broker:
        tls = self.fleet.collector.tls if name == "collector" else self.fleet.device(name).tls
        return tls_client(self.fleet, name, ours(tls), will=will)

    def go_down(self) -> None:
        self._broker.kill()

    def come_up(self) -> None:
        self._broker.start()


def ours(tls: msgspec.Struct) -> TlsFiles:
    return msgspec.convert(msgspec.structs.asdict(tls), TlsFiles)


def tls_client(
    fleet: Fleet, name: str, tls: TlsFiles, *, host: str = "", will: LastWill | None = None
) -> PahoBroker:
    return PahoBroker(
        host=host or fleet.host,
        port=fleet.port,
        client_id=name,
        tls=tls,
        will=will,
        reconnect_first_s=0.1,
    )


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("Mosquitto does not listen")


def until(broker: Broker, wanted: Callable[[BrokerItem], bool]) -> BrokerItem:
    """The first item that is `wanted`; others are passed over."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        item = broker.read(0.1)
        if item is not None and wanted(item):
            return item
    raise AssertionError("it did not come")


def connected(broker: Broker) -> Connected:
    item = until(broker, lambda each: isinstance(each, Connected))
    assert isinstance(item, Connected)
    return item


def disconnected(broker: Broker) -> str:
    item = until(broker, lambda each: isinstance(each, Disconnected))
    assert isinstance(item, Disconnected)
    return item.reason


def arrived(broker: Broker) -> Arrived:
    item = until(broker, lambda each: isinstance(each, Arrived))
    assert isinstance(item, Arrived)
    return item


def settled(broker: Broker, token: int | None) -> Settled:
    assert token is not None
    item = until(broker, lambda each: isinstance(each, Settled) and each.token == token)
    assert isinstance(item, Settled)
    return item
