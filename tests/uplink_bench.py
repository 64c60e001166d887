"""One uplink and a small collector over a broker in memory, on a clock that the test moves."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import zmq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import Device, Network, Paths, Settings
from agent.config import Uplink as UplinkSettings
from agent.drivers.broker_fake import FakeBroker, FakeExchange
from agent.drivers.surroundings_fake import FakeSurroundings
from agent.services.uplink import Uplink, last_will
from agent.storage.spool import Spool
from agent.wire.telemetry import DeviceEvent, DeviceStatus
from agent.wire.topics import up_status
from tests.clips import DEVICE, clip_id
from tests.clock import ManualClock
from tests.slow_link import SlowLink
from tests.tiny_collector import UP_ALL, TinyCollector

KEY = Ed25519PrivateKey.generate()


class Bench:
    """One uplink and one collector, stepped in turn; each idle round adds `pace_s`."""

    def __init__(
        self,
        folder: Path,
        context: zmq.Context[zmq.Socket[bytes]],
        *,
        network: Network | None = None,
        link_bits_per_s: int = 0,
        part_bytes: int = 16 * 1024,
    ) -> None:
        """`link_bits_per_s`: what the camera's link carries; 0: everything at once."""
        self.link_bits_per_s = link_bits_per_s
        self.settings = Settings(
            device=Device(device_id=DEVICE, kind="desk"),
            paths=Paths(state_dir=folder / "state", runtime_dir=folder / "run"),
            uplink=UplinkSettings(part_bytes=part_bytes, status_every_s=10),
            network=network or Network(),
        )
        self.context = context
        self.clock = ManualClock()
        self.surroundings = FakeSurroundings()
        self.spool = Spool(self.settings.paths.state_dir)
        self.spool.prepare()
        self.exchange = FakeExchange()
        self.link = FakeBroker(self.exchange, client_id="collector")
        self.link.subscribe(UP_ALL)
        self.link.start()
        self.collector = TinyCollector(self.link, KEY)
        self.uplink = self.new_uplink()

    def new_uplink(self) -> Uplink:
        will = last_will(self.settings)
        if self.link_bits_per_s:
            self.broker: FakeBroker = SlowLink(
                self.exchange, self.clock, self.link_bits_per_s, client_id=DEVICE, will=will
            )
        else:
            self.broker = FakeBroker(self.exchange, client_id=DEVICE, will=will)
        return Uplink(
            broker=self.broker,
            clock=self.clock,
            spool=self.spool,
            settings=self.settings,
            receipt_keys=[KEY.public_key()],
            surroundings=self.surroundings,
            context=self.context,
            random=random.Random(1).random,
        )

    def restart(self) -> None:
        self.uplink.close()
        self.uplink = self.new_uplink()

    def run(self, until: Callable[[], bool], limit_s: float = 600.0, pace_s: float = 0.05) -> None:
        end_ns = self.clock.boot_ns() + int(limit_s * 1e9)
        while not until():
            assert self.clock.boot_ns() < end_ns, "it does not come to an end"
            happened = self.uplink.step()
            happened = self.collector.step() or happened
            if not happened:
                self.uplink.wait(0)
                self.clock.advance(pace_s)

    def run_for(self, seconds: float, pace_s: float = 0.05) -> None:
        end_ns = self.clock.boot_ns() + int(seconds * 1e9)
        self.run(lambda: self.clock.boot_ns() >= end_ns, limit_s=seconds + 10, pace_s=pace_s)

    def sent(self, *numbers: int) -> Callable[[], bool]:
        wanted = [clip_id(number) for number in numbers]
        return lambda: self.spool.clips("sent") == wanted

    def faults(self) -> list[str]:
        events = [msgspec.json.decode(each, type=DeviceEvent) for each in self.collector.events]
        return [event.text for event in events if event.kind == "fault"]

    def status(self) -> DeviceStatus:
        payload = self.exchange.retained[up_status(DEVICE)].payload
        return msgspec.json.decode(payload, type=DeviceStatus)
