from __future__ import annotations

from agent.core.byte_rate import ByteRate

SECOND = 10**9


def test_the_rate_is_that_of_whole_seconds() -> None:
    rate = ByteRate()
    for frame in range(35):
        assert rate.per_s is None or frame > 30
        rate.add(frame * SECOND // 10, 100)
    assert rate.per_s == 1000


def test_a_hole_in_the_stream_is_not_taken_for_a_slow_stream() -> None:
    rate = ByteRate()
    for second in (0, 1, 2, 3, 500, 501):
        rate.add(second * SECOND, 700)
    assert rate.per_s == 700


def test_the_rate_follows_the_last_half_minute() -> None:
    rate = ByteRate()
    for second in range(100):
        rate.add(second * SECOND, 10 if second < 50 else 20)
    assert rate.per_s == 20
