"""Cameras with full outboxes and collectors on one broker, each the real program, for the clock.

The uplinks connect first; then all outboxes are filled at once, by renames, and the time runs from
the collectors' first transfer to the last receipt on the cards. So no program's start is in it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import msgspec

from agent.crypto.keys import load_private_key, load_recipients
from agent.storage.spool import Spool
from agent.wire.topics import UP_PARTS, up_part
from firmware_tools.dev_fleet import Fleet, TlsFiles, make_fleet
from firmware_tools.local_broker import LocalBroker
from tests.bench import bare_paho
from tests.bench.process_memory import cpu_s
from tests.sample_clip import SampleDevice

FRAGMENTS = 30
FRAGMENT_BYTES = 500_000
DEADLINE_S = 180.0
_LOOK_EVERY_S = 0.005
_CONNECTED = "connected to the broker"


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `cpu_ms_per_mb`: processor time of broker, collectors and uplinks, each together."""

    total_mb: float
    took_s: float
    cpu_ms_per_mb: dict[str, float]

    @property
    def rate_mb_s(self) -> float:
        return self.total_mb / self.took_s


class UploadSite:
    """`cameras` cameras and `collectors` collectors (more than one: a group over one store)."""

    def __init__(self, folder: Path, *, cameras: int, collectors: int, clips: int) -> None:
        self.folder = folder
        self.names = [f"cam{number:02d}" for number in range(1, cameras + 1)]
        others = [f"collector-{number}" for number in range(2, collectors + 1)]
        self.fleet: Fleet = make_fleet(folder / "fleet", self.names, more_collectors=others)
        self.broker = LocalBroker(self.fleet)
        self.store = folder / "store"
        self._clips = clips
        self._spools = {name: Spool(folder / name / "state") for name in self.names}
        self.total_bytes = sum(self._prepare_clips(name) for name in self.names)

    @property
    def has_begun(self) -> bool:
        return any((self.store / "incoming").glob("*/*"))

    @property
    def stored_clips(self) -> int:
        return sum(1 for _ in (self.store / "store").glob("*/*/*/receipt.json"))

    @property
    def has_ended(self) -> bool:
        sent = sum(len(list((spool.root / "sent").iterdir())) for spool in self._spools.values())
        return sent == self._clips * len(self.names)

    def upload(self) -> Upload:
        """All clips, once. The broker must run. Raises RuntimeError when they do not arrive."""
        with self.running() as pids:
            before_s = {who: sum(map(cpu_s, those)) for who, those in pids.items()}
            self.fill_outboxes()
            self.wait(lambda: self.has_begun, "the first transfer")
            began_s = time.monotonic()
            self.wait(lambda: self.has_ended, "all receipts")
            took_s = time.monotonic() - began_s
            used = {who: sum(map(cpu_s, those)) - before_s[who] for who, those in pids.items()}
        total_mb = self.total_bytes / 1e6
        return Upload(
            total_mb=total_mb,
            took_s=took_s,
            cpu_ms_per_mb={who: seconds * 1e3 / total_mb for who, seconds in used.items()},
        )

    def bare(self, *, tuned: bool = False) -> bare_paho.Moved:
        """Bare paho on the same broker: as many publishers and subscribers, the same bytes."""
        messages = max(1, self.total_bytes // len(self.names) // bare_paho.MESSAGE_BYTES)
        members = self._collectors()
        topic = UP_PARTS if len(members) == 1 else f"$share/bench/{UP_PARTS}"
        return bare_paho.measure(
            self.fleet.host,
            self.fleet.port,
            [
                bare_paho.Peer(
                    client_id=name,
                    tls=_paths(self.fleet.device(name).tls),
                    topic=up_part(name, "bench", 0),
                )
                for name in self.names
            ],
            [
                bare_paho.Peer(client_id=name, tls=_paths(tls), topic=topic)
                for name, tls in members.items()
            ],
            messages=messages,
            tuned=tuned,
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[dict[str, list[int]]]:
        """Collectors ready, uplinks connected, outboxes empty. Process ids by kind."""
        processes: list[subprocess.Popen[bytes]] = []
        # a socket's path may have 107 bytes at most: so not under the folder
        with tempfile.TemporaryDirectory(prefix="sightline-") as sockets:
            try:
                for name, tls in self._collectors().items():
                    config = self._collector_config(name, tls)
                    processes.append(self._start(name, "collector", "run", "--config", config))
                self.wait(lambda: self._all_say('"ready"', self._collectors()), "the collectors")
                for name in self.names:
                    config = self._uplink_config(name, Path(sockets) / name)
                    processes.append(self._start(name, "agent", "--config", config, "uplink"))
                self.wait(lambda: self._all_say(_CONNECTED, self.names), "the uplinks")
                ours = [process.pid for process in processes]
                members = len(self._collectors())
                broker = [] if self.broker.pid is None else [self.broker.pid]
                yield {"broker": broker, "collector": ours[:members], "uplink": ours[members:]}
            finally:
                for process in reversed(processes):
                    process.terminate()
                for process in processes:
                    process.wait(30)

    def logs(self) -> list[str]:
        """What each uplink wrote."""
        return [self._log(name).read_text() for name in self.names]

    def fill_outboxes(self) -> None:
        for name, spool in self._spools.items():
            for clip in sorted((self.folder / name / "prepared").iterdir()):
                clip.rename(spool.path("outbox", clip.name))

    def wait(self, happened: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + DEADLINE_S
        while not happened():
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"waited {DEADLINE_S:.0f} s for {what}, see {self.folder}")
            time.sleep(_LOOK_EVERY_S)

    def _prepare_clips(self, name: str) -> int:
        """Real sealed clips by the camera's own keys, beside the outbox. Returns their bytes."""
        files = self.fleet.device(name)
        self._spools[name].prepare()
        device = SampleDevice(
            name,
            load_recipients(files.recipients_file)[0],
            key=load_private_key(files.custody_key_file, "custody key"),
        )
        total = 0
        for _ in range(self._clips):
            clip = device.clip(count=FRAGMENTS, fragment_bytes=FRAGMENT_BYTES)
            clip.write(self.folder / name / "prepared" / clip.clip_id)
            total += clip.manifest.total_bytes
        return total

    def _collectors(self) -> dict[str, TlsFiles]:
        files = self.fleet.collector
        return {files.collector_id: files.tls, **self.fleet.more_collectors}

    def _all_say(self, word: str, names: Collection[str]) -> bool:
        return all(word in self._log(name).read_text() for name in names)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log(name).open("wb") as log:
            return subprocess.Popen([sys.executable, "-m", *arguments], stdout=log, stderr=log)

    def _collector_config(self, name: str, tls: TlsFiles) -> str:
        config = self.fleet.collector.directory / f"{name}.toml"
        group = 'shared_group = "all"\n' if self.fleet.more_collectors else ""
        config.write_text(
            f'[collector]\nname = "{name}"\nstore_dir = "{self.store}"\n{group}'
            f"[broker]\nport = {self.fleet.port}\n{_tls_lines(tls)}"
        )
        return str(config)

    def _uplink_config(self, name: str, sockets: Path) -> str:
        device = self.fleet.device(name)
        config = self.folder / name / "agent.toml"
        config.write_text(
            f'[device]\ndevice_id = "{name}"\nkind = "desk"\n[camera]\nfootage = "none"\n'
            f'[paths]\nstate_dir = "state"\nruntime_dir = "{sockets}"\n'
            f"[uplink]\nport = {self.fleet.port}\n{_tls_lines(device.tls)}[trust]\n"
            f'receipt_key_file = "{device.receipt_key_file}"\n'
            f'recipients_file = "{device.recipients_file}"\n'
            f'custody_key_file = "{device.custody_key_file}"\n'
        )
        return str(config)


def _paths(tls: TlsFiles) -> bare_paho.TlsPaths:
    return tls.ca_file, tls.cert_file, tls.key_file


def _tls_lines(tls: TlsFiles) -> str:
    names = ("ca_file", "cert_file", "key_file")
    return "".join(f'{name} = "{getattr(tls, name)}"\n' for name in names)
