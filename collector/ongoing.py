"""The transfers under way: who sends what, and how much each may have in flight."""

from __future__ import annotations

from collections.abc import Iterator

from collector.assembly import Assembly
from collector.building import ClipBuilder
from collector.config import Transfer as TransferLimits
from collector.errors import GoneError
from collector.transfers import Transfer, window_bytes
from collector.verification import VerifiedOpen

_QUIET_S = 10.0


class Ongoing:
    """One clip on its way in. Touched by the main thread alone; workers get its assembly and
    its builder."""

    def __init__(
        self,
        verified: VerifiedOpen,
        assembly: Assembly,
        transfer: Transfer,
        builder: ClipBuilder,
        now_s: float,
    ) -> None:
        self.verified = verified
        self.assembly = assembly
        self.transfer = transfer
        self.builder = builder
        self.began_s = now_s
        self.heard_s = now_s
        self.is_finishing = False
        self.complete_s: float | None = None  # since when all parts were seen durable
        self.damaged: set[int] = set()
        ends, end = [], 0
        for entry in verified.manifest.files:
            end += entry.bytes
            ends.append(end)
        self._file_ends = ends
        self._whole_files = 0

    @property
    def device_id(self) -> str:
        return self.verified.manifest.device_id

    @property
    def clip_id(self) -> str:
        return self.verified.manifest.clip_id

    @property
    def part_bytes(self) -> int:
        return self.transfer.part_bytes

    @property
    def key(self) -> tuple[str, str]:
        return self.device_id, self.clip_id

    def new_whole_files(self) -> bool:
        """True when files became whole since the last call: the builder has something to do."""
        before = self._whole_files
        written = self.transfer.written_bytes
        while (
            self._whole_files < len(self._file_ends)
            and self._file_ends[self._whole_files] <= written
        ):
            self._whole_files += 1
        return self._whole_files > before

    def catch_up(self) -> bool:
        """Take over what the group's record says by now. False: another collector ended this
        transfer. Raises StoreError."""
        try:
            self.transfer.recorded(self.assembly.durable_parts())
        except GoneError:
            return False
        return True

    def build_again(self, builder: ClipBuilder) -> None:
        """A new builder takes all files from the first on."""
        self.builder = builder
        self._whole_files = 0


class OngoingClips:
    """All transfers under way, by device and clip; the last one opened has the name. `is_shared`:
    other collectors of a group work on the same ones."""

    def __init__(self, limits: TransferLimits, *, is_shared: bool = False) -> None:
        self._limits = limits
        self.is_shared = is_shared
        self._clips: dict[tuple[str, str], Ongoing] = {}

    def __iter__(self) -> Iterator[Ongoing]:
        return iter(list(self._clips.values()))

    def get(self, device_id: str, clip_id: str) -> Ongoing | None:
        return self._clips.get((device_id, clip_id))

    def holds(self, ongoing: Ongoing) -> bool:
        return self._clips.get(ongoing.key) is ongoing

    def add(self, ongoing: Ongoing) -> None:
        self._clips[ongoing.key] = ongoing

    def drop(self, ongoing: Ongoing) -> None:
        if self.holds(ongoing):
            del self._clips[ongoing.key]

    def window_bytes(self, device_id: str, part_bytes: int, now_s: float) -> int | None:
        """What all clips of `device_id` together may have in flight now; None: too many cameras at
        once."""
        cameras = {device_id}
        for clip in self._clips.values():
            if clip.transfer.has_all or now_s - clip.heard_s > _QUIET_S:
                continue
            cameras.add(clip.device_id)
        return window_bytes(
            self._limits.window_bytes, self._limits.window_budget_bytes, len(cameras), part_bytes
        )
