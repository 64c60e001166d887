"""Uplink starts the updater when there is news, fetches for it, and shows how far it is."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.backoff import Backoff
from agent.drivers.broker_fake import FakeBroker, FakeExchange
from agent.ipc.framed import MAX_FRAME_BYTES, Framed
from agent.ipc.update_messages import (
    AskChunks,
    AskMetadata,
    Chunk,
    FromUpdater,
    Metadata,
    NoTarget,
    Told,
    ToUpdater,
)
from agent.ports.broker import Arrived, Connected
from agent.services.uplink_models import ModelDesk
from agent.storage.model_shelf import ModelShelf, Outcome, Wanted
from agent.wire.codec import decode, encode
from agent.wire.depot import TargetGet, TargetRefusal
from agent.wire.telemetry import ModelProgress
from agent.wire.topics import UP_GETS, down_target, update_metadata

SHA256 = "ab" * 32
S = 10**9


class HandUpdater:
    """An updater that the test plays."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.link = Framed(ours, FromUpdater)
        self.raw = theirs
        self.side = Framed(theirs, ToUpdater)
        self.code: int | None = None
        self.killed = False

    def ended(self) -> int | None:
        return self.code

    def kill(self) -> None:
        self.killed = True
        self.link.close()

    def end(self, code: int = 0) -> None:
        self.side.close()
        self.code = code


class Rig:
    def __init__(self, folder: Path) -> None:
        self.exchange = FakeExchange()
        self.broker = FakeBroker(self.exchange, client_id="cam01")
        self.server = FakeBroker(self.exchange, client_id="collector")
        self.server.subscribe(UP_GETS)
        self.server.start()
        self.server.read(0)
        self.started: list[HandUpdater] = []
        self.faults: list[str] = []
        self.shelf = ModelShelf(folder)
        self.now_ns = 100 * S
        self.desk = ModelDesk(
            broker=self.broker,
            device_id="cam01",
            state_dir=folder,
            start=self._start,
            retry=Backoff(30.0, 3600.0, lambda: 0.0),
            report=self.faults.append,
        )
        self.broker.start()

    def _start(self) -> HandUpdater:
        self.started.append(HandUpdater())
        return self.started[-1]

    def publish(self, name: str, content: bytes) -> None:
        self.server.publish(update_metadata(name), content, retain=True)

    def step(self, seconds: float = 0.0, *, may_fetch: bool = True) -> None:
        self.now_ns += int(seconds * S)
        while (item := self.broker.read(0)) is not None:
            if isinstance(item, Arrived):
                assert self.desk.arrived(item, self.now_ns)
            else:
                assert isinstance(item, Connected) or item is not None
        self.desk.step(self.now_ns, may_fetch=may_fetch)

    def begin(self) -> HandUpdater:
        self.publish("timestamp", b"t1")
        self.step()
        self.step(1)
        return self.started[-1]

    def asked(self) -> list[TargetGet]:
        items = iter(lambda: self.server.read(0), None)
        return [decode(TargetGet, item.payload) for item in items if isinstance(item, Arrived)]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.desk.close()
    for updater in made.started:
        updater.side.close()


def test_the_updater_starts_once_the_news_has_all_come(rig: Rig) -> None:
    rig.publish("targets-2", b"x")
    rig.step(1)
    assert rig.started == []  # without a timestamp there is nothing to follow
    rig.publish("timestamp", b"t1")
    rig.step(0.1)
    rig.publish("snapshot-2", b"y")
    rig.step(0.1)
    rig.step(0.3)
    assert rig.started == []
    rig.step(0.3)
    assert len(rig.started) == 1


def test_the_same_metadata_again_is_no_news(rig: Rig) -> None:
    updater = rig.begin()
    updater.side.send(Told(None, is_last=True))
    rig.step()
    updater.end()
    rig.step()
    rig.publish("timestamp", b"t1")
    rig.step(1)
    rig.step(5000)
    assert len(rig.started) == 1
    rig.publish("timestamp", b"t2")
    rig.step()
    rig.step(1)
    assert len(rig.started) == 2


