from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.low_battery import Charge, ChargeRules, ChargeWatch

RULES = ChargeRules(warn_below_percent=15, stop_below_percent=5, hysteresis_percent=3)


def watched(*percents: float | None) -> Charge:
    watch = ChargeWatch(RULES)
    for percent in percents:
        watch.judge(on_mains=False, percent=percent, failing=False)
    return watch.charge


def test_a_falling_charge_warns_and_then_stops() -> None:
    assert watched(80, 15) == "good"
    assert watched(80, 14.9) == "warn"
    assert watched(80, 14, 5) == "warn"
    assert watched(80, 14, 4, 4, 4) == "stop"


def test_one_wrong_reading_of_the_gauge_ends_nothing() -> None:
    assert watched(60, 0, 60) == "good"
    assert watched(60, 0, 0, 60, 0, 0, 60) == "good"


def test_a_charge_around_a_threshold_does_not_flicker() -> None:
    assert watched(14, 15, 17) == "warn"
    assert watched(14, 18) == "good"
    assert watched(4, 4, 4, 5, 7) == "stop"
    assert watched(4, 4, 4, 8) == "warn"


def test_mains_lifts_it_and_a_failing_supply_stops_even_on_mains() -> None:
    watch = ChargeWatch(RULES)
    for _ in range(3):
        watch.judge(on_mains=False, percent=1, failing=False)
    assert watch.charge == "stop"
    assert watch.judge(on_mains=True, percent=1, failing=False) == "good"
    assert watch.judge(on_mains=True, percent=100, failing=True) == "stop"
    assert watch.judge(on_mains=None, percent=None, failing=False) == "stop"
    assert watch.judge(on_mains=True, percent=100, failing=False) == "good"


def test_a_threshold_of_zero_is_off() -> None:
    watch = ChargeWatch(ChargeRules(0, 0, 3))
    for _ in range(5):
        assert watch.judge(on_mains=False, percent=0, failing=False) == "good"


READINGS = st.tuples(
    st.sampled_from([True, False, None]), st.none() | st.floats(0, 100), st.booleans()
)


@given(st.lists(READINGS, max_size=40))
def test_it_stops_only_for_a_reason_and_always_when_power_fails(
    readings: list[tuple[bool | None, float | None, bool]],
) -> None:
    watch, low_in_a_row, before = ChargeWatch(RULES), 0, "good"
    for on_mains, percent, failing in readings:
        after = watch.judge(on_mains=on_mains, percent=percent, failing=failing)
        low = percent is not None and percent < 5 and not on_mains
        low_in_a_row = low_in_a_row + 1 if low else 0
        if failing or low_in_a_row >= 3:
            assert after == "stop"
        elif after == "stop":
            assert before == "stop"
        before = after
