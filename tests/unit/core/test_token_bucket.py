from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.token_bucket import TokenBucket

NS = 1_000_000_000


def test_no_rate_means_no_cap() -> None:
    bucket = TokenBucket(0, 10)
    bucket.take(1 << 40, 0)
    assert bucket.wait_ns(1 << 40, 0) == 0


def test_burst_goes_at_once_and_the_next_waits_for_its_tokens() -> None:
    bucket = TokenBucket(1000, 500)
    assert bucket.wait_ns(500, 0) == 0
    bucket.take(500, 0)
    wait_ns = bucket.wait_ns(250, 0)
    assert wait_ns == NS // 4 + 1
    assert bucket.wait_ns(250, wait_ns) == 0


@given(
    sizes=st.lists(st.integers(1, 4000), min_size=1, max_size=50),
    pauses=st.lists(st.integers(0, NS), min_size=50, max_size=50),
)
def test_never_more_than_rate_and_burst_and_never_stuck(
    sizes: list[int], pauses: list[int]
) -> None:
    rate, burst = 10_000, 2000
    bucket = TokenBucket(rate, burst)
    now_ns, sent = 0, 0
    for size, pause_ns in zip(sizes, pauses, strict=False):
        now_ns += pause_ns
        now_ns += bucket.wait_ns(size, now_ns)
        assert bucket.wait_ns(size, now_ns) == 0
        bucket.take(size, now_ns)
        sent += size
        assert sent <= now_ns / NS * rate + burst + max(0, size - burst) + 2
