"""The kernel's LED class: /sys/class/leds (Documentation/leds/leds-class.rst). Lamps, and a motor
that an overlay names as an LED (gpio-leds)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent.core.indication_table import Lit, Output
from agent.errors import IndicatorError
from agent.ports.indicator import Indicator


class SysfsIndicator(Indicator):
    """`names`: the LED's directory under `folder` for each output there is. Its trigger is taken
    away, so that the kernel does not blink it as well."""

    def __init__(self, folder: Path, names: Mapping[Output, str]) -> None:
        super().__init__()
        self._folder, self._names = folder, dict(names)
        self._bright: dict[Output, str] = {}

    def _open(self) -> Lit:
        self._bright = {}
        for output, name in self._names.items():
            led = self._folder / name
            try:
                if (led / "trigger").exists():
                    (led / "trigger").write_text("none")
                most = (led / "max_brightness").read_text().strip()
                (led / "brightness").write_text("0")
            except OSError as exc:
                there = ", ".join(sorted(path.name for path in _listed(self._folder))) or "none"
                raise IndicatorError(
                    f"LED {led} cannot be used ({exc.strerror})",
                    remedy=f"name one of {there}, and let the recorder write to it",
                ) from exc
            self._bright[output] = most
        return frozenset(self._bright)

    def _show(self, lit: Lit) -> None:
        for output, most in self._bright.items():
            path = self._folder / self._names[output] / "brightness"
            path.write_text(most if output in lit else "0")

    def _close(self) -> None:
        self._bright = {}


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
