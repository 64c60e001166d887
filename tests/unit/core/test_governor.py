from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.governor import PACES, Governor, GovernorRules

RULES = GovernorRules(
    warm_c=75,
    hot_c=82,
    hysteresis_c=5,
    battery_below_percent=20,
    hysteresis_percent=3,
    hold_s=30,
)
COOL: dict[str, Any] = {"celsius": 50.0, "slowed": (), "percent": 90.0, "on_mains": False}
S = 10**9


def paces(*readings: dict[str, Any], step_s: int = 10) -> list[str]:
    governor = Governor(RULES)
    return [
        governor.judge(at * step_s * S, **{**COOL, **reading}).pace
        for at, reading in enumerate(readings)
    ]


@pytest.mark.parametrize(
    ("reading", "pace", "cause"),
    [
        ({}, "full", ""),
        ({"celsius": 74.9}, "full", ""),
        ({"celsius": 75.0}, "half", "governor: board too hot"),
        ({"celsius": 82.0}, "paused", "governor: board too hot"),
        ({"slowed": ("under-voltage",)}, "half", "governor: board slowed by its firmware"),
        ({"percent": 19.9}, "half", "governor: battery low"),
        ({"percent": 19.9, "on_mains": True}, "full", ""),
        ({"celsius": None, "percent": None}, "full", ""),
        ({"celsius": 90.0, "percent": 1.0}, "paused", "governor: board too hot"),
    ],
)
def test_pace_falls_at_once_with_its_cause(reading: dict[str, Any], pace: str, cause: str) -> None:
    throttle = Governor(RULES).judge(0, **{**COOL, **reading})
    assert (throttle.pace, throttle.cause) == (pace, cause)


def test_pace_rises_one_step_at_a_time_after_it_held_for_the_time() -> None:
    hot, cool = {"celsius": 85.0}, {"celsius": 60.0}
    assert paces(hot, *[cool] * 8) == ["paused"] * 4 + ["half"] * 3 + ["full"] * 2


def test_heat_that_swings_around_a_limit_does_not_make_the_pace_swing() -> None:
    assert set(paces(*[{"celsius": 75.0}, {"celsius": 71.0}] * 20)) == {"half"}
    assert set(paces({"percent": 19.0}, *[{"percent": 22.0}] * 20)) == {"half"}
    assert paces({"percent": 19.0}, *[{"percent": 23.0}] * 5)[-1] == "full"


def test_heat_that_comes_back_before_the_time_is_over_begins_it_anew() -> None:
    warm, cool = {"celsius": 76.0}, {"celsius": 60.0}
    assert paces(warm, cool, cool, warm, cool, cool, cool) == ["half"] * 7


def test_causes_in_sheets_are_few_and_carry_no_numbers() -> None:
    governor = Governor(RULES)
    causes = {governor.judge(0, **{**COOL, "celsius": 70 + t / 3}).cause for t in range(60)}
    assert causes == {"", "governor: board too hot"}


@given(
    st.lists(
        st.tuples(
            st.floats(-50, 150) | st.none(),
            st.booleans(),
            st.floats(0, 100) | st.none(),
            st.booleans() | st.none(),
        ),
        max_size=60,
    )
)
def test_pace_below_full_always_has_a_cause_and_rises_by_one_step_at_most(
    readings: list[tuple[float | None, bool, float | None, bool | None]],
) -> None:
    governor = Governor(RULES)
    before = 0
    for at, (celsius, is_slowed, percent, on_mains) in enumerate(readings):
        throttle = governor.judge(
            at * 20 * S,
            celsius=celsius,
            slowed=("throttled",) if is_slowed else (),
            percent=percent,
            on_mains=on_mains,
        )
        level = PACES.index(throttle.pace)
        assert level >= before - 1
        assert bool(throttle.cause) == (level > 0)
        before = level
