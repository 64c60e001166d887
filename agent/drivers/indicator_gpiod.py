"""Lamps and a motor on GPIO lines, by libgpiod v2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.indication_table import Lit, Output
from agent.drivers.gpio_lines import find_line, library, request
from agent.errors import IndicatorError
from agent.ports.indicator import Indicator


class GpiodIndicator(Indicator):
    """`lines`: the line of each output there is. `active_low`: a low line turns them on."""

    def __init__(self, *, chip: str, lines: Mapping[Output, str], active_low: bool) -> None:
        super().__init__()
        self._chip, self._lines, self._active_low = chip, dict(lines), active_low
        self._requests: dict[Output, tuple[Any, int]] = {}

    def _open(self) -> Lit:
        gpiod = library(IndicatorError)
        settings = gpiod.LineSettings(
            direction=gpiod.line.Direction.OUTPUT,
            active_low=self._active_low,
            output_value=gpiod.line.Value.INACTIVE,
        )
        for output, line in self._lines.items():
            found = find_line(self._chip, line, IndicatorError)
            self._requests[output] = (request(found, settings, IndicatorError), found.offset)
        return frozenset(self._requests)

    def _show(self, lit: Lit) -> None:
        value = library(IndicatorError).line.Value
        for output, (taken, offset) in self._requests.items():
            taken.set_value(offset, value.ACTIVE if output in lit else value.INACTIVE)

    def _close(self) -> None:
        requests, self._requests = self._requests, {}
        for taken, _offset in requests.values():
            taken.release()
