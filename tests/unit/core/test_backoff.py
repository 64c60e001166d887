from __future__ import annotations

import pytest

from agent.core.backoff import Backoff


def test_waits_double_up_to_the_most_and_start_again_after_reset() -> None:
    backoff = Backoff(1.0, 5.0, lambda: 0.0)
    assert [backoff.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.next_s() == 1.0


def test_jitter_takes_off_at_most_half() -> None:
    backoff = Backoff(8.0, 8.0, iter([0.0, 0.5, 0.999]).__next__)
    assert [backoff.next_s() for _ in range(3)] == pytest.approx([8.0, 6.0, 4.004])


def test_nonsense_limits_are_refused() -> None:
    with pytest.raises(ValueError):
        Backoff(0.0, 1.0, lambda: 0.0)
