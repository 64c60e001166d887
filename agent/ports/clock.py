"""The clock seam. Time is injected everywhere, so that tests own it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal


class Clock(ABC):
    """Two clocks and one opinion.

    `boot_ns`: CLOCK_BOOTTIME in nanoseconds: never jumps, counts through suspend; all `pts_ns`.
    `wall_ns`: Unix time in nanoseconds: may be wrong or jump; only ever shown with its trust.
    `trust`: "trusted" when the system clock is synchronised (kernel's word), else "untrusted".
    """

    @abstractmethod
    def boot_ns(self) -> int: ...

    @abstractmethod
    def wall_ns(self) -> int: ...

    @abstractmethod
    def trust(self) -> Literal["trusted", "untrusted"]: ...
