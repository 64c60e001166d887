"""One push of a 10 MB bundle to 50 cameras: three real uplink programs, and for the rest the same
code in one process; beside a bare publisher that sends the same bytes to 50 bare subscribers."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from agent.config import Device, Models, Paths, Retention, Settings
from agent.core.backoff import Backoff
from agent.crypto.update_trust import UpdateTrust
from agent.drivers.broker_paho import PahoBroker
from agent.drivers.clock_system import SystemClock
from agent.ipc.framed import Framed
from agent.ipc.update_messages import FromUpdater, ToUpdater
from agent.ports.broker import Arrived, Connected, Disconnected
from agent.services.model_update import ModelUpdate, UplinkSource
from agent.services.uplink_models import ModelDesk
from agent.storage.model_shelf import ModelShelf
from agent.wire.depot import CHUNK_BYTES
from agent.wire.model_manifest import dump_manifest
from agent.wire.topics import UP_GETS, down_target, down_targets
from firmware_tools.depot_client import DepotClient
from firmware_tools.dev_fleet import ADMIN_ID, Fleet, TlsFiles, make_fleet
from firmware_tools.keys_command import init
from firmware_tools.local_broker import LocalBroker
from firmware_tools.rollouts import bundles_to_publish, push
from firmware_tools.update_repository import UpdateRepository
from tests.bench import bare_paho
from tests.bench.process_memory import pss_mb
from tests.broker_grounds import ours
from tests.model_bundles import replace_file, write_standin
from tests.updates import MODEL, add_bundle, release

CAMERAS, REAL = 50, 3
BUNDLE_BYTES = 10_000_000
DEADLINE_S = 900.0
_SENT = "$SYS/broker/bytes/sent"
_WATCHER = "watcher"


class PushFigures(msgspec.Struct, kw_only=True):
    """Times in seconds from the first chunk asked for to the last bundle installed."""

    cameras: int
    bundle_bytes: int
    wall_s: float
    bare_s: float
    broker_bytes: int
    uplink_growth_mb: list[float]

    @property
    def bytes_ratio(self) -> float:
        return self.broker_bytes / (self.cameras * self.bundle_bytes)

    @property
    def wall_ratio(self) -> float:
        return self.wall_s / self.bare_s


def measure(folder: Path, cameras: int = CAMERAS, bundle_bytes: int = BUNDLE_BYTES) -> PushFigures:
    """Raises RuntimeError when the cameras do not have it within DEADLINE_S."""
    names = [f"cam{n:02}" for n in range(cameras)]
    fleet = make_fleet(folder / "fleet", [*names, _WATCHER])
    with fleet.broker.acl_file.open("a") as acl:
        acl.write(f"\nuser {_WATCHER}\ntopic read {_SENT}\ntopic read {UP_GETS}\n")
    with fleet.broker.conf_file.open("a") as conf:
        conf.write("sys_interval 1\n")
    repository = UpdateRepository(folder / "updates", lambda: datetime.now(UTC))
    init(repository, repository.folder / "keys")
    archive_bytes = _padded_bundle(repository, bundle_bytes)
    with contextlib.ExitStack() as running:
        running.enter_context(LocalBroker(fleet))
        running.enter_context(_collector(folder, fleet))
        watch = _Watch(fleet)
        running.callback(watch.close)
        real = [running.enter_context(_uplink(folder, fleet, n)) for n in names[:REAL]]
        rest = _Cameras(folder, fleet, names[REAL:])
        running.callback(rest.close)
        _first_push(repository, fleet)
        shelves = [ModelShelf(folder / name / "state") for name in names]
        _wait(rest, watch, lambda: watch.sent > 0 and rest.online == len(names[REAL:]), "cameras")
        before, sent = [pss_mb(p.pid) for p in real], watch.settled(rest)
        watch.first_get_s = None
        push(repository, MODEL, 2)
        release(repository)
        _publish(repository, fleet)
        _wait(rest, watch, lambda: all(s.wanted() is not None for s in shelves), "all cameras")
        wall_s = time.monotonic() - (watch.first_get_s or 0.0)
        broker_bytes = watch.settled(rest) - sent
        after = [pss_mb(p.pid) for p in real]
        rest.close()
        bare_s = _bare_s(fleet, names, archive_bytes)
    return PushFigures(
        cameras=cameras,
        bundle_bytes=archive_bytes,
        wall_s=wall_s,
        bare_s=bare_s,
        broker_bytes=broker_bytes,
        uplink_growth_mb=[a - b for a, b in zip(after, before, strict=True)],
    )


def report(figures: PushFigures) -> list[str]:
    """The figures as lines for a person, each with what it must reach."""
    size = figures.bundle_bytes / 1e6
    return [
        f"push of a {size:.1f} MB bundle to {figures.cameras} cameras: {figures.wall_s:.1f} s from"
        f" the first chunk asked for to the last bundle installed; bare paho {figures.bare_s:.1f} s"
        f" for the same bytes; ratio {figures.wall_ratio:.2f} (at most 2.00)",
        f"bytes out of the broker, the admin's upload included: {figures.bytes_ratio:.3f} of"
        f" {figures.cameras} x the bundle (at most 1.100)",
        f"memory that uplink grew by: median {statistics.median(figures.uplink_growth_mb):.1f} MB"
        f" of {len(figures.uplink_growth_mb)} (under 5 MB)",
    ]


def missed(figures: PushFigures) -> list[str]:
    checks = {
        "push bytes": figures.bytes_ratio <= 1.1,
        "push time": figures.wall_ratio <= 2.0,
        "push memory": statistics.median(figures.uplink_growth_mb) < 5.0,
    }
    return [name for name, held in checks.items() if not held]


class _ThreadUpdater:
    """The updater's code in a thread, where 47 processes would be too many."""

    def __init__(self, settings: Settings, root: bytes) -> None:
        mine, theirs = socket.socketpair()
        self.link = Framed(mine, FromUpdater)
        self._thread = threading.Thread(target=self._run, args=(settings, root, theirs))
        self._thread.start()

    def _run(self, settings: Settings, root: bytes, end: socket.socket) -> None:
        link, state_dir = Framed(end, ToUpdater), settings.paths.state_dir
        source = UplinkSource(link)
        ModelUpdate(
            settings,
            source=source,
            trust=UpdateTrust(state_dir / "tuf", root, source.metadata),
            shelf=ModelShelf(state_dir),
            clock=SystemClock(),
            agent_version="0.1.0",
            free_bytes=lambda: 1 << 40,
        ).run()
        link.drain(5.0)
        link.close()

    def ended(self) -> int | None:
        return None if self._thread.is_alive() else 0

    def kill(self) -> None:
        self.link.close()
        self._thread.join()


