from __future__ import annotations

from agent.core.patience import Patience

LOOK_NS = 100_000_000


def test_silence_is_over_the_limit_once_so_much_was_watched() -> None:
    patience = Patience(1.5)
    looks = [patience.is_over(number * LOOK_NS) for number in range(20)]
    assert looks.index(True) == 15
    assert all(looks[15:])


def test_a_sign_of_life_begins_anew() -> None:
    patience = Patience(0.5)
    for number in range(5):
        assert not patience.is_over(number * LOOK_NS)
    patience.reset()
    assert not any(patience.is_over(number * LOOK_NS) for number in range(5, 10))
    assert patience.is_over(10 * LOOK_NS)


def test_a_long_sleep_between_two_looks_counts_as_a_short_one() -> None:
    patience = Patience(1.0)
    assert not patience.is_over(0)
    assert not patience.is_over(3600 * 10**9)
    assert not patience.is_over(7200 * 10**9)
