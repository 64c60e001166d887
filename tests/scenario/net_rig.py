"""Cameras' uplinks behind bad networks: the real uplink, a real Mosquitto, the real collector."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from agent.config import Settings, load_settings
from agent.crypto.keys import load_private_key, load_recipients
from agent.storage.spool import Spool
from firmware_tools.dev_certificates import Authority
from firmware_tools.dev_fleet import Fleet, make_fleet
from firmware_tools.local_broker import LocalBroker
from tests.sample_clip import SampleClip, SampleDevice
from tests.scenario.fault_proxy import FaultProxy

# A connection's TLS handshake, CONNECT, SUBSCRIBE and status, upwards, with room.
CONNECT_BYTES = 12_000
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class NetRig:
    """One broker and one collector; `camera` gives one more camera behind a proxy of its own."""

    def __init__(self, folder: Path, devices: Sequence[str]) -> None:
        self.folder = folder
        self.fleet: Fleet = make_fleet(folder / "fleet", devices)
        self.store = self.fleet.collector.directory / "store"
        config = self.fleet.collector.directory / "collector.toml"
        config.write_text(
            f'[collector]\nname = "{self.fleet.collector.collector_id}"\nstore_dir = "store"\n'
            f"[broker]\nport = {self.fleet.port}\n"
        )
        self._argv = [sys.executable, "-m", "collector", "run", "--config", str(config)]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The broker and the collector, ready."""
        with (
            tempfile.TemporaryDirectory(prefix="sightline-") as sockets,
            LocalBroker(self.fleet),
            (self.folder / "collector.log").open("w") as log,
        ):
            self.sockets = Path(sockets)  # a socket's path may have 107 bytes at most
            collector = subprocess.Popen(self._argv, stdout=subprocess.PIPE, stderr=log, text=True)
            try:
                if collector.stdout is None or "ready" not in collector.stdout.readline():
                    raise RuntimeError("the collector does not get ready")
                yield
            finally:
                collector.send_signal(signal.SIGTERM)
                collector.communicate(timeout=30)

    def foreign_tls(self) -> ssl.SSLContext:
        """A server whose certificate nobody here trusts."""
        issued = Authority("Captive Portal CA").server("localhost", ["localhost"], ["127.0.0.1"])
        cert, key = self.folder / "portal.pem", self.folder / "portal.key"
        cert.write_bytes(issued.certificate)
        key.write_bytes(issued.private_key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        return context

    def is_stored(self, clip: SampleClip) -> bool:
        """True when the collector's copy is what the camera sealed, once and whole."""
        manifest = clip.manifest
        folder = self.store / "store" / manifest.device_id / manifest.session_id
        kept = folder / clip.clip_id
        return (
            (kept / "clip.mp4").read_bytes() == clip.plain
            and json.loads((kept / "receipt.json").read_bytes())["clip_id"] == clip.clip_id
            and len([path for path in folder.iterdir() if path.name.startswith(clip.clip_id)]) == 1
        )


class NetCamera:
    """A camera's card and its uplink program behind `proxy`; a context runs the program."""

    def __init__(self, rig: NetRig, device_id: str, proxy: FaultProxy, **uplink: int) -> None:
        self._rig = rig
        self._proxy = proxy
        files = rig.fleet.device(device_id)
        folder = rig.folder / device_id
        folder.mkdir()
        self.log_file = folder / "uplink.log"
        self.config = folder / "agent.toml"
        words = "".join(f"{key} = {value}\n" for key, value in uplink.items())
        self.config.write_text(
            f'[device]\ndevice_id = "{device_id}"\nkind = "desk"\n[camera]\nfootage = "none"\n'
            f'[paths]\nstate_dir = "state"\nruntime_dir = "{rig.sockets}/{device_id}"\n'
            f'[uplink]\nport = {proxy.port}\nca_file = "{files.tls.ca_file}"\n'
            f'cert_file = "{files.tls.cert_file}"\nkey_file = "{files.tls.key_file}"\n{words}'
            f'[trust]\nreceipt_key_file = "{files.receipt_key_file}"\n'
        )
        self.settings: Settings = load_settings(self.config)
        self.spool = Spool(self.settings.paths.state_dir)
        self.spool.prepare()
        self._device = SampleDevice(
            device_id,
            load_recipients(files.recipients_file)[0],
            key=load_private_key(files.custody_key_file, "custody key"),
        )
        self.clips: list[SampleClip] = []
        self._process: subprocess.Popen[bytes] | None = None

    def put_clip(self, *, fragments: int, fragment_bytes: int) -> SampleClip:
        """One more sealed clip in the outbox."""
        clip = self._device.clip(count=fragments, fragment_bytes=fragment_bytes)
        clip.write(self.spool.path("outbox", clip.clip_id))
        self.clips.append(clip)
        return clip

    @property
    def clip_bytes(self) -> int:
        """What must go up at least: the sealed files and an Open for each clip."""
        return sum(len(clip.sealed) + self.open_bytes for clip in self.clips)

    @property
    def open_bytes(self) -> int:
        return max(len(clip.manifest_body) + len("".join(clip.custody)) for clip in self.clips)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with self.log_file.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent", "--config", str(self.config), "uplink"],
                stdout=log,
                stderr=log,
            )
            try:
                yield
                if self._process.poll() is not None:
                    raise AssertionError(f"the uplink ended: {self.log_file.read_text()}")
            finally:
                self._process.kill()
                self._process.wait(30)

    def cpu_s(self) -> float:
        """Processor time that the uplink has used so far (proc(5): utime and stime)."""
        if self._process is None:
            raise RuntimeError("the uplink does not run")
        words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / _TICKS_PER_S

    def is_sent(self) -> bool:
        return self.spool.clips("sent") == [clip.clip_id for clip in self.clips]

    def all_is_well(self) -> bool:
        """Every clip has its receipt, and the collector has each of them as it was sealed."""
        return self.is_sent() and all(self._rig.is_stored(clip) for clip in self.clips)


def wait_for(happened: Callable[[], bool], what: str, *, timeout_s: float = 60.0) -> float:
    """Until `happened()`; how long it took. Polls, because it watches other programs."""
    began_s = time.monotonic()
    while not happened():
        if time.monotonic() - began_s > timeout_s:
            raise AssertionError(f"waited {timeout_s:g} s in vain for {what}")
        time.sleep(0.02)
    return time.monotonic() - began_s


def watch_for(seconds: float) -> None:
    """Let other programs do for a while what they should not do."""
    time.sleep(seconds)
