"""A board that is as hot as a test says."""

from __future__ import annotations

from agent.ports.thermal import ThermalReading, ThermalSensor


class FakeThermal(ThermalSensor):
    """Gives `reading` as it stands; with `error` set, fails with it."""

    def __init__(self, reading: ThermalReading | None = None) -> None:
        self.reading = reading or ThermalReading(celsius=45.0)
        self.error: Exception | None = None

    def _read(self) -> ThermalReading:
        if self.error is not None:
            raise self.error
        return self.reading
