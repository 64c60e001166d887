"""The depot: what admins bring is kept once it proves itself, and cameras get what they ask for."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import pytest

from agent.drivers.broker_fake import FakeBroker, FakeExchange
from agent.errors import WireError
from agent.ports.broker import Arrived, Broker, BrokerItem, Connected
from agent.wire.codec import decode, encode
from agent.wire.depot import CHUNK_BYTES, DepotOpen, DepotState, TargetGet, metadata_name
from agent.wire.topics import (
    depot_chunk,
    depot_open,
    down_depots,
    down_targets,
    parse_down_target,
    up_get,
    update_metadata,
)
from agent.wire.transfer import CRC_PROPERTY
from collector.depot import Depot
from collector.report import Report
from collector.serving import TargetServer
from collector.store import Store
from firmware_tools.depot_client import DepotClient
from firmware_tools.update_repository import RepositoryProblem
from tests.clock import ManualClock

ADMIN = "admin-1"
TARGET = bytes(range(256)) * 4 * 1024 * 2 + b"tail"  # eight chunks and a piece
SHA256 = hashlib.sha256(TARGET).hexdigest()


class Server:
    """One collector's depot and server, stepped by hand."""

    def __init__(
        self, store_dir: Path, exchange: FakeExchange, budget_bytes: int = 1 << 30
    ) -> None:
        self.store = Store(store_dir)
        self.store.prepare()
        self.events = io.StringIO()
        report = Report(self.events, io.StringIO(), lambda: 0.0)
        self.broker = FakeBroker(exchange, pipe_messages=1000)
        self.depot = Depot(self.broker, self.store, 0, report)
        self.server = TargetServer(self.broker, self.depot, report, budget_bytes)
        self.clock = ManualClock()
        self.problems: list[str] = []
        for topics in (*self.depot.subscriptions, *self.server.shared_subscriptions):
            self.broker.subscribe(topics)
        self.broker.start()

    @property
    def now_s(self) -> float:
        return self.clock.boot_ns() / 1e9

    def step(self) -> None:
        while (item := self.broker.read(0)) is not None:
            if isinstance(item, Connected):
                self.depot.connected()
                self.server.connected()
            elif isinstance(item, Arrived):
                try:
                    assert self.server.take(item) or self.depot.take(item, self.now_s)
                except WireError as exc:
                    self.problems.append(exc.what)
        self.depot.step(self.now_s)
        self.server.step(self.now_s)


class Admin(FakeBroker):
    """An admin's connection; the servers work whenever it waits."""

    def __init__(self, exchange: FakeExchange, *servers: Server) -> None:
        super().__init__(exchange, client_id=ADMIN)
        self.servers = servers

    def read(self, timeout_s: float) -> BrokerItem | None:
        item = super().read(0)
        if item is None:
            for server in self.servers:
                server.clock.advance(timeout_s)
                server.step()
        return item or super().read(0)


def client_of(broker: Admin) -> DepotClient:
    client = DepotClient(broker, ADMIN, lambda: broker.servers[0].now_s)
    client.connect()
    return client


@pytest.fixture
def exchange() -> FakeExchange:
    return FakeExchange()


@pytest.fixture
def server(tmp_path: Path, exchange: FakeExchange) -> Iterator[Server]:
    made = Server(tmp_path / "store", exchange)
    yield made
    made.depot.close()


def put(server: Server, content: bytes) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    server.depot.target(sha256).parent.mkdir(parents=True, exist_ok=True)
    server.depot.target(sha256).write_bytes(content)
    return sha256


def metadata(version: int, words: str = "") -> bytes:
    return json.dumps({"signed": {"version": version, "words": words}}).encode()


def send(broker: Broker, topic: str, content: bytes) -> None:
    broker.publish(topic, content, properties={CRC_PROPERTY: f"{google_crc32c.value(content):08x}"})


def test_a_bundle_that_was_brought_is_kept_whole(server: Server, exchange: FakeExchange) -> None:
    client_of(Admin(exchange, server)).bring(TARGET)
    assert server.depot.target(SHA256).read_bytes() == TARGET
    assert f'"sha256": "{SHA256}"' in server.events.getvalue()


def test_an_upload_that_was_cut_off_goes_on_where_it_was(
    tmp_path: Path, server: Server, exchange: FakeExchange
) -> None:
    admin = Admin(exchange, server)
    admin.start()
    admin.read(0)
    admin.publish(depot_open(ADMIN, SHA256), encode(DepotOpen(bytes=len(TARGET))))
    send(admin, depot_chunk(ADMIN, SHA256, 0), TARGET[:CHUNK_BYTES])
    server.step()
    server.depot.close()  # the collector was killed
    again = Server(tmp_path / "store", exchange)
    server.broker.stop()
    arrived: list[str] = []
    exchange.deliver = lambda topic, _payload: arrived.append(topic) or 1  # type: ignore[func-returns-value]
    client_of(Admin(exchange, again)).bring(TARGET)
    assert again.depot.target(SHA256).read_bytes() == TARGET
    assert depot_chunk(ADMIN, SHA256, 0) not in arrived


