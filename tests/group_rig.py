"""Several collectors of one group over one store, in one process: each message is dealt to one of
them, as a broker does with a shared subscription, by whatever order a test wishes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import google_crc32c
from msgspec import structs

from agent.drivers.broker_fake import FakeBroker, FakeExchange
from agent.ports.broker import Arrived
from agent.wire.codec import encode
from agent.wire.topics import up_manifest, up_part
from agent.wire.transfer import CRC_PROPERTY, Stored
from collector.app import make_ingest
from collector.ingest import Ingest
from collector.report import Report
from collector.workers import InlineWorker
from tests.collector_rig import PART_BYTES, STEP_S, Camera, PromptBroker, Rig
from tests.sample_clip import SampleClip

GROUP = "group"


class Dealer(FakeExchange):
    """`choose(n)` says which of n members gets the next message of a shared subscription."""

    def __init__(self, choose: Callable[[int], int]) -> None:
        super().__init__()
        self.choose = choose

    def route(self, topic: str, payload: bytes, retain: bool, properties: dict[str, str]) -> bool:
        message = Arrived(topic=topic, payload=payload, properties=properties)
        readers = [client for client in self._online if client.wants(topic)]
        members = [client for client in readers if isinstance(client, Member)]
        alone: list[FakeBroker] = [client for client in readers if client not in members]
        for client in alone:
            client.offer(message)
        if members:
            members[self.choose(len(members))].offer(message)
        return bool(readers)


class Member(PromptBroker):
    """The connection of a collector that shares its subscription."""

    joined: str = ""

    def subscribe(self, topic_filter: str) -> None:
        if topic_filter.startswith("$share/"):
            _, self.joined, topic_filter = topic_filter.split("/", 2)
        super().subscribe(topic_filter)


class GroupRig(Rig):
    """A Rig whose `settle` lets all collectors work."""

    def __init__(self, root: Path, choose: Callable[[int], int]) -> None:
        super().__init__(root)
        self.exchange = Dealer(choose)
        self.members: dict[str, Ingest] = {}
        self.connections: dict[str, Member] = {}
        self.is_slow: set[str] = set()

    def join(self, name: str) -> Ingest:
        """Start the collector `name`."""
        own = structs.replace(self.settings.collector, name=name, shared_group=GROUP)
        broker = Member(self.exchange, client_id=name, pipe_messages=1000)
        ingest = make_ingest(
            structs.replace(self.settings, collector=own),
            self.keys(),
            broker,
            Report(self.events, self.log, lambda: self.now_s),
            make_worker=lambda _name, finished: InlineWorker(finished),
            now_s=lambda: self.now_s,
            wall_ns=lambda: 1_700_000_000_000_000_000,
        )
        self.members[name], self.connections[name] = ingest, broker
        ingest.start()
        self.settle()
        return ingest

    def leave(self, name: str) -> None:
        """It stops hearing, and ends: what it had in hand stays on the disk."""
        del self.connections[name]
        self.members.pop(name).close()

    def freeze(self, name: str) -> None:
        """It does nothing any more, and is still subscribed."""
        self.is_slow.add(name)

    def settle(self) -> None:
        quiet = 0
        while quiet < 3:
            happened = [
                ingest.step() for name, ingest in self.members.items() if name not in self.is_slow
            ]
            quiet = 0 if any(happened) else quiet + 1
            self.now_s += STEP_S

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.settle()

    def stop(self) -> None:
        for name in list(self.members):
            self.leave(name)


class GroupCamera(Camera):
    """A camera that only posts; the answers are read when the test wants."""

    def post_open(self, clip: SampleClip) -> None:
        opened = encode(clip.opened(PART_BYTES))
        self._broker.publish(up_manifest(self.device_id, clip.clip_id), opened)

    def post_part(self, clip: SampleClip, part: int, payload: bytes | None = None) -> None:
        content = clip.parts(PART_BYTES)[part] if payload is None else payload
        crc = f"{google_crc32c.value(content):08x}"
        topic = up_part(self.device_id, clip.clip_id, part)
        self._broker.publish(topic, content, properties={CRC_PROPERTY: crc})

    def receipts(self) -> list[str]:
        self.listen()
        return [answer.receipt for answer in self.answers if isinstance(answer, Stored)]
