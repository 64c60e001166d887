"""Watches the supply, on a thread of its own: a slow gauge must not hold up the recorder."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from agent.config import Power
from agent.core.low_battery import Charge, ChargeRules, ChargeWatch
from agent.ports.power import PowerReading, PowerSource

_EVERY_S = 1.0
_KEPT = 60


class PowerGuard:
    """Tells when the battery is low. Without a `source` nothing is known and nothing is said.

    `start` and `close` once each; the rest from the service's thread.
    """

    def __init__(
        self, source: PowerSource | None, rule: Power, *, every_s: float = _EVERY_S
    ) -> None:
        self._source, self._rule, self._every_s = source, rule, every_s
        self._watch = ChargeWatch(
            ChargeRules(
                warn_below_percent=rule.warn_below_percent,
                stop_below_percent=rule.stop_below_percent,
                hysteresis_percent=rule.hysteresis_percent,
            )
        )
        self._readings: deque[PowerReading] = deque(maxlen=_KEPT)
        self._closed = threading.Event()
        self._waking = threading.Lock()
        self._thread: threading.Thread | None = None
        self.reading = PowerReading()

    def start(self, wake: Callable[[], None]) -> None:
        """`wake` is called from the guard's thread when the supply says something new."""
        if self._source is not None:
            self._thread = threading.Thread(
                target=self._run, args=(self._source, wake), name="power-guard", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Nobody is woken afterwards. Does not wait for a gauge that hangs: the thread ends with
        its read, or the process."""
        with self._waking:
            self._closed.set()

    def judge(self) -> Charge:
        """Take what was read since the last call."""
        while self._readings:
            self.reading = self._readings.popleft()
            self._watch.judge(
                on_mains=self.reading.on_mains,
                percent=self.reading.percent,
                failing=self.reading.failing,
            )
        return self._watch.charge

    def line(self) -> str:
        """What a person should read; empty when nothing is low."""
        rule, charge = self._rule, self._watch.charge
        if charge == "stop" and self.reading.failing:
            return "power is failing: restore the supply, then start again"
        if charge == "stop":
            return f"battery below {rule.stop_below_percent:g} %: charge it before recording"
        if charge == "warn":
            return (
                f"battery below {rule.warn_below_percent:g} %: charge it soon, recording ends at"
                f" {rule.stop_below_percent:g} %"
            )
        return ""

    def _run(self, source: PowerSource, wake: Callable[[], None]) -> None:
        last: PowerReading | None = None
        while not self._closed.is_set():
            reading = source.read()
            self._readings.append(reading)
            if reading != last:
                last = reading
                with self._waking:
                    if not self._closed.is_set():
                        wake()
            self._closed.wait(self._every_s)
