"""Other clocks' times as CLOCK_BOOTTIME, which all pts are in."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.ports.clock import Clock

_TRIES = 5
# The two clocks drift apart only while the machine is suspended, and then by much.
_SUSPENDED_NS = 20_000_000


class BootTime:
    """Converts times of the monotonic clock that `now_ns` reads (CLOCK_MONOTONIC by default).

    The offset is measured at once, and again when the machine was suspended meanwhile: within one
    stay awake equal distances stay equal.
    """

    def __init__(self, clock: Clock, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock, self._now_ns = clock, now_ns
        self._offset_ns = self._measured()

    def of(self, source_ns: int) -> int:
        """`source_ns` of the monotonic clock, as CLOCK_BOOTTIME."""
        seen_ns = self._clock.boot_ns() - self._now_ns()
        if abs(seen_ns - self._offset_ns) > _SUSPENDED_NS:
            self._offset_ns = self._measured()
        return source_ns + self._offset_ns

    def of_either(self, source_ns: int) -> int:
        """The same for a source that may speak of either clock: libcamera documents CLOCK_BOOTTIME,
        most kernel drivers stamp CLOCK_MONOTONIC. What would lie in the future once converted was
        CLOCK_BOOTTIME already."""
        converted_ns = self.of(source_ns)
        return converted_ns if converted_ns <= self._clock.boot_ns() else source_ns

    def _measured(self) -> int:
        """Both clocks, read as close together as a few tries allow."""
        best_ns, offset_ns = None, 0
        for _ in range(_TRIES):
            before_ns = self._now_ns()
            boot_ns = self._clock.boot_ns()
            after_ns = self._now_ns()
            if best_ns is None or after_ns - before_ns < best_ns:
                best_ns = after_ns - before_ns
                offset_ns = boot_ns - (before_ns + after_ns) // 2
        return offset_ns
