"""The spool: where clips lie on the card, and how they change state (one directory rename).

recording/<clip_id>/   being written            recorder writes
outbox/<clip_id>/      closed, labelled         recorder puts; uplink takes out, and the recorder
                                                alone when it must thin out (see retention)
sent/<clip_id>/        receipt in hand          uplink puts; recorder alone deletes
rejected/<clip_id>/    the collector said never uplink puts, with reason.json
trash/<clip_id>/       being deleted            recorder
"""

from __future__ import annotations

import contextlib
import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Literal

from agent.errors import SpoolError, WireError
from agent.storage import atomic
from agent.wire.ids import parse_clip_id
from agent.wire.manifest import MANIFEST_FILE, Manifest, decode_manifest

Shelf = Literal["recording", "outbox", "sent", "rejected", "trash"]
SHELVES: tuple[Shelf, ...] = ("recording", "outbox", "sent", "rejected", "trash")
RECEIPT_FILE = "receipt.jws"
REASON_FILE = "reason.json"


class Spool:
    """The clips under `<state_dir>/spool`. Safe with one recorder and one uplink at work."""

    def __init__(self, state_dir: Path, *, fsync: atomic.Fsync = os.fsync) -> None:
        self.root = state_dir / "spool"
        self._fsync = fsync

    def prepare(self) -> None:
        """Create the shelves. Raises SpoolError when the card refuses."""
        try:
            for shelf in SHELVES:
                atomic.make_directory(self.root / shelf, fsync=self._fsync)
            # A folder that is there may have been made by a process killed before its sync.
            atomic.settle(self.root, fsync=self._fsync)
            atomic.settle(self.root.parent, fsync=self._fsync)
        except OSError as exc:
            raise SpoolError(
                f"spool {self.root} cannot be made ({exc.strerror})",
                remedy="check paths.state_dir, its owner, and that the card is not read-only",
            ) from exc

    def path(self, shelf: Shelf, clip_id: str) -> Path:
        return self.root / shelf / clip_id

    def clips(self, shelf: Shelf) -> list[str]:
        """Clip ids on `shelf`, sorted: per device oldest first, without any clock."""
        try:
            names = os.listdir(self.root / shelf)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if _is_clip(name))

    def manifest(self, shelf: Shelf, clip_id: str) -> tuple[Manifest, bytes]:
        """The manifest and its exact bytes. Raises SpoolError when missing or damaged."""
        path = self.path(shelf, clip_id) / MANIFEST_FILE
        try:
            body = path.read_bytes()
            return decode_manifest(body), body
        except OSError as exc:
            raise SpoolError(f"{path} cannot be read ({exc.strerror})") from exc
        except WireError as exc:
            raise SpoolError(f"{path} is damaged ({exc})") from exc

    def move(self, clip_id: str, source: Shelf, target: Shelf) -> bool:
        """Move one clip, durably. False when another process moved it first."""
        try:
            atomic.move(self.path(source, clip_id), self.path(target, clip_id), fsync=self._fsync)
        except FileNotFoundError:
            return False
        except OSError as exc:
            raise SpoolError(
                f"clip {clip_id} cannot go from {source} to {target} ({exc.strerror})"
            ) from exc
        return True

    def delete(self, clip_id: str, shelf: Shelf) -> bool:
        """Delete one clip by way of the trash, so that no half clip is ever on a shelf."""
        if not self.move(clip_id, shelf, "trash"):
            return False
        self.empty_trash()
        return True

    def empty_trash(self) -> None:
        """Finish deletions, also those that a power cut or a kill broke off."""
        names = os.listdir(self.root / "trash")
        if names:
            # A kill may have come between a move into the trash and its sync. Without this one, a
            # power cut could put a clip back on its shelf with half of its files deleted.
            atomic.fsync_directory(self.root / "trash", fsync=self._fsync)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.root / "trash" / name)

    def total_bytes(self, shelf: Shelf) -> int:
        """Bytes of all files on `shelf` (what vanishes meanwhile counts as nothing)."""
        total = 0
        for clip_id in self.clips(shelf):
            with contextlib.suppress(FileNotFoundError):
                for entry in os.scandir(self.path(shelf, clip_id)):
                    total += entry.stat().st_size
        return total


@lru_cache(maxsize=65_536)  # shelves of 10,000 clips are listed every second
def _is_clip(name: str) -> bool:
    try:
        parse_clip_id(name)
    except WireError:
        return False
    return True
