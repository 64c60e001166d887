"""What every SurroundingsSensor promises, over the fake, this Linux, and Linuxes made up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.core.network_gate import Surroundings
from agent.drivers.power_sysfs import SysfsPower
from agent.drivers.surroundings_fake import FakeSurroundings
from agent.drivers.surroundings_linux import LinuxSurroundings
from agent.ports.surroundings import SurroundingsSensor


def rubbish(folder: Path) -> SurroundingsSensor:
    """A kernel whose tables nobody knows."""
    (folder / "net").mkdir()
    (folder / "net" / "route").write_text("eth0 zz zz zz zz zz zz zz\n" * 3)
    (folder / "net" / "ipv6_route").write_bytes(b"\xff" * 1000)
    return LinuxSurroundings(
        "203.0.113.9", ("wwan*",), power=SysfsPower(folder / "none"), proc=folder
    )


DRIVERS: dict[str, Callable[[Path], SurroundingsSensor]] = {
    "fake": lambda _folder: FakeSurroundings(),
    "linux here": lambda _folder: LinuxSurroundings(
        "localhost", ("wwan*",), power=SysfsPower(Path("/sys/class/power_supply"))
    ),
    "linux without anything": lambda folder: LinuxSurroundings(
        "no.such.host.invalid", (), proc=folder / "none"
    ),
    "linux with rubbish": rubbish,
}


@pytest.mark.parametrize("driver", DRIVERS)
def test_reading_never_raises_and_gives_facts_or_says_not_known(
    driver: str, tmp_path: Path
) -> None:
    sensor = DRIVERS[driver](tmp_path)
    for _ in range(20):
        now = sensor.read()
        assert isinstance(now, Surroundings)
        assert now.is_metered in (True, False, None)
        assert now.is_charging in (True, False, None)
        assert not any(each.isspace() or each == "/" for each in now.interface)


def test_slow_name_server_holds_no_reading_up(tmp_path: Path) -> None:
    answered, asked = threading.Event(), threading.Event()

    def slow(_host: str) -> list[object]:
        asked.set()
        answered.wait(30)
        return []

    sensor = LinuxSurroundings("broker.example", (), proc=tmp_path, resolve=slow)  # type: ignore[arg-type]
    assert sensor.read().interface == ""
    assert asked.wait(30)
    assert sensor.read().interface == ""  # and a second look-up is not begun beside the first
    assert [t.name for t in threading.enumerate()].count("broker-address") == 1
    answered.set()
    sensor.settle(30)
