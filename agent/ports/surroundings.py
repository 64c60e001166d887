"""The seam to what is around the camera: which link leads to the broker, and external power."""

from __future__ import annotations

from abc import ABC, abstractmethod

from agent.core.network_gate import Surroundings


class SurroundingsSensor(ABC):
    """Tells what is the case now.

    - `read()` returns at once (it never asks the network or a name server while the caller waits)
      and never raises: what cannot be found out is not known (`interface` "", `is_*` None).
    - `interface` is the one that the kernel would send packets to the broker by.
    - It may be asked twice a second for as long as the camera runs.
    """

    @abstractmethod
    def read(self) -> Surroundings: ...
