"""How large a part of a clip should be on a link: an urgent message waits for one part at least."""

from __future__ import annotations

SMALLEST_BYTES = 16 * 1024
_SLOW_PART_BYTES = 64 * 1024
_SLOW_BYTES_PER_S = 2_000_000
# Under 0.5 Mbit/s the smallest part already takes more than a quarter of a second.
CRAWL_BYTES_PER_S = 64_000


def part_bytes_for(rate_bytes_per_s: float, wish_bytes: int, max_payload_bytes: int) -> int:
    """`wish_bytes`, 64 or 16 KiB on slow links (rate 0: not known), and never more than the broker
    takes, in steps of 16 KiB."""
    if 0 < rate_bytes_per_s < CRAWL_BYTES_PER_S:
        wish_bytes = SMALLEST_BYTES
    elif 0 < rate_bytes_per_s < _SLOW_BYTES_PER_S:
        wish_bytes = min(wish_bytes, _SLOW_PART_BYTES)
    fits = max_payload_bytes // SMALLEST_BYTES * SMALLEST_BYTES
    return max(SMALLEST_BYTES, min(wish_bytes, fits))
