"""The indicator's loop: what the rules say is what the lamps get, whatever the lamps do."""

from __future__ import annotations

import time

import pytest

from agent.core.indication import Facts
from agent.core.indication_table import AMBER, GREEN, MOTOR, NOTHING, RED
from agent.drivers.indicator_fake import FakeIndicator
from agent.services.indicator_loop import IndicatorLoop
from tests.clock import ManualClock


def play(loop: IndicatorLoop, indicator: FakeIndicator, clock: ManualClock, seconds: float) -> None:
    """Turn as the thread does, with waits that cost no time."""
    end_ns = clock.boot_ns() + round(seconds * 1e9)
    while clock.boot_ns() < end_ns:
        clock.advance(min(loop.turn(indicator), (end_ns - clock.boot_ns()) / 1e9))


def test_a_refusal_is_seven_pulses_with_the_lamps(clock: ManualClock) -> None:
    indicator = FakeIndicator()
    loop = IndicatorLoop(indicator, clock)
    loop.show(Facts(session="recording"))
    loop.confirm("refused")
    play(loop, indicator, clock, 1.18)
    assert indicator.shown == [AMBER | MOTOR, NOTHING] * 6 + [AMBER | MOTOR]
    play(loop, indicator, clock, 0.1)
    assert indicator.lit == RED


def test_one_lamp_shows_it_all(clock: ManualClock) -> None:
    indicator = FakeIndicator(GREEN)
    loop = IndicatorLoop(indicator, clock)
    loop.show(Facts(session="recording"))
    play(loop, indicator, clock, 1)
    assert indicator.lit == GREEN


def test_lamps_that_fail_are_a_fault_and_are_opened_again(clock: ManualClock) -> None:
    indicator = FakeIndicator()
    indicator.error = OSError(5, "Input/output error")
    loop = IndicatorLoop(indicator, clock)
    loop.show(Facts())
    waits = [loop.turn(indicator) for _ in range(9)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert "Input/output error" in loop.fault
    indicator.error = None
    loop.turn(indicator)
    assert (loop.fault, indicator.lit) == ("", GREEN)


def test_without_an_indicator_the_state_is_known_all_the_same(clock: ManualClock) -> None:
    loop = IndicatorLoop(None, clock)
    loop.start()
    loop.show(Facts(fit=False))
    assert loop.base == "not_ready"
    loop.close()


def test_a_word_from_the_service_shows_at_once_and_close_turns_all_off(clock: ManualClock) -> None:
    indicator = FakeIndicator()
    loop = IndicatorLoop(indicator, clock)
    loop.start()
    loop.show(Facts(session="recording"))
    _until(lambda: indicator.lit == RED)
    loop.confirm("mark")
    _until(lambda: indicator.lit == AMBER | MOTOR)
    loop.close()
    assert indicator.lit == NOTHING


def _until(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)  # a pause between two looks


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