def test_chunks_lost_by_the_broker_are_sent_again(server: Server, exchange: FakeExchange) -> None:
    lost: list[str] = []

    def lose_each_once(topic: str, _payload: bytes) -> int:
        if "/chunk/" in topic and topic not in lost:
            lost.append(topic)
            return 0
        return 1

    exchange.deliver = lose_each_once
    client_of(Admin(exchange, server)).bring(TARGET)
    assert server.depot.target(SHA256).read_bytes() == TARGET
    assert len(lost) == 9


def test_of_two_collectors_one_takes_it_and_both_have_it(
    tmp_path: Path, server: Server, exchange: FakeExchange
) -> None:
    other = Server(tmp_path / "store", exchange)
    client_of(Admin(exchange, server, other)).bring(TARGET)
    assert other.depot.target(SHA256).read_bytes() == TARGET
    assert (server.events.getvalue() == "") != (other.events.getvalue() == "")
    other.depot.close()


def test_bytes_of_another_hash_are_refused_and_gone(
    server: Server, exchange: FakeExchange, tmp_path: Path
) -> None:
    admin = Admin(exchange, server)
    admin.subscribe(down_depots(ADMIN))
    admin.start()
    admin.read(0)
    admin.publish(depot_open(ADMIN, SHA256), encode(DepotOpen(bytes=4)))
    send(admin, depot_chunk(ADMIN, SHA256, 0), b"evil")
    server.step()
    answers = [
        decode(DepotState, item.payload)
        for item in iter(lambda: admin.read(0), None)
        if isinstance(item, Arrived)
    ]
    assert answers[-1].refused == "its bytes have another SHA-256"
    assert not server.depot.target(SHA256).exists()
    assert list((tmp_path / "store" / "depot" / "incoming").iterdir()) == []


def test_a_damaged_or_oversize_chunk_changes_nothing(
    server: Server, exchange: FakeExchange
) -> None:
    admin = Admin(exchange, server)
    admin.start()
    admin.read(0)
    admin.publish(depot_open(ADMIN, SHA256), encode(DepotOpen(bytes=len(TARGET))))
    topic = depot_chunk(ADMIN, SHA256, 0)
    admin.publish(topic, TARGET[:CHUNK_BYTES], properties={CRC_PROPERTY: "00000000"})
    send(admin, topic, TARGET[: CHUNK_BYTES + 1])
    server.step()
    assert server.problems == ["damaged on its way", "262145 bytes where 262144 are due"]
    client_of(Admin(exchange, server)).bring(TARGET)


def test_a_full_disk_refuses_with_the_reason(
    server: Server, exchange: FakeExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "free_bytes", lambda _self: 10)
    with pytest.raises(RepositoryProblem, match="only 10 bytes free"):
        client_of(Admin(exchange, server)).bring(TARGET)


def test_a_depot_that_is_silent_is_given_up_with_what_to_do(exchange: FakeExchange) -> None:
    class Nobody:
        clock = ManualClock()
        now_s = property(lambda self: self.clock.boot_ns() / 1e9)

        def step(self) -> None: ...

    with pytest.raises(RepositoryProblem, match=r"does not answer.*model publish"):
        client_of(Admin(exchange, Nobody())).bring(TARGET)  # type: ignore[arg-type]


def test_metadata_is_published_and_published_again_to_a_broker_that_forgot(
    server: Server, exchange: FakeExchange
) -> None:
    client = client_of(Admin(exchange, server))
    for name in ("root-1", "targets-1", "halts-1", "snapshot-1", "timestamp"):
        client.bring(metadata(1), name)
    server.step()
    published = set(exchange.retained)
    assert update_metadata("timestamp") in published
    assert len(published) == 5
    exchange.retained.clear()
    server.broker.hang_up()
    server.broker.read(0)
    server.clock.advance(5)
    server.step()
    server.clock.advance(5)
    server.step()
    assert set(exchange.retained) == published


