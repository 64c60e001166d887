"""The power seam: where the energy comes from, and how much of it is left."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import msgspec


class PowerReading(msgspec.Struct, frozen=True, kw_only=True):
    """The supply as it is now; None: not known.

    `on_mains`: mains (or a dock) carries the load, no battery is being drained. `percent`: charge
    of the fullest battery, 0 to 100. `failing`: the supply says that power is about to go (a UPS
    that runs on its reserve, a battery that calls itself critical). `problem`: why nothing is
    known, for a person; empty when something is.
    """

    on_mains: bool | None = None
    percent: float | None = None
    failing: bool = False
    problem: str = ""


class PowerSource(ABC):
    """Something that knows about the supply.

    - `read()` never raises: what cannot be read is not known, and `problem` says why.
    - `percent` of a reading is within 0 to 100; a driver's value outside is not believed.
    - `read()` may block as long as its hardware does; it is called from one thread.

    The public method checks and wraps; a driver implements the hook `_read`.
    """

    def read(self) -> PowerReading:
        try:
            reading = self._read()
        except Exception as exc:  # a gauge that breaks must not end a recording
            text = " ".join(str(exc).split())[:200]
            return PowerReading(problem=f"supply cannot be read ({text})")
        percent = reading.percent
        if percent is not None and not (math.isfinite(percent) and 0 <= percent <= 100):
            problem = f"charge of {percent:g} % is not believed"
            return msgspec.structs.replace(reading, percent=None, problem=problem)
        return reading

    @abstractmethod
    def _read(self) -> PowerReading: ...
