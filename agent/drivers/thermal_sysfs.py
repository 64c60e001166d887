"""The kernel's thermal zones, and what a Raspberry Pi says about being slowed down.

- `/sys/class/thermal/thermal_zone*/temp`: thousandths of a degree (Documentation/ABI/testing/
  sysfs-class-thermal). The hottest zone counts.
- `/sys/devices/platform/soc/soc:firmware/get_throttled`: the firmware's bits in hexadecimal, on
  Raspberry Pi kernels; 0 to 3 are now, 16 to 19 since the boot (vcgencmd get_throttled).
- `/sys/class/hwmon/hwmon*`, name `rpi_volt`: `in0_lcrit_alarm` is 1 while the voltage is too low,
  on kernels where the file above has gone.
"""

from __future__ import annotations

from pathlib import Path

from agent.ports.thermal import ThermalReading, ThermalSensor

# Always 100 degrees on a Jetson; the others are made from zones that count already.
_NO_PLACES = frozenset({"PMIC-Die", "thermal-fan-est"})
_RADIO = "iwlwifi"
_THROTTLED = Path("devices/platform/soc/soc:firmware/get_throttled")
_UNDER_VOLTAGE = "under-voltage"
_NOW = (_UNDER_VOLTAGE, "frequency capped", "throttled", "soft temperature limit")


class SysfsThermal(ThermalSensor):
    """Reads below `sys_dir` (/sys). A zone or file that is missing or cannot be read says
    nothing."""

    def __init__(self, sys_dir: Path) -> None:
        self._sys = sys_dir

    def _read(self) -> ThermalReading:
        zones = sorted((self._sys / "class" / "thermal").glob("thermal_zone*"))
        found = [celsius for zone in zones if (celsius := _celsius(zone)) is not None]
        slowed = self._slowed()
        if not found and not slowed:
            return ThermalReading(problem=f"{self._sys}/class/thermal shows no temperature")
        return ThermalReading(celsius=max(found, default=None), slowed=slowed)

    def _slowed(self) -> tuple[str, ...]:
        word = _word(self._sys / _THROTTLED)
        try:
            bits = int(word, 16)
        except ValueError:
            return (_UNDER_VOLTAGE,) if self._voltage_is_low() else ()
        return tuple(text for bit, text in enumerate(_NOW) if bits >> bit & 1)

    def _voltage_is_low(self) -> bool:
        return any(
            _word(sensor / "name") == "rpi_volt" and _word(sensor / "in0_lcrit_alarm") == "1"
            for sensor in (self._sys / "class" / "hwmon").glob("hwmon*")
        )


def _celsius(zone: Path) -> float | None:
    kind = _word(zone / "type")
    if kind in _NO_PLACES or kind.startswith(_RADIO):
        return None
    try:
        celsius = int(_word(zone / "temp")) / 1000
    except ValueError:
        return None
    return celsius if -60 <= celsius <= 150 else None


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
