"""A recorder's keys, spool and camera for tests: everything real but the lens and the clock."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import Event, Thread

import av
import msgspec
import pyrage
import zmq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import config
from agent.core.indication_table import Confirmation
from agent.crypto.custody import fragments_kept, verify_chain
from agent.crypto.jws import Signer
from agent.crypto.seal import Sealer
from agent.drivers.camera_fake import FakeCamera
from agent.ipc import sockets
from agent.ipc.control import ask
from agent.ipc.messages import ControlReply, MarkRequest, StartRequest, StatusRequest, StopRequest
from agent.ports.button import Button
from agent.ports.clock import Clock
from agent.ports.indicator import Indicator
from agent.ports.power import PowerSource
from agent.ports.thermal import ThermalSensor
from agent.services.governing import Governing
from agent.services.hands import Hands
from agent.services.keyring import Keyring
from agent.services.plan_book import PlanBook
from agent.services.power_guard import PowerGuard
from agent.services.recorder import Recorder
from agent.services.vault import Vault
from agent.storage.atomic import Fsync
from agent.storage.identity import Identity
from agent.storage.recorder_state import RecorderState
from agent.storage.spool import Shelf, Spool
from agent.wire.custody import CustodyLine
from agent.wire.label_sheet import FragmentLabels, LabelSheet, SessionRecord
from agent.wire.manifest import CUSTODY_FILE, Manifest
from tests.clock import ManualClock

DEVICE = "cam01"
EPOCH = "0123456789abcdef"
SESSION = f"{DEVICE}-{EPOCH}-000001-0001"
VERSION = "0.0.1"


@dataclass
class Keys:
    """The camera's custody key and the collector's age key."""

    identity: pyrage.x25519.Identity = field(default_factory=pyrage.x25519.Identity.generate)
    signer: Signer = field(default_factory=lambda: Signer(Ed25519PrivateKey.generate()))

    @property
    def sealer(self) -> Sealer:
        return Sealer([self.identity.to_public()])

    def open(self, path: Path) -> bytes:
        plain: bytes = pyrage.decrypt(path.read_bytes(), [self.identity])
        return plain


@dataclass
class Shelved:
    """One item of the spool, opened as the collector would."""

    folder: Path
    manifest: Manifest
    lines: tuple[CustodyLine, ...]
    keys: Keys

    @property
    def sheet(self) -> LabelSheet:
        return msgspec.json.decode(self.keys.open(self.folder / "labels.json.age"), type=LabelSheet)

    @property
    def record(self) -> SessionRecord:
        content = self.keys.open(self.folder / "session.json.age")
        return msgspec.json.decode(content, type=SessionRecord)

    def sidecar(self, index: int) -> FragmentLabels:
        content = self.keys.open(self.folder / f"{index:04d}.labels.age")
        return msgspec.json.decode(content, type=FragmentLabels)

    @property
    def footage(self) -> bytes:
        """The sealed fragments, opened and put together."""
        names = [entry.name for entry in self.manifest.files if entry.name[4:] == ".age"]
        return b"".join(self.keys.open(self.folder / name) for name in names)

    @property
    def frames(self) -> int:
        """Counted by a player that knows nothing of us."""
        return count_frames(self.footage)


def count_frames(footage: bytes) -> int:
    with av.open(BytesIO(footage), "r") as container:
        return len(list(container.decode(video=0)))


def open_item(spool: Spool, shelf: Shelf, clip_id: str, keys: Keys) -> Shelved:
    """Check an item as the collector does: custody chain, hashes, manifest, and nothing over."""
    folder = spool.path(shelf, clip_id)
    manifest, body = spool.manifest(shelf, clip_id)
    texts = (folder / CUSTODY_FILE).read_text().splitlines()
    public = keys.signer.public_key
    lines = verify_chain(texts, lambda kid: public if kid == keys.signer.kid else None)
    assert lines[-1].manifest_sha256 == hashlib.sha256(body).hexdigest()
    for entry in manifest.files:
        content = (folder / entry.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry.bytes, entry.sha256)
    hashes = {entry.name: entry.sha256 for entry in manifest.files}
    for index, line in fragments_kept(lines).items():
        assert hashes[f"{index:04d}.age"] == line.ct_sha256
    listed = {*hashes, CUSTODY_FILE, "manifest.json"}
    extra = {name for name in os.listdir(folder) if not name.endswith(".damaged")} - listed
    assert extra == set()
    return Shelved(folder, manifest, lines, keys)


def make_vault(
    state_dir: Path,
    keys: Keys,
    clock: ManualClock,
    boot: int = 1,
    fsync: Fsync = lambda descriptor: None,
) -> Vault:
    vault = Vault(
        spool=Spool(state_dir, fsync=fsync),
        state=RecorderState(state_dir, fsync=fsync),
        sealer=keys.sealer,
        signer=keys.signer,
        clock=clock,
        boot_counter=boot,
        device_id=DEVICE,
        agent_version=VERSION,
        fsync=fsync,
    )
    vault.spool.prepare()
    vault.state.prepare()
    return vault


class HeardHands(Hands):
    """Remembers what the wearer was told."""

    def __init__(
        self,
        button: Button | None,
        indicator: Indicator | None,
        settings: config.Button,
        clock: Clock,
    ) -> None:
        super().__init__(button, indicator, settings, clock)
        self.confirmed: list[Confirmation] = []

    def confirm(self, what: Confirmation) -> None:
        self.confirmed.append(what)
        super().confirm(what)


class Rig:
    """A recorder that a test steps by hand; its camera and writer run on their own threads.

    The clock stands still until the test moves it, so what was recorded is exact; the test waits
    for a condition, never for a time."""

    def __init__(
        self,
        folder: Path,
        *,
        keys: Keys | None = None,
        clock: ManualClock | None = None,
        boot: int = 1,
        os_boot: str = "",
        fsync: Fsync = lambda descriptor: None,
        free_bytes: Callable[[], int] | None = lambda: 1 << 40,
        retention: config.Retention | None = None,
        power: PowerSource | None = None,
        thermal: ThermalSensor | None = None,
        keyring: Keyring | None = None,
        plans: PlanBook | None = None,
        score_in_standby: bool = True,
        cards: config.Cards | None = None,
        button: Button | None = None,
        indicator: Indicator | None = None,
        **recorder: float,
    ) -> None:
        self.folder = folder
        self.keys = keys or Keys()
        self.clock = clock or ManualClock()
        self.spool = Spool(folder / "state")
        values: dict[str, float] = {"pre_roll_s": 3, "post_roll_s": 0, "clip_s": 4, **recorder}
        self.settings = config.Settings(
            device=config.Device(device_id=DEVICE, kind="desk"),
            paths=config.Paths(state_dir=folder / "state", runtime_dir=folder / "r"),
            recorder=config.Recorder(**values),
            retention=retention or config.Retention(),
            tagger=config.Tagger(score_in_standby=score_in_standby),
            cards=cards or config.Cards(),
        )
        self.camera = FakeCamera(self.clock)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []
        self._closed = False
        self.hands = HeardHands(button, indicator, self.settings.button, self.clock)
        self.recorder = Recorder(
            self.settings,
            camera=self.camera,
            clock=self.clock,
            identity=Identity(EPOCH, boot, os_boot),
            sealer=self.keys.sealer,
            signer=self.keys.signer,
            context=self.context,
            agent_version=VERSION,
            fsync=fsync,
            free_bytes=free_bytes,
            power=PowerGuard(power, self.settings.power, every_s=0.01),
            governing=Governing(thermal, self.settings.governor, self.clock, every_s=0.01),
            keyring=keyring,
            plans=plans,
            hands=self.hands,
        )
        self.until(lambda: self.recorder.status().frames_captured > 0)

    @property
    def card_answers(self) -> list[Confirmation]:
        """What the wearer was told of cards (and of anything refused)."""
        return [each for each in self.hands.confirmed if each in ("card", "refused")]

    def connect(self, kind: int, name: str) -> zmq.Socket[bytes]:
        """A socket to the recorder, closed with the rig."""
        runtime = self.settings.paths.runtime_dir
        socket = sockets.connect(self.context, kind, runtime, name, high_water=1000)
        self._sockets.append(socket)
        return socket

    def until(self, condition: Callable[[], bool], what: str = "condition") -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come true"
            if not self.recorder.step():
                self.recorder.wait(0.01)

    def run(self, seconds: float, *, step_s: float = 0.5) -> None:
        """Let the camera film `seconds`, taking every frame."""
        for _ in range(round(seconds / step_s)):
            self.clock.advance(step_s)
            self.until(self._all_is_taken, "frames")

    def written(self) -> None:
        """Wait until the writer has nothing left to do."""
        self.until(lambda: self.recorder._writer.is_idle, "an idle writer")
        self.recorder.step()  # takes what the writer said of its last job

    def settle(self) -> None:
        """Let the labels' grace pass and everything reach its shelf."""
        self.clock.advance(6)
        self.until(lambda: self.recorder.status().state == "standby", "standby")

    def start(self, **declared: str) -> ControlReply:
        return self._ask(StartRequest(pts_ns=self.clock.boot_ns(), declared=declared))

    def stop(self) -> ControlReply:
        return self._ask(StopRequest(pts_ns=self.clock.boot_ns()))

    def mark(self) -> ControlReply:
        return self._ask(MarkRequest(pts_ns=self.clock.boot_ns()))

    def status(self) -> ControlReply:
        return self._ask(StatusRequest())

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """As SIGTERM does it. Time passes meanwhile, so that a grace comes to its end."""
        if self._closed:
            return
        self._closed = True
        closed = Event()

        def let_time_pass() -> None:
            while not closed.wait(0.002):
                self.clock.advance(0.1)

        passing = Thread(target=let_time_pass)
        passing.start()
        self.recorder.close()
        closed.set()
        passing.join()
        for socket in self._sockets:
            socket.close(linger=0)
        self.context.destroy(linger=0)

    def item(self, clip: int | str, shelf: Shelf = "outbox", session: str = SESSION) -> Shelved:
        last = clip if isinstance(clip, str) else f"{clip:04d}"
        return open_item(self.spool, shelf, f"{session}-{last}", self.keys)

    def outbox(self) -> list[str]:
        return self.spool.clips("outbox")

    def _ask(
        self, request: StartRequest | StopRequest | MarkRequest | StatusRequest
    ) -> ControlReply:
        replies: list[ControlReply] = []
        runtime = self.settings.paths.runtime_dir
        asking = Thread(target=lambda: replies.append(ask(runtime, request)))
        asking.start()
        self.until(lambda: bool(replies), "a reply")
        asking.join()
        return replies[0]

    def _all_is_taken(self) -> bool:
        # 10 frames a second from the first one, which was captured at the camera's opening.
        passed = self.clock.boot_ns() - self.camera._start_pts_ns
        return self.recorder.status().frames_captured >= 1 + passed * 10 // 10**9


MakeRig = Callable[..., Rig]
