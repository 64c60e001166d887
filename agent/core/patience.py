"""How long something may be silent, by time that was really watched."""

from __future__ import annotations

# A look that comes later than this after the one before counts as this: the process was frozen, or
# starved of the CPU, and what it waited for had no chance either.
_LONGEST_LOOK_NS = 300_000_000


class Patience:
    """Adds up the time between looks; a process that was stopped for a minute has watched nothing.

    `reset` when there was a sign of life, `is_over(now_ns)` at every look without one (at least
    four a second; CLOCK_BOOTTIME): True once `limit_s` seconds of silence were watched.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_ns = limit_s * 1e9
        self._watched_ns = 0
        self._last_look_ns: int | None = None

    def reset(self) -> None:
        self._watched_ns = 0
        self._last_look_ns = None

    def is_over(self, now_ns: int) -> bool:
        if self._last_look_ns is not None:
            self._watched_ns += min(now_ns - self._last_look_ns, _LONGEST_LOOK_NS)
        self._last_look_ns = now_ns
        return self._watched_ns >= self._limit_ns
