"""Whether the model that runs still works: crash loops, latency, scores that say nothing. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

WINDOW_NS = 60_000_000_000
# Fewer frames in a minute say nothing of the model: the camera gave none.
_LEAST_FRAMES = 120
# Of 256: pictures that differ less may give the same scores for good reasons (a lens in a bag).
_LIVELY_BRIGHTNESS = 16
STARTS_IN_ONE_BOOT = 3
STARTS_IN_ALL = 6


class Starts(msgspec.Struct, frozen=True, kw_only=True):
    """How often the tagger began with this model and did not last: neither a minute nor to a clean
    end. `in_boot` counts those of the operating system's boot `os_boot`."""

    model: str = ""
    os_boot: str = ""
    in_boot: int = 0
    in_all: int = 0

    def begun(self, model: str, os_boot: str) -> Starts:
        """One more start. Another model begins at one."""
        if model != self.model:
            return Starts(model=model, os_boot=os_boot, in_boot=1, in_all=1)
        in_boot = self.in_boot + 1 if os_boot == self.os_boot else 1
        return Starts(model=model, os_boot=os_boot, in_boot=in_boot, in_all=self.in_all + 1)

    @property
    def is_loop(self) -> bool:
        """Started too often. A power cut starts another boot and counts less: only many in a row,
        as when the accelerator takes the whole machine down."""
        return self.in_boot > STARTS_IN_ONE_BOOT or self.in_all > STARTS_IN_ALL


class ModelHealth:
    """Watches scored frames, a minute at a time. `latency_limit_ms`: for one frame."""

    def __init__(self, latency_limit_ms: float, window_ns: int = WINDOW_NS) -> None:
        self._limit_ms = latency_limit_ms
        self._window_ns = window_ns
        self._began_ns: int | None = None
        self._latencies_ms: list[float] = []
        self._first_scores: Sequence[float] = ()
        self._is_constant = True
        self._darkest, self._brightest = 256, 0
        self.is_proven = False

    def scored(self, now_ns: int, latency_ns: int, scores: Sequence[float], brightness: int) -> str:
        """One frame; `brightness`: mean of its picture, 0..255. What is wrong with the model, one
        line, or "". `is_proven` once a whole minute was good."""
        if self._began_ns is None:
            self._began_ns = now_ns
            self._first_scores = tuple(scores)
        self._latencies_ms.append(latency_ns / 1e6)
        self._is_constant = self._is_constant and tuple(scores) == self._first_scores
        self._darkest = min(self._darkest, brightness)
        self._brightest = max(self._brightest, brightness)
        if now_ns - self._began_ns < self._window_ns:
            return ""
        wrong = self._verdict()
        self.is_proven = not wrong
        self._began_ns, self._latencies_ms, self._is_constant = None, [], True
        self._darkest, self._brightest = 256, 0
        return wrong

    def _verdict(self) -> str:
        if len(self._latencies_ms) < _LEAST_FRAMES:
            return ""
        median_ms = statistics.median(self._latencies_ms)
        if median_ms > self._limit_ms:
            return f"took {median_ms:.1f} ms a frame for a minute, {self._limit_ms:.1f} is allowed"
        if self._is_constant and self._brightest - self._darkest >= _LIVELY_BRIGHTNESS:
            return "gave the same scores for a minute while the picture changed"
        return ""
