"""A supply that a test sets."""

from __future__ import annotations

from agent.ports.power import PowerReading, PowerSource


class FakePower(PowerSource):
    """Gives `reading` as it stands; with `error` set, fails with it."""

    def __init__(self, reading: PowerReading | None = None) -> None:
        self.reading = reading or PowerReading(on_mains=False, percent=80.0)
        self.error: Exception | None = None
        self.reads = 0

    def _read(self) -> PowerReading:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return self.reading
