"""Several words on one supply: a fuel gauge, and a line that says when power fails."""

from __future__ import annotations

from collections.abc import Sequence

from agent.ports.power import PowerReading, PowerSource


class SeveralPower(PowerSource):
    """Failing when one of them says so; on battery when one of them says so; of what else they
    know, the first word counts. What is wrong with one is said, and the others are still heard."""

    def __init__(self, sources: Sequence[PowerSource]) -> None:
        self._sources = sources

    def _read(self) -> PowerReading:
        readings = [source.read() for source in self._sources]
        mains = [each.on_mains for each in readings if each.on_mains is not None]
        levels = [each.percent for each in readings if each.percent is not None]
        return PowerReading(
            on_mains=all(mains) if mains else None,
            percent=levels[0] if levels else None,
            failing=any(each.failing for each in readings),
            problem="; ".join(each.problem for each in readings if each.problem),
        )
