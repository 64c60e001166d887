from __future__ import annotations

import pytest

from agent.core.part_size import part_bytes_for

KIB = 1024


@pytest.mark.parametrize(
    ("rate_bytes_per_s", "wish", "most", "expected"),
    [
        (0, 256 * KIB, 1 << 20, 256 * KIB),  # not measured yet
        (100e6, 256 * KIB, 1 << 20, 256 * KIB),
        (1e6, 256 * KIB, 1 << 20, 64 * KIB),
        (8_000, 256 * KIB, 1 << 20, 16 * KIB),
        (1e6, 32 * KIB, 1 << 20, 32 * KIB),
        (100e6, 256 * KIB, 100 * KIB, 96 * KIB),
        (100e6, 256 * KIB, 1 * KIB, 16 * KIB),
    ],
)
def test_part_fits_the_link_and_the_broker(
    rate_bytes_per_s: float, wish: int, most: int, expected: int
) -> None:
    assert part_bytes_for(rate_bytes_per_s, wish, most) == expected
