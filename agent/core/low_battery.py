"""When a low battery is said, and when it ends a session. Pure: readings in, a state out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Charge: TypeAlias = Literal["good", "warn", "stop"]

# A fuel gauge gives a wrong reading now and then; one alone must not end a session.
_CONFIRMATIONS = 3


@dataclass(frozen=True, slots=True)
class ChargeRules:
    """Percent of a full battery. A state is left `hysteresis_percent` above where it began."""

    warn_below_percent: float
    stop_below_percent: float
    hysteresis_percent: float


class ChargeWatch:
    """Judges one reading after the other, taken about once a second."""

    def __init__(self, rules: ChargeRules) -> None:
        self._rules = rules
        self._below_stop = 0
        self.charge: Charge = "good"

    def judge(self, *, on_mains: bool | None, percent: float | None, failing: bool) -> Charge:
        """The state after this reading.

        `failing` (the supply itself says that the power goes) stops at once, mains or not.
        On mains nothing runs low. A charge below the stop threshold counts when three readings in
        a row say so. A reading that knows nothing leaves the state as it is.
        """
        low = percent is not None and percent < self._rules.stop_below_percent and not on_mains
        self._below_stop = self._below_stop + 1 if low else 0
        if failing:
            self.charge = "stop"
        elif on_mains:
            self.charge = "good"
        elif percent is not None:
            self.charge = self._by_percent(percent)
        return self.charge

    def _by_percent(self, percent: float) -> Charge:
        rules, before = self._rules, self.charge
        stop_at = rules.stop_below_percent
        warn_at = max(rules.warn_below_percent, stop_at)
        if before == "stop" and percent < stop_at + rules.hysteresis_percent:
            return "stop"
        if self._below_stop >= _CONFIRMATIONS:
            return "stop"
        if percent < warn_at + (0 if before == "good" else rules.hysteresis_percent):
            return "warn"
        return "good"
