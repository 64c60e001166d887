"""Which bytes go next: what people asked for or need first, then by age.

Of each clip two things can be sent: its words (the parts that hold the label sheet, a few tens of
KiB) and then its body. The order of all that waits, oldest first among equals:

    0     the clips that an admin asked for, words and body
    1     session records
    2-5   words of marked, rare, tagged, plain clips, when words run ahead (`words_run_ahead`)
    6-9   bodies of marked, rare, tagged, plain clips (and what is left of their words)
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

Priority = Literal["record", "marked", "rare", "tagged", "plain"]

_CLASSES: tuple[Priority, ...] = ("marked", "rare", "tagged", "plain")
_REQUESTED, _RECORD, _WORDS, BODIES = 0, 1, 2, 6

# Words of so many clips may lie at the collector before their bodies: the longest session at 30 s a
# clip (480), and half of what the collector keeps of one camera.
WORDS_AHEAD_CLIPS = 512
# A link that empties the outbox within a minute delivers every sheet within that minute anyway;
# a detour to each clip's words would cost it a second Open for each clip.
_SOON_S = 60.0


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A clip in the outbox. Ids sort by age within a device. `words_bytes`: how far its label sheet
    reaches from the start of the clip; 0: it has none."""

    clip_id: str
    priority: Priority
    total_bytes: int
    words_bytes: int = 0


class Job(msgspec.Struct, frozen=True):
    """One clip to send; of it only the words when `only_words`."""

    clip: Waiting
    only_words: bool = False


def rank(job: Job, requested: Collection[str]) -> int:
    """The place of `job` in the order above; 0 is most urgent."""
    if job.clip.clip_id in requested:
        return _REQUESTED
    if job.clip.priority == "record":
        return _RECORD
    return (_WORDS if job.only_words else BODIES) + _CLASSES.index(job.clip.priority)


def words_run_ahead(backlog_bytes: int, rate_bytes_per_s: float) -> bool:
    """True when the link, at the rate that was measured on it (0: not yet), needs more than a
    minute for all that waits."""
    return 0 < rate_bytes_per_s * _SOON_S < backlog_bytes


class UploadQueue:
    """The waiting clips, kept in order: `next` costs the same with 10 clips as with 10,000."""

    def __init__(self) -> None:
        self._clips: dict[str, Waiting] = {}
        self._whole: dict[Priority, list[str]] = {name: [] for name in ("record", *_CLASSES)}
        self._wordless: dict[Priority, list[str]] = {name: [] for name in _CLASSES}
        self._ahead: set[str] = set()
        self.total_bytes = 0

    def __len__(self) -> int:
        return len(self._clips)

    def __contains__(self, clip_id: str) -> bool:
        return clip_id in self._clips

    def ids(self) -> set[str]:
        return set(self._clips)

    def add(self, clip: Waiting) -> None:
        """Take up a clip that is not in the queue."""
        self._clips[clip.clip_id] = clip
        self.total_bytes += clip.total_bytes
        insort(self._whole[clip.priority], clip.clip_id)
        if clip.words_bytes and clip.clip_id not in self._ahead and clip.priority != "record":
            insort(self._wordless[clip.priority], clip.clip_id)

    def remove(self, clip_id: str) -> None:
        """Forget a clip; one that is not here is no error."""
        clip = self._clips.pop(clip_id, None)
        if clip is not None:
            self.total_bytes -= clip.total_bytes
            _take_out(self._whole[clip.priority], clip_id)
            _take_out(self._wordless.get(clip.priority, []), clip_id)
            self._ahead.discard(clip_id)

    def words_arrived(self, clip_id: str) -> None:
        """The collector has the words of this clip."""
        clip = self._clips.get(clip_id)
        if clip is not None and clip.priority != "record":
            _take_out(self._wordless[clip.priority], clip_id)
            self._ahead.add(clip_id)

    def next(
        self, *, requested: Collection[str], taken: Collection[str], words_first: bool
    ) -> Job | None:
        """The most urgent job on a clip that is not `taken`; None when there is none."""
        asked = sorted(name for name in requested if name in self._clips)
        found = _first(asked, taken) or _first(self._whole["record"], taken)
        if found is not None:
            return Job(self._clips[found])
        if words_first and len(self._ahead) < WORDS_AHEAD_CLIPS:
            for name in _CLASSES:
                if (found := _first(self._wordless[name], taken)) is not None:
                    return Job(self._clips[found], only_words=True)
        for name in _CLASSES:
            if (found := _first(self._whole[name], taken)) is not None:
                return Job(self._clips[found])
        return None


def _first(names: Iterable[str], taken: Collection[str]) -> str | None:
    return next((name for name in names if name not in taken), None)


def _take_out(names: list[str], name: str) -> None:
    at = bisect_left(names, name)
    if at < len(names) and names[at] == name:
        del names[at]