def test_metadata_that_is_published_is_handed_over_and_what_is_not_is_none(rig: Rig) -> None:
    updater = rig.begin()
    for name in ("timestamp", "root-2"):
        updater.side.send(AskMetadata(name))
        rig.step()
    assert updater.side.receive() == Metadata("timestamp", b"t1")
    assert updater.side.receive() == Metadata("root-2", None)


def test_chunks_are_asked_of_the_depot_and_passed_on_as_they_come(rig: Rig) -> None:
    updater = rig.begin()
    updater.side.send(AskChunks(SHA256, 65536, (3, 4)))
    rig.step()
    assert rig.asked() == [TargetGet(sha256=SHA256, chunk_bytes=65536, chunks=(3, 4))]
    rig.server.publish(down_target("cam01", SHA256, 4), b"four")
    rig.server.publish(down_target("cam01", SHA256, None), encode(TargetRefusal(why="gone")))
    rig.step()
    assert updater.side.receive() == Chunk(SHA256, 4, b"four")
    assert updater.side.receive() == NoTarget(SHA256, "gone")


def test_nothing_is_fetched_while_the_network_is_not_allowed(rig: Rig) -> None:
    rig.publish("timestamp", b"t1")
    rig.step(1, may_fetch=False)
    rig.step(1, may_fetch=False)
    assert rig.started == []
    rig.step()
    updater = rig.started[-1]
    updater.side.send(AskChunks(SHA256, 65536, (0,)))
    rig.step(may_fetch=False)
    assert rig.asked() == []
    rig.step()
    assert len(rig.asked()) == 1


def test_how_far_it_is_is_shown(rig: Rig) -> None:
    updater = rig.begin()
    half = ModelProgress(state="downloading", push=1, name="m", version=2, percent=50)
    updater.side.send(Told(half))
    rig.step()
    assert rig.desk.progress == half
    rig.shelf.want(Wanted(push=1, name="m", version=2))
    updater.side.send(Told(ModelProgress(state="installed", push=1), is_last=True))
    rig.step()
    assert rig.desk.progress is not None
    assert rig.desk.progress.state == "installed"
    rig.shelf.note(Outcome(push=1, name="m", version=2, state="rolled_back", why="NaN"))
    rig.step(2)
    assert (rig.desk.progress.state, rig.desk.progress.why) == ("rolled_back", "NaN")


def test_a_failed_update_is_said_once_and_tried_again_later(rig: Rig) -> None:
    updater = rig.begin()
    failed = ModelProgress(state="failed", push=1, name="m", version=2, why="the card is full")
    updater.side.send(Told(failed, is_last=True, again=True))
    rig.step()
    updater.end()
    rig.step()
    assert rig.faults == ["model update: m 2 failed: the card is full"]
    rig.step(20)
    assert len(rig.started) == 1
    rig.step(15)
    assert len(rig.started) == 2


def test_an_updater_that_crashes_hangs_or_speaks_nonsense_costs_only_itself(rig: Rig) -> None:
    rig.begin().end(-11)
    rig.step()
    rig.step(31)
    rig.started[-1].raw.send((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    rig.step()
    rig.step(121)
    rig.step(181)  # this one is silent
    assert [updater.killed for updater in rig.started] == [True] * 3
    assert [fault.removeprefix("model update: ")[:18] for fault in rig.faults] == [
        "the updater ended ",
        "the updater speaks",
        "the updater was si",
    ]


def test_metadata_without_end_is_not_kept(rig: Rig) -> None:
    for number in range(1, 20):
        rig.publish(f"targets-{number}", b"x" * 500_000)
    rig.step()
    assert any("more than 4 MiB" in fault for fault in rig.faults)


def test_uplink_carries_neither_numpy_nor_the_trust_library() -> None:

    code = "import sys, agent.services.uplink; print({'numpy', 'tuf'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
