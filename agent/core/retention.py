"""Which stored clips may go. Only clips with a receipt are ever asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SentClip:
    """A clip whose receipt is in hand since `sent_wall_ns` (Unix)."""

    clip_id: str
    sent_wall_ns: int
    size_bytes: int


def clips_to_delete(
    sent: Sequence[SentClip],
    *,
    now_wall_ns: int,
    keep_ns: int,
    free_bytes: int,
    min_free_bytes: int,
) -> list[str]:
    """Ids to delete, oldest first: all kept longer than `keep_ns`, and then as many of the oldest
    as it takes to reach `min_free_bytes`. A clip from the future (the clock went back) counts as
    new."""
    going: list[str] = []
    missing = min_free_bytes - free_bytes
    for clip in sorted(sent, key=lambda one: (one.sent_wall_ns, one.clip_id)):
        if now_wall_ns - clip.sent_wall_ns > keep_ns or missing > 0:
            going.append(clip.clip_id)
            missing -= clip.size_bytes
    return going