class _Cameras:
    """Cameras' model desks in this process, each with a connection of its own."""

    def __init__(self, folder: Path, fleet: Fleet, names: Sequence[str]) -> None:
        root = (folder / "updates" / "root.json").read_bytes()
        self._online: set[str] = set()
        self._all: dict[str, tuple[PahoBroker, ModelDesk]] = {}
        for name in names:
            settings = Settings(
                device=Device(device_id=name, kind="desk"),
                paths=Paths(state_dir=folder / name / "state", runtime_dir=folder / name / "run"),
                models=Models(root_file=folder / "updates" / "root.json"),
                retention=Retention(min_free_bytes=0),
            )
            broker = _client(fleet, name, fleet.device(name).tls)
            desk = ModelDesk(
                broker=broker,
                device_id=name,
                state_dir=settings.paths.state_dir,
                start=lambda settings=settings: _ThreadUpdater(settings, root),  # type: ignore[misc]
                retry=Backoff(5.0, 60.0, lambda: 0.5),
                report=lambda text, name=name: print(f"{name}: {text}"),  # type: ignore[misc]
            )
            broker.start()
            self._all[name] = broker, desk

    @property
    def online(self) -> int:
        return len(self._online)

    def step(self) -> None:
        now_ns = time.monotonic_ns()
        for name, (broker, desk) in self._all.items():
            while (item := broker.read(0)) is not None:
                if isinstance(item, Arrived):
                    desk.arrived(item, now_ns)
                elif isinstance(item, Connected):
                    self._online.add(name)
                elif isinstance(item, Disconnected):
                    self._online.discard(name)
            desk.step(now_ns, may_fetch=name in self._online)

    def close(self) -> None:
        for broker, desk in self._all.values():
            desk.close()
            broker.stop()
        self._all.clear()


class _Watch:
    """What the broker says that it sent, and when the first chunk was asked for."""

    def __init__(self, fleet: Fleet) -> None:
        self._broker = _client(fleet, _WATCHER, fleet.device(_WATCHER).tls)
        self._broker.subscribe(_SENT)
        self._broker.subscribe(UP_GETS)
        self._broker.start()
        self.sent = 0
        self.first_get_s: float | None = None
        self.changed_s = 0.0

    def step(self) -> None:
        while (item := self._broker.read(0)) is not None:
            if isinstance(item, Arrived) and item.topic == _SENT:
                self.sent, self.changed_s = int(item.payload), time.monotonic()
            elif isinstance(item, Arrived) and self.first_get_s is None:
                self.first_get_s = time.monotonic()

    def settled(self, rest: _Cameras) -> int:
        """The count once the broker has said it anew, twice."""
        for _ in range(2):
            since_s = time.monotonic()
            _wait(rest, self, lambda since_s=since_s: self.changed_s > since_s, "$SYS")  # type: ignore[misc]
        return self.sent

    def close(self) -> None:
        self._broker.stop()


def _wait(rest: _Cameras, watch: _Watch, happened: object, what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not happened():  # type: ignore[operator]
        rest.step()
        watch.step()
        time.sleep(0.002)
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"waited {DEADLINE_S:.0f} s in vain for {what}")


def _padded_bundle(repository: UpdateRepository, total_bytes: int) -> int:
    source = repository.folder / "sources" / "2"
    manifest = write_standin(source, 2)
    card = manifest.card
    others = sum(file.stat().st_size for file in source.iterdir())
    padding = os.urandom(max(0, total_bytes - others))
    told = replace_file(source, card, (source / card.path).read_bytes() + padding)
    manifest = msgspec.structs.replace(manifest, card=msgspec.structs.replace(card, **told))
    (source / "manifest.json").write_bytes(dump_manifest(manifest))
    return len(add_bundle(repository, 2, source))


