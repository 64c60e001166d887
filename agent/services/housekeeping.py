"""Deletes stored clips by the retention rule. Clips without a receipt are never touched."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable

from agent.config import Retention
from agent.core.retention import SentClip, clips_to_delete
from agent.ports.clock import Clock
from agent.storage.spool import RECEIPT_FILE, Spool

log = logging.getLogger("retention")

_EVERY_NS = 60_000_000_000


class Housekeeper:
    """`free_bytes` says how much the card can still take; None measures the spool's file system."""

    def __init__(
        self, spool: Spool, rule: Retention, clock: Clock, free_bytes: Callable[[], int] | None
    ) -> None:
        self._spool, self._rule, self._clock = spool, rule, clock
        self._free_bytes = free_bytes or self._measured
        self._next_ns = 0

    def free_bytes(self) -> int:
        return self._free_bytes()

    @property
    def is_full(self) -> bool:
        return self._free_bytes() < self._rule.min_free_bytes

    def tidy(self) -> int:
        """Apply the rule when it is time to, or space is wanted; returns the free bytes afterwards.
        Raises OSError, SpoolError."""
        free_bytes, now_ns = self._free_bytes(), self._clock.boot_ns()
        is_full = free_bytes < self._rule.min_free_bytes
        if now_ns < self._next_ns and not is_full:
            return free_bytes
        self._next_ns = now_ns + _EVERY_NS
        going = clips_to_delete(
            self._sent(with_sizes=is_full),
            now_wall_ns=self._clock.wall_ns(),
            keep_ns=round(self._rule.sent_keep_s * 1e9),
            free_bytes=free_bytes,
            min_free_bytes=self._rule.min_free_bytes,
        )
        for clip_id in going:
            if self._spool.delete(clip_id, "sent"):
                log.info("clip %s deleted: the collector has it", clip_id)
        return self._free_bytes()

    def _sent(self, *, with_sizes: bool) -> list[SentClip]:
        """Sizes matter only when space is wanted: a day's clips are a hundred thousand files."""
        found = []
        for clip_id in self._spool.clips("sent"):
            folder = self._spool.path("sent", clip_id)
            # The uplink writes the receipt before it moves the clip, so its time is the clip's.
            with contextlib.suppress(FileNotFoundError):
                sent_ns = (folder / RECEIPT_FILE).stat().st_mtime_ns
                size = 0
                if with_sizes:
                    size = sum(entry.stat().st_size for entry in os.scandir(folder))
                found.append(SentClip(clip_id, sent_ns, size))
        return found

    def _measured(self) -> int:
        state = os.statvfs(self._spool.root)
        return state.f_bavail * state.f_frsize
