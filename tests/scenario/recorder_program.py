"""`sightline-agent recorder` alone: the program with the camera and the card."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.drivers.clock_system import SystemClock
from agent.errors import ControlError
from agent.ipc.control import ask
from agent.ipc.messages import RecorderStatus, StartRequest, StatusRequest, StopRequest
from firmware_tools.dev_fleet import Fleet

_CONFIG = """
[paths]
state_dir = "state"
runtime_dir = "run"
[trust]
recipients_file = "{files}/recipients.txt"
receipt_key_file = "{files}/receipt.pub.pem"
custody_key_file = "{files}/custody.key"
{sections}
"""


class RecorderProgram:
    """Runs in `folder` with `sections` (TOML, [device] and [camera] among them)."""

    def __init__(self, folder: Path, fleet: Fleet, sections: str) -> None:
        self.folder = folder
        self.config = folder / "agent.toml"
        files = fleet.device("cam01").directory
        self.config.write_text(_CONFIG.format(files=files, sections=sections))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent", "--config", str(self.config), "recorder"],
            stderr=subprocess.DEVNULL,
        )

    def start(self) -> str:
        """Why the press was refused; empty when it was not."""
        return ask(self.folder / "run", StartRequest(pts_ns=SystemClock().boot_ns())).refused

    def stop(self) -> str:
        return ask(self.folder / "run", StopRequest(pts_ns=SystemClock().boot_ns())).refused

    def until(
        self, condition: Callable[[RecorderStatus], bool], timeout_s: float = 30
    ) -> RecorderStatus:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with suppress(ControlError):
                status = ask(self.folder / "run", StatusRequest(), timeout_ms=500).status
                if condition(status):
                    return status
            time.sleep(0.05)  # a pause between two looks
        raise AssertionError("the recorder did not come that far")

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
