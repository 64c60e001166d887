"""A bench a driver: the button, and the finger that presses it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from agent.drivers.button_fake import FakeButton
from agent.drivers.button_pipe import PipeButton
from agent.ports.button import Button
from tests.contract.bench import WorkBench


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


BENCHES: dict[str, Callable[[Path], Bench]] = {"fake": FakeBench, "pipe": PipeBench}
