from __future__ import annotations

from agent.drivers.boot_time import BootTime
from tests.clock import START_BOOT_NS, ManualClock

SUSPENDED_S = 3600.0


class Monotonic:
    """CLOCK_MONOTONIC of a machine that was suspended for a while before `clock` begins."""

    def __init__(self, clock: ManualClock, behind_ns: int) -> None:
        self.clock, self.behind_ns = clock, behind_ns

    def __call__(self) -> int:
        return self.clock.boot_ns() - self.behind_ns


def test_a_monotonic_time_becomes_boot_time() -> None:
    clock = ManualClock()
    boot_time = BootTime(clock, Monotonic(clock, 7_000))
    assert boot_time.of(START_BOOT_NS - 7_000 - 50) == START_BOOT_NS - 50


def test_a_suspend_in_between_is_noticed() -> None:
    clock = ManualClock()
    monotonic = Monotonic(clock, 0)
    boot_time = BootTime(clock, monotonic)
    clock.advance(SUSPENDED_S)
    monotonic.behind_ns = round(SUSPENDED_S * 1e9)
    assert boot_time.of(monotonic()) == clock.boot_ns()


def test_equal_steps_stay_equal_while_the_two_clocks_are_read_with_jitter() -> None:
    clock = ManualClock()
    monotonic = Monotonic(clock, 5_000)
    boot_time = BootTime(clock, monotonic)
    first = boot_time.of(1_000)
    monotonic.behind_ns += 900_000
    assert boot_time.of(2_000) - first == 1_000


def test_a_source_of_either_clock_is_told_by_what_lies_in_the_future() -> None:
    clock = ManualClock()
    suspended_ns = 60 * 10**9
    boot_time = BootTime(clock, Monotonic(clock, suspended_ns))
    exposed_ns = START_BOOT_NS - 30_000_000
    assert boot_time.of_either(exposed_ns) == exposed_ns
    assert boot_time.of_either(exposed_ns - suspended_ns) == exposed_ns
