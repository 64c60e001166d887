"""Reads how hot the board is, on a thread of its own, and says how many frames are to be scored."""

from __future__ import annotations

import threading

from agent.config import Governor as Settings
from agent.core.governor import Governor, GovernorRules, Throttle
from agent.ports.clock import Clock
from agent.ports.power import PowerReading
from agent.ports.thermal import ThermalReading, ThermalSensor

_EVERY_S = 2.0


class Governing:
    """Without a `sensor` only the battery counts. `start` and `close` once each; the rest from the
    service's thread."""

    def __init__(
        self,
        sensor: ThermalSensor | None,
        settings: Settings,
        clock: Clock,
        *,
        every_s: float = _EVERY_S,
    ) -> None:
        self._sensor, self._clock, self._every_s = sensor, clock, every_s
        self._governor = Governor(
            GovernorRules(
                warm_c=settings.warm_c,
                hot_c=settings.hot_c,
                hysteresis_c=settings.hysteresis_c,
                battery_below_percent=settings.battery_below_percent,
                hysteresis_percent=settings.hysteresis_percent,
                hold_s=settings.hold_s,
            )
        )
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._reading = ThermalReading()

    def start(self) -> None:
        if self._sensor is not None:
            self._thread = threading.Thread(
                target=self._run, args=(self._sensor,), name="governor", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Does not wait for a sensor that hangs: the thread ends with its read."""
        self._closed.set()

    def judge(self, power: PowerReading) -> Throttle:
        """The pace as of now."""
        reading = self._reading
        return self._governor.judge(
            self._clock.boot_ns(),
            celsius=reading.celsius,
            slowed=reading.slowed,
            percent=power.percent,
            on_mains=power.on_mains,
        )

    def line(self) -> str:
        """Why fewer frames are scored, for a person; "" at full pace."""
        throttle = self._governor.throttle
        if throttle.pace == "full":
            return ""
        what = "every second frame is scored" if throttle.pace == "half" else "scoring is paused"
        return f"{what}: {throttle.detail}"

    def _run(self, sensor: ThermalSensor) -> None:
        while not self._closed.is_set():
            self._reading = sensor.read()
            self._closed.wait(self._every_s)
