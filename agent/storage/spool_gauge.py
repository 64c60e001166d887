"""How much of the card each closed clip takes. Each is measured once: a closed clip is as it is."""

from __future__ import annotations

import contextlib
import os

import msgspec

from agent.errors import SpoolError
from agent.storage.spool import Shelf, Spool
from agent.wire.manifest import Manifest

# What a file system takes for a file is a multiple of this.
_BLOCK_BYTES = 4096
# Directory, manifest, custody lines and receipt; the lines are a few hundred bytes a fragment.
_BESIDE_BYTES = 8 * _BLOCK_BYTES
_CLOSED: tuple[Shelf, ...] = ("outbox", "sent", "rejected")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One closed clip. `manifest` is None when it cannot be read."""

    size_bytes: int
    manifest: Manifest | None


class SpoolGauge:
    """Sizes of what lies in the spool; used from one thread.

    Clips not measured yet count as large as the others on average.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._known: dict[str, Measured] = {}
        self._shelves: dict[Shelf, list[str]] = {}
        self._bytes: dict[Shelf, int] = {}

    def look(self, most: int | None) -> bool:
        """See what came and went; measure `most` new clips (None: all). True when more remain."""
        self._shelves = {shelf: self._spool.clips(shelf) for shelf in _CLOSED}
        here = {clip_id for clips in self._shelves.values() for clip_id in clips}
        self._known = {name: found for name, found in self._known.items() if name in here}
        fresh = [
            (shelf, clip_id)
            for shelf, clips in self._shelves.items()
            for clip_id in clips
            if clip_id not in self._known
        ]
        now = fresh if most is None else fresh[:most]
        for shelf, clip_id in now:
            self._known[clip_id] = self._measure(shelf, clip_id)
        self._bytes = {shelf: self._shelf_bytes(shelf) for shelf in _CLOSED}
        self._bytes["recording"] = self._spool.total_bytes("recording")
        return len(fresh) > len(now)

    def clips(self, shelf: Shelf) -> dict[str, Measured]:
        """The clips on `shelf` at the last look that were measured, oldest first."""
        here = self._shelves.get(shelf, [])
        return {clip_id: self._known[clip_id] for clip_id in here if clip_id in self._known}

    def shelf_bytes(self, shelf: Shelf) -> int:
        """At the last look."""
        return self._bytes.get(shelf, 0)

    def total_bytes(self) -> int:
        """All shelves at the last look."""
        return sum(self._bytes.values())

    def _shelf_bytes(self, shelf: Shelf) -> int:
        here = self._shelves[shelf]
        known = [self._known[clip_id].size_bytes for clip_id in here if clip_id in self._known]
        return sum(known) + (len(here) - len(known)) * self._mean_bytes()

    def _mean_bytes(self) -> int:
        count = len(self._known)
        return sum(found.size_bytes for found in self._known.values()) // count if count else 0

    def _measure(self, shelf: Shelf, clip_id: str) -> Measured:
        """One file read instead of a stat for each of the clip's files."""
        try:
            manifest, _body = self._spool.manifest(shelf, clip_id)
        except SpoolError:
            size = 0
            with contextlib.suppress(OSError):
                for entry in os.scandir(self._spool.path(shelf, clip_id)):
                    size += on_card(entry.stat().st_size)
            return Measured(size_bytes=size, manifest=None)
        files = sum(on_card(entry.bytes) for entry in manifest.files)
        return Measured(size_bytes=files + _BESIDE_BYTES, manifest=manifest)


def on_card(size_bytes: int) -> int:
    """What a file of `size_bytes` takes, by whole blocks."""
    return -(-size_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
