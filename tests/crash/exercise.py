"""One exercise, from the camera's start to the last receipt, for strace to watch: real programs
with a fake lens.

python -m tests.crash.exercise FOLDER PLAN [--fsync all|folders|none]

FOLDER holds agent.toml and collector.toml; the broker is another's affair. The recorder's clock
runs SPEED times as fast as one on the wall.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.config import load_settings
from agent.errors import ControlError
from agent.ipc.control import ask
from agent.ipc.messages import (
    ControlReply,
    ControlRequest,
    MarkRequest,
    RecorderStatus,
    StartRequest,
    StatusRequest,
    StopRequest,
)
from agent.storage.spool import Spool
from tests.crash.recorder_program import DIE, FastClock

SPEED = 4
PATIENCE_S = 60.0


class Exercise:
    """The programs, and the trainer's hand on the button."""

    def __init__(self, folder: Path, fsync: str) -> None:
        self._folder, self._fsync = folder, fsync
        paths = load_settings(folder / "agent.toml").paths
        self._runtime_dir = paths.runtime_dir
        self.spool = Spool(paths.state_dir)
        self._clock = FastClock(SPEED)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        agent, collector = str(self._folder / "agent.toml"), str(self._folder / "collector.toml")
        speed = ("--speed", str(SPEED), "--fsync", self._fsync)
        programs = {
            "recorder": ("tests.crash.recorder_program", agent, *speed),
            "uplink": ("agent", "--config", agent, "uplink"),
            "collector": ("tests.crash.collector_program", collector),
        }
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", *programs[name]], stdout=log, stderr=log
            )

    def end(self, name: str, how: signal.Signals) -> None:
        process = self._running.pop(name)
        process.send_signal(how)
        process.wait(PATIENCE_S)

    def kill_recorder(self) -> None:
        """In the middle of its next write."""
        die = self._folder / DIE
        die.touch()
        self._running.pop("recorder").wait(PATIENCE_S)
        die.unlink()

    def press(self, kind: type[StartRequest | MarkRequest | StopRequest]) -> None:
        refused = self._ask(kind(pts_ns=self._clock.boot_ns())).refused
        if refused:
            raise RuntimeError(refused)

    def until(self, condition: Callable[[RecorderStatus], bool]) -> None:
        def holds() -> bool:
            with suppress(ControlError):
                return condition(self._ask(StatusRequest()).status)
            return False

        self.wait(holds)

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError("the exercise came to a halt")
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended by itself")
            time.sleep(0.02)

    def record(self, frames: int) -> None:
        """Start, and wait until so many frames more are safe."""
        before = self._ask(StatusRequest()).status.frames_written
        self.press(StartRequest)
        self.until(lambda status: status.frames_written >= before + frames)

    def stop(self) -> None:
        self.press(StopRequest)
        self.until(lambda status: status.state == "standby")

    def _ask(self, request: ControlRequest) -> ControlReply:
        return ask(self._runtime_dir, request, timeout_ms=1000)


def captures(status: RecorderStatus) -> bool:
    return status.frames_captured > 0


def whole(exercise: Exercise) -> None:
    """Two sessions, the second one cut off by a kill; the collector killed, too; then a third."""
    spool = exercise.spool
    for name in ("collector", "uplink", "recorder"):
        exercise.start(name)
    exercise.until(captures)
    exercise.record(25)
    exercise.press(MarkRequest)
    exercise.until(lambda status: status.frames_written >= 45)
    exercise.stop()
    exercise.wait(lambda: not spool.clips("outbox"))
    exercise.end("collector", signal.SIGKILL)
    exercise.record(35)
    exercise.kill_recorder()
    exercise.start("collector")
    exercise.wait(lambda: not spool.clips("outbox"))
    exercise.start("recorder")
    exercise.until(captures)
    exercise.record(10)
    exercise.stop()
    exercise.wait(lambda: not spool.clips("outbox"))
    for name in ("recorder", "uplink", "collector"):
        exercise.end(name, signal.SIGTERM)


def recorder(exercise: Exercise) -> None:
    """One session of the recorder alone."""
    exercise.start("recorder")
    exercise.until(captures)
    exercise.record(25)
    exercise.stop()
    exercise.end("recorder", signal.SIGTERM)


PLANS = {"whole": whole, "recorder": recorder}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("plan", choices=PLANS)
    parser.add_argument("--fsync", default="all")
    options = parser.parse_args()
    PLANS[options.plan](Exercise(options.folder, options.fsync))


if __name__ == "__main__":
    main()
