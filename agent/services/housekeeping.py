"""Keeps room on the card by the retention rules (`agent.core.retention`).

Clips with a receipt make room first. A clip without one goes only with `retention.overwrite_unsent`
and is noted durably before it goes; the next session record names it in a signed custody line.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable

import msgspec

from agent.config import Retention
from agent.core.retention import (
    Bounds,
    SentClip,
    UnsentClip,
    clips_to_delete,
    clips_to_thin,
    is_full,
    room_bytes,
    wanted_bytes,
)
from agent.errors import SpoolError
from agent.ports.clock import Clock
from agent.services.vault import ThinnedClip
from agent.storage.recorder_state import RecorderState
from agent.storage.spool import RECEIPT_FILE, Spool
from agent.storage.spool_gauge import SpoolGauge, on_card
from agent.wire.codec import encode
from agent.wire.manifest import MANIFEST_FILE

log = logging.getLogger("retention")

_EVERY_NS = 60_000_000_000
_MEASURED_A_TURN = 200
THINNED = "given up unsent: the card was full"


class CardRoom(msgspec.Struct, frozen=True, kw_only=True):
    """`room_bytes`: what may still be written, clips with a receipt counted as room."""

    free_bytes: int
    room_bytes: int
    is_full: bool
    thinned: tuple[ThinnedClip, ...] = ()


class Housekeeper:
    """`free_bytes` says how much the card can still take; None measures the spool's file system."""

    def __init__(
        self,
        spool: Spool,
        state: RecorderState,
        rule: Retention,
        clock: Clock,
        free_bytes: Callable[[], int] | None,
    ) -> None:
        self._spool, self._state, self._rule, self._clock = spool, state, rule, clock
        self._free_bytes = free_bytes or self._measured
        self._bounds = Bounds(rule.min_free_bytes, rule.spool_budget_bytes, rule.slack_bytes)
        self._gauge = SpoolGauge(spool)
        self._grown_bytes = 0
        self._was_full = False
        self._more_to_measure = False
        self._next_ns = 0

    def free_bytes(self) -> int:
        return self._free_bytes()

    def grew(self, size_bytes: int) -> None:
        """A file of `size_bytes` was written to the spool since the last `tidy`."""
        self._grown_bytes += on_card(size_bytes)

    @property
    def is_full(self) -> bool:
        return is_full(self._bounds, self._room(), was_full=self._was_full)

    def tidy(self) -> CardRoom:
        """Apply the rules when it is time to, or space is wanted. Raises OSError, SpoolError."""
        now_ns = self._clock.boot_ns()
        thinned: tuple[ThinnedClip, ...] = ()
        if self._more_to_measure or now_ns >= self._next_ns or self.is_full:
            self._next_ns = now_ns + _EVERY_NS
            # Who wants room now must know all there is; else a day's clips are measured bit by bit.
            self._look(None if self.is_full else _MEASURED_A_TURN)
            self._delete_sent()
            thinned = self._thin_out()
        self._was_full = self.is_full
        return CardRoom(
            free_bytes=self._free_bytes(),
            room_bytes=max(0, self._room()) + self._gauge.shelf_bytes("sent"),
            is_full=self._was_full,
            thinned=thinned,
        )

    def _room(self) -> int:
        spool_bytes = self._gauge.total_bytes() + self._grown_bytes
        return room_bytes(self._bounds, free_bytes=self._free_bytes(), spool_bytes=spool_bytes)

    def _wanted(self) -> int:
        return wanted_bytes(self._bounds, self._room(), was_full=self._was_full)

    def _look(self, most: int | None) -> None:
        self._more_to_measure = self._gauge.look(most)
        self._grown_bytes = 0

    def _delete_sent(self) -> None:
        going = clips_to_delete(
            self._sent(),
            now_wall_ns=self._clock.wall_ns(),
            keep_ns=round(self._rule.sent_keep_s * 1e9),
            wanted_bytes=self._wanted(),
            max_age_ns=round(self._rule.max_age_s * 1e9),
        )
        for clip_id in going:
            if self._spool.delete(clip_id, "sent"):
                log.info("clip %s deleted: the collector has it", clip_id)
        if going:
            self._look(0)

    def _thin_out(self) -> tuple[ThinnedClip, ...]:
        if not self._rule.overwrite_unsent or not self._wanted():
            return ()
        going = clips_to_thin(self._unsent(), room=self._room(), wanted_bytes=self._wanted())
        thinned = tuple(found for clip_id in going if (found := self._give_up(clip_id)))
        if thinned:
            log.warning("the card is full: %d unsent clips were given up", len(thinned))
            self._look(0)
        return thinned

    def _give_up(self, clip_id: str) -> ThinnedClip | None:
        """Note it durably, then delete it; None when the uplink took it from the outbox first."""
        try:
            manifest, body = self._spool.manifest("outbox", clip_id)
        except SpoolError:
            return None
        found = ThinnedClip(
            clip_id=clip_id,
            manifest_sha256=hashlib.sha256(body).hexdigest(),
            start_pts_ns=manifest.start_pts_ns,
            end_pts_ns=manifest.end_pts_ns,
            frames=manifest.frames,
            cause=THINNED,
        )
        self._state.add_thinned(encode(found))
        if self._spool.delete(clip_id, "outbox"):
            return found
        self._state.put_thinned([line for line in self._state.thinned() if line != encode(found)])
        return None

    def _sent(self) -> list[SentClip]:
        found = []
        for clip_id, measured in self._gauge.clips("sent").items():
            folder = self._spool.path("sent", clip_id)
            # The uplink writes the receipt before it moves the clip, so its time is the clip's.
            with contextlib.suppress(FileNotFoundError):
                sent_ns = (folder / RECEIPT_FILE).stat().st_mtime_ns
                closed_ns = None
                if self._rule.max_age_s:
                    closed_ns = (folder / MANIFEST_FILE).stat().st_mtime_ns
                found.append(SentClip(clip_id, sent_ns, measured.size_bytes, closed_ns))
        return found

    def _unsent(self) -> list[UnsentClip]:
        return [
            UnsentClip(
                clip_id=clip_id,
                number=measured.manifest.name.clip,
                priority=measured.manifest.priority,
                size_bytes=measured.size_bytes,
                recovered=measured.manifest.recovered,
            )
            for clip_id, measured in self._gauge.clips("outbox").items()
            if measured.manifest is not None
        ]

    def _measured(self) -> int:
        state = os.statvfs(self._spool.root)
        return state.f_bavail * state.f_frsize
