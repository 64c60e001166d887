"""The recorder's own program on a battery that runs down: closed, sealed and refused in time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.storage.spool import Spool
from firmware_tools.dev_fleet import Fleet
from tests.footage_maker import SHIPPED
from tests.scenario.recorder_program import RecorderProgram

pytestmark = pytest.mark.scenario

SECTIONS = """
[device]
device_id = "cam01"
kind = "desk"
[camera]
footage = "{footage}"
[recorder]
pre_roll_s = 1
[power]
supplies_dir = "supplies"
"""


class Program(RecorderProgram):
    """With a made-up battery."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        (folder / "supplies" / "BAT0").mkdir(parents=True)
        self.folder = folder
        self.charge(percent=50)
        super().__init__(folder, fleet, SECTIONS.format(footage=SHIPPED))

    def charge(self, *, percent: int, status: str = "Discharging") -> None:
        for name, word in {"type": "Battery", "status": status, "capacity": str(percent)}.items():
            (self.folder / "supplies" / "BAT0" / name).write_text(f"{word}\n")


@pytest.fixture
def program(tmp_path: Path, fleet: Fleet) -> Iterator[Program]:
    made = Program(tmp_path, fleet)
    yield made
    made.end()


def test_a_session_is_closed_before_the_power_goes(program: Program) -> None:
    program.until(lambda status: status.pre_roll_ready_s >= 1)
    assert program.start() == ""
    status = program.until(lambda status: status.frames_written > 30)
    assert (status.battery_percent, status.on_mains) == (50, False)
    session_id = status.session_id
    program.charge(percent=4)
    program.until(lambda status: status.state == "standby")
    spool = Spool(program.folder / "state")
    assert spool.clips("recording") == []
    assert spool.clips("outbox")[-1] == f"{session_id}-record"
    assert not spool.manifest("outbox", f"{session_id}-0000")[0].recovered
    assert "charge it" in program.start()
    program.charge(percent=4, status="Charging")
    program.until(lambda status: not status.faults)
    assert program.start() == ""
