"""How many bytes may be on their way to the collector at once, and how long to wait for its word.

Doubled each round trip until the first loss or queue, then additive increase; halved on a loss.
The aim is 0.3 to 0.5 s of goodput in flight, so that an alert is never stuck behind more. By
Little's law bytes in flight over goodput are the round trip, so that is what is watched; on a link
whose shortest round trip is long by itself, 1.5 to 2 times that. The shortest is taken from small
messages where there are any: a part's own time on a thin link would pass for distance, and the
queue would grow to many seconds.
"""

from __future__ import annotations

START_BYTES = 256 * 1024
CAP_BYTES = 4 * 1024 * 1024

_NS = 1_000_000_000
_MIN_BYTES = 32 * 1024  # two of the smallest parts: one on its way while one is answered
_LOW_NS = 300_000_000
_HIGH_NS = 500_000_000
_TIMEOUT_START_NS = 4 * _NS
_TIMEOUT_LEAST_NS = 2 * _NS
_TIMEOUT_MOST_NS = 30 * _NS
_GOODPUT_SPAN_NS = 250_000_000
_SENDING_SEEN_NS = 50_000_000


class UploadWindow:
    """One link, shared by all transfers on it. Times in CLOCK_BOOTTIME nanoseconds, given in."""

    def __init__(self, cap_bytes: int = CAP_BYTES, last_rate_bytes_per_s: float = 0.0) -> None:
        """`last_rate_bytes_per_s`: of the connection before, if any: a thin link is not flooded
        anew after each reconnect."""
        self._cap_bytes = cap_bytes
        start = min(START_BYTES, last_rate_bytes_per_s * _HIGH_NS / _NS or START_BYTES)
        self._size_bytes = float(min(max(start, _MIN_BYTES), cap_bytes))
        self._smooth_ns: float | None = None
        self._spread_ns = 0.0
        self._shortest_ns = 0
        self._distance_ns: int | None = None
        self._is_probing = True
        self._doublings = 0
        self._halved_ns: int | None = None
        self._span_start_ns: int | None = None
        self._span_bytes = 0
        self.goodput_bytes_per_s = 0.0
        self.early_rate_bytes_per_s = 0.0

    def small_round_trip(self, round_trip_ns: int) -> None:
        """How long the broker took to answer a message that takes no time to send."""
        self._distance_ns = min(round_trip_ns, self._distance_ns or round_trip_ns)

    def sent_large(self, size_bytes: int, round_trip_ns: int) -> None:
        """The broker's answer to a larger message tells the rate of a thin link before any part has
        crossed it."""
        if self._distance_ns is None or self.goodput_bytes_per_s:
            return
        sending_ns = round_trip_ns - self._distance_ns
        if sending_ns > _SENDING_SEEN_NS:
            self.early_rate_bytes_per_s = size_bytes * _NS / sending_ns

    @property
    def size_bytes(self) -> int:
        return int(min(self._size_bytes, self._cap_bytes))

    @property
    def timeout_ns(self) -> int:
        """When a part counts as lost: smoothed round trip + 4 deviations, 2 to 30 s, doubled with
        each loss in a row (RFC 6298)."""
        if self._smooth_ns is None:
            base = float(_TIMEOUT_START_NS)
        else:
            base = max(float(_TIMEOUT_LEAST_NS), self._smooth_ns + 4 * self._spread_ns)
        return int(min(float(_TIMEOUT_MOST_NS), base * 2**self._doublings))

    @property
    def overtaken_ns(self) -> int:
        """How old a part must be to count as lost because later ones arrived: two round trips and
        the deviations, 0.25 s at least."""
        if self._smooth_ns is None:
            return _TIMEOUT_START_NS
        return int(max(250_000_000.0, 2 * self._smooth_ns + 4 * self._spread_ns))

    def room_bytes(self, in_flight_bytes: int) -> int:
        """What may be sent now; with nothing in flight there is room for any one part."""
        if in_flight_bytes <= 0:
            return max(self.size_bytes, 1024 * 1024)
        return max(0, self.size_bytes - in_flight_bytes)

    def acked(
        self, acked_bytes: int, part_bytes: int, round_trip_ns: int | None, now_ns: int
    ) -> None:
        """`acked_bytes` became durable; `round_trip_ns` of a part sent once, if any was."""
        if acked_bytes <= 0:
            return
        self._measure(acked_bytes, now_ns)
        self._doublings = 0
        if round_trip_ns is None:
            return
        smooth_ns = self._learn(max(1, round_trip_ns))
        share = min(1.0, acked_bytes / self._size_bytes)
        shortest_ns = self._shortest_ns if self._distance_ns is None else self._distance_ns
        high_ns = max(_HIGH_NS, 2.0 * shortest_ns)
        self._is_probing = self._is_probing and smooth_ns < max(_LOW_NS / 2, shortest_ns * 1.2)
        if self._is_probing:
            self._size_bytes = min(float(self._cap_bytes), self._size_bytes + acked_bytes)
        elif smooth_ns < max(_LOW_NS, 1.5 * shortest_ns):
            self._size_bytes = min(float(self._cap_bytes), self._size_bytes + part_bytes * share)
        elif smooth_ns > high_ns:
            excess = min(0.5, 1.0 - high_ns / smooth_ns)
            self._size_bytes = max(float(_MIN_BYTES), self._size_bytes * (1.0 - excess * share))

    def lost(self, now_ns: int) -> None:
        """Parts were lost: halve, at most once a round trip; wait longer for the next ones."""
        round_trip_ns = self._smooth_ns or float(_TIMEOUT_LEAST_NS)
        if self._halved_ns is not None and now_ns - self._halved_ns < round_trip_ns:
            return
        self._halved_ns = now_ns
        self._is_probing = False
        self._size_bytes = max(float(_MIN_BYTES), min(self._size_bytes, self._cap_bytes) / 2)
        self._doublings = min(4, self._doublings + 1)

    def _measure(self, acked_bytes: int, now_ns: int) -> None:
        if self._span_start_ns is None or now_ns - self._span_start_ns > 20 * _GOODPUT_SPAN_NS:
            self._span_start_ns, self._span_bytes = now_ns, 0
            return
        self._span_bytes += acked_bytes
        span_ns = now_ns - self._span_start_ns
        if span_ns >= _GOODPUT_SPAN_NS:
            rate = self._span_bytes * _NS / span_ns
            old = self.goodput_bytes_per_s or rate
            self.goodput_bytes_per_s = old + 0.5 * (rate - old)
            self._span_start_ns, self._span_bytes = now_ns, 0

    def _learn(self, sample_ns: int) -> float:
        """Take in one round trip; the smoothed one is returned (RFC 6298)."""
        if self._smooth_ns is None:
            self._smooth_ns, self._spread_ns = float(sample_ns), sample_ns / 2
            self._shortest_ns = sample_ns
        else:
            self._spread_ns += (abs(sample_ns - self._smooth_ns) - self._spread_ns) / 4
            self._smooth_ns += (sample_ns - self._smooth_ns) / 8
            self._shortest_ns = min(self._shortest_ns, sample_ns)
        return self._smooth_ns
