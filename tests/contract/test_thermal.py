"""What every ThermalSensor promises, over the fake, this machine's /sys, and boards made up."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.drivers.thermal_fake import FakeThermal
from agent.drivers.thermal_sysfs import SysfsThermal
from agent.ports.thermal import ThermalReading, ThermalSensor

PI_THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"


def board(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder


def zones(**celsius: str) -> dict[str, str]:
    """Thermal zones as the kernel shows them: type -> temp."""
    files = {}
    for number, (kind, temp) in enumerate(celsius.items()):
        files[f"class/thermal/thermal_zone{number}/type"] = kind.replace("_", "-") + "\n"
        files[f"class/thermal/thermal_zone{number}/temp"] = f"{temp}\n"
    return files


DRIVERS: dict[str, Callable[[Path], ThermalSensor]] = {
    "fake": lambda _folder: FakeThermal(),
    "this machine": lambda _folder: SysfsThermal(Path("/sys")),
    "a Pi": lambda folder: SysfsThermal(
        board(folder, {**zones(cpu_thermal="61322"), PI_THROTTLED: "50005\n"})
    ),
    "no board at all": lambda folder: SysfsThermal(folder / "none"),
    "rubbish": lambda folder: SysfsThermal(
        board(folder, {**zones(a="x", b="", c="999999999"), PI_THROTTLED: "zz\n"})
    ),
}


@pytest.mark.parametrize("driver", DRIVERS)
def test_reading_never_raises_and_gives_facts_or_says_not_known(
    driver: str, tmp_path: Path
) -> None:
    sensor = DRIVERS[driver](tmp_path)
    for _ in range(3):
        now = sensor.read()
        assert isinstance(now, ThermalReading)
        assert now.celsius is None or -60 <= now.celsius <= 150
        assert now.celsius is not None or now.problem or now.slowed


@pytest.mark.parametrize("celsius", [math.nan, math.inf, -273.0, 4000.0])
def test_value_outside_of_what_a_board_can_be_is_not_believed(celsius: float) -> None:
    now = FakeThermal(ThermalReading(celsius=celsius)).read()
    assert now.celsius is None
    assert "not believed" in now.problem


def test_sensor_that_breaks_says_why() -> None:
    sensor = FakeThermal()
    sensor.error = OSError("bus error\nsecond line")
    assert sensor.read() == ThermalReading(
        problem="temperature cannot be read (bus error second line)"
    )


def test_hottest_zone_counts_and_the_ones_that_measure_no_place_do_not(tmp_path: Path) -> None:
    jetson = zones(CPU_therm="51500", GPU_therm="53000", PMIC_Die="100000", iwlwifi_1="90000")
    assert SysfsThermal(board(tmp_path, jetson)).read().celsius == 53.0


@pytest.mark.parametrize(
    ("bits", "slowed"),
    [
        ("0", ()),
        ("50000", ()),  # it happened since the boot, and is over
        ("1", ("under-voltage",)),
        ("e0008", ("soft temperature limit",)),
        ("50005", ("under-voltage", "throttled")),
        ("f", ("under-voltage", "frequency capped", "throttled", "soft temperature limit")),
    ],
)
def test_firmware_bits_of_now_count_and_those_since_the_boot_do_not(
    bits: str, slowed: tuple[str, ...], tmp_path: Path
) -> None:
    pi = board(tmp_path, {**zones(cpu_thermal="61322"), PI_THROTTLED: f"{bits}\n"})
    assert SysfsThermal(pi).read() == ThermalReading(celsius=61.322, slowed=slowed)


@pytest.mark.parametrize(("alarm", "slowed"), [("1", ("under-voltage",)), ("0", ())])
def test_newer_kernel_says_under_voltage_elsewhere(
    alarm: str, slowed: tuple[str, ...], tmp_path: Path
) -> None:
    pi = board(
        tmp_path,
        {
            **zones(cpu_thermal="40000"),
            "class/hwmon/hwmon0/name": "cpu_thermal\n",
            "class/hwmon/hwmon1/name": "rpi_volt\n",
            "class/hwmon/hwmon1/in0_lcrit_alarm": f"{alarm}\n",
        },
    )
    assert SysfsThermal(pi).read() == ThermalReading(celsius=40.0, slowed=slowed)
