"""The sending side of one clip's transfer: what to send next, and what an answer changes.

opening --Need--> sending --all parts durable--> (waiting for the receipt) --silence--> opening
`later` holds everything back for a while. Receipts are verified elsewhere: to this machine the
transfer simply ends when its owner drops it. Answers may be lost, doubled, late or out of order.

A part's timer starts when the broker took it. Before that it is in our own TCP connection, which
loses nothing while it stands; to send it again there, because a thin link needs long for it, would
only make the queue longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from agent.core.backoff import Backoff
from agent.errors import WireError

_NS = 1_000_000_000
_OPEN_FIRST_S = 3.0
_OPEN_MOST_S = 20.0
_SILENCE_NS = 10 * _NS
_OVERTAKEN_BY = 3
# A broker that answers pings but takes nothing for so long is taken for broken. The slowest honest
# case is the largest window (4 MiB) on 64 kbit/s: 520 s.
_NEVER_TAKEN_NS = 600 * _NS

Phase = Literal["opening", "sending", "waiting"]


class SendOpen(msgspec.Struct, frozen=True):
    """Publish the Open message with this part size."""

    part_bytes: int


class SendPart(msgspec.Struct, frozen=True):
    """Publish bytes [offset_bytes, offset_bytes + size_bytes) of the concatenation as `part`."""

    part: int
    offset_bytes: int
    size_bytes: int


class Durable(msgspec.Struct, frozen=True):
    """What one Need taught: bytes newly durable, the longest round trip among parts sent once, and
    how many parts were found lost."""

    acked_bytes: int
    round_trip_ns: int | None
    lost_parts: int


class _Flight(msgspec.Struct):
    sent_ns: int
    order: int
    again: bool
    taken_ns: int | None = None


class Transfer:
    """One clip on its way. All times are CLOCK_BOOTTIME nanoseconds, given in.

    `next_send` only proposes; the owner calls `sent` once the pipe took it. So a full pipe or a
    missing connection changes nothing.
    """

    def __init__(
        self, *, total_bytes: int, part_bytes: int, now_ns: int, random: Callable[[], float]
    ) -> None:
        self.total_bytes = total_bytes
        self.part_bytes = part_bytes
        self.phase: Phase = "opening"
        self.in_flight_bytes = 0
        self.resent_bytes = 0
        self._aim_bytes = total_bytes
        self._granted_bytes = part_bytes
        self._backoff = Backoff(_OPEN_FIRST_S, _OPEN_MOST_S, random)
        self._open_due_ns = now_ns
        self._expecting_since_ns: int | None = None
        self._later_until_ns = now_ns
        self._durable: set[int] = set()
        self._ever_sent: set[int] = set()
        self._flights: dict[int, _Flight] = {}
        self._cursor = 0
        self._order = 0

    @property
    def parts(self) -> int:
        return max(1, -(-self.total_bytes // self.part_bytes))

    @property
    def has_reached_aim(self) -> bool:
        """All parts up to the aim are durable, and nothing is in flight."""
        return not self._flights and all(part in self._durable for part in range(self._aim_parts))

    @property
    def durable_parts(self) -> int:
        return len(self._durable)

    def is_held(self, now_ns: int) -> bool:
        """True while the collector's `later` lasts."""
        return now_ns < self._later_until_ns

    def aim(self, first_bytes: int) -> None:
        """Send only the parts that hold the first `first_bytes` of the clip, until told another."""
        self._aim_bytes = min(first_bytes, self.total_bytes)
        self._cursor = 0

    def unsent_bytes(self) -> int:
        """About what is neither durable nor in flight, up to the aim."""
        waiting = self._aim_parts - len(self._durable) - len(self._flights)
        return max(0, waiting) * self.part_bytes

    def next_send(self, now_ns: int, room_bytes: int) -> SendOpen | SendPart | None:
        """What should be published now; None when there is nothing, or no room for it."""
        if self.is_held(now_ns):
            return None
        if self.phase == "opening":
            return SendOpen(self.part_bytes) if now_ns >= self._open_due_ns else None
        part = self._next_missing()
        if part is None:
            return None
        size = self._size(part)
        granted = self._granted_bytes - self.in_flight_bytes
        if size > room_bytes or (size > granted and self._flights):
            return None
        return SendPart(part, part * self.part_bytes, size)

    def sent(self, action: SendOpen | SendPart, now_ns: int) -> None:
        """The pipe took `action`."""
        if isinstance(action, SendOpen):
            self._open_due_ns = now_ns + _NEVER_TAKEN_NS
            return
        again = action.part in self._ever_sent
        self._ever_sent.add(action.part)
        self.resent_bytes += action.size_bytes if again else 0
        self._order += 1
        if action.part not in self._flights:
            self.in_flight_bytes += action.size_bytes
        self._flights[action.part] = _Flight(now_ns, self._order, again)

    def taken(self, action: SendOpen | SendPart, now_ns: int) -> None:
        """The broker took `action`: from now on an answer is expected."""
        if isinstance(action, SendOpen):
            self._open_due_ns = now_ns + int(self._backoff.next_s() * _NS)
            return
        flight = self._flights.get(action.part)
        if flight is not None and flight.taken_ns is None:
            flight.taken_ns = now_ns
            if self._expecting_since_ns is None:
                self._expecting_since_ns = now_ns

    def need(
        self,
        durable: set[int],
        part_bytes: int,
        now_ns: int,
        *,
        window_bytes: int,
        overtaken_ns: int,
    ) -> Durable:
        """A Need came: `durable` are the parts it names, in parts of `part_bytes`; of this clip
        `window_bytes` may be in flight.

        A part that at least three later ones overtook, and that is older than `overtaken_ns`, is
        lost. Raises WireError when `durable` names a part that the clip does not have.
        """
        if part_bytes != self.part_bytes:
            self._cut_anew(part_bytes)
        if durable and max(durable) >= self.parts:
            raise WireError(f"need: names part {max(durable)} of a clip of {self.parts}")
        self._later_until_ns = now_ns
        self._granted_bytes = window_bytes
        self._backoff.reset()
        fresh = durable - self._durable
        if self.phase == "opening":
            # the answer to Open is the whole truth: a collector that lost its disk says less
            self._durable = set(durable)
            self._cursor = 0
        else:
            self._durable |= fresh
        round_trip_ns, newest = None, 0
        for part in fresh:
            flight = self._end_flight(part)
            if flight is None:
                continue
            newest = max(newest, flight.order)
            if not flight.again:
                round_trip_ns = max(round_trip_ns or 0, now_ns - flight.sent_ns)
        lost = [
            part
            for part, flight in self._flights.items()
            if newest - flight.order >= _OVERTAKEN_BY and now_ns - flight.sent_ns >= overtaken_ns
        ]
        self._give_up(lost)
        self.phase = "waiting" if len(self._durable) == self.parts else "sending"
        in_broker = any(flight.taken_ns is not None for flight in self._flights.values())
        expecting = in_broker or self.phase == "waiting"
        self._expecting_since_ns = now_ns if expecting else None
        return Durable(sum(self._size(part) for part in fresh), round_trip_ns, len(lost))

    def later(self, delay_s: float, now_ns: int) -> None:
        """The collector asks to wait; then begin with Open again."""
        self._reopen(now_ns)
        self._later_until_ns = now_ns + int(delay_s * _NS)

    def expire(self, now_ns: int, timeout_ns: int) -> int:
        """Parts that the broker took more than `timeout_ns` ago are lost: how many. Total silence:
        Open."""
        lost = [
            part for part, flight in self._flights.items() if _is_late(flight, now_ns, timeout_ns)
        ]
        self._give_up(lost)
        since_ns = self._expecting_since_ns
        if since_ns is not None and now_ns - since_ns >= max(_SILENCE_NS, 2 * timeout_ns):
            self._reopen(now_ns)
        return len(lost)

    def undelivered(self, action: SendOpen | SendPart, now_ns: int) -> None:
        """The broker says that nobody got `action`: ask with Open, after a pause, before more."""
        if isinstance(action, SendPart) and action.part in self._flights:
            self._give_up([action.part])
        if self.phase != "opening" or isinstance(action, SendOpen):
            self._reopen(now_ns)
            self._open_due_ns = now_ns + int(self._backoff.next_s() * _NS)

    def untaken_ns(self, now_ns: int) -> int:
        """How long the broker has been taking the oldest part that it has not taken yet."""
        return max(
            (now_ns - each.sent_ns for each in self._flights.values() if each.taken_ns is None),
            default=0,
        )

    def shrink_parts(self, part_bytes: int, now_ns: int) -> None:
        """Ask for parts of `part_bytes` at most, unless something is durable or in flight."""
        if part_bytes < self.part_bytes and not self._durable and not self._flights:
            self._cut_anew(part_bytes)
            self._open_due_ns = now_ns

    def disconnected(self, now_ns: int) -> None:
        """The connection is gone, and with it what was in flight."""
        self._reopen(now_ns)
        self._backoff.reset()

    def _reopen(self, now_ns: int) -> None:
        self._give_up(list(self._flights))
        self.phase = "opening"
        self._open_due_ns = now_ns
        self._expecting_since_ns = None

    def _give_up(self, parts: list[int]) -> None:
        for part in parts:
            self._end_flight(part)
            self._cursor = min(self._cursor, part)

    def _end_flight(self, part: int) -> _Flight | None:
        flight = self._flights.pop(part, None)
        if flight is not None:
            self.in_flight_bytes -= self._size(part)
        return flight

    def _next_missing(self) -> int | None:
        while self._cursor < self.parts and self._cursor in self._durable:
            self._cursor += 1
        for part in range(self._cursor, self._aim_parts):
            if part not in self._durable and part not in self._flights:
                return part
        return None

    @property
    def _aim_parts(self) -> int:
        return min(self.parts, max(1, -(-self._aim_bytes // self.part_bytes)))

    def _size(self, part: int) -> int:
        return max(0, min(self.part_bytes, self.total_bytes - part * self.part_bytes))

    def _cut_anew(self, part_bytes: int) -> None:
        """The collector cuts this clip into other parts: what was counted in old ones is void."""
        self._flights.clear()
        self.in_flight_bytes = 0
        self._durable.clear()
        self._ever_sent.clear()
        self._cursor = 0
        self.part_bytes = part_bytes
        self.phase = "opening"
        self._expecting_since_ns = None


def _is_late(flight: _Flight, now_ns: int, timeout_ns: int) -> bool:
    if flight.taken_ns is None:
        return now_ns - flight.sent_ns >= _NEVER_TAKEN_NS
    return now_ns - flight.taken_ns >= timeout_ns
