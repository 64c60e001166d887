from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.core.retention import SentClip, clips_to_delete

HOUR = 3600 * 10**9
NOW = 1_000 * HOUR


def going(sent: list[SentClip], free: int, floor: int = 100) -> list[str]:
    return clips_to_delete(
        sent, now_wall_ns=NOW, keep_ns=24 * HOUR, free_bytes=free, min_free_bytes=floor
    )


def test_a_clip_goes_when_it_was_kept_long_enough() -> None:
    sent = [SentClip("old", NOW - 25 * HOUR, 10), SentClip("new", NOW - 23 * HOUR, 10)]
    assert going(sent, free=1_000) == ["old"]


def test_want_of_space_takes_the_oldest_first_and_no_more_than_needed() -> None:
    sent = [SentClip(f"c{age}", NOW - age * HOUR, 30) for age in range(5)]
    assert going(sent, free=50) == ["c4", "c3"]


def test_a_clip_from_the_future_counts_as_new() -> None:
    assert going([SentClip("ahead", NOW + 100 * HOUR, 10)], free=1_000) == []


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 100)), max_size=20),
    st.integers(0, 500),
)
def test_space_is_reached_or_nothing_is_left(ages: list[tuple[int, int]], free: int) -> None:
    sent = [
        SentClip(f"{number:03d}", NOW - age * HOUR, size) for number, (age, size) in enumerate(ages)
    ]
    gone = set(going(sent, free))
    freed = sum(clip.size_bytes for clip in sent if clip.clip_id in gone)
    assert free + freed >= 100 or len(gone) == len(sent)
    kept = [clip.sent_wall_ns for clip in sent if clip.clip_id not in gone]
    assert all(
        clip.sent_wall_ns <= min(kept, default=NOW * 2) for clip in sent if clip.clip_id in gone
    )
