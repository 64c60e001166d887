"""What every PowerSource promises, over every driver, fake and real (over a made-up sysfs)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.drivers.power_fake import FakePower
from agent.drivers.power_gpiod import GpiodPower
from agent.drivers.power_several import SeveralPower
from agent.drivers.power_sysfs import SysfsPower
from agent.ports.power import PowerReading, PowerSource
from tests.contract.real_lines import CHIP, RealLines
from tests.vm import board

Supplies = dict[str, dict[str, str]]
Make = Callable[[Path, PowerReading], PowerSource]


def write_supplies(folder: Path, supplies: Supplies) -> None:
    for name, files in supplies.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file, word in files.items():
            (folder / name / file).write_text(f"{word}\n")


def over_sysfs(folder: Path, reading: PowerReading) -> PowerSource:
    """A tree that must be read as `reading`."""
    battery = {"type": "UPS" if reading.failing else "Battery", "status": "Charging"}
    if reading.on_mains is not True:
        battery["status"] = "Unknown" if reading.on_mains is None else "Discharging"
    if reading.percent is not None:
        battery["capacity"] = f"{reading.percent:g}"
    write_supplies(folder, {"BAT0": battery})
    return SysfsPower(folder)


UNKNOWN = PowerReading()
DRIVERS: dict[str, Make] = {
    "fake": lambda _folder, reading: FakePower(reading),
    "sysfs": over_sysfs,
    "several": lambda _folder, reading: SeveralPower([FakePower(reading), FakePower(UNKNOWN)]),
}


@pytest.fixture(params=DRIVERS)
def make(request: pytest.FixtureRequest) -> Make:
    return DRIVERS[request.param]


@pytest.mark.parametrize("on_mains", [True, False, None])
@pytest.mark.parametrize("percent", [0.0, 42.0, 100.0, None])
def test_a_reading_says_what_the_supply_is(
    make: Make, tmp_path: Path, on_mains: bool | None, percent: float | None
) -> None:
    wanted = PowerReading(on_mains=on_mains, percent=percent)
    assert make(tmp_path, wanted).read() == wanted


def test_a_supply_that_fails_is_said(make: Make, tmp_path: Path) -> None:
    wanted = PowerReading(on_mains=False, percent=97.0, failing=True)
    assert make(tmp_path, wanted).read() == wanted


@pytest.mark.parametrize("percent", [-1.0, 101.0, 65535.0])
def test_a_charge_that_cannot_be_is_not_believed(
    make: Make, tmp_path: Path, percent: float
) -> None:
    reading = make(tmp_path, PowerReading(on_mains=False, percent=percent)).read()
    assert reading.percent is None
    assert "not believed" in reading.problem


def test_a_broken_gauge_is_a_problem_and_never_an_exception() -> None:
    fake = FakePower()
    fake.error = OSError(5, "Input/output error")
    assert "Input/output error" in fake.read().problem
    assert fake.read().percent is None


@pytest.mark.parametrize("missing", [True, False])
def test_a_machine_that_shows_no_supply_knows_nothing(tmp_path: Path, missing: bool) -> None:
    folder = tmp_path / "power_supply"
    if not missing:
        folder.mkdir()
    reading = SysfsPower(folder).read()
    assert (reading.on_mains, reading.percent, reading.failing) == (None, None, False)
    assert reading.problem


BATTERY = {"type": "Battery", "status": "Discharging", "capacity": "30"}


@pytest.mark.parametrize(
    ("supplies", "wanted"),
    [
        # A dock by USB, the battery being charged.
        (
            {
                "usb": {"type": "USB", "online": "1"},
                "BAT0": {**BATTERY, "status": "Charging"},
            },
            PowerReading(on_mains=True, percent=30),
        ),
        # A charger that gives less than is drawn: the battery runs down all the same.
        (
            {"usb": {"type": "USB", "online": "1"}, "BAT0": BATTERY},
            PowerReading(on_mains=False, percent=30),
        ),
        # No battery at all.
        ({"AC": {"type": "Mains", "online": "1"}}, PowerReading(on_mains=True)),
        # A mouse's battery is not the camera's; neither is one that is not there.
        (
            {
                "hid": {**BATTERY, "scope": "Device", "capacity": "1"},
                "BAT1": {"type": "Battery", "present": "0"},
                "BAT0": {**BATTERY, "present": "1"},
            },
            PowerReading(on_mains=False, percent=30),
        ),
        # Two batteries: power lasts as long as one of them.
        (
            {"BAT0": BATTERY, "BAT1": {**BATTERY, "capacity": "70"}},
            PowerReading(on_mains=False, percent=70),
        ),
        # A gauge without `capacity`.
        (
            {
                "BAT0": {
                    "type": "Battery",
                    "status": "Discharging",
                    "charge_now": "500000",
                    "charge_full": "2000000",
                }
            },
            PowerReading(on_mains=False, percent=25),
        ),
        (
            {"BAT0": {**BATTERY, "capacity_level": "Critical"}},
            PowerReading(on_mains=False, percent=30, failing=True),
        ),
        ({"BAT0": {"type": "Battery", "capacity": "many"}}, PowerReading()),
    ],
)
def test_sysfs_is_read_as_the_kernel_means_it(
    tmp_path: Path, supplies: Supplies, wanted: PowerReading
) -> None:
    write_supplies(tmp_path, supplies)
    assert SysfsPower(tmp_path).read() == wanted


@pytest.mark.parametrize("active_low", [True, False])
def test_a_real_line_says_that_power_fails_and_knows_nothing_else(active_low: bool) -> None:
    lines = RealLines()
    source = GpiodPower(chip="", line="BUTTON", active_low=active_low, bias="none")
    try:
        for failing in (False, True, False):
            lines.set(board.BUTTON, int(failing != active_low))
            wanted = PowerReading(on_mains=False if failing else None, failing=failing)
            assert source.read() == wanted
    finally:
        source.close()
        lines.close()


def test_a_line_that_is_not_there_is_a_problem_with_its_remedy() -> None:
    source = GpiodPower(chip="", line="NO_SUCH_LINE", active_low=False, bias="none")
    assert "NO_SUCH_LINE" in source.read().problem
    assert "gpioinfo" in source.read().problem


def test_a_chip_that_goes_is_a_problem_and_is_read_again_when_it_is_back() -> None:
    lines = RealLines()
    source = GpiodPower(chip=board.CHIP, line="BUTTON", active_low=True, bias="none")
    try:
        lines.set(board.BUTTON, 0)
        assert source.read().failing
        CHIP.unbind()
        assert source.read().problem
        CHIP.bind()
        assert source.read().failing
    finally:
        source.close()
        CHIP.bind()
        lines.close()


def test_of_several_words_the_worst_counts() -> None:
    gauge = FakePower(PowerReading(on_mains=True, percent=80))
    line = FakePower(PowerReading(on_mains=False, failing=True))
    reading = SeveralPower([gauge, line]).read()
    assert reading == PowerReading(on_mains=False, percent=80, failing=True)


def test_a_word_that_is_missing_is_said_and_the_others_are_heard() -> None:
    broken = FakePower()
    broken.error = OSError(5, "Input/output error")
    reading = SeveralPower([FakePower(PowerReading(on_mains=True, percent=80)), broken]).read()
    assert (reading.on_mains, reading.percent) == (True, 80)
    assert "Input/output error" in reading.problem
