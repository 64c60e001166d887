"""The thermal seam: how hot the board is, and whether its firmware slows it down."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import msgspec


class ThermalReading(msgspec.Struct, frozen=True, kw_only=True):
    """The board as it is now. `celsius`: the hottest place that is measured, None: not known.
    `slowed`: why the firmware or kernel slows the board down at this moment, in a few words each
    ("under-voltage"); empty when it does not, or does not say. `problem`: why nothing is known, for
    a person; empty when something is."""

    celsius: float | None = None
    slowed: tuple[str, ...] = ()
    problem: str = ""


class ThermalSensor(ABC):
    """Something that knows how hot the board is.

    - `read()` never raises: what cannot be read is not known, and `problem` says why.
    - `celsius` of a reading is within -60 to 150; a driver's value outside is not believed.
    - `read()` may block as long as its hardware does; it is called from one thread.

    The public method checks and wraps; a driver implements the hook `_read`.
    """

    def read(self) -> ThermalReading:
        try:
            reading = self._read()
        except Exception as exc:  # a sensor that breaks must not end a recording
            text = " ".join(str(exc).split())[:200]
            return ThermalReading(problem=f"temperature cannot be read ({text})")
        celsius = reading.celsius
        if celsius is not None and not (math.isfinite(celsius) and -60 <= celsius <= 150):
            problem = f"temperature of {celsius:g} °C is not believed"
            return msgspec.structs.replace(reading, celsius=None, problem=problem)
        return reading

    @abstractmethod
    def _read(self) -> ThermalReading: ...
