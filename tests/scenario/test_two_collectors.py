"""Two collectors behind one shared subscription, two cameras' uplinks, a real Mosquitto: one of the
collectors is killed in the middle, and every clip is stored once."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.crypto import jws
from agent.crypto.keys import load_private_key, load_public_key, load_recipients
from agent.wire.codec import decode
from agent.wire.transfer import Receipt
from firmware_tools.dev_fleet import DeviceFiles, Fleet, TlsFiles, make_fleet
from firmware_tools.local_broker import LocalBroker
from tests.sample_clip import SampleClip, SampleDevice, head_of

pytestmark = pytest.mark.scenario

CAMERAS = ("cam01", "cam02")
SECOND = "collector-2"
CLIPS = 5
DEADLINE_S = 60.0


class Site:
    """One store, one broker, and whatever is started on them."""

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self.folder = folder
        self.fleet = make_fleet(folder / "fleet", CAMERAS, more_collectors=[SECOND])
        self.store = folder / "store"
        self._running = running
        running.enter_context(LocalBroker(self.fleet))
        self.clips = {name: self._outbox(self.fleet.device(name)) for name in CAMERAS}

    def collector(self, name: str) -> subprocess.Popen[bytes]:
        fleet = self.fleet
        tls = fleet.more_collectors.get(name, fleet.collector.tls)
        config = fleet.collector.directory / f"{name}.toml"
        config.write_text(
            f'[collector]\nname = "{name}"\nstore_dir = "{self.store}"\nshared_group = "all"\n'
            f"[broker]\nport = {fleet.port}\n{_tls_lines(tls)}"
        )
        return self._start(name, "collector", "run", "--config", str(config))

    def uplink(self, name: str) -> subprocess.Popen[bytes]:
        device = self.fleet.device(name)
        config = self.folder / f"{name}.toml"
        config.write_text(
            f'[device]\ndevice_id = "{name}"\nkind = "desk"\n[camera]\nfootage = "none"\n'
            f'[paths]\nstate_dir = "{self.state(name)}"\nruntime_dir = "run-{name}"\n'
            f"[uplink]\nport = {self.fleet.port}\npart_bytes = 65536\nbandwidth_cap_kbps = 16000\n"
            f"{_tls_lines(device.tls)}[trust]\n"
            f'recipients_file = "{device.recipients_file}"\n'
            f'receipt_key_file = "{device.receipt_key_file}"\n'
            f'custody_key_file = "{device.custody_key_file}"\n'
        )
        return self._start(name, "agent", "--config", str(config), "uplink")

    def state(self, camera: str) -> Path:
        return self.folder / camera

    def events(self, name: str) -> list[dict[str, str]]:
        log = self.folder / f"{name}.log"
        return [json.loads(line) for line in log.read_text().splitlines() if line[:1] == "{"]

    def stored(self) -> list[str]:
        """The clip ids of the catalogue, as often as they are in it."""
        file = self.store / "catalogue.sqlite"
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            return [row[0] for row in connection.execute("SELECT clip_id FROM clips")]
        finally:
            connection.close()

    def wait(self, happened: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not happened():
            assert time.monotonic() < deadline_s, f"waited in vain for {what}"
            time.sleep(0.02)

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = self._running.enter_context((self.folder / f"{name}.log").open("ab"))
        process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=log, stderr=log)
        self._running.callback(process.wait)
        self._running.callback(process.kill)
        return process

    def _outbox(self, files: DeviceFiles) -> list[SampleClip]:
        device = SampleDevice(
            files.device_id,
            load_recipients(files.recipients_file)[0],
            key=load_private_key(files.custody_key_file, "custody key"),
        )
        clips = [device.clip(count=4, fragment_bytes=300_000) for _ in range(CLIPS)]
        for clip in clips:
            clip.write(self.state(files.device_id) / "spool" / "outbox" / clip.clip_id)
        return clips


def _tls_lines(tls: TlsFiles) -> str:
    names = ("ca_file", "cert_file", "key_file")
    return "".join(f'{name} = "{getattr(tls, name)}"\n' for name in names)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as running:
        yield Site(tmp_path, running)


def receipt_on_card(fleet: Fleet, folder: Path) -> Receipt:
    key = load_public_key(fleet.collector.receipt_public_key_file, "receipt key")
    return decode(Receipt, jws.verify((folder / "receipt.jws").read_text().strip(), lambda _: key))


def test_clips_of_two_cameras_are_stored_once_though_one_of_two_collectors_is_killed(
    site: Site,
) -> None:
    collectors = {name: site.collector(name) for name in ("collector-1", SECOND)}
    for name in collectors:
        site.wait(lambda name=name: bool(site.events(name)), f"{name} to be ready")  # type: ignore[misc]
    for name in CAMERAS:
        site.uplink(name)
    # Both are at work, and a transfer is under way in the one that is to die.
    site.wait(
        lambda: all(len(site.events(name)) > 1 for name in collectors), "a clip stored by each"
    )
    site.wait(lambda: any((site.store / "incoming").glob("*/*/parts.bits")), "a transfer")
    collectors[SECOND].send_signal(signal.SIGKILL)
    at_kill = len(site.stored())

    def all_sent() -> bool:
        sent = [
            list((site.state(name) / "spool" / "sent").glob("*/receipt.jws")) for name in CAMERAS
        ]
        return sum(len(clips) for clips in sent) == CLIPS * len(CAMERAS)

    site.wait(all_sent, "the receipts of all clips")
    assert at_kill < CLIPS * len(CAMERAS)
    clips = [clip for name in CAMERAS for clip in site.clips[name]]
    assert sorted(site.stored()) == sorted(clip.clip_id for clip in clips)
    signers = set()
    for clip in clips:
        manifest = clip.manifest
        folder = site.store / "store" / clip.device_id / manifest.session_id / clip.clip_id
        assert (folder / "clip.mp4").read_bytes() == clip.plain
        receipt = receipt_on_card(
            site.fleet, site.state(clip.device_id) / "spool" / "sent" / clip.clip_id
        )
        assert receipt.manifest_sha256 == clip.manifest_sha256
        assert receipt.custody_head == head_of(clip)
        signers.add(receipt.collector)
    assert signers == {"collector-1", SECOND}
    site.wait(lambda: not list((site.store / "incoming").glob("*/*")), "incoming to be empty")
    said = [
        event["clip_id"] for name in collectors for event in site.events(name) if "clip_id" in event
    ]
    assert len(said) == len(set(said))
    for name in collectors:
        assert "Traceback" not in (site.folder / f"{name}.log").read_text()