def test_old_versions_are_taken_back_but_every_root_stays(
    server: Server, exchange: FakeExchange
) -> None:
    client = client_of(Admin(exchange, server))
    for version in range(1, 6):
        for role in ("root", "targets"):
            client.bring(metadata(version), f"{role}-{version}")
    server.clock.advance(5)
    server.step()
    names = {topic.rpartition("/")[2] for topic in exchange.retained}
    assert names == {f"root-{v}" for v in range(1, 6)} | {"targets-4", "targets-5"}


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("timestamp", metadata(1), "timestamp 1 is older than 2"),
        ("targets-3", metadata(4), "says it is version 4"),
        ("targets-3", b"{}", "no TUF metadata"),
        ("targets-3", b"[" * 5000, "no TUF metadata"),
    ],
)
def test_metadata_that_cannot_be_current_is_refused(
    server: Server, exchange: FakeExchange, name: str, content: bytes, why: str
) -> None:
    client = client_of(Admin(exchange, server))
    client.bring(metadata(2), "timestamp")
    with pytest.raises(RepositoryProblem, match=why):
        client.bring(content, name)


@pytest.mark.parametrize("name", ["../up", "root", "targets-0", "timestamp.json", "evil-1"])
def test_only_names_of_metadata_are_files(
    server: Server, exchange: FakeExchange, name: str
) -> None:
    admin = Admin(exchange, server)
    admin.start()
    admin.read(0)
    admin.publish(depot_open(ADMIN, SHA256), encode(DepotOpen(bytes=4, metadata=name)))
    server.step()
    assert "is no metadata file" in server.problems[0]
    with pytest.raises(WireError):
        metadata_name(f"{name}.x")


class Pulling:
    """A device that asks for chunks."""

    def __init__(self, exchange: FakeExchange, device_id: str) -> None:
        self.device_id = device_id
        self.broker = FakeBroker(exchange, client_id=device_id)
        self.broker.subscribe(down_targets(device_id))
        self.broker.start()
        self.broker.read(0)

    def ask(self, sha256: str, *chunks: int, chunk_bytes: int = CHUNK_BYTES) -> None:
        get = TargetGet(sha256=sha256, chunk_bytes=chunk_bytes, chunks=chunks)
        self.broker.publish(up_get(self.device_id), encode(get))

    def got(self) -> dict[int | None, bytes]:
        found = {}
        while (item := self.broker.read(0)) is not None:
            if isinstance(item, Arrived):
                place = parse_down_target(item.topic)
                assert place is not None
                found[place[1]] = item.payload
        return found


def test_a_device_gets_just_the_chunks_it_asks_for_in_the_size_it_asks_for(
    server: Server, exchange: FakeExchange
) -> None:
    sha256, device = put(server, TARGET), Pulling(exchange, "cam01")
    device.ask(sha256, 0, 2)
    server.step()
    assert device.got() == {0: TARGET[:CHUNK_BYTES], 2: TARGET[2 * CHUNK_BYTES :][:CHUNK_BYTES]}
    device.ask(sha256, 1, chunk_bytes=64 * 1024)
    server.step()
    assert device.got() == {1: TARGET[64 * 1024 : 128 * 1024]}


def test_a_target_or_chunk_that_is_not_there_is_said(
    server: Server, exchange: FakeExchange
) -> None:
    sha256, device = put(server, TARGET), Pulling(exchange, "cam01")
    device.ask("0" * 64, 0)
    server.step()
    assert b"is not in the depot" in device.got()[None]
    device.ask(sha256, 99)
    server.step()
    assert b"has no chunk 99" in device.got()[None]


def test_a_fleet_that_wakes_at_once_is_served_within_the_budget_and_nobody_starves(
    tmp_path: Path, exchange: FakeExchange
) -> None:
    server = Server(tmp_path / "store", exchange, budget_bytes=4 * CHUNK_BYTES)
    sha256 = put(server, TARGET)
    fleet = [Pulling(exchange, f"cam{n:02}") for n in range(20)]
    for device in fleet:
        device.ask(sha256, 0, 1)
    server.step()
    assert server.server.sent_bytes == 4 * CHUNK_BYTES
    missing = {device.device_id: {0, 1} for device in fleet}
    for _round in range(200):
        for device in fleet:
            wanted = missing[device.device_id]
            if wanted:
                got = set(device.got())
                wanted -= got  # type: ignore[operator]
                if got:
                    device.ask(sha256, *(wanted or {0}))
        server.step()
        server.clock.advance(1.0)
        if not any(missing.values()):
            break
    assert not any(missing.values())


def test_what_a_dead_device_was_sent_is_forgotten(tmp_path: Path, exchange: FakeExchange) -> None:
    server = Server(tmp_path / "store", exchange, budget_bytes=CHUNK_BYTES)
    sha256 = put(server, TARGET)
    dead, alive = Pulling(exchange, "cam01"), Pulling(exchange, "cam02")
    dead.ask(sha256, 0)
    server.step()
    alive.ask(sha256, 0)
    server.step()
    assert alive.got() == {}
    server.clock.advance(11)
    server.step()
    assert set(alive.got()) == {0}
