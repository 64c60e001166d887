"""A button on a GPIO line, by libgpiod v2: the kernel debounces it and stamps its edges."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from agent.core.gestures import Edge
from agent.drivers.gpio_lines import Bias, find_line, input_settings, library, request
from agent.errors import ButtonError
from agent.ports.button import Button


class GpiodButton(Button):
    """`active_low`: the button pulls the line to ground. The kernel tells an edge when the line has
    been still for `debounce_s`, and stamps it then."""

    def __init__(
        self, *, chip: str, line: str, active_low: bool, bias: Bias, debounce_s: float
    ) -> None:
        super().__init__()
        self._chip, self._line = chip, line
        self._active_low, self._bias, self._debounce_s = active_low, bias, debounce_s
        self._request: Any = None

    def _open(self) -> str:
        line = library(ButtonError).line
        settings = input_settings(
            self._bias,
            ButtonError,
            edge_detection=line.Edge.BOTH,
            active_low=self._active_low,
            debounce_period=timedelta(seconds=self._debounce_s),
            event_clock=line.Clock.MONOTONIC,
        )
        found = find_line(self._chip, self._line, ButtonError)
        self._request = request(found, settings, ButtonError)
        return f"GPIO line {self._line} of {found.label}"

    def _read(self, timeout_s: float) -> Sequence[Edge]:
        if not self._request.wait_edge_events(timeout_s):
            return ()
        rising = library(ButtonError).EdgeEvent.Type.RISING_EDGE
        # The two clocks differ by the time that the machine was asleep.
        asleep_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
        return [
            Edge(event.event_type == rising, event.timestamp_ns + asleep_ns)
            for event in self._request.read_edge_events()
        ]

    def _close(self) -> None:
        taken, self._request = self._request, None
        if taken is not None:
            taken.release()
