"""A bench a driver: the indicator, and an eye that sees what is really lit."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from agent.core.indication_table import GREEN, Lit, Output
from agent.drivers.indicator_fake import FakeIndicator
from agent.drivers.indicator_gpiod import GpiodIndicator
from agent.drivers.indicator_sysfs import SysfsIndicator
from agent.ports.indicator import Indicator
from tests.contract.bench import WorkBench
from tests.contract.real_lines import CHIP, LAMPS, RealLines
from tests.vm import board


class Bench(WorkBench, ABC):
    """`indicator` has red, green and motor."""

    indicator: Indicator

    @abstractmethod
    def lit(self) -> Lit:
        """What is on, as the hardware has it."""

    @abstractmethod
    def only_green(self) -> Indicator:
        """The same driver with one lamp; `lit` looks at it."""

    @abstractmethod
    def lose(self) -> None: ...

    @abstractmethod
    def restore(self) -> None: ...

    @abstractmethod
    def absent(self) -> Indicator:
        """The same driver, told of outputs that are not there."""


class FakeBench(Bench):
    def __init__(self, _folder: Path) -> None:
        self.indicator: FakeIndicator = FakeIndicator()

    def lit(self) -> Lit:
        return self.indicator.lit

    def only_green(self) -> Indicator:
        self.indicator = FakeIndicator(GREEN)
        return self.indicator

    def lose(self) -> None:
        self.indicator.error = OSError(5, "Input/output error")

    def restore(self) -> None:
        self.indicator.error = None

    def absent(self) -> Indicator:
        self.lose()
        return self.indicator


NAMES: dict[Output, str] = {"red": "sightline:red", "green": "ACT", "motor": "sightline:motor"}


class SysfsBench(Bench):
    """Over a tree that looks as the kernel's does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "leds"
        self._make()
        self.indicator = SysfsIndicator(self._folder, NAMES)

    def lit(self) -> Lit:
        return frozenset(
            output
            for output, name in NAMES.items()
            if (self._folder / name / "brightness").read_text().strip() != "0"
        )

    def only_green(self) -> Indicator:
        return SysfsIndicator(self._folder, {"green": NAMES["green"]})

    def lose(self) -> None:
        shutil.rmtree(self._folder)

    def restore(self) -> None:
        self._make()

    def absent(self) -> Indicator:
        return SysfsIndicator(self._folder, {"red": "nowhere"})

    def _make(self) -> None:
        for name in NAMES.values():
            led = self._folder / name
            led.mkdir(parents=True)
            for file, word in {"trigger": "none [mmc0]", "max_brightness": "255"}.items():
                (led / file).write_text(f"{word}\n")
            (led / "brightness").write_text("0\n")


class GpiodBench(Bench):
    """Outputs of a real chip, seen at its pins."""

    LINES: dict[Output, int] = {"red": board.RED, "green": board.GREEN, "motor": board.MOTOR}  # noqa: RUF012

    def __init__(self, _folder: Path) -> None:
        self._lines = RealLines()
        self.indicator = self._driver({"red": "RED", "green": "GREEN", "motor": "MOTOR"})

    def lit(self) -> Lit:
        return frozenset(name for name, line in self.LINES.items() if self._lines.get(line))

    def only_green(self) -> Indicator:
        return self._driver({"green": "GREEN"})

    def lose(self) -> None:
        CHIP.unbind()

    def restore(self) -> None:
        CHIP.bind()

    def absent(self) -> Indicator:
        return self._driver({"red": "RED", "motor": "NO_SUCH_LINE"})

    def tidy(self) -> None:
        self.indicator.close()
        CHIP.bind()
        self._lines.close()

    def _driver(self, lines: dict[Output, str]) -> Indicator:
        return GpiodIndicator(chip=board.CHIP, lines=lines, active_low=False)


class KernelLedBench(Bench):
    """The kernel's gpio-leds, seen at the pins."""

    FOLDER = Path("/sys/class/leds")

    def __init__(self, _folder: Path) -> None:
        self._lines = RealLines()
        self.indicator = self._driver({name: f"sightline:{name}" for name in board.LEDS})

    def lit(self) -> Lit:
        return frozenset(name for name, line in board.LEDS.items() if self._lines.get(line))

    def only_green(self) -> Indicator:
        return self._driver({"green": "sightline:green"})

    def lose(self) -> None:
        LAMPS.unbind()

    def restore(self) -> None:
        LAMPS.bind()

    def absent(self) -> Indicator:
        return self._driver({"red": "nowhere"})

    def tidy(self) -> None:
        self.indicator.close()
        LAMPS.bind()
        self._lines.close()

    def _driver(self, names: dict[Output, str]) -> Indicator:
        return SysfsIndicator(self.FOLDER, names)


BENCHES: dict[str, Callable[[Path], Bench]] = {
    "fake": FakeBench,
    "sysfs": SysfsBench,
    "gpiod": GpiodBench,
    "kernel_leds": KernelLedBench,
}
