"""Which clip goes next: what people asked for or need first, then by age."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

Priority = Literal["record", "marked", "tagged", "plain"]

_REQUESTED = 0
_RANK: dict[Priority, int] = {"record": 1, "marked": 2, "tagged": 3, "plain": 4}


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A clip in the outbox. Ids sort by age within a device."""

    clip_id: str
    priority: Priority
    total_bytes: int


def rank(clip: Waiting, requested: Collection[str]) -> int:
    """0 is most urgent: what the admin requested; then session records, marked, tagged, plain."""
    return _REQUESTED if clip.clip_id in requested else _RANK[clip.priority]


def next_clip(
    waiting: Iterable[Waiting], *, requested: Collection[str], taken: Collection[str]
) -> Waiting | None:
    """The most urgent clip that is not `taken`, the oldest of equals; None when there is none."""
    free = (clip for clip in waiting if clip.clip_id not in taken)
    return min(free, key=lambda clip: (rank(clip, requested), clip.clip_id), default=None)
