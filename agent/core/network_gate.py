"""May clips be sent now? The admin's rules about links, power and hours, against what is the case.

An unknown fact never opens a gate that a rule closes: who forbade metered links does not pay for
one because its name could not be read. One exception, for the sake of the footage: quiet hours need
a clock, and while the clock is not trusted they are not kept, because a camera that never learns
the time would never send.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

import msgspec

from agent.config import Network

_QUIET = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What is the case now. `interface`: the one that leads to the broker, "" when none does or it
    is not known. None: not known."""

    interface: str = ""
    is_metered: bool | None = None
    is_charging: bool | None = None


class GateRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the admin allows. `interfaces`: shell patterns of names, none: all. `quiet_minutes`:
    from, to (minutes of the local day; `from` > `to` spans midnight), None: no quiet hours."""

    interfaces: tuple[str, ...] = ()
    allow_metered: bool = False
    only_when_charging: bool = False
    quiet_minutes: tuple[int, int] | None = None


def rules_of(settings: Network) -> GateRules:
    """The rules that the section `[network]` states."""
    return GateRules(
        interfaces=settings.interfaces,
        allow_metered=settings.allow_metered,
        only_when_charging=settings.only_when_charging,
        quiet_minutes=quiet_minutes(settings.quiet_hours),
    )


def why_wait(rules: GateRules, now: Surroundings, local_minute: int | None) -> str:
    """Why nothing may be sent now, in a few words; "" when sending is allowed. `local_minute`: of
    the day, None when the clock is not trusted."""
    if rules.interfaces and not matches(now.interface, rules.interfaces):
        if not now.interface:
            return "no known link to the broker"
        return f"link {now.interface} not allowed"
    if not rules.allow_metered and now.is_metered is not False:
        if now.is_metered is None:
            return "not known whether the link is metered"
        return f"link {now.interface} metered"
    if rules.only_when_charging and not now.is_charging:
        return "not known to be charging" if now.is_charging is None else "not charging"
    if rules.quiet_minutes is not None and local_minute is not None:
        begin, end = rules.quiet_minutes
        if (local_minute - begin) % (24 * 60) < (end - begin) % (24 * 60):
            return f"quiet hours until {end // 60:02d}:{end % 60:02d}"
    return ""


def metered(interface: str, patterns: Sequence[str]) -> bool | None:
    """Whether the admin's list says that `interface` costs money; None when it is not known which
    interface that is and any could."""
    if not patterns:
        return False
    return matches(interface, patterns) if interface else None


def matches(name: str, patterns: Sequence[str]) -> bool:
    """True when one of the shell patterns (`wlan*`) fits the whole of `name`."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def quiet_minutes(text: str) -> tuple[int, int] | None:
    """`22:00-06:00` as minutes of the day; None for "". Raises ValueError."""
    if not text:
        return None
    found = _QUIET.fullmatch(text)
    if found is None or found[1] + found[2] == found[3] + found[4]:
        raise ValueError("two different times of day as HH:MM-HH:MM are needed")
    hours = [int(part) for part in found.groups()]
    return hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
