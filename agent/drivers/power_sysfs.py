"""The kernel's power supplies: /sys/class/power_supply (Documentation/ABI/testing/
sysfs-class-power). Works wherever a fuel gauge, charger or UPS has a kernel driver."""

from __future__ import annotations

from pathlib import Path

from agent.ports.power import PowerReading, PowerSource

_BATTERY, _UPS = "Battery", "UPS"
# Charge by whichever pair the gauge has, when it does not say `capacity` itself.
_LEVELS = (("energy_now", "energy_full"), ("charge_now", "charge_full"))


class SysfsPower(PowerSource):
    """Reads every supply under `folder`. Batteries of peripherals (scope "Device") do not count.

    A supply of type UPS that discharges has lost its mains: that is its signal that the power goes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _read(self) -> PowerReading:
        supplies = [
            supply for path in sorted(self._folder.iterdir()) if (supply := _Supply(path)).counts
        ]
        stores = [supply for supply in supplies if supply.kind in (_BATTERY, _UPS)]
        mains = [supply for supply in supplies if supply not in stores]
        if not supplies:
            return PowerReading(problem=f"{self._folder} shows no supply")
        levels = [level for supply in stores if (level := supply.percent()) is not None]
        return PowerReading(
            on_mains=_on_mains(stores, mains),
            percent=max(levels, default=None),
            failing=any(supply.is_failing() for supply in stores),
        )


class _Supply:
    """One directory. A file that is missing or cannot be read is an empty word."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.kind = self.word("type")
        absent = self.word("present") == "0"
        self.counts = bool(self.kind) and self.word("scope") != "Device" and not absent

    def word(self, name: str) -> str:
        try:
            return (self._path / name).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return ""

    def number(self, name: str) -> float | None:
        try:
            return float(self.word(name))
        except ValueError:
            return None

    def percent(self) -> float | None:
        said = self.number("capacity")
        if said is not None:
            return said
        for now_name, full_name in _LEVELS:
            now, full = self.number(now_name), self.number(full_name)
            if now is not None and full:
                return min(100.0, 100.0 * now / full)
        return None

    def is_failing(self) -> bool:
        discharging = self.word("status") == "Discharging"
        critical = self.word("capacity_level") == "Critical"
        return discharging and (self.kind == _UPS or critical)


def _on_mains(stores: list[_Supply], mains: list[_Supply]) -> bool | None:
    """A charger that gives less than is drawn counts as no mains: the battery still runs down."""
    statuses = {supply.word("status") for supply in stores}
    if "Discharging" in statuses:
        return False
    online = [value for supply in mains if (value := supply.number("online")) is not None]
    if online:
        return any(online)
    if statuses & {"Charging", "Full", "Not charging"}:
        return True
    return None
