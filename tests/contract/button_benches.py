"""A bench a driver: the button, and the finger that presses it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from agent.drivers.button_evdev import EvdevButton
from agent.drivers.button_fake import FakeButton
from agent.drivers.button_gpiod import GpiodButton
from agent.drivers.button_pipe import PipeButton
from agent.ports.button import Button
from tests.contract.bench import WorkBench
from tests.contract.real_lines import CHIP, KEYS, RealLines
from tests.vm import board


class Bench(WorkBench, ABC):
    """`press` returns when the button has moved. `late_ns`: how late the driver may stamp it.
    `settle` lets as much time pass as the driver needs to tell two edges apart."""

    button: Button
    late_ns = 0

    @abstractmethod
    def press(self, pressed: bool) -> None: ...

    @abstractmethod
    def lose(self) -> None:
        """The button goes away (a cable is pulled)."""

    @abstractmethod
    def restore(self) -> None: ...

    @abstractmethod
    def absent(self) -> Button:
        """The same driver, told of a button that is not there."""

    def settle(self) -> None:
        return


class FakeBench(Bench):
    def __init__(self, _folder: Path) -> None:
        self.button: FakeButton = FakeButton()

    def press(self, pressed: bool) -> None:
        self.button.edge(pressed, time.clock_gettime_ns(time.CLOCK_BOOTTIME))

    def lose(self) -> None:
        self.button.lose("cable out")

    def restore(self) -> None:
        self.button.restore()

    def absent(self) -> Button:
        missing = FakeButton()
        missing.lose("none there")
        return missing


class PipeBench(Bench):
    """Words with their times, as a script writes them."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "run" / "button.fifo"
        self.button = PipeButton(self._path)

    def press(self, pressed: bool) -> None:
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if self._path.exists():  # nobody can write into a pipe that is not made yet
            self._path.write_text(f"{'down' if pressed else 'up'} {now_ns}\n")

    def lose(self) -> None:
        self._path.unlink()

    def restore(self) -> None:
        return

    def absent(self) -> Button:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("no pipe")
        return PipeButton(self._path)


class GpiodBench(Bench):
    """A line of a real chip that the host pulls down: no pull-up is needed, the wire is driven."""

    # From the interrupt's arrival to the kernel's stamp, on an emulated processor.
    late_ns = 200_000_000

    def __init__(self, _folder: Path) -> None:
        self._lines = RealLines()
        self._lines.set(board.BUTTON, 1)
        self.button = self._driver("BUTTON")

    def press(self, pressed: bool) -> None:
        self._lines.set(board.BUTTON, 0 if pressed else 1)

    def lose(self) -> None:
        CHIP.unbind()

    def restore(self) -> None:
        CHIP.bind()

    def absent(self) -> Button:
        return self._driver("NO_SUCH_LINE")

    def tidy(self) -> None:
        self.button.close()
        CHIP.bind()
        self._lines.close()

    def _driver(self, line: str) -> Button:
        return GpiodButton(chip="", line=line, active_low=True, bias="pull_up", debounce_s=0)


class EvdevBench(Bench):
    """The kernel's gpio-keys over a line that the host pulls down; it debounces for 5 ms."""

    late_ns = 200_000_000

    def __init__(self, _folder: Path) -> None:
        self._lines = RealLines()
        self._lines.set(board.KEY, 1)
        self.button = EvdevButton(device=board.KEY_DEVICE, key=0)

    def press(self, pressed: bool) -> None:
        self._lines.set(board.KEY, 0 if pressed else 1)

    def settle(self) -> None:
        time.sleep(0.05)  # ten times the debounce time: a line must rest to be believed

    def lose(self) -> None:
        KEYS.unbind()

    def restore(self) -> None:
        KEYS.bind()

    def absent(self) -> Button:
        return EvdevButton(device="no such device", key=0)

    def tidy(self) -> None:
        self.button.close()
        KEYS.bind()
        self._lines.close()


BENCHES: dict[str, Callable[[Path], Bench]] = {
    "fake": FakeBench,
    "pipe": PipeBench,
    "gpiod": GpiodBench,
    "evdev": EvdevBench,
}