def _first_push(repository: UpdateRepository, fleet: Fleet) -> None:
    """Empty metadata, so that every camera's updater ran once before anything is measured."""
    _publish(repository, fleet)


def _publish(repository: UpdateRepository, fleet: Fleet) -> None:
    client = DepotClient(_client(fleet, ADMIN_ID, fleet.admin), ADMIN_ID)
    try:
        client.connect()
        client.bring_all(bundles_to_publish(repository), repository.publication())
    finally:
        client.close()


def _client(fleet: Fleet, name: str, tls: TlsFiles) -> PahoBroker:
    return PahoBroker(host=fleet.host, port=fleet.port, client_id=name, tls=ours(tls))


@contextlib.contextmanager
def _collector(folder: Path, fleet: Fleet) -> Iterator[None]:
    config = fleet.collector.directory / "collector.toml"
    config.write_text(
        f'[collector]\nname = "{fleet.collector.collector_id}"\nstore_dir = "store"\n'
        f"[broker]\nport = {fleet.port}\n"
    )
    argv = [sys.executable, "-m", "collector", "run", "--config", str(config)]
    with (folder / "collector.log").open("w") as log:
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            if process.stdout is None or "ready" not in process.stdout.readline():
                raise RuntimeError("the collector does not get ready")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


@contextlib.contextmanager
def _uplink(folder: Path, fleet: Fleet, name: str) -> Iterator[subprocess.Popen[bytes]]:
    files = fleet.device(name)
    (folder / name).mkdir()
    config = folder / name / "agent.toml"
    config.write_text(
        f'[device]\ndevice_id = "{name}"\nkind = "desk"\n[camera]\nfootage = "none"\n'
        f'[paths]\nstate_dir = "state"\nruntime_dir = "/tmp/{fleet.port}-{name}"\n'
        f'[models]\nroot_file = "{folder}/updates/root.json"\n[retention]\nmin_free_bytes = 0\n'
        f'[uplink]\nport = {fleet.port}\nca_file = "{files.tls.ca_file}"\n'
        f'cert_file = "{files.tls.cert_file}"\nkey_file = "{files.tls.key_file}"\n'
        f'[trust]\nreceipt_key_file = "{files.receipt_key_file}"\n'
    )
    with (folder / f"{name}.log").open("w") as log:
        argv = [sys.executable, "-m", "agent", "--config", str(config), "uplink"]
        process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def _bare_s(fleet: Fleet, names: Sequence[str], total_bytes: int) -> float:
    """One publisher, `total_bytes` in chunks to each subscriber, QoS 1, window 16."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    chunks = -(-total_bytes // CHUNK_BYTES)
    process = context.Process(target=_subscribers, args=(theirs, fleet, list(names), chunks))
    process.start()
    tls = fleet.collector.tls
    client = bare_paho._client(
        (tls.ca_file, tls.cert_file, tls.key_file), fleet.collector.collector_id
    )
    room = threading.Semaphore(bare_paho.WINDOW)
    client.max_inflight_messages_set(bare_paho.WINDOW)
    client.on_socket_open = bare_paho._on_socket_open
    client.on_publish = lambda *_: room.release()
    try:
        if not mine.poll(120):
            raise RuntimeError("bare subscribers do not get ready")
        mine.recv()
        client.connect(fleet.host, fleet.port)
        client.loop_start()
        sha256 = hashlib.sha256(b"bench").hexdigest()
        payload = os.urandom(CHUNK_BYTES)
        began_s = time.monotonic()
        for number in range(chunks):
            for name in names:
                room.acquire()
                client.publish(down_target(name, sha256, number), payload, qos=1)
        if not mine.poll(DEADLINE_S):
            raise RuntimeError("bare subscribers did not get it all")
        return time.monotonic() - began_s
    finally:
        client.disconnect()
        client.loop_stop()
        process.terminate()
        process.join()


def _subscribers(end: Connection, fleet: Fleet, names: list[str], chunks: int) -> None:
    left = dict.fromkeys(names, chunks)
    subscribed: set[str] = set()
    for name in names:
        tls = fleet.device(name).tls
        client = bare_paho._client((tls.ca_file, tls.cert_file, tls.key_file), name)

        def on_message(*_: object, name: str = name) -> None:
            left[name] -= 1

        client.on_socket_open = bare_paho._on_socket_open
        client.on_message = on_message
        client.on_connect = lambda c, *_, name=name: c.subscribe(down_targets(name), qos=1)  # type: ignore[misc]
        client.on_subscribe = lambda *_, name=name: subscribed.add(name)  # type: ignore[misc]
        client.connect(fleet.host, fleet.port)
        client.loop_start()
    while len(subscribed) < len(names):
        time.sleep(0.01)
    end.send("ready")
    while any(count > 0 for count in left.values()):
        time.sleep(0.005)
    end.send("done")
    end.recv()
