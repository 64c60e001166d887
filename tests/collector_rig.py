"""A collector over an in-memory broker, with everything else real: disk, keys, SQLite.

Jobs run in the caller's thread and time moves with each step, so a test decides when what happens.
"""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path

import google_crc32c
import pyrage
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.crypto import jws
from agent.drivers.broker_fake import FakeBroker, FakeExchange
from agent.ports.broker import Arrived, BrokerItem, Connected
from agent.wire.codec import decode, decode_union, encode
from agent.wire.topics import down_clips, parse_down_clip, up_manifest, up_part
from agent.wire.transfer import (
    CRC_PROPERTY,
    ClipState,
    Later,
    Need,
    Never,
    Open,
    Receipt,
    Refusal,
    Stored,
    unpack_have,
)
from collector.app import LoadedKeys, load_keys, make_ingest
from collector.config import CollectorSettings, Identity, Keys, Transfer
from collector.ingest import Ingest
from collector.report import Report
from collector.workers import InlineWorker
from tests.sample_clip import SampleClip, SampleDevice

PART_BYTES = 16 * 1024
STEP_S = 0.06


class PromptBroker(FakeBroker):
    """Never waits: an empty inbox is said at once. Knows shared subscriptions as plain ones."""

    def subscribe(self, topic_filter: str) -> None:
        if topic_filter.startswith("$share/"):
            topic_filter = topic_filter.split("/", 2)[2]
        super().subscribe(topic_filter)

    def read(self, timeout_s: float) -> BrokerItem | None:
        return super().read(0)


class Rig:
    """Keys and folders of one collector; `start` runs a collector over them, again and again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.identity = pyrage.x25519.Identity.generate()
        self.receipt_key = Ed25519PrivateKey.generate()
        self.exchange = FakeExchange()
        self.now_s = 1000.0
        self.log = io.StringIO()
        self.events = io.StringIO()
        self.settings = CollectorSettings(
            collector=Identity(name="collector-1", store_dir=root / "store", min_free_bytes=0),
            keys=Keys(
                age_identity_files=(root / "identity.txt",),
                receipt_key_file=root / "receipt.key",
                devices_dir=root / "devices",
            ),
            transfer=Transfer(window_bytes=4 * PART_BYTES, part_bytes_max=64 * 1024),
        )
        (root / "identity.txt").write_text(f"# made for a test\n{self.identity}\n")
        (root / "receipt.key").write_bytes(
            self.receipt_key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (root / "devices").mkdir()
        self.ingest: Ingest | None = None

    def keys(self) -> LoadedKeys:
        return load_keys(self.settings)

    def device(
        self, device_id: str = "cam01", *, known: bool = True, seed: int = 1
    ) -> SampleDevice:
        """A new camera; its custody key is registered when it is `known`."""
        device = SampleDevice(device_id, self.identity.to_public(), seed=seed)
        if known:
            self.register(device_id, device)
        return device

    def register(self, device_id: str, device: SampleDevice) -> None:
        folder = self.root / "devices" / device_id
        folder.mkdir(exist_ok=True)
        (folder / f"custody-{device.signer.kid}.pem").write_bytes(device.public_pem)

    def start(self) -> Ingest:
        """A collector that begins with what the last one left on disk."""
        self.ingest = make_ingest(
            self.settings,
            self.keys(),
            PromptBroker(self.exchange, client_id=self.settings.collector.name, pipe_messages=1000),
            Report(self.events, self.log, lambda: self.now_s),
            make_worker=lambda _name, finished: InlineWorker(finished),
            now_s=lambda: self.now_s,
            wall_ns=lambda: 1_700_000_000_000_000_000,
        )
        self.ingest.start()
        self.settle()
        return self.ingest

    def settle(self) -> None:
        """Let the collector do all that is due."""
        if self.ingest is None:
            raise RuntimeError("start the collector first")
        quiet = 0
        while quiet < 3:
            quiet = 0 if self.ingest.step() else quiet + 1
            self.now_s += STEP_S

    def stop(self) -> None:
        if self.ingest is not None:
            self.ingest.close()
            self.ingest = None

    def said(self, event: str) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in self.events.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    def rows(self, query: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.settings.collector.store_dir / "catalogue.sqlite")
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def folder(self, clip: SampleClip) -> Path:
        manifest = clip.manifest
        store = self.settings.collector.store_dir / "store"
        return store / manifest.device_id / manifest.session_id / manifest.clip_id

    def receipt(self, stored: Stored) -> Receipt:
        return decode(
            Receipt, jws.verify(stored.receipt, lambda _kid: self.receipt_key.public_key())
        )

    def refusal(self, never: Never) -> Refusal:
        return decode(
            Refusal, jws.verify(never.refusal, lambda _kid: self.receipt_key.public_key())
        )


class Camera:
    """The sending side, as blunt as can be: it sends what a test says and keeps the answers."""

    def __init__(self, rig: Rig, device_id: str = "cam01") -> None:
        self._rig = rig
        self.device_id = device_id
        self._broker = PromptBroker(rig.exchange, client_id=device_id, pipe_messages=10_000)
        self._broker.subscribe(down_clips(device_id))
        self._broker.start()
        self.answers: list[ClipState] = []
        self.listen()

    def listen(self) -> None:
        while (item := self._broker.read(0)) is not None:
            if isinstance(item, Arrived):
                parse_down_clip(item.topic)
                self.answers.append(decode_union(ClipState, item.payload))
            elif isinstance(item, Connected):
                continue

    def open(self, clip: SampleClip, part_bytes: int = PART_BYTES) -> ClipState:
        return self.send_open(clip.clip_id, clip.opened(part_bytes))

    def send_open(self, clip_id: str, opened: Open) -> ClipState:
        """Send an Open and return the newest answer."""
        self._broker.publish(up_manifest(self.device_id, clip_id), encode(opened))
        self._rig.settle()
        self.listen()
        return self.answers[-1]

    def send_part(self, clip_id: str, part: int, payload: bytes, crc: str | None = None) -> None:
        right = f"{google_crc32c.value(payload):08x}"
        self._broker.publish(
            up_part(self.device_id, clip_id, part),
            payload,
            properties={CRC_PROPERTY: right if crc is None else crc},
        )

    def deliver(self, clip: SampleClip, part_bytes: int = PART_BYTES) -> ClipState:
        """Open, send what is needed, and return the last answer."""
        answer = self.open(clip, part_bytes)
        if isinstance(answer, Need):
            parts = clip.parts(answer.part_bytes)
            durable = unpack_have(answer, len(parts))
            for number, payload in enumerate(parts):
                if number not in durable:
                    self.send_part(clip.clip_id, number, payload)
            self._rig.settle()
            self.listen()
        return self.answers[-1]


def stored(answer: ClipState) -> Stored:
    """`answer`, which must be a receipt."""
    if not isinstance(answer, Stored):
        raise AssertionError(f"expected a receipt, got {answer}")
    return answer


def later(answer: ClipState) -> Later:
    if not isinstance(answer, Later):
        raise AssertionError(f"expected `later`, got {answer}")
    return answer


def never(answer: ClipState) -> Never:
    if not isinstance(answer, Never):
        raise AssertionError(f"expected `never`, got {answer}")
    return answer


def need(answer: ClipState) -> Need:
    if not isinstance(answer, Need):
        raise AssertionError(f"expected `need`, got {answer}")
    return answer
