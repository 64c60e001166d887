from __future__ import annotations

from agent.core.upload_order import Priority, Waiting, next_clip


def clip(clip_id: str, priority: Priority) -> Waiting:
    return Waiting(clip_id=clip_id, priority=priority, total_bytes=1)


WAITING = [
    clip("a-1", "plain"),
    clip("a-2", "tagged"),
    clip("a-3", "marked"),
    clip("a-4", "record"),
    clip("a-5", "plain"),
]


def order(requested: set[str]) -> list[str]:
    taken: list[str] = []
    while (found := next_clip(WAITING, requested=requested, taken=taken)) is not None:
        taken.append(found.clip_id)
    return taken


def test_records_then_marked_tagged_and_plain_oldest_first() -> None:
    assert order(set()) == ["a-4", "a-3", "a-2", "a-1", "a-5"]


def test_requested_clip_goes_first_of_all() -> None:
    assert order({"a-5"}) == ["a-5", "a-4", "a-3", "a-2", "a-1"]


def test_several_requested_clips_go_oldest_first() -> None:
    assert order({"a-5", "a-1"}) == ["a-1", "a-5", "a-4", "a-3", "a-2"]


def test_nothing_waiting_is_nothing() -> None:
    assert next_clip([], requested=(), taken=()) is None
