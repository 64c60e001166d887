"""Upload over TLS on loopback to the stored receipt, beside bare paho in the same run."""

from __future__ import annotations

import statistics
import sys
import time
from datetime import datetime
from pathlib import Path

import msgspec

from agent.crypto.keys import load_private_key, load_recipients
from agent.storage.spool import Spool
from agent.supervisor import Program, Supervisor
from agent.wire import topics
from firmware_tools.dev_fleet import Fleet
from firmware_tools.local_broker import LocalBroker
from firmware_tools.local_stack import DEVICE_ID, WATCHDOG_S, LocalStack
from tests.bench import bare_paho, raw_tls
from tests.bench.recording import BUNDLE, FOOTAGE
from tests.sample_clip import SampleDevice

CLIPS = 16
FRAGMENTS = 30
FRAGMENT_BYTES = 500_000
ROUNDS = 3
DEADLINE_S = 180.0
CONNECTED = "connected to the broker"


class UploadFigures(msgspec.Struct, kw_only=True):
    """MB/s (10^6 bytes), one value a round. `bare_*`: paho -> Mosquitto -> paho, QoS 1, window 16;
    `tuned` with the same allocator settings as ours."""

    ours: list[float]
    bare_plain: list[float]
    bare_tuned: list[float]
    raw_tls: list[float]
    clip_mb: float
    clips: int

    @property
    def ratios(self) -> list[float]:
        """Ours over tuned bare paho, round by round."""
        return [a / b for a, b in zip(self.ours, self.bare_tuned, strict=True)]


def measure(folder: Path) -> UploadFigures:
    """ROUNDS rounds: bare, ours, bare again; the bare figure of a round is the mean of its two."""
    figures = UploadFigures(
        ours=[], bare_plain=[], bare_tuned=[], raw_tls=[], clip_mb=0.0, clips=CLIPS
    )
    for number in range(ROUNDS):
        with LocalStack(folder / f"round{number}", footage=FOOTAGE, bundle=BUNDLE) as stack:
            total_bytes = _fill_outbox(stack)
            figures.clip_mb = total_bytes / CLIPS / 1e6
            with LocalBroker(stack.fleet):
                before = _bare(stack.fleet, tuned=True)
                figures.bare_plain.append(_bare(stack.fleet, tuned=False))
                figures.ours.append(total_bytes / 1e6 / _upload_s(stack))
                figures.bare_tuned.append((before + _bare(stack.fleet, tuned=True)) / 2)
            figures.raw_tls.append(raw_tls.measure(stack.fleet.ca_file, stack.fleet.broker))
    return figures


def report(figures: UploadFigures) -> list[str]:
    """The figures as lines for a person, each with what it must reach."""
    ratios, raw = figures.ratios, statistics.median(figures.raw_tls)
    ours = statistics.median(figures.ours)
    plain = statistics.median(figures.bare_plain)
    return [
        f"upload of {figures.clips} clips of {figures.clip_mb:.1f} MB over TLS to the stored "
        f"receipt: median {ours:.0f} MB/s ({_range(figures.ours)})",
        f"bare paho, QoS 1, window 16: median {statistics.median(figures.bare_tuned):.0f} MB/s "
        f"({_range(figures.bare_tuned)}); without the allocator setting {plain:.0f} MB/s",
        f"ratio to bare paho: median {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}; must be at least 0.70); to bare paho without "
        f"the allocator setting {ours / plain:.2f}",
        f"ratio to a raw TLS socket ({raw:.0f} MB/s): {ours / raw:.2f}",
    ]


def _fill_outbox(stack: LocalStack) -> int:
    """Real sealed clips by the camera's own keys, closed, in the outbox. Returns their bytes."""
    files = stack.fleet.device(DEVICE_ID)
    device = SampleDevice(
        DEVICE_ID,
        load_recipients(files.recipients_file)[0],
        key=load_private_key(files.custody_key_file, "custody key"),
    )
    spool = Spool(stack.state_dir)
    spool.prepare()
    total = 0
    for _ in range(CLIPS):
        clip = device.clip(count=FRAGMENTS, fragment_bytes=FRAGMENT_BYTES)
        clip.write(spool.path("outbox", clip.clip_id))
        total += clip.manifest.total_bytes
    return total


def _upload_s(stack: LocalStack) -> float:
    """Seconds from the uplink's connection to the last receipt on the camera's card."""
    log = stack.logs_dir / "uplink.log"
    agent = (sys.executable, "-m", "agent", "--config", str(stack.agent_config), "uplink")
    collector = (sys.executable, "-m", "collector", "run", "--config", str(stack.collector_config))
    collector_log = stack.logs_dir / "collector.log"
    receiver = Supervisor(
        [Program(name="collector", argv=collector, log_file=collector_log)], print
    )
    sender = Supervisor(
        [Program(name="uplink", argv=agent, watchdog_s=WATCHDOG_S, log_file=log)], print
    )
    sent = stack.state_dir / "spool" / "sent"
    deadline_s = time.monotonic() + DEADLINE_S
    try:
        while '"ready"' not in _text(collector_log):
            receiver.turn(0.05)
        while len(list(sent.iterdir())) < CLIPS:
            sender.turn(0.01)
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"no receipts within {DEADLINE_S:.0f} s, see {log}")
        done_s = time.time()
    finally:
        sender.close()
        receiver.close()
    return done_s - _connected_at_s(_text(log))


def _connected_at_s(log: str) -> float:
    """Unix seconds of the line that says the connection stands."""
    line = next(line for line in log.splitlines() if CONNECTED in line)
    return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").astimezone().timestamp()


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _bare(fleet: Fleet, *, tuned: bool) -> float:
    device, collector = fleet.device(DEVICE_ID), fleet.collector
    return bare_paho.measure(
        fleet.host,
        fleet.port,
        (device.tls.ca_file, device.tls.cert_file, device.tls.key_file),
        subscriber_tls=(collector.tls.ca_file, collector.tls.cert_file, collector.tls.key_file),
        topic=topics.up_part(DEVICE_ID, "bench", 0),
        publisher_id=DEVICE_ID,
        subscriber_id=collector.collector_id,
        tuned=tuned,
    )


def _range(values: list[float]) -> str:
    return f"{min(values):.0f} to {max(values):.0f}"
