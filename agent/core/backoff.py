"""Exponential back-off with jitter: how long to wait before the next attempt."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Waits of `first_s`, doubled after each up to `most_s`, each spread over its upper half
    by `random` (uniform in [0, 1)): a fleet that lost its server does not come back in step."""

    def __init__(self, first_s: float, most_s: float, random: Callable[[], float]) -> None:
        if not 0 < first_s <= most_s:
            raise ValueError("0 < first_s <= most_s is needed")
        self._first_s = first_s
        self._most_s = most_s
        self._random = random
        self._next_s = first_s

    def next_s(self) -> float:
        """The wait before the coming attempt, in (0.5, 1] of the undisturbed one; counts it."""
        whole = self._next_s
        self._next_s = min(self._most_s, whole * 2)
        return whole * (1.0 - 0.5 * self._random())

    def reset(self) -> None:
        """An attempt succeeded: the next wait is short again."""
        self._next_s = self._first_s
