"""How many of the due frames the model sees when the board is hot, slowed down or short of power.

Recording is never slowed: only scoring gives way. Pure: readings in, a pace out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Pace: TypeAlias = Literal["full", "half", "paused"]

PACES: tuple[Pace, ...] = ("full", "half", "paused")
_FULL, _HALF, _PAUSED = range(3)


@dataclass(frozen=True, slots=True)
class GovernorRules:
    """From `warm_c` on every second frame is scored, from `hot_c` on none. A pace is left only
    `hysteresis_c` below where it began (`hysteresis_percent` above, for the battery), and only when
    that held for `hold_s`."""

    warm_c: float
    hot_c: float
    hysteresis_c: float
    battery_below_percent: float
    hysteresis_percent: float
    hold_s: float


@dataclass(frozen=True, slots=True)
class Throttle:
    """`cause` names in few, ever the same words why the pace is not full: it stands in label
    sheets. `detail` has the numbers, for a person now."""

    pace: Pace = "full"
    cause: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Wish:
    level: int
    cause: str = ""
    detail: str = ""


class Governor:
    """Judges one reading after the other, taken every few seconds."""

    def __init__(self, rules: GovernorRules) -> None:
        self._rules = rules
        self._level = _FULL
        self._better_since_ns: int | None = None
        self.throttle = Throttle()

    def judge(
        self,
        now_ns: int,
        *,
        celsius: float | None,
        slowed: tuple[str, ...],
        percent: float | None,
        on_mains: bool | None,
    ) -> Throttle:
        """The pace after this reading. It falls at once, and rises one step at a time. What is not
        known slows nothing down."""
        wishes = [
            self._by_heat(celsius),
            self._by_firmware(slowed),
            self._by_charge(percent, on_mains),
        ]
        wish = max(wishes, key=lambda each: each.level)
        if wish.level >= self._level:
            self._better_since_ns = None
            self._level = wish.level
            self.throttle = Throttle(PACES[wish.level], wish.cause, wish.detail)
            return self.throttle
        if self._better_since_ns is None:
            self._better_since_ns = now_ns
        if now_ns - self._better_since_ns >= self._rules.hold_s * 1e9:
            self._level, self._better_since_ns = self._level - 1, now_ns
            cause = self.throttle.cause if self._level > _FULL else ""
            self.throttle = Throttle(PACES[self._level], cause, wish.detail or cause)
        return self.throttle

    def _by_heat(self, celsius: float | None) -> _Wish:
        if celsius is None:
            return _Wish(_FULL)
        for level, limit in ((_PAUSED, self._rules.hot_c), (_HALF, self._rules.warm_c)):
            slack = self._rules.hysteresis_c if self._level >= level else 0.0
            if celsius >= limit - slack:
                return _Wish(level, "governor: board too hot", f"board at {celsius:.0f} °C")
        return _Wish(_FULL)

    def _by_firmware(self, slowed: tuple[str, ...]) -> _Wish:
        if not slowed:
            return _Wish(_FULL)
        return _Wish(
            _HALF, "governor: board slowed by its firmware", f"firmware says {', '.join(slowed)}"
        )

    def _by_charge(self, percent: float | None, on_mains: bool | None) -> _Wish:
        rules = self._rules
        if percent is None or on_mains:
            return _Wish(_FULL)
        slack = rules.hysteresis_percent if self._level > _FULL else 0.0
        if percent >= rules.battery_below_percent + slack:
            return _Wish(_FULL)
        return _Wish(_HALF, "governor: battery low", f"battery at {percent:.0f} %")
