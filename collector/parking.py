"""How many transfers of one camera are under way at a time, in memory and on the disk.

A camera on a thin link sends the words of many clips before their bodies. So a transfer that
nothing is heard of is parked: it leaves the memory (two open files, a builder), its parts stay on
the disk, and the camera's next Open takes it up where it was. The disk is bounded apart from that:
few transfers that hold footage, many that hold little more than words.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from collector.assembly import SEALED_FILE, discard
from collector.config import Transfer as TransferLimits
from collector.ongoing import OngoingClips
from collector.store import Store

# A label sheet of 30 s is 10 to 100 KB; the rest of its last part is 1 MiB at most.
WORDS_BYTES = 2 * 1024 * 1024
_BLOCK_BYTES = 512  # unit of st_blocks


class Parking:
    """Used from the main thread. Nothing that is being stored is ever parked or discarded."""

    def __init__(
        self,
        store: Store,
        clips: OngoingClips,
        limits: TransferLimits,
        is_idle: Callable[[Path], bool],
    ) -> None:
        """`is_idle`: no other collector is making the clip in that folder ready."""
        self._store = store
        self._clips = clips
        self._limits = limits
        self._is_idle = is_idle

    def make_room_in_memory(self, device_id: str) -> None:
        """For one more transfer of this camera: those heard of longest ago are parked."""
        own = [clip for clip in self._clips if clip.device_id == device_id]
        surplus = len(own) + 1 - self._limits.open_clips_per_device
        idle = sorted((clip for clip in own if not clip.is_finishing), key=lambda c: c.heard_s)
        for clip in idle[: max(0, surplus)]:
            self._clips.drop(clip)

    def make_room_on_disk(self, device_id: str) -> None:
        """For one more: those that lay longest are discarded (it costs a resend)."""
        folders = sorted(self._store.transfers(device_id), key=last_change_ns)
        heavy = [folder for folder in folders if _held_bytes(folder) > WORDS_BYTES]
        going = heavy[: max(0, len(heavy) + 1 - self._limits.open_clips_per_device)]
        left = [folder for folder in folders if folder not in going]
        going += left[: max(0, len(left) + 1 - self._limits.kept_clips_per_device)]
        for folder in going:
            ongoing = self._clips.get(device_id, folder.name.rsplit(".", 1)[0])
            if ongoing is not None and ongoing.is_finishing:
                continue
            if ongoing is not None:
                self._clips.drop(ongoing)
            elif self._clips.is_shared and not self._is_idle(folder):
                continue
            discard(folder)

    def to_resume(self) -> list[Path]:
        """The transfers to take into memory at the start: of each camera the newest."""
        newest: dict[str, list[Path]] = {}
        for folder in sorted(self._store.transfers(), key=last_change_ns):
            newest.setdefault(folder.parent.name, []).append(folder)
        limit = self._limits.open_clips_per_device
        return [folder for folders in newest.values() for folder in folders[-limit:]]


def last_change_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:  # its clip was stored this moment
        return 0


def _held_bytes(folder: Path) -> int:
    """What the parts of a transfer take on the disk (`sealed` is sparse)."""
    try:
        return (folder / SEALED_FILE).stat().st_blocks * _BLOCK_BYTES
    except FileNotFoundError:
        return 0
