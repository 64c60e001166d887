"""The rules of one clip's transfer: which parts are here, which are durable, when to say so.

No file, no clock, no thread: parts are numbers, times are given. A part is `written` once the
store took it, `durable` once a sync that began after that came back. Only durable parts are named
in a Need, so what the collector named never needs to be sent again.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.errors import WireError
from agent.wire.transfer import Need, pack_have, part_count

ACK_TIMER_S = 0.050
# A camera whose window is smaller than a quarter of ours has stopped to wait for us: a pause this
# long in a stream of parts (loopback: 2 ms between two) says so, long before the timer.
ACK_PAUSE_S = 0.005


class Transfer:
    """Parts of one clip. `part_bytes` is the size in force from the first Open on."""

    def __init__(self, total_bytes: int, part_bytes: int, durable: Iterable[int] = ()) -> None:
        self.total_bytes = total_bytes
        self.part_bytes = part_bytes
        self.parts = part_count(total_bytes, part_bytes)
        self._written = {part for part in durable if 0 <= part < self.parts}
        self._durable = set(self._written)
        self._contiguous = 0
        self._written_contiguous = 0
        self._unsynced: set[int] = set()
        self._syncing: frozenset[int] | None = None
        self._forgotten: set[int] = set()
        self._first_unacked_s: float | None = None
        self._last_part_s = 0.0
        self._advance()

    def span(self, part: int) -> tuple[int, int]:
        """(offset, length) of `part` in the concatenation. Raises WireError: no such part."""
        if not 0 <= part < self.parts:
            raise WireError(f"part {part} of a clip of {self.parts} parts")
        offset = part * self.part_bytes
        return offset, min(self.part_bytes, self.total_bytes - offset)

    def is_written(self, part: int) -> bool:
        return part in self._written

    def wrote(self, part: int, now_s: float) -> None:
        """The store took `part`; it is not durable yet."""
        self._written.add(part)
        self._unsynced.add(part)
        self._forgotten.discard(part)
        self._touch(now_s)
        self._advance()

    def recorded(self, parts: Iterable[int]) -> None:
        """What the record of all collectors names now: more than was known, or less where another
        one found a file damaged."""
        found = {part for part in parts if 0 <= part < self.parts} - self._forgotten
        shrunk = not self._durable <= found
        self._durable = found
        self._written = found | self._unsynced | (self._syncing or frozenset())
        if shrunk:
            self._recount()
        else:
            self._advance()

    def came_again(self, now_s: float) -> None:
        """A part that is here already: the camera missed our word, so say it again."""
        self._touch(now_s)

    def ack_due(self, now_s: float, window_bytes: int) -> bool:
        """True when it is time to sync and to send a Need: a quarter of the window waits, the
        camera paused, or the timer ran out. Never while a sync is under way."""
        if self._first_unacked_s is None or self._syncing is not None:
            return False
        return (
            len(self._unsynced) * self.part_bytes * 4 >= window_bytes
            or now_s - self._last_part_s >= ACK_PAUSE_S
            or now_s - self._first_unacked_s >= ACK_TIMER_S
            or len(self._written) == self.parts
        )

    def begin_sync(self) -> frozenset[int]:
        """The parts that a sync starting now makes durable (none when all were before)."""
        self._syncing = frozenset(self._unsynced)
        self._unsynced.clear()
        self._first_unacked_s = None
        return self._syncing

    def synced(self) -> None:
        """The sync came back."""
        self._durable |= self._syncing or frozenset()
        self._syncing = None
        self._advance()

    def sync_failed(self) -> None:
        """The disk refused: what was not durable counts as never received."""
        self._syncing = None
        self._unsynced.clear()
        self._first_unacked_s = None
        self._written = set(self._durable)
        self._recount()

    def forget(self, offset: int, length: int) -> set[int]:
        """The bytes [offset, offset + length) are not what they should be: their parts are asked
        for again, and no record that names them is believed until `forgotten`. Returns them."""
        wrong = set(range(offset // self.part_bytes, -(-(offset + length) // self.part_bytes)))
        for parts in (self._written, self._durable, self._unsynced):
            parts -= wrong
        if self._syncing is not None:
            self._syncing -= wrong
        self._forgotten |= wrong
        self._recount()
        return wrong

    def forgotten(self) -> None:
        """The record names them no more."""
        self._forgotten.clear()

    @property
    def durable(self) -> set[int]:
        return set(self._durable)

    @property
    def written_bytes(self) -> int:
        """How many bytes from the first one on the store holds without a hole."""
        return min(self._written_contiguous * self.part_bytes, self.total_bytes)

    @property
    def is_untouched(self) -> bool:
        """No part of it ever came."""
        return not self._written

    @property
    def is_syncing(self) -> bool:
        return self._syncing is not None

    @property
    def is_complete(self) -> bool:
        """All parts are durable."""
        return self._contiguous == self.parts

    @property
    def has_all(self) -> bool:
        """All parts are written: nothing more is awaited."""
        return self._written_contiguous == self.parts

    def need(self, manifest_sha256: str, window_bytes: int) -> Need:
        """What to tell the camera now."""
        above = {part for part in self._durable if part >= self._contiguous}
        return Need(
            manifest_sha256=manifest_sha256,
            contiguous=self._contiguous,
            have=pack_have(above, self._contiguous),
            window_bytes=max(window_bytes, self.part_bytes),
            part_bytes=self.part_bytes,
        )

    def _touch(self, now_s: float) -> None:
        self._last_part_s = now_s
        if self._first_unacked_s is None:
            self._first_unacked_s = now_s

    def _recount(self) -> None:
        self._contiguous = self._written_contiguous = 0
        self._advance()

    def _advance(self) -> None:
        while self._contiguous in self._durable:
            self._contiguous += 1
        while self._written_contiguous in self._written:
            self._written_contiguous += 1


def agreed_part_bytes(asked: int, smallest: int, largest: int) -> int:
    """The part size for a new transfer: what the camera asked for, within our limits."""
    return min(max(asked, smallest), largest)


def window_bytes(per_camera: int, budget: int, active_cameras: int, part_bytes: int) -> int | None:
    """The window of one camera, so that the windows of all fit `budget`; at least one part.
    None when not even that fits: the camera must come later."""
    share = min(per_camera, budget // max(1, active_cameras))
    if share >= part_bytes:
        return share
    return part_bytes if part_bytes * active_cameras <= budget else None
