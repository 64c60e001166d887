"""What may go when the card fills up, and when the card is full. Pure rules.

A clip with a receipt goes first, the oldest first. A clip without one goes only where the admin
allowed it (`retention.overwrite_unsent`), and then in the order of `thinning_order`: never a marked
clip, never a recovered one (its marks are sealed, so it may be marked), never a session record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Priority: TypeAlias = Literal["record", "marked", "rare", "tagged", "plain"]

_THINNABLE: tuple[Priority, ...] = ("plain", "tagged", "rare")


@dataclass(frozen=True, slots=True)
class SentClip:
    """A clip whose receipt is in hand since `sent_wall_ns`; closed at `closed_wall_ns` (Unix)."""

    clip_id: str
    sent_wall_ns: int
    size_bytes: int
    closed_wall_ns: int | None = None


@dataclass(frozen=True, slots=True)
class UnsentClip:
    """A closed clip that the collector does not have; `number` counts within its session."""

    clip_id: str
    number: int | None
    priority: Priority
    size_bytes: int
    recovered: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """`min_free_bytes` stay free on the card; the spool takes `budget_bytes` at most (0: no bound).
    What was full stays so until there is room for `slack_bytes`, and that much is made at once."""

    min_free_bytes: int
    budget_bytes: int
    slack_bytes: int


def room_bytes(bounds: Bounds, *, free_bytes: int, spool_bytes: int) -> int:
    """What may still be written; negative when a bound is broken already."""
    room = free_bytes - bounds.min_free_bytes
    if bounds.budget_bytes:
        room = min(room, bounds.budget_bytes - spool_bytes)
    return room


def is_full(bounds: Bounds, room: int, *, was_full: bool) -> bool:
    """With hysteresis: full below no room at all, and from then on below `slack_bytes`."""
    return room < (bounds.slack_bytes if was_full else 0)


def wanted_bytes(bounds: Bounds, room: int, *, was_full: bool) -> int:
    """How much to make free now: none while there is room, else as much as gives the slack."""
    return bounds.slack_bytes - room if is_full(bounds, room, was_full=was_full) else 0


def clips_to_delete(
    sent: Sequence[SentClip],
    *,
    now_wall_ns: int,
    keep_ns: int,
    wanted_bytes: int,
    max_age_ns: int = 0,
) -> list[str]:
    """Ids to delete, oldest first: all kept longer than `keep_ns` after the receipt or older than
    `max_age_ns` (0: no bound), and then as many of the oldest as give `wanted_bytes`. A clip from
    the future (the clock went back) counts as new."""
    going: list[str] = []
    for clip in sorted(sent, key=lambda one: (one.sent_wall_ns, one.clip_id)):
        closed = clip.closed_wall_ns
        aged = max_age_ns > 0 and closed is not None and now_wall_ns - closed > max_age_ns
        if aged or now_wall_ns - clip.sent_wall_ns > keep_ns or wanted_bytes > 0:
            going.append(clip.clip_id)
            wanted_bytes -= clip.size_bytes
    return going


def thinning_order(unsent: Sequence[UnsentClip]) -> list[UnsentClip]:
    """The clips that may be given up, the first to go first.

    Plain ones before tagged ones, those with rare tags last. Of each class every second clip of a
    session (the odd numbers) goes before the rest, oldest first: so half of each exercise stays for
    as long as it can.
    """
    may_go = [
        clip
        for clip in unsent
        if clip.priority in _THINNABLE and clip.number is not None and not clip.recovered
    ]
    return sorted(
        may_go,
        key=lambda clip: (
            _THINNABLE.index(clip.priority),
            1 - (clip.number or 0) % 2,
            clip.clip_id,
        ),
    )


def clips_to_thin(unsent: Sequence[UnsentClip], *, room: int, wanted_bytes: int) -> list[str]:
    """Ids of unsent clips to give up, in that order, until `wanted_bytes` are free.

    None when all of them together would not end the want of room: nothing goes in vain, as when
    something else has filled the card.
    """
    order = thinning_order(unsent)
    if wanted_bytes <= 0 or room + sum(clip.size_bytes for clip in order) < 0:
        return []
    going: list[str] = []
    for clip in order:
        if wanted_bytes <= 0:
            break
        going.append(clip.clip_id)
        wanted_bytes -= clip.size_bytes
    return going
