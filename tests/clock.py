"""A clock that tests move by hand."""

from __future__ import annotations

import threading
from typing import Literal

from agent.ports.clock import Clock

START_BOOT_NS = 1_000_000_000_000
START_WALL_NS = 1_700_000_000_000_000_000


class ManualClock(Clock):
    """Stands still until `advance`; safe to use from several threads.

    `advance` also serves as the `wait` of anything that sleeps: waiting then costs no real time,
    and the clock shows exactly the time that was waited for.
    """

    def __init__(
        self,
        boot_ns: int = START_BOOT_NS,
        wall_ns: int = START_WALL_NS,
        trust: Literal["trusted", "untrusted"] = "trusted",
    ) -> None:
        self._lock = threading.Lock()
        self._boot_ns = boot_ns
        self._wall_ns = wall_ns
        self._trust: Literal["trusted", "untrusted"] = trust

    def boot_ns(self) -> int:
        with self._lock:
            return self._boot_ns

    def wall_ns(self) -> int:
        with self._lock:
            return self._wall_ns

    def trust(self) -> Literal["trusted", "untrusted"]:
        return self._trust

    def advance(self, seconds: float) -> None:
        """Move both clocks on by `seconds`, rounded up to the next nanosecond."""
        step_ns = max(0, -int(-seconds * 1_000_000_000 // 1))
        with self._lock:
            self._boot_ns += step_ns
            self._wall_ns += step_ns

    def correct_wall(self, wall_ns: int, trust: Literal["trusted", "untrusted"]) -> None:
        """What a time synchronisation does: the wall clock jumps, the boot clock does not."""
        with self._lock:
            self._wall_ns = wall_ns
            self._trust = trust
