"""Real GPIO lines under a test's hand: in the guest of `make test-vm`, whose host moves them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.vm import board

_PORT = "SIGHTLINE_WIRES"


class RealLines:
    """Asks the host; see tests/vm/wires.py for the words."""

    def __init__(self) -> None:
        port = os.environ.get(_PORT)
        if port is None:
            pytest.skip("no GPIO lines that a test may move here (`make test-vm` has them)")
        self._port = Path(port).open("r+b", buffering=0)  # noqa: SIM115 (until `close`)

    def set(self, line: int, *levels: int) -> None:
        """Drive an input from outside; several levels follow one another within about 1 ms."""
        answer = self._ask(f"set {line} {' '.join(map(str, levels))}")
        assert answer == "OK", answer

    def get(self, line: int) -> int:
        """The level that an output has at its pin."""
        return int(self._ask(f"get {line}"))

    def close(self) -> None:
        self._port.close()

    def _ask(self, request: str) -> str:
        self._port.write(f"{request}\n".encode())
        answer = b""
        while not answer.endswith(b"\n"):
            answer += self._port.read(100)
        return answer.decode().strip()


class KernelDriver:
    """A device that can be taken from its driver, as when a cable is pulled, and given back."""

    def __init__(self, driver: str, device: str) -> None:
        self._folder, self._device = Path("/sys/bus") / driver, device

    def unbind(self) -> None:
        if (self._folder / self._device).exists():
            (self._folder / "unbind").write_text(self._device)

    def bind(self) -> None:
        if not (self._folder / self._device).exists():
            (self._folder / "bind").write_text(self._device)


KEYS = KernelDriver("platform/drivers/gpio-keys", "keys")
LAMPS = KernelDriver("platform/drivers/leds-gpio", "lamps")
_CHIP = KernelDriver("amba/drivers/pl061_gpio", board.CHIP)


class Chip:
    """The whole GPIO chip: what hangs on it goes and comes with it."""

    def unbind(self) -> None:
        for driver in (KEYS, LAMPS, _CHIP):
            driver.unbind()

    def bind(self) -> None:
        for driver in (_CHIP, KEYS, LAMPS):
            driver.bind()


CHIP = Chip()
