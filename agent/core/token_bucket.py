"""A bandwidth cap: bytes may go out at a rate, with a short burst."""

from __future__ import annotations

_NS = 1_000_000_000
_ROUNDING = 0.01


class TokenBucket:
    """Lets `rate_bytes_per_s` through on average and at most `burst_bytes` at once; 0 is no cap.

    More than a burst may be taken when the bucket is full: the debt is paid before the next.
    """

    def __init__(self, rate_bytes_per_s: float, burst_bytes: int) -> None:
        self._rate = rate_bytes_per_s
        self._burst = float(burst_bytes)
        self._level = float(burst_bytes)
        self._seen_ns: int | None = None

    def wait_ns(self, size_bytes: int, now_ns: int) -> int:
        """How long until `size_bytes` may go; 0 is now."""
        if self._rate <= 0:
            return 0
        self._fill(now_ns)
        lacking = min(float(size_bytes), self._burst) - self._level
        return max(0, int(lacking / self._rate * _NS) + 1) if lacking > _ROUNDING else 0

    def take(self, size_bytes: int, now_ns: int) -> None:
        """`size_bytes` went out."""
        if self._rate > 0:
            self._fill(now_ns)
            self._level -= size_bytes

    def _fill(self, now_ns: int) -> None:
        if self._seen_ns is not None:
            gained = max(0, now_ns - self._seen_ns) / _NS * self._rate
            self._level = min(self._burst, self._level + gained)
        self._seen_ns = now_ns
