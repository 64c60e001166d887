"""A supply's own word that power is about to go: a GPIO line of a UPS or of a charger chip."""

from __future__ import annotations

from typing import Any

from agent.drivers.gpio_lines import Bias, find_line, input_settings, request
from agent.errors import AgentError
from agent.ports.power import PowerReading, PowerSource


class PowerLineError(AgentError):
    """The line cannot be read now; it is tried again at the next reading."""


class GpiodPower(PowerSource):
    """Active means failing. What the line does not say (charge, mains while all is well) is not
    known."""

    def __init__(self, *, chip: str, line: str, active_low: bool, bias: Bias) -> None:
        self._chip, self._line = chip, line
        self._active_low, self._bias = active_low, bias
        self._taken: tuple[Any, int] | None = None

    def _read(self) -> PowerReading:
        if self._taken is None:
            self._taken = self._take()
        taken, offset = self._taken
        try:
            failing = bool(taken.get_value(offset))
        except OSError:
            self.close()
            raise
        return PowerReading(on_mains=False if failing else None, failing=failing)

    def close(self) -> None:
        """Let the line go; the next reading takes it again."""
        taken, self._taken = self._taken, None
        if taken is not None:
            taken[0].release()

    def _take(self) -> tuple[Any, int]:
        settings = input_settings(self._bias, PowerLineError, active_low=self._active_low)
        found = find_line(self._chip, self._line, PowerLineError)
        return request(found, settings, PowerLineError), found.offset
