from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.core.preflight import Facts, judge

GOOD = Facts(
    lens="clear",
    clock_is_trusted=True,
    card_minutes=312.4,
    least_card_minutes=30,
    battery_percent=80.2,
    on_mains=False,
    low_battery="",
    model="standin 1.0.0",
    accelerator="onnxruntime CPU",
    model_problem="",
)


def test_fit_camera_says_every_fact_in_one_line() -> None:
    flight = judge(GOOD)
    assert flight.is_fit
    assert flight.line == (
        "fit: lens clear, clock trusted, card 312 min, battery 80 %,"
        " standin 1.0.0 on onnxruntime CPU"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lens": "covered"}, "lens covered, or no light: take off the cap"),
        ({"lens": "blurred"}, "picture blurred: wipe the lens"),
        ({"card_minutes": 12.0}, "card takes less than 30 min more: upload, or"),
        ({"low_battery": "battery below 15 %: charge it soon"}, "battery below 15 %"),
        ({"model": "", "model_problem": "model fault: no NPU"}, "no model runs (model fault: no"),
        ({"model": ""}, "no model runs (it is starting)"),
    ],
)
def test_each_thing_amiss_makes_unfit_and_is_said_first(change: dict[str, Any], says: str) -> None:
    flight = judge(replace(GOOD, **change))
    assert not flight.is_fit
    assert flight.line.startswith(f"not fit: {says}")
    assert "clock trusted" in flight.line
    assert len(flight.problems) == 1


def test_clock_that_is_not_trusted_is_said_and_no_reason_against_recording() -> None:
    flight = judge(replace(GOOD, clock_is_trusted=False))
    assert flight.is_fit
    assert "clock not trusted" in flight.line


def test_what_is_not_known_yet_is_said_as_such_and_makes_nothing_unfit() -> None:
    flight = judge(replace(GOOD, lens="unknown", card_minutes=None, battery_percent=None))
    assert flight.is_fit
    assert "lens not seen yet" in flight.line
    assert "card not measured yet" in flight.line
    assert "battery" not in flight.line
