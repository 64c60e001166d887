"""When an order of the server is obeyed, apart from who signed it. Times are Unix nanoseconds."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

_DAY_NS = 86_400_000_000_000
LONGEST_LIFE_NS = 366 * _DAY_NS
# A server's clock may run ahead of a camera's; a day is more than any that is set at all.
_AHEAD_NS = _DAY_NS


class Moment(msgspec.Struct, frozen=True):
    """The camera's wall clock, and whether it is believed."""

    wall_ns: int
    is_trusted: bool


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """What an order says about itself."""

    seq: int
    issued_wall_ns: int
    expires_wall_ns: int


def why_refused(order: Validity, *, last_seq: int, floor_wall_ns: int, now: Moment) -> str:
    """The reason not to obey `order`, "" when there is none.

    `last_seq`: of the newest order obeyed. `floor_wall_ns`: the latest time that the server itself
    has signed; it is not earlier now, whatever the clock says. A clock that is not trusted is not
    asked: then only the floor can show that an order has expired.
    """
    life_ns = order.expires_wall_ns - order.issued_wall_ns
    if not 0 < life_ns <= LONGEST_LIFE_NS:
        return "its expiry makes no sense"
    if order.seq <= last_seq:
        return f"it is number {order.seq}, and {last_seq} was obeyed already (replayed)"
    now_ns = max(floor_wall_ns, now.wall_ns) if now.is_trusted else floor_wall_ns
    if now_ns >= order.expires_wall_ns:
        return f"it expired at {_shown(order.expires_wall_ns)}"
    if now.is_trusted and order.issued_wall_ns > now_ns + _AHEAD_NS:
        return f"it was issued in the future ({_shown(order.issued_wall_ns)})"
    return ""


def _shown(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
