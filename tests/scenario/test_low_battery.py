"""The recorder's own program on a battery that runs down: closed, sealed and refused in time."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent.drivers.clock_system import SystemClock
from agent.errors import ControlError
from agent.ipc.control import ask
from agent.ipc.messages import RecorderStatus, StartRequest, StatusRequest
from agent.storage.spool import Spool
from firmware_tools.dev_fleet import Fleet
from tests.footage_maker import SHIPPED

pytestmark = pytest.mark.scenario

CONFIG = """
[device]
device_id = "cam01"
kind = "desk"
[paths]
state_dir = "state"
runtime_dir = "run"
[camera]
footage = "{footage}"
[recorder]
pre_roll_s = 1
[power]
supplies_dir = "supplies"
[trust]
recipients_file = "{files}/recipients.txt"
receipt_key_file = "{files}/receipt.pub.pem"
custody_key_file = "{files}/custody.key"
"""


class Program:
    """`sightline-agent recorder` with a made-up battery."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        self.folder = folder
        (folder / "supplies" / "BAT0").mkdir(parents=True)
        self.charge(percent=50)
        config = folder / "agent.toml"
        files = fleet.device("cam01").directory
        config.write_text(CONFIG.format(footage=SHIPPED, files=files))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agent", "--config", str(config), "recorder"],
            stderr=subprocess.DEVNULL,
        )

    def charge(self, *, percent: int, status: str = "Discharging") -> None:
        for name, word in {"type": "Battery", "status": status, "capacity": str(percent)}.items():
            (self.folder / "supplies" / "BAT0" / name).write_text(f"{word}\n")

    def press(self) -> str:
        return ask(self.folder / "run", StartRequest(pts_ns=SystemClock().boot_ns())).refused

    def until(self, condition: Callable[[RecorderStatus], bool]) -> RecorderStatus:
        deadline = time.monotonic() + 30
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


@pytest.fixture
def program(tmp_path: Path, fleet: Fleet) -> Iterator[Program]:
    made = Program(tmp_path, fleet)
    yield made
    made.end()


def test_a_session_is_closed_before_the_power_goes(program: Program) -> None:
    program.until(lambda status: status.pre_roll_ready_s >= 1)
    assert program.press() == ""
    status = program.until(lambda status: status.frames_written > 30)
    assert (status.battery_percent, status.on_mains) == (50, False)
    session_id = status.session_id
    program.charge(percent=4)
    program.until(lambda status: status.state == "standby")
    spool = Spool(program.folder / "state")
    assert spool.clips("recording") == []
    assert spool.clips("outbox")[-1] == f"{session_id}-record"
    assert not spool.manifest("outbox", f"{session_id}-0000")[0].recovered
    assert "charge it" in program.press()
    program.charge(percent=4, status="Charging")
    program.until(lambda status: not status.faults)
    assert program.press() == ""
