"""A recorder in a process of its own, with a fake lens and everything else real: for killing, and
for watching what it asks of the card.

python -m tests.crash.recorder_program AGENT_TOML [--speed N] [--fsync all|folders|none]
"""

from __future__ import annotations

import argparse
import os
import signal
import stat
import time
from collections import Counter
from pathlib import Path
from typing import Any

import zmq

from agent import config
from agent.crypto.jws import Signer
from agent.crypto.keys import load_private_key, load_recipients
from agent.crypto.seal import Sealer
from agent.drivers.camera_fake import FakeCamera
from agent.drivers.clock_system import SystemClock
from agent.ipc.notify import Notifier
from agent.services.loop import StopFlag, run_service
from agent.services.recorder import Recorder
from agent.services.writer import ClipKey, FragmentKept, Result
from agent.storage.atomic import Fsync
from agent.storage.identity import next_boot
from tests.crash.account import KEPT
from tests.crash.trace import mark


class FastClock(SystemClock):
    """Runs `speed` times as fast as the kernel's."""

    def __init__(self, speed: int) -> None:
        super().__init__()
        self._speed = speed

    def boot_ns(self) -> int:
        return super().boot_ns() * self._speed


class MarkingRecorder(Recorder):
    """Leaves a mark in the trace for each fragment that it takes for safe from then on."""

    def __init__(self, settings: config.Settings, *, marks: Path, **parts: Any) -> None:
        self._marks = marks
        self._marked: Counter[ClipKey] = Counter()
        super().__init__(settings, **parts)

    def _note(self, result: Result) -> None:
        if isinstance(result, FragmentKept):
            clip_id = self._names.clip_id(result.key)
            mark(self._marks, f"{KEPT}:{clip_id}:{self._marked[result.key]}")
            self._marked[result.key] += 1
        super()._note(result)


def sync_folders_alone(descriptor: int) -> None:
    """What a writer does that renames without syncing the file first."""
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.fsync(descriptor)


DIE = "die"
FSYNC: dict[str, Fsync] = {
    "all": os.fsync,
    "folders": sync_folders_alone,
    "none": lambda descriptor: None,
}


def killed_when_told(folder: Path, fsync: Fsync) -> Fsync:
    """Dies in place of a sync once `folder / DIE` is there: between two calls of the only thread
    that writes, so that it is known what reached the card."""

    def sync(descriptor: int) -> None:
        if (folder / DIE).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    return sync


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--speed", type=int, default=1)
    parser.add_argument("--fsync", choices=FSYNC, default="all")
    options = parser.parse_args()
    settings = config.load_settings(options.config)
    stop, clock, speed = StopFlag(), FastClock(options.speed), options.speed
    stop.install()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    folder = options.config.resolve().parent
    recorder = MarkingRecorder(
        settings,
        marks=folder,
        camera=FakeCamera(clock, frame_rate_hz=10, wait=lambda s: time.sleep(s / speed)),
        clock=clock,
        identity=next_boot(settings.paths.state_dir, random_bytes=os.urandom),
        sealer=Sealer(load_recipients(settings.trust.recipients_file)),
        signer=Signer(load_private_key(settings.trust.custody_key_file, "custody key")),
        context=context,
        agent_version="0",
        fsync=killed_when_told(folder, FSYNC[options.fsync]),
    )
    run_service(recorder, Notifier({}), stop, status="recording")
    context.destroy(linger=0)


if __name__ == "__main__":
    main()
