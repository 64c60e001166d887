"""How many bytes a second a stream of packets makes, over its last half minute. Pure."""

from __future__ import annotations

from collections import deque

_SECOND_NS = 1_000_000_000
_KEPT_S = 30
_LEAST_S = 3


class ByteRate:
    """Counts by the second, so that a hole in the stream is not taken for a slow stream."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int]] = deque(maxlen=_KEPT_S + 1)

    def add(self, pts_ns: int, size_bytes: int) -> None:
        """A packet; pts never fall."""
        second = pts_ns // _SECOND_NS
        if self._seconds and self._seconds[-1][0] == second:
            size_bytes += self._seconds.pop()[1]
        self._seconds.append((second, size_bytes))

    @property
    def per_s(self) -> float | None:
        """None until three whole seconds were seen. The last second counts once it is over."""
        whole = list(self._seconds)[:-1]
        if len(whole) < _LEAST_S:
            return None
        return sum(size for _second, size in whole) / len(whole)
