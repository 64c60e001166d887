"""The thread that watches the supply: it wakes nobody who has gone."""

from __future__ import annotations

import threading

from agent.config import Power
from agent.ports.power import PowerReading, PowerSource
from agent.services.power_guard import PowerGuard


class HangingGauge(PowerSource):
    """A read that comes back only when it is let."""

    def __init__(self) -> None:
        self.asked, self.let = threading.Event(), threading.Event()

    def _read(self) -> PowerReading:
        self.asked.set()
        self.let.wait(20)
        return PowerReading(percent=50.0)


def test_a_gauge_that_hangs_holds_up_nobody_and_wakes_nobody_after_the_end() -> None:
    gauge, woken = HangingGauge(), []
    guard = PowerGuard(gauge, Power())
    guard.start(lambda: woken.append(1))
    assert gauge.asked.wait(20)
    assert guard.judge() == "good"
    guard.close()
    gauge.let.set()
    assert guard._thread is not None
    guard._thread.join(20)
    assert not guard._thread.is_alive()
    assert woken == []


def test_without_a_source_nothing_is_known_and_nothing_said() -> None:
    guard = PowerGuard(None, Power())
    guard.start(lambda: None)
    assert (guard.judge(), guard.line(), guard.reading) == ("good", "", PowerReading())
    guard.close()
